//! A file that the user names to be written: a capture, a lab file, a report.
//!
//! A link is followed where it is root's or the caller's own: one that another user has put into `/tmp` would have root
//! overwrite a file of its choice. What is there already is overwritten if it is root's or the caller's own, others cannot
//! write to it, and it has no other name.

use super::refusal::{caller, is_trusted, kind, not_shared, owned, refusal};
use nix::fcntl::{FcntlArg, OFlag, fcntl, readlinkat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::geteuid;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Makes a file of this mode, or less by the umask, which belongs to the user who called egret.
///
/// # Errors
/// Those of the kernel; [`io::ErrorKind::AlreadyExists`] if there is anything of that name.
pub fn make(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if let Some(user) = caller() {
        let group = std::env::var("SUDO_GID").ok().and_then(|group| group.parse().ok());
        fchown(&file, Some(user), group)?;
    }
    Ok(file)
}

/// As [`make`], or empties the file that is there.
///
/// # Errors
/// Those of the kernel; or why what is there is not written to.
pub fn make_or_empty(path: &Path, mode: u32) -> io::Result<File> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match make(&path, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let link = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let there = OpenOptions::new().read(true).custom_flags(link.bits()).open(&path)?;
        let about = there.metadata()?;
        if !about.is_symlink() {
            return empty(&path, OFlag::O_NOFOLLOW);
        }
        let user = about.uid();
        if !is_trusted(user) {
            let why =
                format!("it is a symbolic link of user {user}: remove it, or give another file");
            return Err(refusal(why));
        }
        // A descriptor of egret's own, such as /dev/stdout, is no path.
        if fstatfs(&there).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC) {
            return empty(&path, OFlag::empty());
        }
        let to = PathBuf::from(readlinkat(&there, "")?);
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(refusal("it is a symbolic link to too many others: give the file itself"))
}

/// Writes a whole file.
///
/// # Errors
/// As [`make_or_empty`].
pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    make_or_empty(path, mode)?.write_all(bytes)
}

fn empty(path: &Path, further: OFlag) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | further).bits();
    let file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => {
            return Err(refusal("it is a FIFO that nobody reads: start its reader first"));
        }
        opened => opened?,
    };
    let about = file.metadata()?;
    // What is no path was opened for egret by its caller.
    let is_asked = geteuid().is_root() && !further.is_empty();
    match about.file_type() {
        file_type if file_type.is_file() => {
            if is_asked {
                owned(&about, path)?;
                not_shared(&about, path)?;
                alone(about.nlink())?;
            }
            file.set_len(0)?;
        }
        file_type if file_type.is_fifo() && is_asked => owned(&about, path)?,
        file_type if file_type.is_fifo() || file_type.is_char_device() => {}
        other => {
            let why = format!("it is {}, not a file to write to: give another one", kind(other));
            return Err(refusal(why));
        }
    }
    wait_from_here_on(&file)?;
    Ok(file)
}

/// Has a pipe or terminal that takes no more now waited for.
fn wait_from_here_on(file: &File) -> io::Result<()> {
    let status = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(status - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Refuses a file that has another name as well, which may be one that nobody meant to be overwritten.
fn alone(names: u64) -> io::Result<()> {
    match names {
        0 | 1 => Ok(()),
        more => Err(refusal(format!(
            "it has {more} names (hard links): remove this one, or give another file"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn path(directory: &tempfile::TempDir, name: &str) -> PathBuf {
        directory.path().join(name)
    }

    #[test]
    fn links_of_the_users_own_are_followed_to_a_file_that_is_there_or_not() {
        let directory = tempfile::tempdir().unwrap();
        symlink("second", path(&directory, "first")).unwrap();
        symlink(path(&directory, "file"), path(&directory, "second")).unwrap();
        write(&path(&directory, "first"), 0o600, b"one, which is longer").unwrap();
        write(&path(&directory, "first"), 0o600, b"two").unwrap();
        assert_eq!(fs::read_to_string(path(&directory, "file")).unwrap(), "two");
        symlink("circle", path(&directory, "circle")).unwrap();
        let circle = make_or_empty(&path(&directory, "circle"), 0o600).unwrap_err();
        assert!(circle.to_string().contains("a symbolic link to too many others"), "{circle}");
        write(Path::new("/dev/null"), 0o600, b"x").unwrap();
    }

    #[test]
    fn file_with_another_name_and_what_is_no_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(&directory, "file"), "precious").unwrap();
        fs::hard_link(path(&directory, "file"), path(&directory, "other")).unwrap();
        let folder = make_or_empty(directory.path(), 0o600).unwrap_err();
        assert!(folder.to_string().contains("directory"), "{folder}");
        if geteuid().is_root() {
            let refused = make_or_empty(&path(&directory, "other"), 0o600).unwrap_err();
            assert!(refused.to_string().contains("2 names (hard links)"), "{refused}");
            assert_eq!(fs::read_to_string(path(&directory, "file")).unwrap(), "precious");
        }
        let there = make(&path(&directory, "file"), 0o600).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
    }
}
