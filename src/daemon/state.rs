//! What a lab leaves on the box besides namespaces: `/run/egret/<lab>` with a lock, the control socket, and the list of
//! everything that a killed run must have cleared up after it.

use crate::linux::netns;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

const ROOT: &str = "/run/egret";
const OVERLAYS: &str = "/etc/netns";

/// Why the state directory is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has the lab.
    #[error(
        "lab `{lab}` is up already (process {pid}): end it with `egret down --lab {lab}`, or give this one another name with `lab = \"…\"` in its file"
    )]
    Busy {
        /// The lab.
        lab: String,
        /// Its process, `unknown` if it has not written it yet.
        pid: String,
    },
    /// The kernel refused.
    #[error("{what} {path}: {source}{}", remedy(source))]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A namespace could not be removed.
    #[error(transparent)]
    Netns(#[from] netns::NetnsError),
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        " (labs need root: run it with sudo)"
    } else {
        ""
    }
}

/// The state directory of a lab that this process holds.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Takes hold of a lab's directory, and clears what a killed run left in it. Returns the names of the namespaces
    /// that were cleared as well. `patience` is how long another process may take to let go of it.
    ///
    /// # Errors
    /// [`StateError::Busy`] when another process has it.
    pub fn take(lab: &str, patience: Duration) -> Result<(Self, Vec<String>), StateError> {
        let path = directory(lab);
        let lock_path = path.join("lock");
        let mut lock = lock(lab, &path, &lock_path, patience)?;
        let pid = std::process::id().to_string();
        let written = lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes()));
        written.map_err(io_error("writing", &lock_path))?;
        let state = Self { path, _lock: lock };
        let cleared = state.clear()?;
        Ok((state, cleared))
    }

    /// Where the control socket is.
    pub fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Notes that a namespace is about to be made.
    ///
    /// # Errors
    /// When the note cannot be written: then the namespace must not be made.
    pub fn note_namespace(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join("namespaces");
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(io_error("opening", &path))?;
        file.write_all(format!("{name}\n").as_bytes()).map_err(io_error("writing", &path))
    }

    /// Writes a file that programs in a namespace see in place of the one in `/etc`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn overlay(&self, namespace: &str, file: &str, text: &str) -> Result<(), StateError> {
        let directory = Path::new(OVERLAYS).join(namespace);
        fs::create_dir_all(&directory).map_err(io_error("creating", &directory))?;
        let path = directory.join(file);
        fs::write(&path, text).map_err(io_error("writing", &path))
    }

    /// Forgets a namespace's overlay.
    pub fn remove_overlay(&self, namespace: &str) {
        // What is not there need not go.
        let _ = fs::remove_dir_all(Path::new(OVERLAYS).join(namespace));
    }

    /// Removes every namespace on the list, with its overlay, and the list.
    ///
    /// # Errors
    /// The first namespace that could not be removed; the list is kept then.
    pub fn clear(&self) -> Result<Vec<String>, StateError> {
        let path = self.path.join("namespaces");
        let listed = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            listed => listed.map_err(io_error("reading", &path))?,
        };
        let present: Vec<String> =
            listed.lines().filter(|name| netns::exists(name)).map(ToOwned::to_owned).collect();
        netns::remove_all(&present)?;
        listed.lines().for_each(|name| self.remove_overlay(name));
        for leftover in [path, self.socket()] {
            match fs::remove_file(&leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("removing", &leftover)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(present)
    }

    /// Clears everything and gives the directory up.
    ///
    /// # Errors
    /// As [`StateDir::clear`].
    pub fn release(self) -> Result<(), StateError> {
        self.clear()?;
        // The lock file goes while it is still locked: see `lock`. Where another process has come in the meantime, the
        // directory is its own and stays.
        let _ = fs::remove_file(self.path.join("lock"));
        let _ = fs::remove_dir(&self.path);
        let _ = fs::remove_dir(ROOT);
        Ok(())
    }
}

/// Locks a lab's lock file. Whoever lets go of it removes it, so a lock counts only if the file still has its name:
/// otherwise two processes could hold one lab, each with its own file.
fn lock(
    lab: &str,
    directory: &Path,
    path: &Path,
    patience: Duration,
) -> Result<Flock<File>, StateError> {
    loop {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io_error("creating", directory))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(io_error("opening", path))?,
        };
        let lock = lock_file(lab, file, path, patience)?;
        let held = lock.metadata().map_err(io_error("reading", path))?;
        if fs::metadata(path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino()))
        {
            return Ok(lock);
        }
    }
}

/// The directory of a lab.
pub fn directory(lab: &str) -> PathBuf {
    Path::new(ROOT).join(lab)
}

/// The control socket of a lab, whoever holds it.
pub fn socket(lab: &str) -> PathBuf {
    directory(lab).join("control.sock")
}

/// The labs that have a control socket, sorted: those that run, and those that were killed.
pub fn labs() -> Vec<String> {
    let Ok(entries) = fs::read_dir(ROOT) else { return Vec::new() };
    let mut labs: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("control.sock").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    labs.sort();
    labs
}

/// Locks at once, or waits on a thread of its own: the kernel has no lock with a time limit.
fn lock_file(
    lab: &str,
    file: File,
    path: &Path,
    patience: Duration,
) -> Result<Flock<File>, StateError> {
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) if !patience.is_zero() => file,
        Err((_, Errno::EWOULDBLOCK)) => return Err(busy(lab, path)),
        Err((_, errno)) => return Err(io_error("locking", path)(errno.into())),
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody waiting any more is fine: then the lock is let go at once.
        let _ = sender.send(Flock::lock(file, FlockArg::LockExclusive));
    });
    match receiver.recv_timeout(patience) {
        Ok(Ok(lock)) => Ok(lock),
        Ok(Err((_, errno))) => Err(io_error("locking", path)(errno.into())),
        Err(_) => Err(busy(lab, path)),
    }
}

fn busy(lab: &str, lock: &Path) -> StateError {
    let mut pid = String::new();
    let read = File::open(lock).and_then(|mut file| file.read_to_string(&mut pid));
    let pid = if read.is_ok() && !pid.trim().is_empty() {
        pid.trim().to_owned()
    } else {
        "unknown".to_owned()
    };
    StateError::Busy { lab: lab.to_owned(), pid }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { what, path, source }
}
