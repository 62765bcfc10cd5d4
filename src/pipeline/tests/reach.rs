//! Tests verdicts over sets of packets, on labs in which one packet's verdict is not that of all.

mod attachments;
mod difference;
#[path = "../../../benches/support/large_lab.rs"]
mod large_lab;

use super::world::*;
use crate::packet::Protocol;
use crate::pipeline::Reason;
use crate::pipeline::reach::{
    self, Addresses, Answer, Class, Interrupted, PortRange, Ports, Question, Ranges, SetVerdict,
    Share, Tasks,
};
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, RuleRef, ServiceIx, Snapshot};
use std::net::Ipv4Addr;

/// Two subnets of a VPC, a connector in the first one, and a database in the second one, whose
/// groups admit everything.
const TWO_SUBNETS: &str = r#"
[[vpc]]
id = "vpc-0"
cidr = "10.0.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
[[security_group]]
id = "sg-any"
vpc = "vpc-0"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[resource]]
name = "db"
subnet = "subnet-b"
address = "10.0.2.10"
security_groups = ["sg-any"]
[[vpc_connector]]
name = "c"
subnets = ["subnet-a"]
security_groups = ["sg-any"]
[[service]]
name = "web"
vpc_connector = "c"
"#;

/// A private subnet behind a NAT gateway, and a host on the internet.
const BEHIND_NAT: &str = r#"
[[vpc]]
id = "vpc-0"
cidr = "10.0.0.0/16"
internet_gateway = "igw-0"
[[subnet]]
id = "subnet-a"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-a"
[[subnet]]
id = "subnet-n"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-n"
network_acl = "acl-n"
[[network_acl]]
id = "acl-n"
vpc = "vpc-0"
ingress = [
    { rule = 100, action = "allow", protocol = "all", cidr = "10.0.0.0/16" },
    { rule = 200, action = "allow", protocol = "tcp", ports = "32768-65535", cidr = "0.0.0.0/0" },
]
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
[[route_table]]
id = "rtb-a"
vpc = "vpc-0"
routes = [{ destination = "0.0.0.0/0", target = "nat-0" }]
[[route_table]]
id = "rtb-n"
vpc = "vpc-0"
routes = [{ destination = "0.0.0.0/0", target = "igw-0" }]
[[nat_gateway]]
id = "nat-0"
subnet = "subnet-n"
[[security_group]]
id = "sg-app"
vpc = "vpc-0"
[[internet_host]]
name = "api"
address = "203.0.113.10"
[[vpc_connector]]
name = "c"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "c"
"#;

/// Two peered VPCs: a private NAT gateway with two addresses in the first one, a database in the
/// second one.
const TWO_ADDRESSES: &str = r#"
[[vpc]]
id = "vpc-0"
cidr = "10.0.0.0/16"
[[vpc]]
id = "vpc-1"
cidr = "10.1.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-a"
[[subnet]]
id = "subnet-n"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-n"
[[subnet]]
id = "subnet-b"
vpc = "vpc-1"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-b"
[[route_table]]
id = "rtb-a"
vpc = "vpc-0"
routes = [{ destination = "10.1.0.0/16", target = "nat-p" }]
[[route_table]]
id = "rtb-n"
vpc = "vpc-0"
routes = [{ destination = "10.1.0.0/16", target = "pcx-0" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc-1"
routes = [{ destination = "10.0.0.0/16", target = "pcx-0" }]
[[nat_gateway]]
id = "nat-p"
subnet = "subnet-n"
connectivity = "private"
private_ip = "10.0.2.200"
secondary_private_ips = ["10.0.2.201"]
[[vpc_peering_connection]]
id = "pcx-0"
requester_vpc = "vpc-0"
accepter_vpc = "vpc-1"
[[security_group]]
id = "sg-app"
vpc = "vpc-0"
[[security_group]]
id = "sg-db"
vpc = "vpc-1"
ingress = [{ protocol = "tcp", ports = "5432", from = "10.0.2.200/32" }]
[[resource]]
name = "db"
subnet = "subnet-b"
address = "10.1.1.20"
security_groups = ["sg-db"]
[[vpc_connector]]
name = "c"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "c"
"#;

fn network_acl(id: &str, rules: &str) -> String {
    format!("[[network_acl]]\nid = \"{id}\"\nvpc = \"vpc-0\"\n{rules}\n")
}

const ALLOW_ALL: &str = r#"{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }"#;

fn tcp_port(port: u16) -> Ports {
    Ports::new([PortRange::Of(Protocol::Tcp, port, port)])
}

fn only(address: &str) -> Ranges {
    Ranges::one(address.parse::<Ipv4Addr>().unwrap().to_bits())
}

fn block(cidr: &str) -> Ranges {
    let network: ipnetwork::Ipv4Network = cidr.parse().unwrap();
    Ranges::of(network.network().to_bits(), network.broadcast().to_bits())
}

fn question(
    snapshot: &Snapshot,
    service: &str,
    destinations: Ranges,
    ports: Ports,
) -> (Snapshot, Question) {
    let at = snapshot.parts().services.iter().position(|s| s.name == service).unwrap();
    let of = (ServiceIx::from(at), Tasks::Possible, Addresses::Open);
    question_about(snapshot, of, destinations, ports)
}

fn question_about(
    snapshot: &Snapshot,
    (service, tasks, gateway_addresses): (ServiceIx, Tasks, Addresses),
    destinations: Ranges,
    ports: Ports,
) -> (Snapshot, Question) {
    let (snapshot, attachments) = reach::attachments(snapshot, service, tasks, gateway_addresses);
    let source_port = None;
    let question =
        Question { service, attachments, gateway_addresses, destinations, ports, source_port };
    (snapshot, question)
}

fn ask(lab: &str, service: &str, destinations: Ranges, ports: Ports) -> Answer {
    let world = World::new(lab);
    let (snapshot, question) = question(&world.snapshot, service, destinations, ports);
    reach::ask(&snapshot, &question, &mut || true).unwrap()
}

fn reason(class: &Class) -> Option<Reason> {
    class.denial.map(|denial| denial.reason)
}

fn ranges<const N: usize>(expected: [(u32, u32); N]) -> Option<Ranges> {
    Some(Ranges::new(expected))
}

#[test]
fn replies_to_some_source_ports_of_an_eni_make_the_verdict_mixed() {
    let rules = format!(
        r#"ingress = [{ALLOW_ALL}]
egress = [{{ rule = 100, action = "allow", protocol = "tcp", ports = "32768-60999", cidr = "0.0.0.0/0" }}]"#
    );
    let lab = with(
        TWO_SUBNETS,
        "cidr = \"10.0.2.0/24\"",
        "cidr = \"10.0.2.0/24\"\nnetwork_acl = \"acl-b\"",
    );
    let answer =
        ask(&(lab + &network_acl("acl-b", &rules)), "web", only("10.0.2.10"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let [fails, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(reason(fails), Some(Reason::NaclReturnImplicitDeny));
    assert_eq!(fails.source_ports, ranges([(1024, 32_767), (61_000, 65_535)]));
    assert_eq!(fails.share, Share { part: 64_512 - 28_232, whole: 64_512 });
    assert!(passes.passes());
    assert_eq!(passes.source_ports, ranges([(32_768, 60_999)]));
    assert_eq!(passes.share, Share { part: 28_232, whole: 64_512 });
    assert_eq!((fails.gateway_ports.clone(), passes.gateway_ports.clone()), (None, None));
    let Some(RuleRef::NetworkAclImplicitDeny(acl, ..)) = fails.denial.map(|d| d.decided_by) else {
        panic!("{fails:?}");
    };
    assert_eq!(World::new(&with_acl_b(&rules)).snapshot.network_acl(acl).id, "acl-b");
}

fn with_acl_b(rules: &str) -> String {
    let named = "cidr = \"10.0.2.0/24\"\nnetwork_acl = \"acl-b\"";
    with(TWO_SUBNETS, "cidr = \"10.0.2.0/24\"", named) + &network_acl("acl-b", rules)
}

#[test]
fn replies_to_some_source_ports_of_a_nat_gateway_make_the_verdict_mixed() {
    let answer = ask(BEHIND_NAT, "web", only("203.0.113.10"), tcp_port(443));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let [fails, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(reason(fails), Some(Reason::NaclReturnImplicitDeny));
    assert_eq!(fails.gateway_ports, ranges([(1024, 32_767)]));
    assert_eq!(fails.source_ports, ranges([(1024, 65_535)]));
    assert_eq!(passes.gateway_ports, ranges([(32_768, 65_535)]));
    assert_eq!(passes.share, Share { part: 32_768, whole: 64_512 });
    assert_eq!(fails.share, Share { part: 31_744, whole: 64_512 });
}

#[test]
fn ports_of_eni_and_nat_gateway_are_independent() {
    let rules = r#"ingress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "1024-40000", cidr = "0.0.0.0/0" }]
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]"#;
    let lab = with(
        BEHIND_NAT,
        "cidr = \"10.0.1.0/24\"\n",
        "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl-a\"\n",
    ) + &network_acl("acl-a", rules);
    let answer = ask(&lab, "web", only("203.0.113.10"), tcp_port(443));
    let [gateway, eni, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(gateway.gateway_ports, ranges([(1024, 32_767)]));
    assert_eq!(gateway.source_ports, ranges([(1024, 65_535)]), "dropped before the ENI's port");
    assert_eq!(
        (&eni.gateway_ports, &eni.source_ports),
        (&ranges([(32_768, 65_535)]), &ranges([(40_001, 65_535)]))
    );
    let both = (&ranges([(32_768, 65_535)]), &ranges([(1024, 40_000)]));
    assert_eq!((&passes.gateway_ports, &passes.source_ports), both);
    assert_eq!(passes.share, Share { part: 32_768 * 38_977, whole: 64_512 * 64_512 });
}

#[test]
fn each_address_of_a_nat_gateway_is_asked() {
    let answer = ask(TWO_ADDRESSES, "web", only("10.1.1.20"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let [fails, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    let addresses = |class: &Class| -> Vec<(usize, Ranges)> {
        class.gateway_addresses.iter().map(|at| (at.position, at.private.clone())).collect()
    };
    assert_eq!(addresses(passes), [(0, only("10.0.2.200"))]);
    assert_eq!(addresses(fails), [(1, only("10.0.2.201"))]);
    assert_eq!(reason(fails), Some(Reason::SgIngressImplicitDeny));
    let db = RuleRef::DestinationSecurityGroups(crate::vpc::VpcIx(1), Ipv4Addr::new(10, 1, 1, 20));
    assert_eq!(fails.denial.map(|denial| denial.decided_by), Some(db));
    assert_eq!((fails.share, passes.share), (HALF, HALF));
}

const HALF: Share = Share { part: 1, whole: 2 };

#[test]
fn each_subnet_of_a_connector_is_asked() {
    let closed = network_acl("acl-b", "ingress = []\negress = []");
    let lab = with(
        TWO_SUBNETS,
        "cidr = \"10.0.2.0/24\"",
        "cidr = \"10.0.2.0/24\"\nnetwork_acl = \"acl-b\"",
    );
    let lab = with(&lab, "subnets = [\"subnet-a\"]", "subnets = [\"subnet-a\", \"subnet-b\"]");
    let lab = with(
        &lab,
        "subnet = \"subnet-b\"\naddress = \"10.0.2.10\"",
        "subnet = \"subnet-c\"\naddress = \"10.0.3.20\"",
    );
    let third = "[[subnet]]\nid = \"subnet-c\"\nvpc = \"vpc-0\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.3.0/24\"\n";
    let answer = ask(&(lab + third + &closed), "web", only("10.0.3.20"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let [fails, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(fails.attachments, [Attachment::Eni(EniIx(1))]);
    assert_eq!(passes.attachments, [Attachment::Eni(EniIx(0))]);
    assert_eq!(reason(fails), Some(Reason::NaclEgressImplicitDeny));
    assert_eq!((fails.share, passes.share), (HALF, HALF));
}

/// A Fargate task has an ENI of its own: one task runs, and the next one would be in the other
/// subnet.
#[test]
fn a_subnet_is_asked_where_only_a_further_fargate_task_would_be() {
    let lab = with(
        TWO_SUBNETS,
        "[[vpc_connector]]\nname = \"c\"\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-any\"]\n",
        "",
    );
    let lab = with(
        &lab,
        "vpc_connector = \"c\"",
        "kind = \"fargate\"\nsubnets = [\"subnet-a\", \"subnet-c\"]\nsecurity_groups = [\"sg-any\"]\ntasks = 1",
    );
    let third = "[[subnet]]\nid = \"subnet-c\"\nvpc = \"vpc-0\"\navailability_zone = \"us-east-1b\"\ncidr = \"10.0.3.0/24\"\nnetwork_acl = \"acl-c\"\n";
    let rules = format!(
        "ingress = [{}]\negress = [{ALLOW_ALL}]",
        r#"{ rule = 100, action = "allow", protocol = "tcp", ports = "500-1023", cidr = "0.0.0.0/0" }"#
    );
    let answer = ask(
        &(lab + third + &network_acl("acl-c", &rules)),
        "web",
        only("10.0.2.10"),
        tcp_port(5432),
    );
    let [fails, passes, further] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(passes.source_ports, ranges([(1, 65_535)]), "the ENI keeps the task's own port");
    assert_eq!(further.source_ports, ranges([(500, 1023)]));
    assert_eq!(further.attachments, fails.attachments);
    assert_eq!(further.share, Share { part: 524, whole: 2 * 65_535 });
    let [(_, addresses)] = &further.eni_addresses[..] else { panic!("{further:?}") };
    assert_eq!(
        (addresses.first(), addresses.last()),
        (block_end("10.0.3.4"), block_end("10.0.3.254"))
    );
}

fn block_end(address: &str) -> Option<u32> {
    only(address).first()
}

/// The group of the database admits a block that may or may not contain the ENI.
#[test]
fn each_free_address_of_the_enis_subnet_is_asked_unless_the_lab_runs() {
    let lab = with(TWO_SUBNETS, "from = \"0.0.0.0/0\"", "from = \"10.0.1.0/28\"");
    let answer = ask(&lab, "web", only("10.0.2.10"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let [fails, passes] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    let addresses = |class: &Class| class.eni_addresses.first().map(|(_, ranges)| ranges.clone());
    let from_to =
        |from: &str, to: &str| Some(Ranges::of(block_end(from).unwrap(), block_end(to).unwrap()));
    assert_eq!(addresses(passes), from_to("10.0.1.4", "10.0.1.15"));
    assert_eq!(addresses(fails), from_to("10.0.1.16", "10.0.1.254"));
    assert_eq!(passes.share, Share { part: 12, whole: 251 });
    let world = World::new(&lab);
    let of = (ServiceIx(0), Tasks::Possible, Addresses::Real);
    let (snapshot, running) =
        question_about(&world.snapshot, of, only("10.0.2.10"), tcp_port(5432));
    let answer = reach::ask(&snapshot, &running, &mut || true).unwrap();
    assert_eq!(answer.verdict, SetVerdict::Forward, "10.0.1.4, the first free address");
}

/// A reference to a group means the interface, whatever address it gets.
#[test]
fn a_reference_to_the_group_of_the_eni_admits_each_of_its_addresses() {
    let lab = with(TWO_SUBNETS, "from = \"0.0.0.0/0\"", "from = \"sg-any\"");
    let answer = ask(&lab, "web", only("10.0.2.10"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Forward);
    assert_eq!(answer.classes.len(), 1);
    assert_eq!(answer.classes[0].share, Share::ALL);
}

#[test]
fn addresses_that_no_interface_has_count_only_if_nothing_else_is_asked() {
    let both = only("10.0.2.10").union(&only("10.0.2.77")).union(&only("10.0.99.1"));
    let answer = ask(TWO_SUBNETS, "web", both, tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Forward);
    let [passes, unowned] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(passes.destinations, only("10.0.2.10"));
    assert_eq!(passes.share, Share::ALL);
    assert_eq!((reason(unowned), unowned.counts), (Some(Reason::NoInterface), false));
    assert_eq!(unowned.destinations, only("10.0.2.77").union(&only("10.0.99.1")));
    let alone = ask(TWO_SUBNETS, "web", only("10.0.2.77"), tcp_port(5432));
    assert_eq!(alone.verdict, SetVerdict::Drop);
    assert!(alone.classes.iter().all(|class| class.counts));
}

/// The router, and the addresses that AWS keeps beside it: no interface ever has them.
#[test]
fn addresses_that_aws_keeps_in_a_subnet_count_only_if_nothing_else_is_asked() {
    let answer = ask(TWO_SUBNETS, "web", block("10.0.2.0/24"), tcp_port(5432));
    assert_eq!(answer.verdict, SetVerdict::Forward);
    let kept = answer.classes.iter().find(|c| reason(c) == Some(Reason::ExemptAddressUnserved));
    assert!(kept.is_some_and(|class| !class.counts && class.destinations.count() == 1));
    let alone = ask(TWO_SUBNETS, "web", only("10.0.2.1"), tcp_port(5432));
    assert_eq!(alone.verdict, SetVerdict::Drop);
    assert!(alone.classes.iter().all(|class| class.counts));
}

/// A peer with public addresses: one subnet leads to the peer, the other to the internet.
#[test]
fn addresses_that_no_interface_has_count_where_another_attachment_reaches_them() {
    let lab =
        with(BEHIND_NAT, "subnets = [\"subnet-a\"]", "subnets = [\"subnet-a\", \"subnet-b\"]");
    let more = r#"
[[vpc]]
id = "vpc-1"
cidr = "203.0.113.64/26"
[[vpc_peering_connection]]
id = "pcx-0"
requester_vpc = "vpc-0"
accepter_vpc = "vpc-1"
[[subnet]]
id = "subnet-b"
vpc = "vpc-0"
availability_zone = "us-east-1b"
cidr = "10.0.3.0/24"
route_table = "rtb-b"
[[route_table]]
id = "rtb-b"
vpc = "vpc-0"
routes = [{ destination = "203.0.113.64/26", target = "pcx-0" }]
"#;
    let answer = ask(&(lab + more), "web", only("203.0.113.77"), tcp_port(443));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    assert!(answer.classes.iter().all(|class| class.counts));
    let fails = answer.classes.iter().find(|class| reason(class) == Some(Reason::NoInterface));
    let Some(fails) = fails else { panic!("{:#?}", answer.classes) };
    assert_eq!((fails.attachments.len(), fails.share.ratio()), (1, 0.5));
    assert!(answer.classes.iter().any(Class::passes));
}

#[test]
fn a_whole_block_with_all_ports_is_split_by_groups_and_addresses() {
    let lab = with(
        TWO_SUBNETS,
        "ingress = [{ protocol = \"all\", from = \"0.0.0.0/0\" }]",
        "ingress = [{ protocol = \"tcp\", ports = \"5000-6000\", from = \"0.0.0.0/0\" }]\negress = [{ protocol = \"tcp\", ports = \"5432-5433\", to = \"10.0.2.0/25\" }, { protocol = \"icmp\", to = \"0.0.0.0/0\" }]",
    );
    let second = "[[resource]]\nname = \"cache\"\nsubnet = \"subnet-b\"\naddress = \"10.0.2.11\"\nsecurity_groups = [\"sg-any\"]\n";
    let answer = ask(&(lab + second), "web", block("10.0.2.10/31"), Ports::all());
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let passes: Vec<&Class> = answer.classes.iter().filter(|class| class.passes()).collect();
    let [passes] = &passes[..] else { panic!("{:#?}", answer.classes) };
    assert_eq!(passes.destinations, block("10.0.2.10/31"));
    assert_eq!(passes.ports.iter().collect::<Vec<_>>(), [PortRange::Of(Protocol::Tcp, 5432, 5433)]);
    let ping = answer.classes.iter().find(|class| class.ports.contains(Protocol::Icmp, 0)).unwrap();
    assert_eq!(reason(ping), Some(Reason::SgIngressImplicitDeny));
}

#[test]
fn app_runners_own_egress_reaches_public_addresses_alone() {
    let lab = with(BEHIND_NAT, "vpc_connector = \"c\"", "egress = \"default\"");
    let public = Ranges::of(0, u32::MAX);
    let answer = ask(&lab, "web", public, tcp_port(443));
    assert_eq!(answer.verdict, SetVerdict::Mixed);
    let class_of = |address: &str| {
        let mut classes = answer.classes.iter();
        classes.find(|class| class.destinations.contains(block_end(address).unwrap())).unwrap()
    };
    assert!(class_of("203.0.113.10").passes());
    assert!(class_of("8.8.8.8").passes());
    assert!(class_of("169.254.169.253").passes());
    for (address, expected) in [
        ("10.0.1.1", Reason::AppRunnerPrivateDestination),
        ("169.254.1.1", Reason::AppRunnerPrivateDestination),
        ("224.0.0.1", Reason::DestinationNotUnicast),
    ] {
        assert_eq!(reason(class_of(address)), Some(expected), "{address}");
    }
    assert!(answer.classes.iter().all(|class| class.source_ports.is_none()));
}

#[test]
fn a_question_can_be_interrupted_whenever_the_caller_is_asked() {
    let world = World::new(BEHIND_NAT);
    let (snapshot, asked) = question(&world.snapshot, "web", only("203.0.113.10"), Ports::all());
    let mut times = 0u64;
    let mut count = || {
        times += 1;
        true
    };
    let answered = reach::ask(&snapshot, &asked, &mut count).unwrap();
    let more = answered.classes.len() as u64;
    assert!(times >= answered.walks + more, "before each packet, and before each class is shown");
    for after in 0..times {
        let mut left = after;
        let mut goes_on = || left.checked_sub(1).map(|next| left = next).is_some();
        let interrupted = reach::ask(&snapshot, &asked, &mut goes_on).map(|answer| answer.verdict);
        assert_eq!(interrupted, Err(Interrupted), "after {after}");
    }
}

/// A caller who no longer wants the answer waits for a few steps only: between two packets, and
/// while cells are split and merged.
#[test]
fn a_large_question_asks_its_caller_while_it_judges_no_packet() {
    let world = World::new(&large_lab::large_lab());
    let (snapshot, asked) = question(&world.snapshot, "web", block("10.0.0.0/16"), Ports::all());
    let mut times = 0u64;
    let mut count = || {
        times += 1;
        true
    };
    let answer = reach::ask(&snapshot, &asked, &mut count).unwrap();
    let shown = answer.classes.len() as u64;
    assert!(times > 2 * (answer.walks + shown), "{times} for {} walks, {shown}", answer.walks);
}

#[test]
fn a_sample_is_the_packet_that_the_lab_would_send_if_its_class_has_it() {
    let lab = with(TWO_SUBNETS, "from = \"0.0.0.0/0\"", "from = \"10.0.1.0/28\"");
    let lab =
        lab + "[[resource]]\nname = \"other\"\nsubnet = \"subnet-b\"\naddress = \"10.0.2.9\"\n";
    let answer = ask(&lab, "web", block("10.0.2.10/31"), Ports::all());
    let sources = |class: &Class| {
        let (inside, outside) = (class.sample.inside.tuple(), class.sample.outside);
        (inside.sport, inside.dst, outside.map(|outside| outside.tuple().src))
    };
    let passes = answer.classes.iter().find(|class| class.passes()).unwrap();
    let (db, eni) = (Ipv4Addr::new(10, 0, 2, 10), Ipv4Addr::new(10, 0, 1, 4));
    assert_eq!(sources(passes), (49_152, db, Some(eni)));
    let first = ask(&lab, "web", block("10.0.2.0/24"), tcp_port(443));
    let class = first.classes.iter().find(|class| class.passes()).unwrap();
    assert_eq!(sources(class).1, db, "the address of a resource");
    let private = with(BEHIND_NAT, "tcp\", ports = \"32768-65535\"", "icmp\"");
    let ping = ask(&private, "web", only("203.0.113.10"), Ports::new([PortRange::Echo]));
    let [ping] = &ping.classes[..] else { panic!("{:#?}", ping.classes) };
    assert_eq!(sources(ping).0, 1024, "an ENI draws no lower identifier");
}

#[test]
fn the_same_question_has_the_same_answer() {
    let show = || format!("{:?}", ask(BEHIND_NAT, "web", Ranges::of(0, u32::MAX), Ports::all()));
    assert_eq!(show(), show());
}

/// 500 routes, 1,000 resources, 5 groups of 300 rules each way, 40 network ACL rules per direction:
/// all destinations that the same rules match share cells, otherwise there would be millions.
#[test]
fn a_large_lab_is_answered_with_few_walks() {
    let world = World::new(&large_lab::large_lab());
    let everything = [("10.0.0.0/16", VPC_WALKS), ("16.0.0.0/4", INTERNET_WALKS)];
    for (destinations, most) in everything {
        let (snapshot, asked) = question(&world.snapshot, "web", block(destinations), Ports::all());
        let answer = reach::ask(&snapshot, &asked, &mut || true).unwrap();
        assert_eq!(answer.verdict, SetVerdict::Mixed);
        assert!(answer.walks < most, "{destinations}: {} walks", answer.walks);
    }
}

const VPC_WALKS: u64 = 40_000;
const INTERNET_WALKS: u64 = 20_000;
