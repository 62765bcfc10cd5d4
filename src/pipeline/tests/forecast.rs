//! Compares the forecasts of a dry run for live flows with the effect of the reload.

use super::world::*;
use crate::flow::Flow;
use crate::packet::{Protocol, TcpFlags, Tuple, VnetHeader};
use crate::pipeline::{Forecast, Link, Reason, Verdict};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Changes of the lab: a passage, and its replacement.
const CHANGES: [(&str, &str); 14] = [
    // Groups: tracked flows are not affected; those of `job` to others in its VPC are not tracked.
    ("egress = [{ protocol = \"all\", to = \"0.0.0.0/0\" }]", "egress = []"),
    ("ingress = [{ protocol = \"all\", from = \"0.0.0.0/0\" }]", "ingress = []"),
    (r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" },"#, ""),
    (r#"{ protocol = "udp", ports = "53", from = "sg-app" },"#, ""),
    // Routes.
    (
        r#"{ destination = "0.0.0.0/0", target = "nat" },"#,
        r#"{ destination = "0.0.0.0/0", target = "nat" }, { destination = "203.0.113.0/25", state = "blackhole", target = "nat" },"#,
    ),
    (
        "id = \"rtb-private\"\nvpc = \"vpc\"\nroutes = [",
        "id = \"rtb-private\"\nvpc = \"vpc\"\nroutes = [{ destination = \"203.0.112.0/23\", target = \"nat-2\" },",
    ),
    ("routes = [{ destination = \"0.0.0.0/0\", target = \"igw\" }]", "routes = []"),
    // ACLs, in each direction.
    ("cidr = \"10.0.1.0/24\"\n", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl-no-tcp\"\n"),
    ("cidr = \"10.0.2.0/24\"\n", "cidr = \"10.0.2.0/24\"\nnetwork_acl = \"acl-no-reply\"\n"),
    ("cidr = \"10.0.3.0/24\"\n", "cidr = \"10.0.3.0/24\"\nnetwork_acl = \"acl-no-reply\"\n"),
    // Gateways.
    ("public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.9\""),
    ("id = \"nat\"\nsubnet", "id = \"nat\"\nstate = \"deleted\"\nsubnet"),
    ("apprunner_public_ip = \"198.51.100.99\"", "apprunner_public_ip = \"198.51.100.98\""),
    // A connector that loses a subnet: half of the tasks get another ENI.
    ("subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-a\"]"),
];

/// Returns a lab with everything to which the changes may refer.
fn lab() -> String {
    LAB.to_owned()
        + r#"
[[nat_gateway]]
id = "nat-2"
subnet = "subnet-public"
public_ip = "198.51.100.8"
[[security_group]]
id = "sg-open"
vpc = "vpc"
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[service]]
name = "job"
kind = "fargate"
subnets = ["subnet-a"]
security_groups = ["sg-app", "sg-open"]
[[network_acl]]
id = "acl-no-tcp"
vpc = "vpc"
egress = [{ rule = 90, action = "deny", protocol = "tcp", ports = "all", cidr = "0.0.0.0/0" }, { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
[[network_acl]]
id = "acl-no-reply"
vpc = "vpc"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "10.0.0.0/8" }, { rule = 110, action = "allow", protocol = "icmp", cidr = "0.0.0.0/0" }, { rule = 120, action = "allow", protocol = "tcp", ports = "443", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "icmp", cidr = "0.0.0.0/0" }]
"#
}

/// A flow that has begun, with its tuple outside.
struct Live {
    flow: Arc<Flow>,
    inside: Tuple,
    outside: Tuple,
    link: Link,
}

fn begin(world: &mut World) -> Vec<Live> {
    let tasks: Vec<Ipv4Addr> = world.tasks().collect();
    let mut live = Vec::new();
    for task in tasks {
        let inside = world.snapshot.task(task).unwrap().eni.is_some();
        for (to, port) in [(EXAMPLE, 443), (DB, 5432)] {
            if !inside && to == DB {
                continue;
            }
            live.push(world.connects(task, 40_000, (to, port)));
            live.push(world.opens(&udp(task, 40_000, (to, 53))));
            live.push(world.opens(&ping(task, to, 7)));
        }
    }
    let with_flow = |(outside, link): (Tuple, Link)| {
        let mut found = None;
        world.engine.flows().for_each(|e| {
            if e.flow.returned.tuple() == outside.reversed() {
                found = Some(Arc::clone(&e.flow));
            }
        });
        let flow = found.unwrap();
        Live { inside: flow.egress.tuple(), flow, outside, link }
    };
    live.into_iter().map(with_flow).collect()
}

fn next_packet(tuple: Tuple) -> Vec<u8> {
    match tuple.protocol {
        Protocol::Tcp => segment(tuple, TcpFlags::ACK, 101, 501),
        Protocol::Udp => datagram(tuple, b"more"),
        Protocol::Icmp | Protocol::Other(_) => ping(tuple.src, tuple.dst, tuple.sport),
    }
}

fn reply(outside: Tuple) -> Vec<u8> {
    match outside.protocol {
        Protocol::Tcp => segment(outside.reversed(), TcpFlags::ACK, 501, 101),
        Protocol::Udp | Protocol::Icmp | Protocol::Other(_) => answer(outside),
    }
}

fn is_live(world: &World, flow: &Arc<Flow>) -> bool {
    let mut found = false;
    world.engine.flows().for_each(|e| found |= Arc::ptr_eq(&e.flow, flow));
    found
}

fn denial(verdict: Verdict) -> Option<crate::pipeline::Denial> {
    match verdict {
        Verdict::Drop { reason, decided_by } | Verdict::Reply { reason, decided_by, .. } => {
            Some(crate::pipeline::Denial { reason, decided_by })
        }
        Verdict::Forward { .. } | Verdict::Hold => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_forecast_is_what_happens(
        chosen in prop::sample::subsequence((0..CHANGES.len()).collect::<Vec<_>>(), 0..5),
        replies_first in any::<bool>(),
    ) {
        let mut world = World::new(&lab());
        let live = begin(&mut world);
        let text = chosen.iter().fold(lab(), |text, &n| with(&text, CHANGES[n].0, CHANGES[n].1));
        let (_, upcoming) = world.next(&text);
        let before = world.engine.census();
        let forecasts: Vec<Forecast> =
            live.iter().map(|l| world.engine.forecast(world.now, &upcoming, &l.flow)).collect();
        prop_assert_eq!(world.engine.census(), before, "a forecast touches nothing");
        world.reload(&text);
        for (Live { flow, inside, outside, link }, forecast) in live.iter().zip(forecasts) {
            let comes_back = |world: &World| {
                let device = world.device_toward(*link, outside.src);
                world.push(device, &reply(*outside), VnetHeader::default())
            };
            if replies_first && matches!(forecast, Forecast::Keeps) {
                prop_assert!(comes_back(&world).reason().is_none());
            }
            let device = world.device_of(inside.src);
            let seen = world.push(device, &next_packet(*inside), VnetHeader::default());
            match forecast {
                Forecast::Keeps => {
                    prop_assert_eq!(seen.tuple, Some(*outside));
                    prop_assert_eq!(comes_back(&world).tuple, Some(inside.reversed()));
                    prop_assert!(is_live(&world, flow));
                }
                Forecast::Denied(expected) => {
                    prop_assert_eq!(denial(seen.verdict), Some(expected));
                    prop_assert!(is_live(&world, flow), "it may pass again one day");
                }
                Forecast::RepliesDenied(expected) => {
                    prop_assert_eq!(seen.tuple, Some(*outside));
                    prop_assert_eq!(denial(comes_back(&world).verdict), Some(expected));
                    prop_assert!(is_live(&world, flow));
                }
                Forecast::Moved => {
                    prop_assert!(!is_live(&world, flow));
                    if inside.protocol == Protocol::Tcp {
                        prop_assert_eq!(seen.reason(), Some(Reason::FlowMoved));
                    }
                }
            }
        }
    }
}

/// The property above would also hold for a lab in which no flow is affected.
#[test]
fn every_forecast_comes_about() {
    let mut seen = [false; 4];
    for (old, new) in CHANGES {
        let mut world = World::new(&lab());
        let live = begin(&mut world);
        let (_, upcoming) = world.next(&with(&lab(), old, new));
        for flow in live {
            let kind = match world.engine.forecast(world.now, &upcoming, &flow.flow) {
                Forecast::Keeps => 0,
                Forecast::Moved => 1,
                Forecast::Denied(_) => 2,
                Forecast::RepliesDenied(_) => 3,
            };
            seen[kind] = true;
        }
    }
    assert_eq!(seen, [true; 4]);
}
