//! Opens files and folders of egret's own. No link is followed and nothing blocks. The owner is
//! root or the caller, other users cannot write to them, and their modes do not depend on the
//! umask.

use super::refusal::{not_a_folder, not_shared, owned, refusal, regular};
use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::Path;

/// The mode of a file that only its owner reads.
pub const PRIVATE: u32 = 0o600;
/// The mode of a file that every user reads.
pub const READABLE: u32 = 0o644;
/// The mode of a folder that only its owner enters.
pub const PRIVATE_FOLDER: u32 = 0o700;
/// The mode of a folder that its owner and group enter, and whose group new files in it get.
pub const GROUP_FOLDER: u32 = 0o2710;
/// The mode of a folder that every user enters.
pub const READABLE_FOLDER: u32 = 0o755;

const STICKY: u32 = 0o1000;

/// Opens a file to read and write, and makes it if it does not exist. It has this mode afterwards.
///
/// # Errors
/// The kernel's errors; a file that is not egret's own.
pub fn open_or_make(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = open(options.read(true).write(true).create(true).mode(mode), path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Opens a file to write behind its end, and makes it if it does not exist. It has this mode
/// afterwards.
///
/// # Errors
/// As [`open_or_make`].
pub fn append_or_make(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = open(options.append(true).create(true).mode(mode), path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Opens a file to read.
///
/// # Errors
/// As [`open_or_make`]; a file that does not exist.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// Reads a whole file.
///
/// # Errors
/// As [`open_to_read`].
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_to_read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces the text of a file.
///
/// # Errors
/// As [`open_or_make`].
pub fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = open_or_make(path, mode)?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// Writes a whole file by way of another one, `next`: a process that is killed in between leaves
/// all of the old text or all of the new one.
///
/// # Errors
/// As [`open_or_make`].
pub fn replace(path: &Path, next: &Path, mode: u32, text: &str) -> io::Result<()> {
    write(next, mode, text)?;
    fs::rename(next, path)
}

/// Makes a folder with this mode in one that exists. A folder that exists already keeps its mode.
///
/// # Errors
/// The kernel's errors; a folder that is not egret's own.
pub fn folder(path: &Path, mode: u32) -> io::Result<()> {
    let is_new = match DirBuilder::new().mode(PRIVATE_FOLDER).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.map(|()| true)?,
    };
    let folder = checked_folder(path)?;
    match is_new {
        true => folder.set_permissions(Permissions::from_mode(mode)),
        false => Ok(()),
    }
}

/// Gives a folder of egret's own a mode, and a group unless that is `None`.
///
/// # Errors
/// As [`folder`].
pub fn share_folder(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    let folder = checked_folder(path)?;
    if let Some(group) = group {
        fchown(&folder, None, Some(group))?;
    }
    folder.set_permissions(Permissions::from_mode(mode))
}

/// Refuses a path by which another user could put a file in place of one in this folder. Each
/// folder of the path belongs to root or the caller, and others cannot write to it. An exception
/// above this folder is a sticky one such as `/tmp`.
///
/// # Errors
/// The folder that is refused, and how to change it.
pub fn check_folders(folder: &Path) -> io::Result<()> {
    for above in folder.ancestors() {
        let about = fs::symlink_metadata(above)?;
        let is_sticky_above = above != folder && about.mode() & STICKY != 0;
        let checked = owned(&about, above).and_then(|()| match is_sticky_above {
            true => Ok(()),
            false => not_shared_folder(&about, above),
        });
        checked.map_err(|why| refusal(format!("its folder {}: {why}", above.display())))?;
    }
    Ok(())
}

/// Refuses an existing file that is not egret's own, before a library opens it by its name.
///
/// # Errors
/// The kind of the file, and how to change it.
pub fn check_if_there(path: &Path) -> io::Result<()> {
    match open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened.map(drop),
    }
}

/// Refuses a folder that every user may write to. Members of the folder's group may: with a group
/// for each user, as many systems have it, that is the user alone.
fn not_shared_folder(about: &fs::Metadata, path: &Path) -> io::Result<()> {
    match (about.mode() & 0o002, about.mode() & STICKY) {
        (0, _) => Ok(()),
        (_, 0) => not_shared(about, path),
        // To remove that right would break what others do there.
        (_, _) => Err(refusal(format!(
            "every user can make files there (mode {:04o}): use a folder of your own, such as one that `mktemp -d` makes",
            about.mode() & 0o7777
        ))),
    }
}

fn checked_folder(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let folder = opened.map_err(|error| match fs::symlink_metadata(path) {
        Ok(about) if !about.is_dir() => not_a_folder(&about),
        Ok(_) | Err(_) => error,
    })?;
    let about = folder.metadata()?;
    owned(&about, path)?;
    not_shared(&about, path)?;
    Ok(folder)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = options.custom_flags(flags).open(path).map_err(|error| named(error, path))?;
    let about = file.metadata()?;
    regular(&about, path)?;
    owned(&about, path)?;
    not_shared(&about, path)?;
    Ok(file)
}

/// Replaces the kernel's error by the kind of the file, if that is why the file did not open.
fn named(error: io::Error, path: &Path) -> io::Error {
    match fs::symlink_metadata(path).map(|about| regular(&about, path)) {
        Ok(Err(refused)) if error.kind() != io::ErrorKind::PermissionDenied => refused,
        Ok(_) | Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::symlink;

    fn refused<T: std::fmt::Debug>(opened: io::Result<T>) -> String {
        opened.unwrap_err().to_string()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn files_and_folders_have_the_modes_that_are_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let (folder_path, file) = (directory.path().join("a"), directory.path().join("a/file"));
        folder(&folder_path, READABLE_FOLDER).unwrap();
        write(&file, READABLE, "one").unwrap();
        assert_eq!((mode(&folder_path), mode(&file)), (0o755, 0o644));
        replace(&file, &folder_path.join("next"), PRIVATE, "two").unwrap();
        assert_eq!((read(&file).unwrap().as_str(), mode(&file)), ("two", 0o600));
        folder(&folder_path, PRIVATE_FOLDER).unwrap();
        assert_eq!(mode(&folder_path), 0o755, "of one that is there");
        check_folders(&folder_path).unwrap();
    }

    #[test]
    fn links_are_refused_as_files_and_as_folders() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        write(&file, PRIVATE, "precious").unwrap();
        symlink(&file, &link).unwrap();
        assert!(refused(read(&link)).contains("a symbolic link, not a regular file"));
        assert!(
            refused(write(&link, PRIVATE, "x")).contains("a symbolic link, not a regular file")
        );
        assert!(refused(check_if_there(&link)).contains("a symbolic link"));
        assert!(refused(folder(&link, PRIVATE_FOLDER)).contains("a symbolic link, not a folder"));
        assert!(refused(read(directory.path())).contains("a directory, not a regular file"));
        assert_eq!(read(&file).unwrap(), "precious");
        check_if_there(&directory.path().join("nothing")).unwrap();
    }
}
