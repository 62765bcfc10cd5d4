//! The privileges of a lab's threads: fewer than root's, and almost none for packet workers.
//!
//! Capabilities belong to a thread, and a new thread has those of the thread that starts it.
//! Threads drop capabilities as they start, so that no work is ever done with more
//! (capabilities(7)).

use nix::libc;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as ArgLen, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};
use std::io;

/// The capabilities that a running lab needs: namespaces, mounts and BPF; links and TUNs; listeners
/// at ports below 1024.
const OF_LAB: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::NET_BIND_SERVICE);

/// Drops all capabilities of the calling thread, and of those that it starts, except the ones that
/// a running lab needs. Programs that it executes cannot gain more.
///
/// # Errors
/// The kernel refuses, which no known kernel does.
pub fn keep_those_of_a_lab() -> io::Result<()> {
    keep(OF_LAB)
}

/// Drops all capabilities of the calling thread. Programs that it executes cannot gain any.
///
/// # Errors
/// As [`keep_those_of_a_lab`].
pub fn keep_none() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

/// The system calls that a packet worker may make, ready to be applied to its thread. All others
/// fail with EPERM.
#[derive(Clone, Debug)]
pub struct WorkerFilter(BpfProgram);

impl WorkerFilter {
    /// Compiles the filter.
    ///
    /// # Errors
    /// The filter does not support the processor that egret was built for.
    pub fn new() -> io::Result<Self> {
        let (others, listed) =
            (SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow);
        let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
        let rules = rules().map_err(io::Error::other)?.into_iter().collect();
        let filter = SeccompFilter::new(rules, others, listed, architecture);
        let program = filter.and_then(BpfProgram::try_from).map_err(io::Error::other)?;
        Ok(Self(program))
    }

    /// Takes every capability from the calling thread, and every system call except those that a
    /// worker needs.
    ///
    /// # Errors
    /// The kernel refuses, as one without seccomp does.
    pub fn confine(&self) -> io::Result<()> {
        keep_none()?;
        apply_filter(&self.0).map_err(io::Error::other)
    }
}

fn keep(kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    for other in (CapabilitySet::all() - kept).iter() {
        // Refused if the kernel does not know it or it was removed before: either way it cannot
        // come back.
        let _ = remove_capability_from_bounding_set(other);
    }
    // Kernels before Linux 4.3 have no ambient capabilities.
    let _ = clear_ambient_capability_set();
    let permitted = capabilities(None)?.permitted & kept;
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?)
}

/// The commands of bpf(2) that work on the elements of a map.
const BPF_MAP_ELEMENTS: [u64; 6] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
    24, // BPF_MAP_LOOKUP_BATCH
];

type Rules = Vec<(i64, Vec<SeccompRule>)>;

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ALWAYS.iter().map(|&call| (call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_poll, Vec::new()));
    // Memory, but never executable.
    let no_execute = || {
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        only(SeccompCondition::new(2, ArgLen::Dword, Op::MaskedEq(executable), 0))
    };
    rules.push((libc::SYS_mmap, vec![no_execute()?]));
    rules.push((libc::SYS_mprotect, vec![no_execute()?]));
    let element = |command| only(SeccompCondition::new(0, ArgLen::Dword, Op::Eq, command));
    let elements = BPF_MAP_ELEMENTS.into_iter().map(element).collect::<Result<_, _>>()?;
    rules.push((libc::SYS_bpf, elements));
    Ok(rules)
}

fn only(
    condition: Result<SeccompCondition, seccompiler::BackendError>,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition?])
}

/// System calls that are allowed with any arguments: those that read, write and wait by existing
/// descriptors; memory; the end of the thread, also by a panic.
const ALWAYS: [i64; 27] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_close,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::linux::root::is_root;

    /// Runs `work` in a thread with a lab's privileges.
    fn as_lab<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let confined = || {
            keep_those_of_a_lab().unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(confined).join().unwrap())
    }

    /// Reads a line of the calling thread's status.
    fn status(key: &str) -> String {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
        line.unwrap().trim().to_owned()
    }

    #[test]
    fn a_lab_keeps_three_capabilities_and_can_gain_none() {
        if !is_root() {
            return;
        }
        let bits = (1 << 10) | (1 << 12) | (1 << 21);
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let found = u64::from_str_radix(&as_lab(|| status(set)), 16).unwrap();
            assert_eq!(found, bits, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(as_lab(|| status(set)), "0000000000000000", "{set}");
        }
        assert_eq!(as_lab(|| status("NoNewPrivs")), "1");
    }

    #[test]
    fn programs_started_by_a_lab_gain_no_capability() {
        if !is_root() {
            return;
        }
        let cat = || std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
        let text = String::from_utf8(as_lab(cat).stdout).unwrap();
        assert!(text.contains("\nCapEff:\t0000000000201400\n"), "{text}");
    }

    #[test]
    fn a_worker_has_no_capability_and_opens_nothing() {
        let filter = WorkerFilter::new().unwrap();
        let found = std::thread::spawn(move || {
            let null = std::fs::File::open("/dev/null").unwrap();
            let confined = filter.confine();
            let mut byte = [0];
            let read = io::Read::read(&mut &null, &mut byte);
            let opened = std::fs::File::open("/dev/null").map(drop);
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").map(drop);
            let started = std::thread::Builder::new().spawn(|| ()).map(drop);
            (confined, read, [opened, socket, started])
        });
        let (confined, read, refused) = found.join().unwrap();
        confined.unwrap();
        assert_eq!(read.unwrap(), 0, "what is open stays open");
        for refused in refused {
            let errno = refused.unwrap_err().raw_os_error();
            assert_eq!(errno, Some(libc::EPERM));
        }
    }

    #[test]
    fn a_worker_may_panic_and_has_memory() {
        let filter = WorkerFilter::new().unwrap();
        let ended = std::thread::spawn(move || {
            filter.confine().unwrap();
            let many = vec![1_u8; 8 << 20];
            let survived = std::panic::catch_unwind(|| std::panic::panic_any(1));
            (many.iter().map(|byte| usize::from(*byte)).sum::<usize>(), survived.is_err())
        });
        assert_eq!(ended.join().unwrap(), (8 << 20, true));
    }
}
