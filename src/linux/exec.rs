//! Starts child processes inside a namespace, as `ip netns exec` does: `/sys` shows the namespace's
//! interfaces, and the files that egret has made in `/etc/netns/<name>` are mounted over those in
//! `/etc`, so that a task can have its own `resolv.conf`. Other files there are not mounted. A file
//! for a folder below `/etc` cannot be there: `ip netns exec` would mount it in the wrong place, so
//! it is given as an [`Overlay`].

use super::{Netns, NetnsError, descriptors};
use crate::edge::own;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const OVERLAYS: &str = "/etc/netns";

/// The files of a namespace that are mounted over those in `/etc`: all that egret makes for a task.
pub const OVERLAID: [&str; 2] = ["resolv.conf", "hosts"];

/// The certificates that programs of this host trust, where Debian and its relatives have them.
pub const TRUSTED_BY_HOST: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A file of egret's own that is mounted over one of the host's.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The file; one that does not exist is not mounted.
    pub file: PathBuf,
    /// The file of the host; nothing is mounted where there is none.
    pub over: &'static str,
}

/// The reason why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The mounts that belong to the namespace could not be made.
    #[error("{what} for network namespace `{netns}`: {source}")]
    Mount {
        /// The operation.
        what: &'static str,
        /// The namespace.
        netns: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// There was no program to run.
    #[error("no command was given: name one, for example `sh`")]
    Empty,
    /// The program did not start.
    #[error("cannot start `{program}`: {source}{}", not_found(source))]
    Start {
        /// The program.
        program: String,
        /// The kernel's error.
        source: io::Error,
    },
}

/// Returns what to do if the program does not exist; nothing for other errors.
fn not_found(error: &io::Error) -> &'static str {
    match error.kind() == io::ErrorKind::NotFound {
        true => "; programs are those of this machine: install it here",
        false => "",
    }
}

/// Replaces this process with `argv` inside the namespace, with `overlays` mounted. Returns only if that fails; the calling
/// thread may be inside by then, so the process should end.
///
/// # Errors
///
/// The namespace cannot be entered, its mounts cannot be made, or the program does not start.
pub fn exec_in<S: AsRef<OsStr>>(
    netns: &str,
    argv: &[S],
    overlays: &[Overlay],
) -> Result<Infallible, ExecError> {
    let (program, arguments) = argv.split_first().ok_or(ExecError::Empty)?;
    let netns = Netns::open(netns)?;
    netns.enter()?;
    dress(netns.name())?;
    lay(netns.name(), overlays)?;
    let source = Command::new(program).args(arguments).exec();
    Err(ExecError::Start { program: program.as_ref().to_string_lossy().into_owned(), source })
}

/// Starts `command` inside the namespace, with the namespace's mounts.
///
/// # Errors
///
/// The namespace cannot be entered, its mounts cannot be made, or the program does not start.
pub fn spawn_in(netns: &Netns, command: &mut Command) -> Result<Child, ExecError> {
    descriptors::restore(command);
    run_dressed(netns, || command.spawn())?.map_err(|source| ExecError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// Runs `work` on a fresh thread that is in the namespace and has its mounts: children that it
/// starts are there too. For a `tokio` command, enter the runtime inside `work`.
///
/// # Errors
///
/// The namespace cannot be entered, its mounts cannot be made, or `work` panics.
pub fn run_dressed<R: Send>(
    netns: &Netns,
    work: impl FnOnce() -> R + Send,
) -> Result<R, ExecError> {
    netns.run(|| dress(netns.name()).map(|()| work()))?
}

/// Gives the calling thread mounts of its own that match the namespace.
fn dress(netns: &str) -> Result<(), ExecError> {
    let because = |what| {
        move |errno: nix::Error| ExecError::Mount {
            what,
            netns: netns.to_owned(),
            source: errno.into(),
        }
    };
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).map_err(because("separating the mounts"))?;
    // Later mounts of the host appear here, ours do not appear there.
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)
        .map_err(because("separating the mounts"))?;
    let read_only = statvfs("/sys").is_ok_and(|sys| sys.flags().contains(FsFlags::ST_RDONLY));
    // All mounts below it are removed as well; if there are none, that is no error.
    let _ = umount2("/sys", MntFlags::MNT_DETACH);
    let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    mount(Some(netns), "/sys", Some("sysfs"), flags, none).map_err(because("mounting /sys"))?;
    overlay_etc(&Path::new(OVERLAYS).join(netns)).map_err(|source| ExecError::Mount {
        what: "laying /etc/netns over /etc",
        netns: netns.to_owned(),
        source,
    })
}

fn lay(netns: &str, overlays: &[Overlay]) -> Result<(), ExecError> {
    let lay = |overlay: &Overlay| mount_over(&overlay.file, Path::new(overlay.over));
    overlays.iter().try_for_each(lay).map_err(|source| ExecError::Mount {
        what: "laying the lab's certificates over the host's",
        netns: netns.to_owned(),
        source,
    })
}

fn overlay_etc(directory: &Path) -> io::Result<()> {
    OVERLAID
        .iter()
        .try_for_each(|name| mount_over(&directory.join(name), &Path::new("/etc").join(name)))
}

/// Mounts a file of egret's own over another, if both exist: as with `ip netns exec`, only a file
/// that exists can be mounted over.
fn mount_over(own: &Path, target: &Path) -> io::Result<()> {
    let file = match own::open_to_read(own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => {
            opened.map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", own.display())))?
        }
    };
    if target.exists() {
        let none = None::<&str>;
        // The file that was checked, even if another one has its name by now.
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(opened.as_str()), target, none, MsFlags::MS_BIND, none)?;
    }
    Ok(())
}
