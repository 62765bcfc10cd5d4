//! The way to a file, folder by folder: a symbolic link on it is followed where it is root's or the caller's own, and nobody
//! exchanges a folder for a link meanwhile.

use super::refusal::{is_trusted, refusal};
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A name in an open folder.
#[derive(Debug)]
pub(super) struct Walk {
    folder: OwnedFd,
    /// The names that are still to come, the next one last. There is one, unless the path is a folder by its form.
    rest: Vec<OsString>,
    links: usize,
}

impl Walk {
    /// Goes to the folder of a file.
    ///
    /// # Errors
    /// Those of the kernel; a link of another user, or too many.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let folder = openat(AT_FDCWD, ".", FOLDER, Mode::empty())?;
        let mut walk = Self { folder, rest: Vec::new(), links: 0 };
        walk.push(path)?;
        walk.reach_last()?;
        Ok(walk)
    }

    /// Opens the name that the way leads to, or makes a file of it. A link is not followed unless the flags say so.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn open(&self, flags: OFlag, mode: u32) -> io::Result<File> {
        let mode = Mode::from_bits_truncate(mode);
        Ok(openat(&self.folder, self.name(), flags | OFlag::O_CLOEXEC, mode)?.into())
    }

    /// Follows the link that has the name.
    ///
    /// # Errors
    /// As [`Walk::to`].
    pub(super) fn follow(&mut self) -> io::Result<()> {
        let Some(name) = self.rest.pop() else { return Ok(()) };
        let target = self.link(&name)?.ok_or(io::ErrorKind::NotFound)?;
        self.push(&target)?;
        self.reach_last()
    }

    fn name(&self) -> &OsStr {
        self.rest.last().map_or(OsStr::new("."), OsString::as_os_str)
    }

    fn push(&mut self, path: &Path) -> io::Result<()> {
        if path.has_root() {
            self.folder = openat(AT_FDCWD, "/", FOLDER, Mode::empty())?;
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
                Some(target) => self.push(&target)?,
                None => self.folder = openat(&self.folder, &*name, FOLDER, Mode::empty())?,
            }
        }
        Ok(())
    }

    /// Returns where a link leads, if the name is one.
    fn link(&mut self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let there = openat(&self.folder, name, flags, Mode::empty())?;
        let about = fstat(&there)?;
        if about.st_mode & nix::libc::S_IFMT != nix::libc::S_IFLNK {
            return Ok(None);
        }
        check_owner(name, about.st_uid)?;
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(refusal("it is a symbolic link to too many others: give the file itself"));
        }
        Ok(Some(PathBuf::from(readlinkat(&there, "")?)))
    }
}

const FOLDER: OFlag =
    OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

fn check_owner(link: &OsStr, user: u32) -> io::Result<()> {
    if is_trusted(user) {
        return Ok(());
    }
    let link = link.to_string_lossy();
    Err(refusal(format!(
        "`{link}` is a symbolic link of user {user}: remove it, or give another file"
    )))
}
