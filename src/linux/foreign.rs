//! Network namespaces that other programs made, such as a container engine's: opened as the user
//! names them, and identified.

use super::sys;
use nix::net::if_::if_nameindex;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{CWD, FsWord, Mode, OFlags, fstat, fstatfs, open, openat, stat};
use rustix::io::Errno;
use rustix::process::Pid;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The type of the kernel's namespace filesystem (`linux/magic.h`).
const NSFS: FsWord = 0x6e73_6673;
/// The flags of descriptors that name a file and open nothing.
const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The reason why a file or a process has no network namespace that could be attached.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The file cannot be opened.
    #[error("opening {path}: {source}{}", remedy(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// The path is a symbolic link.
    #[error(
        "{0} is a symbolic link: give the path of the namespace itself, or its process with --pid"
    )]
    Link(PathBuf),
    /// The file is no network namespace.
    #[error(
        "{0} is not a network namespace: `ip netns list` and `ip netns pids NAME` show those with a name"
    )]
    NoNamespace(PathBuf),
    /// There is no such process.
    #[error("there is no process {0}, or it has ended")]
    NoProcess(u32),
    /// The descriptor that a client passed is no network namespace.
    #[error("the descriptor of the request is not that of a network namespace")]
    Passed,
}

fn remedy(error: &io::Error) -> &'static str {
    super::remedy::remedy(error, " (namespaces need root: run it with sudo)")
}

/// A number that identifies a namespace as long as one of its files is open: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(file: impl AsFd) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self(stat.st_dev, stat.st_ino))
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let stat = stat(path)?;
        Ok(Self(stat.st_dev, stat.st_ino))
    }

    /// Returns the identity of the namespace that egret itself runs in.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn own() -> io::Result<Self> {
        Self::at(Path::new("/proc/self/ns/net"))
    }
}

/// A network namespace that another program made, open.
#[derive(Debug)]
pub struct Foreign(OwnedFd);

impl Foreign {
    /// Opens the namespace that is mounted at a path. A symbolic link at its end is not followed:
    /// another user may have made it.
    ///
    /// # Errors
    ///
    /// No network namespace has that path.
    pub fn at(path: &Path) -> Result<Self, ForeignError> {
        let error = |errno: Errno| ForeignError::Open { path: path.into(), source: errno.into() };
        // Opening a device, or a pipe, could have an effect.
        let named = open(path, NAME_ONLY | OFlags::NOFOLLOW, Mode::empty()).map_err(error)?;
        let kind = rustix::fs::FileType::from_raw_mode(fstat(&named).map_err(error)?.st_mode);
        if kind == rustix::fs::FileType::Symlink {
            return Err(ForeignError::Link(path.to_owned()));
        }
        if fstatfs(&named).map_err(error)?.f_type != NSFS {
            return Err(ForeignError::NoNamespace(path.to_owned()));
        }
        let opened = format!("/proc/self/fd/{}", named.as_raw_fd());
        let file = open(opened.as_str(), OFlags::CLOEXEC, Mode::empty()).map_err(error)?;
        Self::new(file).ok_or_else(|| ForeignError::NoNamespace(path.to_owned()))
    }

    /// Opens the namespace of a process.
    ///
    /// # Errors
    ///
    /// There is no such process, or the caller is not root.
    pub fn of_process(pid: u32) -> Result<Self, ForeignError> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(ForeignError::NoProcess(pid))?;
        let path = PathBuf::from(format!("/proc/{}/ns/net", number.as_raw_nonzero()));
        match openat(CWD, &path, OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Self::new(file).ok_or(ForeignError::NoNamespace(path)),
            Err(Errno::NOENT | Errno::SRCH) => Err(ForeignError::NoProcess(pid)),
            Err(errno) => Err(ForeignError::Open { path, source: errno.into() }),
        }
    }

    /// Takes a descriptor that a client passed.
    ///
    /// # Errors
    ///
    /// It is not that of a network namespace.
    pub fn passed(descriptor: OwnedFd) -> Result<Self, ForeignError> {
        Self::new(descriptor).ok_or(ForeignError::Passed)
    }

    /// Returns what identifies the namespace as long as this is held.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn identity(&self) -> io::Result<Identity> {
        Identity::of(&self.0)
    }

    /// Returns the names of its interfaces. A thread enters the namespace for that, and ends there.
    ///
    /// # Errors
    ///
    /// The caller is not root, or the kernel refuses.
    pub fn interfaces(&self) -> io::Result<BTreeSet<String>> {
        let list = || {
            setns(self, CloneFlags::CLONE_NEWNET)?;
            let names = if_nameindex()?;
            Ok(names.iter().map(|each| each.name().to_string_lossy().into_owned()).collect())
        };
        std::thread::scope(|scope| {
            let listed = std::thread::Builder::new().spawn_scoped(scope, list)?.join();
            listed.unwrap_or_else(|_| Err(io::Error::other("the thread that lists them panicked")))
        })
    }

    fn new(file: OwnedFd) -> Option<Self> {
        let is_of_kernel = fstatfs(&file).is_ok_and(|filesystem| filesystem.f_type == NSFS);
        let is_own_kind = is_of_kernel && sys::is_network_namespace(&file).unwrap_or(false);
        is_own_kind.then_some(Self(file))
    }
}

impl From<Foreign> for OwnedFd {
    fn from(namespace: Foreign) -> Self {
        namespace.0
    }
}

impl AsFd for Foreign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs::File;

    #[test]
    fn the_namespace_of_this_process_is_found_by_its_number() {
        let own = Foreign::of_process(std::process::id()).unwrap();
        assert_eq!(own.identity().unwrap(), Identity::own().unwrap());
    }

    #[test]
    fn a_process_that_does_not_exist_is_named() {
        for pid in [0, u32::MAX, 0x7fff_ffff] {
            let error = Foreign::of_process(pid).unwrap_err();
            assert!(matches!(error, ForeignError::NoProcess(named) if named == pid), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_network_namespace_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        File::create(&file).unwrap();
        let missing = directory.path().join("missing");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [&file, &pipe, &directory.path().to_owned(), &PathBuf::from("/dev/zero")] {
            let error = Foreign::at(path).unwrap_err();
            assert!(matches!(&error, ForeignError::NoNamespace(named) if named == path), "{error}");
        }
        assert!(matches!(Foreign::at(&missing), Err(ForeignError::Open { .. })));
        let opened = File::open("/proc/self/ns/mnt").unwrap();
        assert!(matches!(Foreign::passed(opened.into()), Err(ForeignError::Passed)));
        assert!(matches!(
            Foreign::passed(File::open(&file).unwrap().into()),
            Err(ForeignError::Passed)
        ));
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/proc/self/ns/net", &link).unwrap();
        let error = Foreign::at(&link).unwrap_err();
        assert!(matches!(&error, ForeignError::Link(named) if *named == link), "{error}");
    }
}
