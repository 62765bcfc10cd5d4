//! Tests that one VPC in each format is the same lab: the same verdict, by the same stages, for
//! every task and destination, replies included.

use crate::config::Lab;
use crate::config::import::{Imported, Order};
use crate::explain::{self, Asking};
use crate::pipeline::reach::{Addresses, Tasks};
use crate::vpc::{Generation, Task};

/// The formats of the VPC of `examples`. The first is the account's own.
const SOURCES: [&str; 4] = [
    "examples/vpc",
    "examples/vpc-terraform.json",
    "examples/vpc-cloudformation.yaml",
    "examples/vpc-cloudformation.json",
];

/// Destinations in the VPC, next to it, and nowhere; the test asks for each by every protocol and
/// port below.
const DESTINATIONS: [&str; 12] = [
    "10.20.20.118",    // the database
    "10.20.21.44",     // the cache
    "10.20.20.119",    // nothing, beside the database
    "10.20.10.200",    // nothing, in one of the tasks' subnets
    "10.20.0.37",      // the NAT gateway
    "10.20.99.9",      // nothing, in no subnet
    "10.99.0.1",       // another private network
    "203.0.113.10",    // the internet
    "192.0.2.5",       // the offices
    "52.216.0.10",     // S3, behind its endpoint; a template has no more than this block of it
    "52.219.0.1",      // beside S3
    "169.254.169.253", // the resolver
];
const PORTS: [&str; 8] =
    [":443", ":80", ":5432", ":6379", ":65535", ":53/udp", ":443/udp", "/icmp"];

fn import(source: &str) -> Imported {
    let order = Order { source: source.into(), ..Order::default() };
    Imported::from_source(&order).unwrap_or_else(|failure| panic!("{source}: {failure}"))
}

/// Returns one line for each packet of the grid: the task, the destination, the stages, and the
/// verdict.
fn verdicts(lab: &Lab) -> Vec<String> {
    let snapshot = lab.lower(Generation::default());
    let names = ["secretsmanager.us-east-1.amazonaws.com:443", "s3.us-east-1.amazonaws.com:443"];
    let grid =
        DESTINATIONS.iter().flat_map(|to| PORTS.iter().map(move |port| format!("{to}{port}")));
    let grid: Vec<String> = grid.chain(names.map(str::to_owned)).collect();
    let mut lines = Vec::new();
    for (position, service) in snapshot.parts().services.iter().enumerate() {
        // One task for each zone of the connector, and one more.
        for number in 1..=3 {
            let name = &service.name;
            let service = position.into();
            let address = lab.task_cidr.nth(number.into()).unwrap();
            let eni = snapshot.choose_eni(service, number);
            let task = Task { service, number, address, eni };
            let snapshot = lab.lower(Generation::default()).with_task(task);
            for to in &grid {
                let asking = Asking {
                    service: task.service,
                    tasks: Tasks::One(task),
                    addresses: Addresses::Real,
                    pool: lab.task_cidr,
                    destination: to,
                    protocol: None,
                    source_port: None,
                };
                let explained = explain::ask(&snapshot, &asking, &mut || true)
                    .unwrap_or_else(|error| panic!("{error}"));
                let evidence = explained.sample().unwrap_or_else(|| panic!("{to} has no address"));
                let stages: Vec<String> =
                    evidence.steps.iter().map(|step| format!("{:?}", step.stage)).collect();
                let outcome = match evidence.denial {
                    None => "passes".to_owned(),
                    Some(denial) => denial.reason.to_string(),
                };
                lines.push(format!("{name}/{number} {to}: {outcome} ({})", stages.join(" ")));
            }
        }
    }
    lines
}

#[test]
fn every_format_gives_the_same_verdicts() {
    let truth = verdicts(&import(SOURCES[0]).lab);
    assert_eq!(truth.len(), 3 * (DESTINATIONS.len() * PORTS.len() + 2));
    for outcome in ["passes", "sg-egress-implicit-deny", "nacl-ingress-implicit-deny"] {
        assert!(
            truth.iter().any(|line| line.contains(&format!(": {outcome} "))),
            "the grid has no {outcome}"
        );
    }
    for source in &SOURCES[1..] {
        for (wanted, found) in truth.iter().zip(verdicts(&import(source).lab)) {
            assert_eq!(&found, wanted, "{source}");
        }
    }
}

#[test]
fn a_written_lab_file_reads_back_as_the_same_lab() {
    for source in SOURCES {
        let imported = import(source);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lab.toml");
        std::fs::write(&file, imported.text()).unwrap();
        let read = Lab::load(&file).unwrap_or_else(|errors| panic!("{source}: {errors}"));
        assert_eq!(verdicts(&read), verdicts(&imported.lab), "{source}");
        assert_eq!(import(source).text(), imported.text(), "{source} twice");
    }
}
