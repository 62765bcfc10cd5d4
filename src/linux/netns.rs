//! Network namespaces by name, the way `ip netns` keeps them: bind mounts in `/run/netns`.
//!
//! A thread cannot safely visit a namespace and come back, since other work that runs on it
//! meanwhile would be there too. So work inside a namespace runs on a thread that enters it first
//! and ends there: [`Netns::run`].

use super::foreign::{Foreign, Identity};
use super::sys;
use crate::edge::own;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The directory where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";

/// The reason why a namespace could not be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The name is taken.
    #[error(
        "network namespace `{0}` exists already: remove it with `ip netns del {0}` or choose another lab name"
    )]
    Exists(String),
    /// No namespace has that name.
    #[error("there is no network namespace `{0}`: `ip netns list` shows those that exist")]
    Missing(String),
    /// The name is not valid as a file name.
    #[error(
        "`{0}` is not a name for a network namespace: it must not be empty, start with a dot or contain `/`"
    )]
    Name(String),
    /// The kernel refused.
    #[error("{what} network namespace `{name}`: {source}{}", remedy(source))]
    Kernel {
        /// The operation.
        what: &'static str,
        /// The namespace.
        name: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// Work inside the namespace panicked.
    #[error("work inside network namespace `{name}` panicked: {message}")]
    Panicked {
        /// The namespace.
        name: String,
        /// The panic's message.
        message: String,
    },
}

impl NetnsError {
    /// Returns whether a file was entered that is no namespace.
    pub fn is_no_namespace(&self) -> bool {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error() == Some(nix::libc::EINVAL),
            Self::Exists(_) | Self::Missing(_) | Self::Name(_) | Self::Panicked { .. } => false,
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    super::remedy::remedy(error, " (namespaces need root: run it with sudo)")
}

/// A named network namespace. Dropping it leaves the namespace as it is; clones refer to the same
/// namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    name: Arc<str>,
    file: Arc<File>,
}

impl Netns {
    /// Makes a namespace: `lo` up, IPv6 off, nothing forwarded.
    ///
    /// # Errors
    ///
    /// The name is taken, or the caller is not root.
    pub fn create(name: &str) -> Result<Self, NetnsError> {
        let path = place(name)?;
        let born = on_fresh_thread(name, || bear(&path));
        let opened = born
            .and_then(|born| born.map_err(|source| kernel("making", name, source)))
            .and_then(|()| Self::open(name));
        if opened.is_err() {
            // The caller gets the first error.
            let _ = take_away(&path);
        }
        opened
    }

    /// Gives a namespace that another program made a name. The namespace lives until the name is
    /// removed, whatever becomes of that program.
    ///
    /// # Errors
    ///
    /// The name is taken, or the caller is not root.
    pub fn adopt(name: &str, namespace: &Foreign) -> Result<Self, NetnsError> {
        let path = place(name)?;
        let opened = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
        let none = None::<&str>;
        let named = mount(Some(opened.as_str()), &path, none, MsFlags::MS_BIND, none)
            .map_err(|errno| kernel("naming", name, errno.into()))
            .and_then(|()| Self::open(name));
        if named.is_err() {
            // The caller gets the first error.
            let _ = take_away(&path);
        }
        named
    }

    /// Opens the namespace of that name.
    ///
    /// # Errors
    ///
    /// No namespace has that name.
    pub fn open(name: &str) -> Result<Self, NetnsError> {
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path_of(name)?);
        let file = opened.map_err(|source| missing_or("opening", name, source))?;
        Ok(Self { name: name.into(), file: Arc::new(file) })
    }

    /// Returns its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does in the namespace what [`Netns::create`] does in those that it makes, where programs of
    /// a namespace that another one made depend on it: brings `lo` up.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn bring_loopback_up(&self) -> Result<(), NetnsError> {
        let up = self.run(|| sys::set_up("lo"))?;
        up.map_err(|source| kernel("bringing up lo in", &self.name, source))
    }

    /// Returns what identifies the namespace as long as this is held.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn identity(&self) -> io::Result<Identity> {
        Identity::of(&*self.file)
    }

    /// Returns whether the name now belongs to no namespace or to another one.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.identity().ok() != identity_of(&self.name)
    }

    /// Turns IPv6 off at an interface. A kernel without IPv6 is no error.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(super) fn turn_ipv6_off(&self, interface: &str) -> Result<(), NetnsError> {
        let setting = format!("ipv6/conf/{interface}/disable_ipv6");
        let set = self.run(|| set(&setting, "1"))?;
        set.map_err(|source| kernel("turning IPv6 off in", &self.name, source))
    }

    /// Runs `work` on a fresh thread inside the namespace and waits for it.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or `work` panics.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, NetnsError> {
        on_fresh_thread(&self.name, || self.enter().map(|()| work()))?
    }

    /// Moves the calling thread into the namespace, permanently.
    pub(super) fn enter(&self) -> Result<(), NetnsError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| kernel("entering", &self.name, errno.into()))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Returns what identifies the namespace of a name; `None` if no file has the name.
#[must_use]
pub fn identity_of(name: &str) -> Option<Identity> {
    Identity::at(&path_of(name).ok()?).ok()
}

/// Returns whether a namespace has that name.
#[must_use]
pub fn exists(name: &str) -> bool {
    path_of(name).is_ok_and(|path| path.exists())
}

/// Returns the names of all namespaces, sorted.
///
/// # Errors
///
/// `/run/netns` cannot be read.
pub fn list() -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Removes the name; the kernel ends the namespace, with its links, once no process and no
/// descriptor holds it.
///
/// # Errors
///
/// No namespace has that name, or the caller is not root.
pub fn remove(name: &str) -> Result<(), NetnsError> {
    take_away(&path_of(name)?).map_err(|source| missing_or("removing", name, source))
}

/// Removes the namespaces that a killed run left; names that do not exist are no error. Continues
/// after a failure and returns the first one.
///
/// # Errors
///
/// The first namespace that could not be removed.
pub fn remove_all<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<(), NetnsError> {
    let mut first = Ok(());
    for name in names {
        match remove(name.as_ref()) {
            Ok(()) | Err(NetnsError::Missing(_)) => {}
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

fn path_of(name: &str) -> Result<PathBuf, NetnsError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(NetnsError::Name(name.to_owned()));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// Makes the file that a namespace of that name is mounted on.
fn place(name: &str) -> Result<PathBuf, NetnsError> {
    let path = path_of(name)?;
    share_directory().map_err(|source| kernel("preparing /run/netns for", name, source))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o0).open(&path);
    made.map_err(|source| {
        let taken = source.kind() == io::ErrorKind::AlreadyExists;
        let exists = || NetnsError::Exists(name.to_owned());
        if taken { exists() } else { kernel("making a place for", name, source) }
    })?;
    Ok(path)
}

fn missing_or(what: &'static str, name: &str, source: io::Error) -> NetnsError {
    if source.kind() == io::ErrorKind::NotFound {
        return NetnsError::Missing(name.to_owned());
    }
    kernel(what, name, source)
}

fn kernel(what: &'static str, name: &str, source: io::Error) -> NetnsError {
    NetnsError::Kernel { what, name: name.to_owned(), source }
}

/// Makes `/run/netns` a shared mount, as `ip netns add` does: only then a name that is removed here
/// is removed in every mount namespace, and the network namespace can end.
fn share_directory() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    own::folder(Path::new(DIRECTORY), own::READABLE_FOLDER)?;
    let share = || {
        mount(
            None::<&str>,
            DIRECTORY,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    if share().is_err() {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(DIRECTORY), DIRECTORY, None::<&str>, bind, None::<&str>)?;
        share()?;
    }
    Ok(())
}

/// Makes the namespace, and gives it its name and its settings. Runs on a thread of its own.
fn bear(path: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    settle()
}

/// Sets all settings that matter: a new namespace may inherit any value from the host.
fn settle() -> io::Result<()> {
    for (setting, value) in SETTINGS {
        set(setting, value)?;
    }
    sys::set_up("lo")
}

/// Makes a setting of the calling thread's namespace.
fn set(setting: &str, value: &str) -> io::Result<()> {
    match std::fs::write(Path::new("/proc/sys/net").join(setting), value) {
        // A kernel without IPv6 has no such setting, and needs none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    }
}

const SETTINGS: [(&str, &str); 8] = [
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv4/ip_forward", "0"),
    // The router namespace has no routes, so a reverse-path check would drop everything.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    // Allows ping without privileges, as in containers.
    ("ipv4/ping_group_range", "0 2147483647"),
];

fn take_away(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // A name whose creator died before the mount is an empty file.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    std::fs::remove_file(path)
}

fn on_fresh_thread<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> Result<R, NetnsError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|source| kernel("starting a thread for", name, source))?;
        thread.join().map_err(|payload| NetnsError::Panicked {
            name: name.to_owned(),
            message: panic_message(&*payload),
        })
    })
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_name_must_be_a_file_name() {
        for name in ["", ".", "..", ".hidden", "a/b", "a\0b"] {
            assert!(matches!(path_of(name), Err(NetnsError::Name(_))), "{name:?}");
        }
        assert_eq!(path_of("egret-router").unwrap(), Path::new("/run/netns/egret-router"));
    }

    #[test]
    fn a_missing_namespace_is_named() {
        let error = Netns::open("egret-no-such-namespace").unwrap_err();
        assert!(error.to_string().contains("`egret-no-such-namespace`"), "{error}");
        remove_all(["egret-no-such-namespace"]).unwrap();
    }

    #[test]
    fn a_panic_is_an_error_that_says_what_happened() {
        let outcome = on_fresh_thread("x", || std::panic::resume_unwind(Box::new("boom")));
        assert!(matches!(outcome, Err(NetnsError::Panicked { message, .. }) if message == "boom"));
    }
}
