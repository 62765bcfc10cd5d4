//! The tc programs of `src/steer`, as they are compiled into egret and loaded.

use super::SteerError;
use aya::programs::SchedClassifier;
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};

/// The programs without the flow cache.
pub(super) static PLAIN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));
/// The same programs, with the flow cache in front.
pub(super) static CACHING: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer_cache.bpf.o"));

/// The program at the link of a task.
pub(super) const TASK: &str = "task_ingress";
/// The program at the link of a VPC, a gateway endpoint, the internet or the services.
pub(super) const SPACE: &str = "space_ingress";
/// The program at the device of an ENI or gateway.
pub(super) const TUN: &str = "tun_ingress";
/// The program in front of `TUN` while a worker of the device hangs.
pub(super) const CUT_OFF: &str = "cut_off_ingress";

/// Loads the programs of an object; nothing is attached yet.
pub(super) fn load(loader: &mut EbpfLoader<'_>, object: &[u8]) -> Result<Ebpf, SteerError> {
    lift_memory_limit();
    let mut bpf = loader.load(object).map_err(Box::new)?;
    for program in [TASK, SPACE, TUN, CUT_OFF] {
        classifier(&mut bpf, program)?.load().map_err(|source| SteerError::Program {
            what: "loading",
            program,
            link: String::new(),
            source: Box::new(source),
        })?;
    }
    Ok(bpf)
}

pub(super) fn classifier<'a>(
    bpf: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut SchedClassifier, SteerError> {
    let found = bpf.program_mut(program).ok_or(SteerError::Foreign(program))?;
    found.try_into().map_err(|_| SteerError::Foreign(program))
}

/// Lifts the limit of locked memory, to which maps counted before Linux 5.11. If this is not
/// allowed, loading reports the error.
pub fn lift_memory_limit() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    if !since(5, 11) {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    }
}

pub(super) fn since(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}
