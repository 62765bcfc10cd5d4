//! Hints for errors whose cause is the box and not the operation.

use nix::errno::Errno;
use std::io;

/// Returns a hint against an error, in parentheses after a blank; an empty string if there is none.
/// `access` is the hint if access is denied.
pub fn remedy(error: &io::Error, access: &'static str) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return access;
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => " (egret is out of descriptors: raise their limit with `ulimit -n`)",
        Some(Errno::ENFILE) => " (the box is out of descriptors: raise /proc/sys/fs/file-max)",
        Some(Errno::EAGAIN) => {
            " (the limit of threads is reached: raise pids.max of the cgroup, or TasksMax= of the service)"
        }
        Some(Errno::ENOSPC) => {
            " (no room there: free space or inodes, which `df` and `df -i` show, or raise a limit of the kernel)"
        }
        Some(Errno::EROFS) => {
            " (that file system is mounted read-only: mount it writable, as with `mount -o remount,rw`)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_the_box_have_a_way_out() {
        let said = |errno: Errno| remedy(&errno.into(), " (sudo)");
        assert_eq!(said(Errno::EACCES), " (sudo)");
        assert!(said(Errno::EMFILE).contains("ulimit -n"));
        assert!(said(Errno::ENOSPC).contains("df -i"));
        assert!(said(Errno::EROFS).contains("remount,rw"));
        assert!(said(Errno::EAGAIN).contains("pids.max"));
        assert_eq!(said(Errno::ENOENT), "");
        assert_eq!(remedy(&io::Error::other("x"), " (sudo)"), "");
    }
}
