//! Refuses files that egret does not open, by their kind and owner.

use nix::unistd::{Uid, geteuid};
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Write permission of the group and of all other users.
const OTHERS_WRITE: u32 = 0o022;

/// Returns the user who called egret by `sudo`.
pub(super) fn caller() -> Option<u32> {
    let is_root = geteuid().is_root();
    std::env::var("SUDO_UID").ok().filter(|_| is_root)?.parse().ok()
}

/// Decides whether a file of this user can hold only what root or the caller put there.
pub(super) fn is_trusted(user: u32) -> bool {
    user == 0 || Uid::from_raw(user) == geteuid() || Some(user) == caller()
}

/// Makes the error of a path that egret does not open.
pub(super) fn refusal(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}

/// Names the kind of a path that is not a regular file.
pub(super) fn kind(of: FileType) -> &'static str {
    match of {
        _ if of.is_symlink() => "a symbolic link",
        _ if of.is_fifo() => "a FIFO",
        _ if of.is_socket() => "a socket",
        _ if of.is_dir() => "a directory",
        _ if of.is_char_device() || of.is_block_device() => "a device",
        _ => "a regular file",
    }
}

/// Refuses a path that is not a regular file.
pub(super) fn regular(about: &Metadata, path: &Path) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    let (kind, path) = (kind(about.file_type()), path.display());
    Err(refusal(format!(
        "it is {kind}, not a regular file: give another path, or remove {path} if it is not needed"
    )))
}

/// Makes the error of a path that is not a folder.
pub(super) fn not_a_folder(about: &Metadata) -> io::Error {
    let kind = kind(about.file_type());
    refusal(format!(
        "it is {kind}, not a folder: give another path, or remove it if it is not needed"
    ))
}

/// Refuses a file of a user who is not trusted.
pub(super) fn owned(about: &Metadata, path: &Path) -> io::Result<()> {
    if is_trusted(about.uid()) {
        return Ok(());
    }
    let (user, path) = (about.uid(), path.display());
    Err(refusal(format!(
        "it belongs to user {user}, not to root or to the user who called egret: remove it, or `chown root {path}` if you \
         know what is in it"
    )))
}

/// Refuses a file that other users can write to.
pub(super) fn not_shared(about: &Metadata, path: &Path) -> io::Result<()> {
    let mode = about.mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    let (right, path) = (if about.is_dir() { "go-w" } else { "600" }, path.display());
    Err(refusal(format!(
        "others can write to it (mode {mode:04o}): `chmod {right} {path}` if you know what is in it"
    )))
}
