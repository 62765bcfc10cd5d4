//! Looks a path up, folder by folder. A symbolic link is followed where it belongs to root or the
//! caller, and a folder that is exchanged for a link meanwhile changes nothing.

use super::refusal::{is_trusted, refusal};
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The number of links that the kernel follows at most.
const MOST_LINKS: usize = 40;

/// A name in an open folder.
#[derive(Debug)]
pub(super) struct Lookup {
    folder: OwnedFd,
    /// The names that are still to come, the next one last. There is at least one, unless the path
    /// is a folder by its form, such as `.` or `/`.
    rest: Vec<OsString>,
    links: usize,
}

/// The kind of a name in a folder.
enum NameKind {
    /// A file, a folder, or anything else that is not a link.
    None,
    /// A link to a path.
    To(PathBuf),
    /// A link of `/proc`, such as to the root of a process, which leads where no path may lead.
    Magic,
}

impl Lookup {
    /// Looks up the folder of a file.
    ///
    /// # Errors
    /// The kernel's errors; a link of another user, or too many links.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let begin = if path.has_root() { "/" } else { "." };
        let folder = openat(AT_FDCWD, begin, FOLDER, Mode::empty())?;
        let mut lookup = Self { folder, rest: Vec::new(), links: 0 };
        lookup.push(path)?;
        lookup.reach_last()?;
        Ok(lookup)
    }

    /// Opens the file of the last name, or makes it. A link is not followed unless the flags say
    /// so.
    ///
    /// # Errors
    /// The kernel's errors.
    pub(super) fn open(&self, flags: OFlag, mode: u32) -> io::Result<File> {
        let mode = Mode::from_bits_truncate(mode);
        Ok(openat(&self.folder, self.name(), flags | OFlag::O_CLOEXEC, mode)?.into())
    }

    /// Makes a file beside the last name.
    ///
    /// # Errors
    /// The kernel's errors; [`io::ErrorKind::AlreadyExists`] if there is one.
    pub(super) fn make_beside(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(openat(&self.folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Gives a file beside it the last name, in place of what has that.
    ///
    /// # Errors
    /// The kernel's errors.
    pub(super) fn take_from(&self, beside: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.folder, beside, &self.folder, self.name())?)
    }

    /// Removes a file beside the last name.
    ///
    /// # Errors
    /// The kernel's errors.
    pub(super) fn remove_beside(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Follows the link that has the name.
    ///
    /// # Errors
    /// As [`Lookup::to`].
    pub(super) fn follow(&mut self) -> io::Result<()> {
        let Some(name) = self.rest.pop() else { return Ok(()) };
        match self.link(&name)? {
            NameKind::To(target) => self.push(&target)?,
            // The name was a link to a path a moment ago.
            NameKind::None | NameKind::Magic => return Err(io::ErrorKind::NotFound.into()),
        }
        self.reach_last()
    }

    /// Returns the last name.
    pub(super) fn name(&self) -> &OsStr {
        self.rest.last().map_or(OsStr::new("."), OsString::as_os_str)
    }

    fn push(&mut self, path: &Path) -> io::Result<()> {
        if path.has_root() {
            self.folder = openat(AT_FDCWD, "/", FOLDER, Mode::empty())?;
        }
        // A path that ends in a slash is a folder.
        if path.as_os_str().as_bytes().ends_with(b"/") {
            self.rest.push(".".into());
        }
        let is_name =
            |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
        let names = path.components().rev().filter(is_name);
        self.rest.extend(names.map(|name| name.as_os_str().to_owned()));
        Ok(())
    }

    fn reach_last(&mut self) -> io::Result<()> {
        while self.rest.len() > 1 {
            let Some(name) = self.rest.pop() else { return Ok(()) };
            match self.link(&name)? {
                NameKind::None => {
                    self.folder = openat(&self.folder, &*name, FOLDER, Mode::empty())?
                }
                NameKind::To(target) => self.push(&target)?,
                NameKind::Magic => {
                    let through = FOLDER - OFlag::O_NOFOLLOW;
                    self.folder = openat(&self.folder, &*name, through, Mode::empty())?;
                }
            }
        }
        Ok(())
    }

    /// Decides whether a name is a link, and returns where it leads.
    fn link(&mut self, name: &OsStr) -> io::Result<NameKind> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let there = openat(&self.folder, name, flags, Mode::empty())?;
        let about = fstat(&there)?;
        if about.st_mode & nix::libc::S_IFMT != nix::libc::S_IFLNK {
            return Ok(NameKind::None);
        }
        let is_proc = is_of_proc(&there);
        let target = PathBuf::from(readlinkat(&there, "")?);
        // The kernel makes the links of `/proc`. Those within it, such as `/proc/self`, belong to
        // the root of the machine, whom a user namespace does not know.
        if !is_proc || target.has_root() {
            check_owner(name, about.st_uid)?;
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(refusal("it is a symbolic link to too many others: give the file itself"));
        }
        Ok(if is_proc && target.has_root() { NameKind::Magic } else { NameKind::To(target) })
    }
}

const FOLDER: OFlag =
    OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Decides whether a link is one of `/proc` to a descriptor of egret's own, such as that of
/// `/dev/stdout`, which is not a path.
///
/// # Errors
/// The kernel's errors.
pub(super) fn is_own_descriptor(link: &File) -> io::Result<bool> {
    Ok(is_of_proc(link) && is_trusted(link.metadata()?.uid()))
}

fn is_of_proc(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC)
}

fn check_owner(link: &OsStr, user: u32) -> io::Result<()> {
    if is_trusted(user) {
        return Ok(());
    }
    let link = link.to_string_lossy();
    Err(refusal(format!(
        "`{link}` is a symbolic link of user {user}: remove it, or give another file"
    )))
}
