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
use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write as _};
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
        if let Some(further) = follow(&mut lookup)? {
            return There::open(&lookup, (path, mode), further)?.empty();
        }
    }
}

/// Writes a whole file. One that exists has all of its old text until it has all of the new one, and
/// keeps its owner and its rights, as far as these are not beyond the mode. It is written in place
/// where it has other names, or where no file can be made beside it.
///
/// # Errors
/// As [`make_or_empty`].
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut lookup = Lookup::to(path)?;
    loop {
        match made(&lookup, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made?.write_all(bytes),
        }
        let Some(further) = follow(&mut lookup)? else { continue };
        let there = There::open(&lookup, (path, mode), further)?;
        let is_alone = there.about.is_file() && there.about.nlink() == 1 && !further.is_empty();
        match is_alone.then(|| there.exchange(&lookup, bytes)) {
            Some(Err(error)) if is_in_the_way(&error) => {}
            Some(exchanged) => return exchanged,
            None => {}
        }
        return there.empty()?.write_all(bytes);
    }
}

/// Follows a link; otherwise returns the flags with which to open what has the name.
fn follow(lookup: &mut Lookup) -> io::Result<Option<OFlag>> {
    let there = lookup.open(OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
    if !there.metadata()?.is_symlink() {
        return Ok(Some(OFlag::O_NOFOLLOW));
    }
    if is_own_descriptor(&there)? {
        return Ok(Some(OFlag::empty()));
    }
    lookup.follow()?;
    Ok(None)
}

/// Returns whether the folder takes no other file, the file cannot be given away or is mounted, or
/// the name is too long for that of a file beside it.
fn is_in_the_way(error: &io::Error) -> bool {
    use nix::libc::{EACCES, EBUSY, ENAMETOOLONG, EPERM};
    error.raw_os_error().is_some_and(|code| [EACCES, EPERM, EBUSY, ENAMETOOLONG].contains(&code))
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
    make_or_empty(path, mode)?.write_all(bytes)
}

/// A file that exists, to which egret may write.
struct There {
    file: File,
    about: Metadata,
    /// The rights that it is to have, of those that it has.
    rights: u32,
}

impl There {
    fn open(lookup: &Lookup, (path, mode): (&Path, u32), further: OFlag) -> io::Result<Self> {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | further;
        let file = match lookup.open(flags, 0) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => {
                return Err(refusal("it is a FIFO without a reader: start its reader first"));
            }
            opened => opened?,
        };
        let about = file.metadata()?;
        let mut rights = about.mode() & 0o777;
        // The caller opened a descriptor for egret, so only a path needs checks.
        let is_asked = geteuid().is_root() && !further.is_empty();
        match about.file_type() {
            file_type if file_type.is_file() => {
                if is_asked {
                    owned(&about, path)?;
                    not_shared(&about, path)?;
                    alone(about.nlink())?;
                    rights &= mode;
                }
            }
            file_type if file_type.is_fifo() && is_asked => owned(&about, path)?,
            file_type if file_type.is_fifo() || file_type.is_char_device() => {}
            other => {
                let why =
                    format!("it is {}, not a file to write to: give another one", kind(other));
                return Err(refusal(why));
            }
        }
        Ok(Self { file, about, rights })
    }

    /// Empties a file, and removes the rights that it is not to have.
    fn empty(self) -> io::Result<File> {
        let Self { file, about, rights } = self;
        if about.is_file() {
            if rights != about.mode() & 0o777 {
                file.set_permissions(Permissions::from_mode(rights))?;
            }
            file.set_len(0)?;
        }
        wait_from_here_on(&file)?;
        Ok(file)
    }

    /// Puts a new file in the place of this one.
    fn exchange(&self, lookup: &Lookup, bytes: &[u8]) -> io::Result<()> {
        let mut name = OsString::from(".");
        name.push(lookup.name());
        name.push(format!(".{}", std::process::id()));
        let mut file = lookup.make_beside(&name)?;
        let written = self.make_alike(&file).and_then(|()| file.write_all(bytes));
        let done = written.and_then(|()| file.sync_all()).and_then(|()| lookup.take_from(&name));
        if done.is_err() {
            // The first error says more.
            let _ = lookup.remove_beside(&name);
        }
        done
    }

    /// Gives a new file the owner and the rights of this one.
    fn make_alike(&self, new: &File) -> io::Result<()> {
        let about = new.metadata()?;
        if (about.uid(), about.gid()) != (self.about.uid(), self.about.gid()) {
            fchown(new, Some(self.about.uid()), Some(self.about.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(self.rights))
    }
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
            for write in [write, replace] {
                let refused = write(&path(&directory, name), 0o600, b"x").unwrap_err().to_string();
                assert!(refused.contains("`out` is a symbolic link of user 65534"), "{refused}");
            }
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
    fn regression_a_file_that_cannot_be_replaced_keeps_its_text() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(&directory, "file");
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("file", path(&directory, "link")).unwrap();
        let before = fs::metadata(&file).unwrap();
        replace(&path(&directory, "link"), 0o644, b"after").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        let after = fs::metadata(&file).unwrap();
        assert_ne!(after.ino(), before.ino(), "another file has the name");
        let about = |of: &Metadata| (of.mode(), of.uid(), of.gid());
        assert_eq!(about(&after), about(&before));
        assert!(fs::symlink_metadata(path(&directory, "link")).unwrap().is_symlink());

        // A file of the name that the new one has on its way is not overwritten, so nothing is.
        let taken = path(&directory, &format!(".file.{}", std::process::id()));
        fs::write(&taken, "precious").unwrap();
        let error = replace(&file, 0o644, b"lost").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        fs::remove_file(taken).unwrap();

        replace(&path(&directory, "new"), 0o600, b"new").unwrap();
        replace(Path::new("/dev/null"), 0o600, b"x").unwrap();
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 3, "only `file`, `link` and `new` stay");
    }

    #[test]
    fn file_with_another_name_and_what_is_no_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(&directory, "file"), "precious").unwrap();
        fs::hard_link(path(&directory, "file"), path(&directory, "other")).unwrap();
        let folder = make_or_empty(directory.path(), 0o600).unwrap_err();
        assert!(folder.to_string().contains("directory"), "{folder}");
        if geteuid().is_root() {
            let other = path(&directory, "other");
            for refused in [make_or_empty(&other, 0o600).err(), replace(&other, 0o600, b"").err()] {
                let refused = refused.unwrap().to_string();
                assert!(refused.contains("2 names (hard links)"), "{refused}");
            }
            assert_eq!(fs::read_to_string(path(&directory, "file")).unwrap(), "precious");
        }
        let there = make(&path(&directory, "file"), 0o600).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
    }
}
