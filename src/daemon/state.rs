//! The state of a lab on the box besides namespaces: `/run/egret/<lab>` with a lock, the control
//! socket, and the list of all that must be cleared after a killed run.

use super::process;
pub use super::state_error::StateError;
use super::state_error::io_error;
use crate::edge::own;
use crate::linux::netns::{self, Netns, NetnsError};
use crate::linux::{Foreign, Pins};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

const ROOT: &str = "/run/egret";
const OVERLAYS: &str = "/etc/netns";
const NAMESPACES: &str = "namespaces";
const LEFT: &str = "left.json";
const LEFT_NEXT: &str = "left.next";
const TRIED_ROOM: &str = "room";
const ATTACHED: &str = "attached.json";
const ATTACHED_NEXT: &str = "attached.next";
const LOG: &str = "log";
/// The certificate of the lab's authority, for containers to mount.
const CA: &str = "ca.pem";
/// The certificates that the host trusts and that of the lab's authority, for programs in tasks.
const TRUSTED: &str = "trusted.pem";
/// Bytes that a lab needs in its directory, and for the places of its namespaces.
const ROOM: usize = 768 << 10;
/// Limits the time that the kernel may take to close what a killed process had open.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// The state directory of a lab that this process holds.
#[derive(Debug)]
pub struct StateDir {
    lab: String,
    path: PathBuf,
    released: bool,
    /// The process that had it before, if that did not release it.
    before: Option<u32>,
    lock: Flock<File>,
}

impl StateDir {
    /// Takes hold of a lab's directory as it is. `patience` is the longest wait for another process
    /// to release it.
    ///
    /// # Errors
    /// [`StateError::Busy`] if another process has it.
    pub fn hold(lab: &str, patience: Duration) -> Result<Self, StateError> {
        let mut state = Self::locked(lab, patience)?;
        let pid = std::process::id().to_string();
        let lock = &mut state.lock;
        let written = lock.set_len(0).and_then(|()| lock.rewind());
        let written = written.and_then(|()| lock.write_all(pid.as_bytes()));
        let written = written.map_err(io_error("writing", &state.path.join("lock")));
        // The earlier process's.
        let removed = remove_file(&state.path.join(LOG));
        state.or_let_go(written.and(removed))
    }

    /// Takes hold as [`StateDir::hold_after_killed`] does, for a moment: the lock still names the
    /// process that had it. [`StateDir::let_go`] ends the visit.
    ///
    /// # Errors
    /// As [`StateDir::hold`].
    pub fn visit(lab: &str) -> Result<Self, StateError> {
        after_killed(|patience| Self::locked(lab, patience))
    }

    fn locked(lab: &str, patience: Duration) -> Result<Self, StateError> {
        let path = directory(lab);
        let mut lock = lock(lab, &path, &path.join("lock"), patience)?;
        let mut before = String::new();
        // An unreadable lock file names no process.
        let _ = lock.read_to_string(&mut before);
        let before = before.trim().parse().ok();
        Ok(Self { lab: lab.to_owned(), path, released: false, before, lock })
    }

    /// Requires room for what a starting lab writes here. A lab that is taken down needs none.
    ///
    /// # Errors
    /// The directory cannot be written. The files of a killed run are still there.
    pub fn require_room(self) -> Result<Self, StateError> {
        let path = self.path.join(TRIED_ROOM);
        let written = fs::write(&path, [0; ROOM]).map_err(io_error("writing", &path));
        let removed = remove_file(&path);
        self.or_let_go(written.and(removed))
    }

    fn or_let_go(self, outcome: Result<(), StateError>) -> Result<Self, StateError> {
        match outcome {
            Ok(()) => Ok(self),
            Err(error) => {
                self.let_go();
                Err(error)
            }
        }
    }

    /// Takes hold as [`StateDir::hold`] does, but waits a moment for a process that was killed: the
    /// kernel still closes what it had open. It does not wait for a process that lives.
    ///
    /// # Errors
    /// As [`StateDir::hold`].
    pub fn hold_after_killed(lab: &str) -> Result<Self, StateError> {
        after_killed(|patience| Self::hold(lab, patience))
    }

    /// Lets go of the directory without clearing it: the files of a killed run stay for the next
    /// one.
    pub fn let_go(mut self) {
        // If a killed run left nothing, the directory is removed with `self`.
        self.released = self.list().exists();
    }

    /// Takes hold of a lab's directory, and clears what a killed run left in it. Returns the names
    /// of the namespaces that were cleared as well. `patience` is the longest wait for another
    /// process to release it.
    ///
    /// # Errors
    /// [`StateError::Busy`] if another process has it.
    pub fn take(lab: &str, patience: Duration) -> Result<(Self, Vec<String>), StateError> {
        let state = Self::hold(lab, patience)?;
        let cleared = state.clear()?;
        Ok((state, cleared))
    }

    /// Lets the members of a group connect to the lab's socket, which gets the group of the
    /// directory; `None` lets root only. Needs root's right to give files to a group.
    ///
    /// The folder above has labs of other groups too. So every user may list the names of labs,
    /// which the names of their network namespaces tell anyway.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open_to(&self, group: Option<u32>) -> Result<(), StateError> {
        let share = |path: &Path, mode, group| {
            own::share_folder(path, mode, group).map_err(io_error("sharing", path))
        };
        match group {
            Some(group) => {
                share(&self.path, own::GROUP_FOLDER, Some(group))?;
                share(Path::new(ROOT), own::READABLE_FOLDER, None)
            }
            // A killed run may have shared it.
            None => share(&self.path, own::PRIVATE_FOLDER, None),
        }
    }

    /// Returns the lab's name.
    pub fn lab(&self) -> &str {
        &self.lab
    }

    /// Notes where the log of this process is. [`log`] returns it.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note_log(&self, log: &Path) -> Result<(), StateError> {
        let path = self.path.join(LOG);
        // A lab in the background is started with a path that its user typed.
        let text = log.to_string_lossy();
        own::write(&path, own::PRIVATE, &text).map_err(io_error("writing", &path))
    }

    /// Returns the process that had the directory before, if that was killed.
    pub fn process_before(&self) -> Option<u32> {
        self.before
    }

    /// Returns the lab's own namespaces.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn namespaces(&self) -> Result<Vec<String>, StateError> {
        Ok(own_names(&self.lab, &read_list(&self.list())?).map(str::to_owned).collect())
    }

    /// Keeps a text for the next process, if this one is killed; `None` removes it.
    ///
    /// # Errors
    /// The text cannot be written. The earlier one may still be there.
    pub fn leave(&self, text: Option<&str>) -> Result<(), StateError> {
        let path = self.path.join(LEFT);
        let Some(text) = text else { return remove_file(&path) };
        let next = self.path.join(LEFT_NEXT);
        // It contains the lab file's text, and with it the secrets of access keys.
        own::replace(&path, &next, own::PRIVATE, text).map_err(io_error("writing", &path))
    }

    /// Returns the text that the earlier process has left; `None` if there is none.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn left(&self) -> Result<Option<String>, StateError> {
        let text = read_list(&self.path.join(LEFT))?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// Removes the control socket of the earlier process.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove_socket(&self) -> Result<(), StateError> {
        remove_file(&self.socket())
    }

    /// Returns the path of the control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Makes a namespace that belongs to the lab from here on: [`StateDir::remove_namespace`] or
    /// the end of the lab removes it.
    ///
    /// # Errors
    /// The namespace exists, or `/etc/netns` has files for it: these belong to someone else and are
    /// left alone.
    pub fn make_namespace(&self, name: &str) -> Result<Netns, StateError> {
        self.own_namespace(name, || Netns::create(name))
    }

    /// Gives a namespace that another program made a name. The name belongs to the lab from here on,
    /// as in [`StateDir::make_namespace`].
    ///
    /// # Errors
    /// As [`StateDir::make_namespace`].
    pub fn name_namespace(&self, name: &str, namespace: &Foreign) -> Result<Netns, StateError> {
        self.own_namespace(name, || Netns::adopt(name, namespace))
    }

    fn own_namespace(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Netns, NetnsError>,
    ) -> Result<Netns, StateError> {
        if netns::exists(name) {
            return Err(NetnsError::Exists(name.to_owned()).into());
        }
        let overlay = Path::new(OVERLAYS).join(name);
        if overlay.exists() {
            return Err(StateError::Overlay { path: overlay });
        }
        // Noted first: a run that is killed in between leaves a note too many, not a namespace too
        // many.
        self.note(name)?;
        make().map_err(|error| {
            // Another process has made it, or it does not exist: either way it is not the lab's.
            if matches!(error, NetnsError::Exists(_)) || !netns::exists(name) {
                let _ = self.forget(name);
            }
            error.into()
        })
    }

    /// Records the attached namespaces for the next process, if this one is killed; `None` removes
    /// the record.
    ///
    /// # Errors
    /// The record cannot be written. The earlier one may still be there.
    pub fn record_attached(&self, text: Option<&str>) -> Result<(), StateError> {
        let path = self.path.join(ATTACHED);
        let Some(text) = text else { return remove_file(&path) };
        if own::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let next = self.path.join(ATTACHED_NEXT);
        own::replace(&path, &next, own::PRIVATE, text).map_err(io_error("writing", &path))
    }

    /// Removes a namespace of the lab's own, and its overlay. One that no longer exists is no
    /// error.
    ///
    /// # Errors
    /// It could not be removed, and still belongs to the lab.
    pub fn remove_namespace(&self, name: &str) -> Result<(), StateError> {
        remove_overlay(name);
        netns::remove_all([name])?;
        self.forget(name)
    }

    fn note(&self, name: &str) -> Result<(), StateError> {
        let path = self.list();
        let opened = own::append_or_make(&path, own::PRIVATE);
        let mut file = opened.map_err(io_error("opening", &path))?;
        file.write_all(format!("{name}\n").as_bytes()).map_err(io_error("writing", &path))
    }

    fn forget(&self, name: &str) -> Result<(), StateError> {
        let path = self.list();
        let listed = read_list(&path)?;
        self.list_again(&listed.lines().filter(|noted| *noted != name).collect::<Vec<_>>())
    }

    /// Writes the list. A run that is killed meanwhile leaves the whole list, old or new.
    fn list_again(&self, names: &[&str]) -> Result<(), StateError> {
        let (path, next) = (self.list(), self.path.join("namespaces.next"));
        let kept: String = names.iter().map(|name| format!("{name}\n")).collect();
        own::replace(&path, &next, own::PRIVATE, &kept).map_err(io_error("writing", &path))
    }

    fn list(&self) -> PathBuf {
        self.path.join(NAMESPACES)
    }

    /// Writes a file that programs in a namespace see in place of the one in `/etc`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn overlay(&self, namespace: &str, file: &str, text: &str) -> Result<(), StateError> {
        let directory = Path::new(OVERLAYS).join(namespace);
        for folder in [Path::new(OVERLAYS), &directory] {
            let made = own::folder(folder, own::READABLE_FOLDER);
            made.map_err(io_error("making", folder))?;
        }
        let path = directory.join(file);
        if own::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        own::write(&path, own::READABLE, text).map_err(io_error("writing", &path))
    }

    /// Writes the certificate of the lab's authority, and the file with which programs in tasks
    /// trust it in addition to `host`, the certificates that the host trusts. Files that are there
    /// keep their identity, so that those who have mounted them see the new text.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn trust(&self, certificate: &str, host: Option<&str>) -> Result<(), StateError> {
        let write = |name: &str, text: &str| {
            let path = self.path.join(name);
            own::write(&path, own::READABLE, text).map_err(io_error("writing", &path))
        };
        write(CA, certificate)?;
        match host {
            Some(host) => write(TRUSTED, &format!("{}\n{certificate}", host.trim_end())),
            None => remove_file(&self.path.join(TRUSTED)),
        }
    }

    /// Removes the pins, which would carry flows between the namespaces; then every namespace on
    /// the list, with its overlay, and the list.
    ///
    /// # Errors
    /// The first namespace that could not be removed; the list is kept then.
    pub fn clear(&self) -> Result<Vec<String>, StateError> {
        self.clear_except(&BTreeSet::new())
    }

    /// Clears as [`StateDir::clear`] does, except some namespaces, which stay on the list.
    ///
    /// # Errors
    /// As [`StateDir::clear`].
    pub fn clear_except(&self, kept: &BTreeSet<String>) -> Result<Vec<String>, StateError> {
        Pins::remove(&self.lab)?;
        let path = self.list();
        let listed = read_list(&path)?;
        let (left, own): (Vec<&str>, Vec<&str>) =
            own_names(&self.lab, &listed).partition(|name| kept.contains(*name));
        let present: Vec<String> =
            own.iter().filter(|name| netns::exists(name)).map(|name| (*name).to_owned()).collect();
        netns::remove_all(&present)?;
        own.into_iter().for_each(remove_overlay);
        let own_files =
            ["namespaces.next", LEFT, LEFT_NEXT, TRIED_ROOM, CA, TRUSTED, ATTACHED_NEXT];
        // The list and the record of what is kept stay.
        let of_kept = if left.is_empty() { &[ATTACHED, NAMESPACES][..] } else { &[] };
        let files = own_files.iter().chain(of_kept).map(|name| self.path.join(name));
        for leftover in files.chain([self.socket()]) {
            remove_file(&leftover)?;
        }
        if !left.is_empty() {
            self.list_again(&left)?;
        }
        Ok(present)
    }

    /// Clears everything and removes the directory. A second call does nothing.
    ///
    /// # Errors
    /// As [`StateDir::clear`].
    pub fn release(&mut self) -> Result<(), StateError> {
        if self.released {
            return Ok(());
        }
        self.clear()?;
        remove_file(&self.path.join(LOG))?;
        // From here on another process may take the name.
        self.released = true;
        // The lock file is removed while it is still locked: see `lock`. If another process has
        // taken the directory in the meantime, it belongs to that process and stays.
        let _ = fs::remove_file(self.path.join("lock"));
        let _ = fs::remove_dir(&self.path);
        let _ = fs::remove_dir(ROOT);
        Ok(())
    }
}

impl Drop for StateDir {
    /// Releases the directory where a panic or an early return has skipped [`StateDir::release`].
    fn drop(&mut self) {
        // What stays is on the list, for the next run or `egret down`.
        let _ = self.release();
    }
}

fn after_killed(
    hold: impl Fn(Duration) -> Result<StateDir, StateError>,
) -> Result<StateDir, StateError> {
    match hold(Duration::ZERO) {
        Err(StateError::Busy { pid, .. }) if process::is_dying(&pid) => hold(LAST_MOMENTS),
        held => held,
    }
}

/// Removes a file; one that does not exist is no error.
fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("removing", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read_list(path: &Path) -> Result<String, StateError> {
    match own::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        listed => listed.map_err(io_error("reading", path)),
    }
}

/// Returns the names on the list that can be the lab's. The file may be damaged, and everything
/// that it names is removed.
fn own_names<'a>(lab: &str, listed: &'a str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("{lab}-");
    listed.lines().filter(move |name| name.starts_with(&prefix) && !name.contains(['/', '\0']))
}

fn remove_overlay(namespace: &str) {
    // A missing directory is no error.
    let _ = fs::remove_dir_all(Path::new(OVERLAYS).join(namespace));
}

/// Locks a lab's lock file. The process that releases the lock removes the file, so a lock counts
/// only if the file still has its name: otherwise two processes could hold one lab, each with its
/// own file.
fn lock(
    lab: &str,
    directory: &Path,
    path: &Path,
    patience: Duration,
) -> Result<Flock<File>, StateError> {
    'again: loop {
        for folder in [Path::new(ROOT), directory] {
            match own::folder(folder, own::PRIVATE_FOLDER) {
                // Another lab that ends may remove the folder above as well, but not `/run`.
                Err(error) if error.kind() == io::ErrorKind::NotFound && folder == directory => {
                    continue 'again;
                }
                made => made.map_err(io_error("making", folder))?,
            }
        }
        let file = match own::open_or_make(path, own::PRIVATE) {
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

/// Returns the namespaces of a lab, whichever process holds it.
///
/// # Errors
/// The list cannot be read.
pub fn namespaces(lab: &str) -> Result<Vec<String>, StateError> {
    let listed = read_list(&directory(lab).join(NAMESPACES))?;
    Ok(own_names(lab, &listed).map(str::to_owned).collect())
}

/// Returns the record of attached namespaces that a lab has, whichever process holds it; empty if
/// there is none.
///
/// # Errors
/// The record cannot be read.
pub fn attached(lab: &str) -> Result<String, StateError> {
    read_list(&directory(lab).join(ATTACHED))
}

/// Returns the log of a lab's process; `None` for one in the foreground.
///
/// # Errors
/// The note cannot be read.
pub fn log(lab: &str) -> Result<Option<PathBuf>, StateError> {
    let path = read_list(&directory(lab).join(LOG))?;
    Ok((!path.is_empty()).then(|| path.into()))
}

/// Returns the directory of a lab.
pub fn directory(lab: &str) -> PathBuf {
    Path::new(ROOT).join(lab)
}

/// Returns the file with the certificate of a lab's authority.
pub fn ca(lab: &str) -> PathBuf {
    directory(lab).join(CA)
}

/// Returns the file with all certificates that programs in a lab's tasks trust.
pub fn trusted(lab: &str) -> PathBuf {
    directory(lab).join(TRUSTED)
}

/// Returns the control socket of a lab, whichever process holds it.
pub fn socket(lab: &str) -> PathBuf {
    directory(lab).join("control.sock")
}

/// Returns the labs that have a control socket, sorted: those that run, and those that were killed.
pub fn labs() -> Vec<String> {
    all().unwrap_or_default().into_iter().filter(|lab| socket(lab).exists()).collect()
}

/// Returns all labs that have a directory, sorted: those that run, start or end, and those that were
/// killed.
///
/// # Errors
/// The folder cannot be read; without one there are no labs.
pub fn all() -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(ROOT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut labs: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    labs.sort();
    Ok(labs)
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
        // If nobody waits any more, the lock is released at once.
        let _ = sender.send(Flock::lock(file, FlockArg::LockExclusive));
    });
    match receiver.recv_timeout(patience) {
        Ok(Ok(lock)) => Ok(lock),
        Ok(Err((_, errno))) => Err(io_error("locking", path)(errno.into())),
        Err(_) => Err(busy(lab, path)),
    }
}

fn busy(lab: &str, lock: &Path) -> StateError {
    StateError::Busy { lab: lab.to_owned(), pid: process_in(lock) }
}

/// Returns the process that has a lab; `unknown` if it has not written that yet.
pub(super) fn process(lab: &str) -> String {
    process_in(&directory(lab).join("lock"))
}

fn process_in(lock: &Path) -> String {
    let pid = own::read(lock).unwrap_or_default();
    if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_labs_own_are_read_from_the_list() {
        let listed =
            "egret-router\n\n/\n..\negret\negret-../../x\negret-web-1\nother-web-1\n  \negret-we";
        let own: Vec<_> = own_names("egret", listed).collect();
        assert_eq!(own, ["egret-router", "egret-web-1", "egret-we"]);
    }
}
