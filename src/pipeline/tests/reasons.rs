//! Every reason is produced by a test of the engine, or is listed here with who produces it.

use crate::pipeline::Reason;

const TESTS: [&str; 10] = [
    include_str!("routing.rs"),
    include_str!("security_group.rs"),
    include_str!("network_acl.rs"),
    include_str!("nat.rs"),
    include_str!("icmp.rs"),
    include_str!("mtu_ttl.rs"),
    include_str!("tcp_state.rs"),
    include_str!("generation.rs"),
    include_str!("default_egress.rs"),
    include_str!("malformed.rs"),
];

/// Who produces the others.
const ELSEWHERE: [(Reason, &str); 8] = [
    (Reason::NoOwner, "the tc program at a VPC's and the internet's link"),
    (Reason::NotIp, "the tc program at a task's link"),
    (Reason::EngineFault, "the worker, around an engine that failed"),
    (Reason::NoLink, "the worker, when it has no link for a verdict"),
    (Reason::WriteFailed, "the worker, when the TUN does not take a packet"),
    (Reason::ReadFailed, "the worker, when the TUN does not give a packet"),
    (Reason::QueueFull, "the kernel, when the worker is slower than what comes"),
    (Reason::NatFragment, "nothing yet: every fragment is dropped before a gateway sees it"),
];

#[test]
fn every_reason_is_covered() {
    for reason in Reason::ALL {
        let name = format!("Reason::{reason:?}");
        let word_ends = |text: &str| {
            text.match_indices(&name)
                .any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_alphanumeric()))
        };
        let tested = TESTS.iter().any(|text| word_ends(text));
        let elsewhere = ELSEWHERE.iter().find(|(other, _)| other == reason);
        match (tested, elsewhere) {
            (true, None) | (false, Some(_)) => {}
            (true, Some((_, who))) => panic!("{reason} is tested, and said to come from: {who}"),
            (false, None) => panic!("{reason} is produced by no test"),
        }
    }
}
