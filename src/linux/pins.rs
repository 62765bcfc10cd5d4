//! The pins of a lab, which outlive the process: tc programs on their links, and the maps of the
//! flow cache, by name in a BPF file system.
//!
//! `/sys/fs/bpf/egret/<lab>` has a file for each such map, and `link-<interface>` for each link.
//! Removing a link's file detaches its program. A BPF file system is mounted on `/sys/fs/bpf` if
//! there is none; it stays.

use crate::edge::own;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::io;
use std::path::{Path, PathBuf};

const BPF: &str = "/sys/fs/bpf";
const ROOT: &str = "/sys/fs/bpf/egret";

/// The reason why nothing can outlive the process.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} {path}: {source} (offload_grace needs a BPF file system there: `mount -t bpf bpf /sys/fs/bpf`, or set offload_grace = \"0s\")"
)]
pub struct PinsError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The pins of one lab.
#[derive(Clone, Debug)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Makes room for a lab's pins; existing ones stay.
    ///
    /// # Errors
    ///
    /// There is no BPF file system, and none can be mounted.
    pub fn prepare(lab: &str) -> Result<Self, PinsError> {
        if !is_mounted() {
            // By default every user may create files there.
            let mounted = mount(Some("bpf"), BPF, Some("bpf"), MsFlags::empty(), Some("mode=0700"));
            mounted.map_err(|errno| {
                let (what, path) = ("mounting a BPF file system on", PathBuf::from(BPF));
                PinsError { what, path, source: errno.into() }
            })?;
        }
        let pins = Self::of(lab);
        for folder in [Path::new(ROOT), &pins.directory] {
            own::folder(folder, own::PRIVATE_FOLDER).map_err(|source| {
                let path = folder.to_owned();
                PinsError { what: "making", path, source }
            })?;
        }
        Ok(pins)
    }

    /// Returns the pins of a lab, even if none exist.
    pub(super) fn of(lab: &str) -> Self {
        Self { directory: Path::new(ROOT).join(lab) }
    }

    /// Returns whether a lab has any pins.
    #[must_use]
    pub fn exist(lab: &str) -> bool {
        Path::new(ROOT).join(lab).join("flow_cache").exists()
    }

    /// Removes all pins of a lab; a lab without any is no error. Nothing passes its links from here
    /// on.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn remove(lab: &str) -> Result<(), PinsError> {
        let directory = Path::new(ROOT).join(lab);
        match std::fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(PinsError { what: "removing", path: directory, source });
            }
            Ok(()) | Err(_) => {}
        }
        // Other labs may have theirs.
        let _ = std::fs::remove_dir(ROOT);
        Ok(())
    }

    /// Returns the path of a map's pin.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the path of the pin of an interface of the router namespace.
    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.directory.join(format!("link-{interface}"))
    }
}

fn is_mounted() -> bool {
    statfs(BPF).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}
