//! The log of a lab that runs in the background. A lab that starts writes to a file beside it,
//! which takes the log's name once the lab's name is held: a start that fails because the lab is up
//! does not touch the log of the lab that is.

use super::CliError;
use crate::edge::own;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of logs.
const FOLDER: &str = "/var/log/egret";

/// The file of a lab's log.
#[derive(Clone, Debug)]
pub(super) struct LabLog(PathBuf);

impl LabLog {
    /// Returns the log of a lab: the file of `--log`, or the lab's own in [`FOLDER`].
    ///
    /// # Errors
    /// The folder of the file cannot be used: it does not exist, or others can write to it.
    pub(super) fn of(lab: &str, given: Option<&Path>) -> Result<Self, CliError> {
        let Some(given) = given else {
            let log = Self::usual(lab);
            return match own::folder(Path::new(FOLDER), own::PRIVATE_FOLDER) {
                Ok(()) => Ok(log),
                Err(error) => Err(log.error("make the folder of", &error)),
            };
        };
        let log = Self(given.to_owned());
        let path = placed(given).map_err(|error| log.error("write", &error))?;
        Ok(Self(path))
    }

    /// Returns the log that a lab has without `--log`, which need not exist.
    pub(super) fn usual(lab: &str) -> Self {
        Self(Path::new(FOLDER).join(format!("{lab}.log")))
    }

    /// Returns a log that a lab's process has noted.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the empty file that a starting lab writes to. It is removed when this is dropped,
    /// unless it has become the log.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn begin(&self) -> Result<Begun, CliError> {
        let path = self.beside(&format!(".start-{}", std::process::id()));
        let made = || {
            let write = own::append_or_make(&path, own::PRIVATE)?;
            write.set_len(0)?;
            Ok((write, own::open_to_read(&path)?))
        };
        let (write, read) = made().map_err(|error| self.error("write", &error))?;
        Ok(Begun { path, write, read })
    }

    /// Gives the file that this lab writes to the name of the log. The earlier log is kept beside
    /// it, with `.1` at its end.
    ///
    /// # Errors
    /// A file cannot be renamed.
    pub(super) fn succeed(&self, begun: &Path) -> Result<(), CliError> {
        let kept = match fs::rename(&self.0, self.beside(".1")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            kept => kept,
        };
        let renamed = kept.and_then(|()| fs::rename(begun, &self.0));
        renamed.map_err(|error| self.error("rename", &error))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.0);
        name.push(ending);
        name.into()
    }

    fn error(&self, what: &str, error: &io::Error) -> CliError {
        let path = self.0.display();
        let said = format!("cannot {what} the log {path}: {error}; give another with `--log FILE`");
        CliError::Io(io::Error::new(error.kind(), said))
    }
}

/// Returns the path of a file that the user names, with its folder as it is.
fn placed(given: &Path) -> io::Result<PathBuf> {
    let Some(name) = given.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    let folder = given.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
    own::check_folders(&folder)?;
    Ok(folder.join(name))
}

/// The file that a starting lab writes to.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) path: PathBuf,
    pub(super) write: File,
    pub(super) read: File,
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Mostly it has become the log.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn log_in(folder: &Path) -> LabLog {
        LabLog::of("shop", Some(&folder.join("shop.log"))).unwrap()
    }

    #[test]
    fn earlier_log_is_kept_and_the_one_before_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path());
        for text in ["one", "two", "three"] {
            let mut begun = log.begin().unwrap();
            begun.write.write_all(text.as_bytes()).unwrap();
            log.succeed(&begun.path).unwrap();
        }
        let read = |ending| fs::read_to_string(log.beside(ending)).unwrap();
        assert_eq!((read(""), read(".1")), ("three".to_owned(), "two".to_owned()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(log.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn start_that_fails_leaves_the_log_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path());
        fs::write(log.path(), "of the lab that is up").unwrap();
        drop(log.begin().unwrap());
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "of the lab that is up");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_in_place_of_the_log_is_replaced_and_its_target_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let log = log_in(folder.path());
        symlink(&precious, log.path()).unwrap();
        let mut begun = log.begin().unwrap();
        begun.write.write_all(b"new").unwrap();
        log.succeed(&begun.path).unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "new");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        let link = log.beside(&format!(".start-{}", std::process::id()));
        symlink(&precious, &link).unwrap();
        assert!(log.begin().unwrap_err().to_string().contains("a symbolic link"));
    }

    #[test]
    fn folder_that_every_user_may_write_to_is_refused() {
        let refused = LabLog::of("shop", Some(Path::new("/tmp/shop.log"))).unwrap_err();
        assert!(refused.to_string().contains("every user can make files there"), "{refused}");
        assert!(LabLog::of("shop", Some(Path::new("/nowhere/shop.log"))).is_err());
    }
}
