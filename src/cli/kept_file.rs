//! The lab file that `egret up` keeps open, to read it again when it may no longer open it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A lab file, opened with all rights of root.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    file: File,
}

impl KeptFile {
    /// Keeps a file open; `None` for what is no file of its own, such as a pipe.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let is_regular = path.metadata().is_ok_and(|metadata| metadata.is_file());
        let file = File::open(path).ok().filter(|_| is_regular)?;
        Some(Self { path: path.to_owned(), file })
    }

    /// Reads the file, if the lab has lost the right to open it: then it is in a folder of another user. `None` if it can be
    /// opened, or fails in another way.
    ///
    /// # Errors
    /// Another file has the name now, which cannot be opened; or the kernel's error.
    pub(super) fn read(&self) -> Option<Result<String, String>> {
        let refused = File::open(&self.path).err()?;
        (refused.kind() == io::ErrorKind::PermissionDenied).then(|| self.read_kept())
    }

    fn read_kept(&self) -> Result<String, String> {
        let path = self.path.display();
        let cannot = |error: io::Error| format!("cannot read {path}: {error}");
        if self.file.metadata().map_err(cannot)?.nlink() == 0 {
            return Err(format!(
                "{path} is another file now, which a running lab has no right to open: apply it with `egret apply {path}`"
            ));
        }
        let (mut file, mut text) = (&self.file, String::new());
        file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(cannot)?;
        Ok(text)
    }
}
