//! Reads a file that the user names: a lab file, a template, a folder of them. It may be a link, a
//! pipe or a device. The bytes that are read are bounded, and so is the wait for a FIFO that has no
//! writer. Root follows no link of another user.

use super::lookup::{Lookup, is_own_descriptor};
use super::refusal;
use super::thousands;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// The word for standard input in place of a file.
pub const STANDARD_INPUT: &str = "-";

/// The time that a FIFO may be without a writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decides whether a file is standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

/// Reads a text of at most `most` bytes, from standard input for `-`.
///
/// # Errors
/// The kernel's errors; a text that is longer, or is not UTF-8; a FIFO that has no writer.
pub fn read(path: &Path, most: usize) -> io::Result<String> {
    if is_standard_input(path) {
        return read_from(&mut io::stdin().lock(), most);
    }
    let mut file = opened(path)?;
    let about = file.metadata()?;
    if about.is_file() && usize::try_from(about.len()).is_ok_and(|length| length > most) {
        return Err(too_long(most));
    }
    if about.file_type().is_fifo() {
        return read_from(&mut Pipe { file, writer_by: Some(Instant::now() + PATIENCE) }, most);
    }
    let status = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(status - OFlag::O_NONBLOCK))?;
    read_from(&mut file, most)
}

/// Reads a text of at most `most` bytes from a regular file. Nothing is waited for.
///
/// # Errors
/// As [`read`]; the file is of another kind.
pub fn read_regular(path: &Path, most: usize) -> io::Result<String> {
    let mut file = opened(path)?;
    refusal::regular(&file.metadata()?, path)?;
    read_from(&mut file, most)
}

/// Opens a file without waiting for anything, whatever it is. As root, no link of another user is
/// followed, wherever it is on the path.
///
/// # Errors
/// The kernel's errors; a link of another user.
pub fn opened(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    if !geteuid().is_root() {
        return OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    }
    let mut lookup = Lookup::to(path)?;
    loop {
        match lookup.open(flags | OFlag::O_NOFOLLOW, 0) {
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {}
            opened => return opened,
        }
        let link = lookup.open(OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
        if is_own_descriptor(&link)? {
            return lookup.open(flags, 0);
        }
        lookup.follow()?;
    }
}

/// Reads a text of at most `most` bytes from an open file.
///
/// # Errors
/// The kernel's errors; a text that is longer, or is not UTF-8.
pub fn read_from(from: &mut dyn Read, most: usize) -> io::Result<String> {
    text(whole(from, most)?)
}

fn whole(from: &mut dyn Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from = from.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1));
    from.read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(too_long(most)) } else { Ok(bytes) }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn too_long(most: usize) -> io::Error {
    const MIB: usize = 1 << 20;
    let limit = if most.is_multiple_of(MIB) {
        format!("{} MiB", most / MIB)
    } else {
        format!("{} bytes", thousands(most as u64))
    };
    let why = format!("it is longer than the {limit} that egret reads");
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

/// A FIFO. It ends when its last writer closes it, and not before the first one has opened it.
struct Pipe {
    file: File,
    /// The time by which there must be a writer; `None` once there was one.
    writer_by: Option<Instant>,
}

impl Pipe {
    fn wait(&mut self) -> io::Result<()> {
        let left = self.writer_by.map(|by| by.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            let why = "it is a FIFO without a writer: start its writer first, or give a file";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        let patience = left.map_or(PollTimeout::NONE, |left| {
            // Part of a millisecond counts as one.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptor = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptor, patience)?;
        let is_closed = descriptor[0].revents().is_some_and(|is| is.contains(PollFlags::POLLHUP));
        if is_closed {
            self.writer_by = None;
        }
        Ok(())
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(into) {
                Ok(0) if self.writer_by.is_some() => self.wait()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writer_by = None;
                    self.wait()?;
                }
                read => {
                    self.writer_by = None;
                    return read;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    fn refused(path: &str, most: usize) -> String {
        read(Path::new(path), most).unwrap_err().to_string()
    }

    #[test]
    fn text_longer_than_the_limit_is_refused_from_files_and_devices() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "x".repeat(1 << 20)).unwrap();
        assert_eq!(read(file.path(), 1 << 20).unwrap().len(), 1 << 20);
        let name = file.path().to_str().unwrap();
        assert!(refused(name, (1 << 20) - 1).contains("longer than the 1,048,575 bytes"));
        assert_eq!(refused("/dev/zero", 1 << 20), "it is longer than the 1 MiB that egret reads");
        assert_eq!(read(Path::new("/dev/null"), 1).unwrap(), "");
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(refused(name, 10), "it is not UTF-8 text");
    }

    #[test]
    fn regular_file_alone_is_read_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read_regular(&path, 10).unwrap(), "text");
        std::fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        // A writer that writes nothing.
        let _silent = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(read_regular(&path, 10).unwrap_err().to_string().contains("it is a FIFO"));
        assert!(
            read_regular(Path::new("/dev/zero"), 10).unwrap_err().to_string().contains("a device")
        );
    }

    #[test]
    fn root_reads_through_its_own_links_and_not_through_those_of_another_user() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, folder] =
            ["file", "link", "folder"].map(|name| directory.path().join(name));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink(directory.path(), &folder).unwrap();
        assert_eq!(read(&link, 10).unwrap(), "text");
        assert_eq!(read(&folder.join("file"), 10).unwrap(), "text");
        // As a shell names the pipe of `<(…)`, and a descriptor of egret's own.
        let (reading, mut writing) = std::io::pipe().unwrap();
        writing.write_all(b"text").unwrap();
        drop(writing);
        let open = File::open(&file).unwrap();
        for (folder, own) in [("/dev/fd", reading.as_raw_fd()), ("/proc/self/fd", open.as_raw_fd())]
        {
            assert_eq!(read(&Path::new(folder).join(own.to_string()), 10).unwrap(), "text");
        }
        if !geteuid().is_root() {
            println!("skipped: links of another user need root");
            return;
        }
        for path in [&link, &folder] {
            std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
        }
        for path in [link, folder.join("file")] {
            assert!(
                read(&path, 10).unwrap_err().to_string().contains("symbolic link of user 65534")
            );
        }
    }

    #[test]
    fn fifo_is_read_to_its_writers_end_and_not_waited_for_without_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(refused(path.to_str().unwrap(), 10).contains("a FIFO without a writer"));
        let reader = std::thread::spawn({
            let path = path.clone();
            move || read(&path, 1 << 20)
        });
        // Opening the FIFO waits for the reader.
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"one ").unwrap();
        writer.write_all("two".repeat(100_000).as_bytes()).unwrap();
        drop(writer);
        assert_eq!(reader.join().unwrap().unwrap(), format!("one {}", "two".repeat(100_000)));
    }
}
