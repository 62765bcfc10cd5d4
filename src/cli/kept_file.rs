//! The lab file that `egret up` keeps open, to read it again when it has lost the right to open it.

use crate::config::Lab;
use crate::edge::{input, shown};
use std::fs::{File, read_link};
use std::io::{self, Seek as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// A lab file, opened with all rights of root.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    file: File,
    /// The path of the file at that time, all links followed.
    place: PathBuf,
}

impl KeptFile {
    /// Keeps a file open; `None` for one that is no regular file, such as a pipe.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = input::opened(path).ok()?;
        let is_regular = file.metadata().is_ok_and(|about| about.is_file());
        let place = place(&file).ok().filter(|_| is_regular)?;
        Some(Self { path: path.to_owned(), file, place })
    }

    /// Reads the file, if the lab has lost the right to open it: then it is in a folder of another
    /// user. `None` if it can be opened, or fails in another way.
    ///
    /// # Errors
    /// Another file has the name now, which cannot be opened; or the kernel's error.
    pub(super) fn read(&self) -> Option<Result<String, String>> {
        let refused = input::opened(&self.path).err()?;
        (refused.kind() == io::ErrorKind::PermissionDenied).then(|| self.read_kept())
    }

    fn read_kept(&self) -> Result<String, String> {
        let path = self.path.display().to_string();
        let path = shown(&path);
        let cannot = |error: io::Error| format!("cannot read {path}: {error}");
        // An editor that keeps the old text moves it to another name.
        if place(&self.file).map_err(cannot)? != self.place {
            return Err(format!(
                "{path} is another file now, which a running lab has no right to open: apply it with `egret apply {path}`"
            ));
        }
        let mut file = &self.file;
        file.rewind().and_then(|()| input::read_from(&mut file, Lab::LONGEST)).map_err(cannot)
    }
}

/// Returns the present path of an open file. For one without a name, the kernel reports that it is
/// deleted.
fn place(file: &File) -> io::Result<PathBuf> {
    read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;

    #[test]
    fn a_path_that_leads_to_another_file_by_now_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lab.toml");
        fs::write(&path, "one").unwrap();
        let kept = KeptFile::open(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(kept.read_kept().unwrap(), "two");
        let is_another = |kept: &KeptFile| kept.read_kept().unwrap_err().contains("another file");
        // As an editor does that keeps the old text, and one that does not.
        fs::rename(&path, directory.path().join("lab.toml~")).unwrap();
        fs::write(&path, "three").unwrap();
        assert!(is_another(&kept));
        let kept = KeptFile::open(&path).unwrap();
        fs::write(directory.path().join("next"), "four").unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        assert!(is_another(&kept));
    }

    #[test]
    fn file_that_has_become_a_fifo_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lab.toml");
        fs::write(&path, "one").unwrap();
        let kept = KeptFile::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(kept.read().is_none(), "whoever reads it by its name says so");
        assert!(KeptFile::open(&path).is_none());
    }

    #[test]
    fn file_that_has_grown_beyond_all_bounds_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kept = KeptFile::open(file.path()).unwrap();
        file.as_file().set_len(Lab::LONGEST as u64 + 1).unwrap();
        assert!(kept.read_kept().unwrap_err().contains("longer than the 16 MiB"));
    }
}
