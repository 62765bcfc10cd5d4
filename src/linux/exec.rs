//! Child processes inside a namespace, the way `ip netns exec` starts them: `/sys` shows the namespace's interfaces,
//! and the files that egret has made in `/etc/netns/<name>` lie over those in `/etc`, so that a task can have its own
//! `resolv.conf`. Others that are there do not.

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
use std::path::Path;
use std::process::{Child, Command};

const OVERLAYS: &str = "/etc/netns";

/// The files of a namespace that lie over those in `/etc`: all that egret makes for a task.
pub const OVERLAID: [&str; 2] = ["resolv.conf", "hosts"];

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The mounts that belong to the namespace could not be made.
    #[error("{what} for network namespace `{netns}`: {source}")]
    Mount {
        /// What was tried.
        what: &'static str,
        /// For which namespace.
        netns: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There was nothing to run.
    #[error("no command was given: name one, for example `sh`")]
    Empty,
    /// The program did not start.
    #[error("starting `{program}`: {source}")]
    Start {
        /// Which program.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Replaces this process with `argv` inside the namespace. Returns only when that fails; the calling thread may be
/// inside by then, so the process should end.
///
/// # Errors
///
/// When the namespace, the mounts or the program are not to be had.
pub fn exec_in<S: AsRef<OsStr>>(netns: &str, argv: &[S]) -> Result<Infallible, ExecError> {
    let (program, arguments) = argv.split_first().ok_or(ExecError::Empty)?;
    let netns = Netns::open(netns)?;
    netns.enter()?;
    dress(netns.name())?;
    let source = Command::new(program).args(arguments).exec();
    Err(ExecError::Start { program: program.as_ref().to_string_lossy().into_owned(), source })
}

/// Starts `command` inside the namespace, with the namespace's mounts.
///
/// # Errors
///
/// When the namespace, the mounts or the program are not to be had.
pub fn spawn_in(netns: &Netns, command: &mut Command) -> Result<Child, ExecError> {
    descriptors::restore(command);
    run_dressed(netns, || command.spawn())?.map_err(|source| ExecError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// Does `work` on a fresh thread that is in the namespace and has its mounts: children that it starts are as well. For
/// a `tokio` command, enter the runtime inside `work`.
///
/// # Errors
///
/// When the namespace or the mounts are not to be had, or `work` panics.
pub fn run_dressed<R: Send>(
    netns: &Netns,
    work: impl FnOnce() -> R + Send,
) -> Result<R, ExecError> {
    netns.run(|| dress(netns.name()).map(|()| work()))?
}

/// Gives the calling thread mounts of its own that fit the namespace.
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
    // Later mounts of the host come in, ours do not go out.
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)
        .map_err(because("separating the mounts"))?;
    let read_only = statvfs("/sys").is_ok_and(|sys| sys.flags().contains(FsFlags::ST_RDONLY));
    // Whatever was mounted on it goes as well; that there was nothing is fine.
    let _ = umount2("/sys", MntFlags::MNT_DETACH);
    let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    mount(Some(netns), "/sys", Some("sysfs"), flags, none).map_err(because("mounting /sys"))?;
    overlay_etc(&Path::new(OVERLAYS).join(netns)).map_err(|source| ExecError::Mount {
        what: "laying /etc/netns over /etc",
        netns: netns.to_owned(),
        source,
    })
}

fn overlay_etc(directory: &Path) -> io::Result<()> {
    for name in OVERLAID {
        let target = Path::new("/etc").join(name);
        let file = match own::open_to_read(&directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|why| io::Error::new(why.kind(), format!("{name}: {why}")))?,
        };
        // As with `ip netns exec`, a file that /etc does not have cannot be laid over.
        if target.exists() {
            let none = None::<&str>;
            // The file that was looked at, whatever has its name by now.
            let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
            mount(Some(opened.as_str()), &target, none, MsFlags::MS_BIND, none)?;
        }
    }
    Ok(())
}
