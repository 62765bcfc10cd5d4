//! Writes a file that the user names: a capture, a lab file, a report.
//!
//! A link on the path is followed where it belongs to root or the caller: one that another user has
//! put into `/tmp`, or into a folder of that user, would have root overwrite a file of that user's
//! choice. A file that exists is overwritten if it belongs to root or the caller, other users
//! cannot write to it, and it has no other name.

use super::lookup::{Lookup, is_own_descriptor};
use super::refusal::{caller, kind, not_shared, owned, refusal};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::geteuid;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Makes a file with this mode, less what the umask removes. It belongs to the user who called
/// egret.
///
/// # Errors
/// The kernel's errors; [`io::ErrorKind::AlreadyExists`] if the name exists.
pub fn make(path: &Path, mode: u32) -> io::Result<File> {
    made(&Lookup::to(path)?, mode)
}

/// Makes a file as [`make`] does, or empties the file that exists and removes the rights of others
/// beyond this mode.
///
/// # Errors
/// The kernel's errors; the reason why egret does not write to what exists.
pub fn make_or_empty(path: &Path, mode: u32) -> io::Result<File> {
    let mut lookup = Lookup::to(path)?;
    loop {
        match made(&lookup, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let there = lookup.open(OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
        let about = there.metadata()?;
        if !about.is_symlink() {
            return empty(&lookup, (path, mode), OFlag::O_NOFOLLOW);
        }
        if is_own_descriptor(&there)? {
            return empty(&lookup, (path, mode), OFlag::empty());
        }
        lookup.follow()?;
    }
}

fn made(lookup: &Lookup, mode: u32) -> io::Result<File> {
    let file = lookup.open(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)?;
    if let Some(user) = caller() {
        let group = std::env::var("SUDO_GID").ok().and_then(|group| group.parse().ok());
        fchown(&file, Some(user), group)?;
    }
    Ok(file)
}

/// Writes a whole file.
///
/// # Errors
/// As [`make_or_empty`].
pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    make_or_empty(path, mode)?.write_all(bytes)
}

fn empty(lookup: &Lookup, (path, mode): (&Path, u32), further: OFlag) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | further;
    let file = match lookup.open(flags, 0) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => {
            return Err(refusal("it is a FIFO without a reader: start its reader first"));
        }
        opened => opened?,
    };
    let about = file.metadata()?;
    // The caller opened a descriptor for egret, so only a path needs checks.
    let is_asked = geteuid().is_root() && !further.is_empty();
    match about.file_type() {
        file_type if file_type.is_file() => {
            if is_asked {
                owned(&about, path)?;
                not_shared(&about, path)?;
                alone(about.nlink())?;
                let (before, less) = (about.mode() & 0o777, about.mode() & mode & 0o777);
                if less != before {
                    file.set_permissions(Permissions::from_mode(less))?;
                }
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

/// Makes writes to a pipe or terminal wait while it takes no more.
fn wait_from_here_on(file: &File) -> io::Result<()> {
    let status = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(status - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Refuses a file that has another name as well: the user may not want that one to be overwritten.
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
    use std::path::PathBuf;

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
        let folder = make_or_empty(&path(&directory, "none/"), 0o600).unwrap_err();
        assert!(folder.kind() == io::ErrorKind::NotFound, "{folder}");
        let circle = make_or_empty(&path(&directory, "circle"), 0o600).unwrap_err();
        assert!(circle.to_string().contains("a symbolic link to too many others"), "{circle}");
        write(Path::new("/dev/null"), 0o600, b"x").unwrap();
    }

    /// Only root can make a link of another user.
    #[test]
    fn links_of_another_user_are_not_followed_wherever_they_are_on_the_way() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(path(&directory, "precious")).unwrap();
        fs::write(path(&directory, "precious/report"), "precious").unwrap();
        symlink("precious", path(&directory, "out")).unwrap();
        write(&path(&directory, "out/report"), 0o600, b"by a link of root's").unwrap();
        std::os::unix::fs::lchown(path(&directory, "out"), Some(65_534), None).unwrap();
        symlink("out/report", path(&directory, "link")).unwrap();
        for name in ["out/report", "out/new", "out/../out/report", "link"] {
            let refused = write(&path(&directory, name), 0o600, b"x").unwrap_err().to_string();
            assert!(refused.contains("`out` is a symbolic link of user 65534"), "{refused}");
        }
        assert!(make(&path(&directory, "out/new"), 0o600).is_err());
        let kept = fs::read_to_string(path(&directory, "precious/report")).unwrap();
        assert_eq!(kept, "by a link of root's");
    }

    #[test]
    fn an_existing_file_keeps_no_right_beyond_the_mode() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(&directory, "file");
        for (before, asked, after) in
            [(0o644, 0o600, 0o600), (0o600, 0o644, 0o600), (0o644, 0o644, 0o644)]
        {
            fs::write(&file, "before").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
            write(&file, asked, b"after").unwrap();
            let mode = fs::metadata(&file).unwrap().mode() & 0o777;
            let expected = if geteuid().is_root() { after } else { before };
            assert_eq!((mode, fs::read_to_string(&file).unwrap().as_str()), (expected, "after"));
        }
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
