//! Tests the proposals of `explain` on random labs, written into the lab file: each removes the
//! denial that it is about, and takes no packet from another service.

use super::generator::{self, Tape};
use crate::config::Lab;
use crate::config::edit::{EditError, diff, edited, patched};
use crate::explain::{self, Asking, Explained, Fix, Repair, repair};
use crate::pipeline::reach::{
    self, Addresses, Answer, Answered, Changed, Ports, Question, Ranges, SetVerdict, Tasks,
};
use crate::pipeline::{Denial, Reason};
use crate::vpc::{Generation, ServiceIx, Snapshot};
use proptest::prelude::*;

/// The destinations of the questions; the last three are public endpoints, in labs that have some.
const DESTINATIONS: [&str; 11] = [
    "203.0.113.10:443",
    "192.0.2.5:443,5432",
    "198.51.100.99:53/udp",
    "10.0.1.10:5432",
    "10.0.0.10:*",
    "10.0.2.11:443",
    "10.1.1.10:53",
    "10.0.0.10/31:1-65535",
    "203.0.113.11:443",
    "203.0.113.12:*",
    "203.0.113.101:1-65535",
];

/// An answer, with its configuration.
type Asked = (Snapshot, Answer);

fn lowered(text: &str) -> (Lab, Snapshot) {
    let lab = Lab::parse("lab.toml", text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let snapshot = lab.lower(Generation(1));
    (lab, snapshot)
}

fn ask(snapshot: &Snapshot, service: ServiceIx, to: &Ranges, ports: &Ports) -> Asked {
    let (gateway_addresses, source_port) = (Addresses::Open, None);
    let (snapshot, attachments) =
        reach::attachments(snapshot, service, Tasks::Possible, gateway_addresses);
    let (destinations, ports) = (to.clone(), ports.clone());
    let question =
        Question { service, attachments, gateway_addresses, destinations, ports, source_port };
    let answer = reach::ask(&snapshot, &question, &mut || true).unwrap();
    (snapshot, answer)
}

fn answered((snapshot, answer): &Asked) -> Answered<'_> {
    Answered { snapshot, answer }
}

fn explained(lab: &Lab, snapshot: &Snapshot, service: ServiceIx, destination: &str) -> Explained {
    let asking = Asking {
        service,
        tasks: Tasks::Possible,
        addresses: Addresses::Open,
        pool: lab.task_cidr,
        destination,
        protocol: None,
        source_port: None,
    };
    explain::ask(snapshot, &asking, &mut || true).unwrap()
}

/// Checks the patch for a question, if there is one: the patched file is read, all packets of the
/// question pass, and no service loses any. Returns whether there is one.
fn check_patch(text: &str, service: usize, destination: &str) -> bool {
    let (_, before) = lowered(text);
    let service = ServiceIx::from(service % before.parts().services.len());
    let mut read = |text: &str| Ok::<_, EditError>(lowered(text));
    let mut ask =
        |(lab, snapshot): &(Lab, Snapshot)| Ok(explained(lab, snapshot, service, destination));
    let Repair::Text { text: repaired, fixes } = repair(text, &mut read, &mut ask).unwrap() else {
        return false;
    };
    let patch = diff("lab.toml", text, &repaired);
    let patched = patched("lab.toml", text, &patch).unwrap();
    let show = || format!("{destination} {service:?}\n{fixes:#?}\n{patch}\n{text}");
    assert_eq!(patched, repaired, "{}", show());
    let (lab, after) = lowered(&patched);
    let asked = explained(&lab, &after, service, destination);
    assert_eq!(asked.verdict(), SetVerdict::Forward, "{}", show());
    for own in (0..before.parts().services.len()).map(ServiceIx::from) {
        takes_nothing(&before, &after, own, &show);
    }
    true
}

/// The services of AWS that are asked for by name.
const SERVICES: [&str; 3] = [
    "secretsmanager.us-east-1.amazonaws.com:443",
    "api.ecr.us-east-1.amazonaws.com:443",
    "s3.us-east-1.amazonaws.com:443",
];

/// Removes the routes from a lab, and adds hosts with names of AWS's services.
fn isolated(text: &str) -> String {
    let without = text.lines().filter(|line| !line.starts_with("routes = "));
    let text: String = without.flat_map(|line| [line, "\n"]).collect();
    let text = text.replace("[[vpc]]\n", "[[vpc]]\nenable_dns_hostnames = true\n");
    let host = |(at, service): (usize, &&str)| {
        let name = service.trim_end_matches(":443");
        format!("[[internet_host]]\nname = \"{name}\"\naddress = \"52.216.1.{at}\"\n")
    };
    text + &SERVICES.iter().enumerate().map(host).collect::<String>()
}

/// Checks a proposal for a question, if there is one. Returns whether there is.
fn check(text: &str, service: usize, destination: &str) -> bool {
    let (lab, snapshot) = lowered(text);
    let service = ServiceIx::from(service % snapshot.parts().services.len());
    let explained = explained(&lab, &snapshot, service, destination);
    let Some(fix) = explained.fix() else { return false };
    let fixed = edited(text, &fix.edits).unwrap();
    let show = || format!("{destination} {service:?}\n{fix:#?}\n{text}");
    let (_, after) = lowered(&fixed);
    let (to, ports) = explained.packets();
    opens(&ask(&snapshot, service, to, ports), &ask(&after, service, to, ports), fix, &show);
    for other in (0..snapshot.parts().services.len()).map(ServiceIx::from) {
        if other != service {
            takes_nothing(&snapshot, &after, other, &show);
        }
    }
    true
}

/// Checks that the packets of the class that the change is for are no longer dropped for the same
/// reason: they pass, unless another check denies them.
fn opens(before: &Asked, after: &Asked, fix: &Fix, show: &dyn Fn() -> String) {
    let class = before.1.classes.first().unwrap();
    let Denial { reason, decided_by } = class.denial.unwrap();
    let (classes, verdict) = (vec![class.clone()], SetVerdict::Drop);
    let own = (before.0.clone(), Answer { classes, verdict, walks: 0 });
    let dropped: Vec<Denial> = match fix.rule.starts_with("subnets = ") {
        true => after.1.classes.iter().filter_map(|class| class.denial).collect(),
        false => {
            let both = reach::dropped_by_both(answered(&own), answered(after));
            both.iter().filter_map(|both| both.after.denial).collect()
        }
    };
    for denial in &dropped {
        assert!(denial.reason != reason || denial.decided_by != decided_by, "{}", show());
    }
    let next: Vec<&str> = dropped.iter().map(|denial| denial.reason.name()).collect();
    assert_eq!(next.is_empty(), fix.next.is_none(), "{next:?}\n{}", show());
}

fn takes_nothing(
    before: &Snapshot,
    after: &Snapshot,
    service: ServiceIx,
    show: &dyn Fn() -> String,
) {
    let all = |snapshot| ask(snapshot, service, &Ranges::of(0, u32::MAX), &Ports::all());
    let (before, after) = (all(before), all(after));
    let difference = reach::difference(answered(&before), answered(&after));
    let lost: Vec<_> = match difference.only_before.is_empty() {
        true => difference.lost().cloned().collect(),
        false => {
            let moved = reach::difference_of_moved(answered(&before), answered(&after));
            moved.into_iter().filter(|changed| changed.before.passes()).collect()
        }
    };
    // An address that egret draws for a task is one that no longer belongs to a host outside.
    let is_drawn = |changed: &Changed| {
        changed.after.denial.is_some_and(|denial| denial.reason == Reason::NatHairpin)
    };
    let lost: Vec<_> = lost.into_iter().filter(|changed| !is_drawn(changed)).collect();
    assert!(lost.is_empty(), "{service:?} loses {:#?}\n{}", lost.first(), show());
}

/// Returns the number of random labs; more with `--long`.
fn cases() -> u32 {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default().cases.min(4096),
        None => 96,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_proposal_opens_its_gate_and_takes_nothing_from_other_services(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        service in any::<usize>(),
        destination in 0..DESTINATIONS.len(),
    ) {
        let text = generator::lab(&mut Tape::new(&lab));
        check(&text, service, DESTINATIONS[destination]);
    }

    #[test]
    fn a_patch_of_a_lab_without_routes_leads_services_to_endpoints(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        service in any::<usize>(),
        destination in 0..SERVICES.len(),
    ) {
        let text = isolated(&generator::lab(&mut Tape::new(&lab)));
        check_patch(&text, service, SERVICES[destination]);
    }

    #[test]
    fn a_patched_lab_file_forwards_what_was_asked_and_takes_nothing(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        service in any::<usize>(),
        destination in 0..DESTINATIONS.len(),
    ) {
        let text = generator::lab(&mut Tape::new(&lab));
        check_patch(&text, service, DESTINATIONS[destination]);
    }
}

/// Labs with a proposal are frequent enough for the property to mean something.
#[test]
fn many_random_labs_have_a_proposal() {
    let byte = |seed: u32, at: u32| {
        (seed.wrapping_mul(2_654_435_761) ^ at.wrapping_mul(40_503))
            .wrapping_mul(73_244_475)
            .to_le_bytes()[2]
    };
    let (mut found, mut patches, mut endpoints) = (0, 0, 0);
    for seed in 0..80u32 {
        let lab: Vec<u8> = (0..900).map(|at| byte(seed, at)).collect();
        let text = generator::lab(&mut Tape::new(&lab));
        let destination = DESTINATIONS[seed as usize % DESTINATIONS.len()];
        found += usize::from(check(&text, seed as usize, destination));
        patches += usize::from(check_patch(&text, seed as usize, destination));
        let (text, destination) = (isolated(&text), SERVICES[seed as usize % SERVICES.len()]);
        endpoints += usize::from(check_patch(&text, seed as usize, destination));
    }
    assert!(endpoints >= 10, "{endpoints} patches of 80 labs without routes");
    assert!(found >= 15 && patches >= 10, "{found} proposals and {patches} patches of 80");
}
