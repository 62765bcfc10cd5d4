//! Tests the exact output for people and scripts, for one packet of each kind.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::evidence::explanation;
use super::fix::{Proposal, first_candidate};
use super::paint::Paint;
use super::testing::*;
use super::text::{headline, packet, rest, task_of};
use super::*;
use crate::packet::{Outside, Tuple};
use crate::pipeline::{Component, Denial, Detail, Evidence, Outcome, Reason, Stage, Step};
use crate::vpc::Target;
use crate::vpc::security_group::NearMiss;
use crate::vpc::*;
use std::net::Ipv4Addr;

fn text(evidence: &Evidence, snapshot: &Snapshot) -> String {
    shown(evidence, snapshot, false)
}

/// Shows one packet for people.
fn shown(evidence: &Evidence, snapshot: &Snapshot, color: bool) -> String {
    let (mut text, paint) = (Vec::new(), Paint(color));
    headline(&mut text, evidence, paint).unwrap();
    packet(&mut text, evidence, snapshot, &|task| task_of(task, snapshot)).unwrap();
    let candidate = first_candidate(evidence, snapshot);
    let proposal = candidate.map_or(Proposal::Unknown, |fix| Proposal::Change(Box::new(fix)));
    rest(&mut text, (evidence, &proposal), snapshot, &lab_toml, paint).unwrap();
    String::from_utf8(text).unwrap()
}

/// Shows one packet for programs.
fn json(evidence: &Evidence, snapshot: &Snapshot) -> String {
    serde_json::to_string_pretty(&explanation(evidence, snapshot)).unwrap() + "\n"
}

#[test]
fn security_group_egress_drop_with_a_near_miss() {
    let mut evidence = to(ORDERS_DB_ADDRESS, 5432);
    attached(&mut evidence);
    let near = NearMiss { rule: (SG_APP, 1), protocol: true, ports: false, peer: true };
    drop(
        &mut evidence,
        Component::Eni(ENI_A),
        Reason::SgEgressImplicitDeny,
        RuleRef::EniSecurityGroups(ENI_A, Direction::Egress),
        Detail::NearMiss(near, Direction::Egress),
    );
    insta::assert_snapshot!("sg_egress_text", text(&evidence, &snapshot()));
    insta::assert_snapshot!("sg_egress_json", json(&evidence, &snapshot()));
}

#[test]
fn forward_through_a_nat_gateway_and_the_reply_back() {
    let evidence = through_nat();
    insta::assert_snapshot!("nat_text", text(&evidence, &snapshot()));
    insta::assert_snapshot!("nat_json", json(&evidence, &snapshot()));
}

#[test]
fn the_reply_dies_at_a_network_acl() {
    let mut parts = parts();
    parts.network_acls[ACL_PRIVATE.get()].ingress.clear();
    let snapshot = with_task(parts);
    let mut evidence = through_nat();
    evidence.steps.pop();
    evidence.outside = None;
    evidence.admitted_by = None;
    let rule = RuleRef::NetworkAclImplicitDeny(ACL_PRIVATE, Direction::Ingress, PRIVATE_A);
    let crossing = Detail::Crossing { remote: EXAMPLE, port: 1024 };
    let component = Component::NetworkAcl(ACL_PRIVATE, PRIVATE_A);
    drop(&mut evidence, component, Reason::NaclReturnImplicitDeny, rule, crossing);
    insta::assert_snapshot!("nacl_return_text", text(&evidence, &snapshot));
    insta::assert_snapshot!("nacl_return_json", json(&evidence, &snapshot));
}

#[test]
fn no_route() {
    let mut parts = parts();
    parts.route_tables[RTB_PRIVATE.get()].routes.pop();
    let snapshot = with_task(parts);
    let mut evidence = to(EXAMPLE, 443);
    admitted(&mut evidence);
    let component = Component::RouteTable(RTB_PRIVATE, PRIVATE_A);
    let rule = RuleRef::RouteTable(RTB_PRIVATE);
    drop(&mut evidence, component, Reason::NoRoute, rule, Detail::None);
    insta::assert_snapshot!("no_route_text", text(&evidence, &snapshot));
    insta::assert_snapshot!("no_route_json", json(&evidence, &snapshot));
}

/// Surprise 1: a default route to an internet gateway gives a connector nothing.
#[test]
fn the_internet_gateway_trap() {
    let mut parts = parts();
    parts.route_tables[RTB_PRIVATE.get()].routes[1].target = Target::InternetGateway;
    let snapshot = with_task(parts);
    let mut evidence = to(EXAMPLE, 443);
    admitted(&mut evidence);
    let table = Component::RouteTable(RTB_PRIVATE, PRIVATE_A);
    pass(&mut evidence, Stage::RouteTable, table, RuleRef::Route(RTB_PRIVATE, 1), Detail::None);
    drop(
        &mut evidence,
        Component::InternetGateway(VPC),
        Reason::IgwNoPublicAddress,
        RuleRef::InternetGateway(VPC),
        Detail::None,
    );
    insta::assert_snapshot!("igw_trap_text", text(&evidence, &snapshot));
    insta::assert_snapshot!("igw_trap_json", json(&evidence, &snapshot));
}

#[test]
fn an_explicit_deny_is_overtaken_by_a_lower_number() {
    let mut evidence = to(Ipv4Addr::new(10, 0, 0, 20), 22);
    attached(&mut evidence);
    let rule = RuleRef::NetworkAclRule(ACL_PRIVATE, Direction::Egress, 0, PRIVATE_A);
    let crossing = Detail::Crossing { remote: Ipv4Addr::new(10, 0, 0, 20), port: 22 };
    let component = Component::NetworkAcl(ACL_PRIVATE, PRIVATE_A);
    drop(&mut evidence, component, Reason::NaclEgressDeny, rule, crossing);
    let fix = first_candidate(&evidence, &snapshot()).unwrap();
    assert_eq!(
        (fix.id.as_str(), fix.at, fix.action.as_str()),
        ("acl-private", 30, "add to egress")
    );
    let rule =
        r#"{ rule = 50, action = "allow", protocol = "tcp", ports = "22", cidr = "10.0.0.20/32" }"#;
    assert_eq!(fix.rule, rule);
}

#[test]
fn the_other_gate_is_named_with_the_group_that_knocks() {
    let mut evidence = to(ORDERS_DB_ADDRESS, 5433);
    admitted(&mut evidence);
    let near = NearMiss { rule: (SG_DB, 0), protocol: true, ports: false, peer: true };
    drop(
        &mut evidence,
        Component::Resource(ORDERS_DB),
        Reason::SgIngressImplicitDeny,
        RuleRef::DestinationSecurityGroups(VPC, ORDERS_DB_ADDRESS),
        Detail::NearMiss(near, Direction::Ingress),
    );
    let fix = first_candidate(&evidence, &snapshot()).unwrap();
    assert_eq!((fix.id.as_str(), fix.action.as_str()), ("sg-db", "add to ingress"));
    assert_eq!(fix.rule, r#"{ protocol = "tcp", ports = "5433", from = "sg-app" }"#);
}

/// A connector that shares the NAT gateway's table cannot be led to it: the gateway would be led to
/// itself.
#[test]
fn no_line_is_proposed_that_would_cut_off_the_nat_gateway() {
    let mut parts = parts();
    parts.subnets[PRIVATE_A.get()].route_table = RTB_PUBLIC;
    let snapshot = with_task(parts);
    let mut evidence = to(EXAMPLE, 443);
    admitted(&mut evidence);
    let table = Component::RouteTable(RTB_PUBLIC, PRIVATE_A);
    pass(&mut evidence, Stage::RouteTable, table, RuleRef::Route(RTB_PUBLIC, 1), Detail::None);
    let igw = Component::InternetGateway(VPC);
    let rule = RuleRef::InternetGateway(VPC);
    drop(&mut evidence, igw, Reason::IgwNoPublicAddress, rule, Detail::None);
    assert_eq!(first_candidate(&evidence, &snapshot), None);
}

/// The internet gateway drops packets of a private NAT gateway (spec 3.6), so a route to it fixes
/// nothing.
#[test]
fn regression_no_way_to_the_internet_is_proposed_for_a_private_nat_gateway() {
    let proposed = |connectivity| {
        let mut parts = parts();
        parts.nat_gateways[0].connectivity = connectivity;
        parts.route_tables[RTB_PUBLIC.get()].routes.truncate(1);
        let mut evidence = to(EXAMPLE, 443);
        admitted(&mut evidence);
        let gateway = Component::NatGateway(NatGatewayIx(0));
        let table = RuleRef::RouteTable(RTB_PUBLIC);
        drop(&mut evidence, gateway, Reason::NatNoRoute, table, Detail::None);
        first_candidate(&evidence, &with_task(parts)).map(|fix| fix.rule)
    };
    let to_the_internet = r#"{ destination = "0.0.0.0/0", target = "igw-prod" }"#;
    assert_eq!(proposed(Connectivity::Public).as_deref(), Some(to_the_internet));
    assert_eq!(proposed(Connectivity::Private), None);
}

#[test]
fn colour_only_when_asked() {
    let evidence = through_nat();
    let coloured = shown(&evidence, &snapshot(), true);
    assert!(coloured.starts_with("\x1b[32mFORWARD\x1b[0m\n"));
    assert!(!text(&evidence, &snapshot()).contains('\x1b'));
}

#[test]
fn tables() {
    insta::assert_snapshot!("flows", table(&[flow()], false));
    insta::assert_snapshot!("flows_json", table(&[flow()], true));
    insta::assert_snapshot!("drops", table(&[dropped(), malformed()], false));
    insta::assert_snapshot!("drops_json", table(&[dropped()], true));
    insta::assert_snapshot!("enis", table(&[eni()], false));
    insta::assert_snapshot!("ps", table(&[ps(1), ps(12)], false));
    insta::assert_snapshot!(
        "processes",
        table(&[program("sleep 60"), program(&"x".repeat(41))], false)
    );
}

#[test]
fn an_empty_table_says_so_in_one_line() {
    assert_eq!(table::<FlowRow>(&[], false), "no flows\n");
    assert_eq!(table::<DropRow>(&[], false), "no drops\n");
    assert_eq!(table::<EniRow>(&[], false), "no ENIs\n");
    assert_eq!(table::<PsRow>(&[], false), "no tasks\n");
    assert_eq!(table::<PsRow>(&[], true), "[]\n");
}

#[test]
fn wide_table_has_the_columns_of_the_table_and_more() {
    fn has_as_many_cells_as_headings<R: Row>(row: &R) -> bool {
        row.cells().len() == R::COLUMNS.len()
    }
    assert!(has_as_many_cells_as_headings(&flow()));
    assert!(has_as_many_cells_as_headings(&dropped()));
    assert!(has_as_many_cells_as_headings(&eni()));
    assert!(has_as_many_cells_as_headings(&ps(1)));
    let mut text = Vec::new();
    print(&mut text, &[eni()], &TableStyle { wide: true, ..TableStyle::default() }).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().next().unwrap().ends_with("STATE  INTERFACE-TYPE  MANAGED  TAGS"));
    assert!(text.ends_with("-      interface       yes      AWSAppRunnerManaged=true\n"), "{text}");
}

fn table<R: Row>(rows: &[R], json: bool) -> String {
    let mut text = Vec::new();
    match json {
        true => {
            serde_json::to_writer_pretty(&mut text, rows).unwrap();
            text.push(b'\n');
        }
        false => print(&mut text, rows, &TableStyle::default()).unwrap(),
    }
    String::from_utf8(text).unwrap()
}

fn with_task(parts: Parts) -> Snapshot {
    let task = *snapshot().task(TASK_ADDRESS).unwrap();
    Snapshot::build(Generation(3), parts).with_task(task)
}

fn to(address: Ipv4Addr, port: u16) -> Evidence {
    evidence(tcp(TASK_ADDRESS, 49152, address, port))
}

fn pass(
    evidence: &mut Evidence,
    stage: Stage,
    component: Component,
    rule: RuleRef,
    detail: Detail,
) {
    let rule = Some(rule);
    evidence.steps.push(Step { stage, component, rule, outcome: Outcome::Pass, detail });
}

fn drop(
    evidence: &mut Evidence,
    component: Component,
    reason: Reason,
    decided_by: RuleRef,
    detail: Detail,
) {
    let (stage, rule) = (reason.stage(), Some(decided_by));
    evidence.steps.push(Step { stage, component, rule, outcome: Outcome::Drop, detail });
    evidence.denial = Some(Denial { reason, decided_by });
}

fn translate(
    evidence: &mut Evidence,
    stage: Stage,
    component: Component,
    rule: RuleRef,
    source: (Ipv4Addr, u16),
) {
    let before = evidence.outside.map_or(evidence.inside.tuple(), Outside::tuple);
    let after = Tuple { src: source.0, sport: source.1, ..before };
    let detail = Detail::Translated { before, after };
    let outcome = Outcome::Translate;
    evidence.steps.push(Step { stage, component, rule: Some(rule), outcome, detail });
    evidence.outside = Some(Outside::new(after));
}

fn attached(evidence: &mut Evidence) {
    let task = Component::Task(evidence.inside.src());
    pass(evidence, Stage::SourceCheck, task, RuleRef::SourceCheck, Detail::None);
    let detail = Detail::Attached { subnet: PRIVATE_A };
    pass(evidence, Stage::Connector, Component::Eni(ENI_A), RuleRef::Eni(ENI_A), detail);
}

fn admitted(evidence: &mut Evidence) {
    attached(evidence);
    let rule = RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, 1);
    let eni = Component::Eni(ENI_A);
    pass(evidence, Stage::SecurityGroupEgress, eni, rule, Detail::None);
}

fn crossing(
    evidence: &mut Evidence,
    stage: Stage,
    acl: (NetworkAclIx, SubnetIx),
    rule: (Direction, u16),
    (remote, port): (Ipv4Addr, u16),
) {
    let component = Component::NetworkAcl(acl.0, acl.1);
    let rule = RuleRef::NetworkAclRule(acl.0, rule.0, rule.1, acl.1);
    pass(evidence, stage, component, rule, Detail::Crossing { remote, port });
}

fn through_nat() -> Evidence {
    use Direction::{Egress, Ingress};
    use Stage::{NetworkAclEgress, NetworkAclIngress, NetworkAclReturn, RouteTable};
    let (private, public) = ((ACL_PRIVATE, PRIVATE_A), (ACL_DEFAULT, PUBLIC_A));
    let mut evidence = to(EXAMPLE, 443);
    let e = &mut evidence;
    admitted(e);
    let (eni, nat) = (RuleRef::Eni(ENI_A), RuleRef::NatGateway(NAT_A));
    translate(e, Stage::PortLease, Component::Eni(ENI_A), eni, (ENI_ADDRESS, 1024));
    crossing(e, NetworkAclEgress, private, (Egress, 1), (EXAMPLE, 443));
    let route = RuleRef::Route(RTB_PRIVATE, 1);
    pass(e, RouteTable, Component::RouteTable(RTB_PRIVATE, PRIVATE_A), route, Detail::None);
    crossing(e, NetworkAclIngress, public, (Ingress, 0), (ENI_ADDRESS, 443));
    let route = RuleRef::Route(RTB_PUBLIC, 1);
    pass(e, RouteTable, Component::RouteTable(RTB_PUBLIC, PUBLIC_A), route, Detail::None);
    translate(e, Stage::NatGateway, Component::NatGateway(NAT_A), nat, (NAT_ADDRESS, 1025));
    crossing(e, NetworkAclEgress, public, (Egress, 0), (EXAMPLE, 443));
    let igw = RuleRef::InternetGateway(VPC);
    translate(e, Stage::InternetGateway, Component::InternetGateway(VPC), igw, (NAT_PUBLIC, 1025));
    e.steps.push(Step {
        stage: Stage::Deliver,
        component: Component::Internet,
        rule: None,
        outcome: Outcome::Deliver,
        detail: Detail::None,
    });
    crossing(e, NetworkAclReturn, public, (Ingress, 0), (EXAMPLE, 1025));
    crossing(e, NetworkAclReturn, public, (Egress, 0), (ENI_ADDRESS, 1024));
    crossing(e, NetworkAclReturn, private, (Ingress, 0), (EXAMPLE, 1024));
    e.admitted_by = Some(RuleRef::SecurityGroupRule(SG_APP, Egress, 1));
    evidence
}

fn flow() -> FlowRow {
    FlowRow {
        service: "web".into(),
        task: 1,
        protocol: "tcp".into(),
        state: "established".into(),
        inside: "100.64.0.2:5000".into(),
        destination: "203.0.113.10:443".into(),
        eni: ENI_ID.into(),
        eni_port: 1024,
        nat_gateway: Some("nat-a".into()),
        outside: "198.51.100.7:1025".into(),
        admitted_by: "rule 2 of sg-app (tcp 443 to 0.0.0.0/0)".into(),
        line: Some(41),
        rule_generation: None,
        packets_out: 12,
        bytes_out: 1234,
        packets_in: 900,
        bytes_in: 1_300_000,
        path: "offload".into(),
        offloaded: Offloaded {
            packets_out: 2,
            bytes_out: 234,
            packets_in: 890,
            bytes_in: 1_290_000,
        },
        age_ms: 754_000,
        idle_ms: 1500,
        expires_ms: 348_500,
        generation: 3,
        admitted_under: 3,
    }
}

fn dropped() -> DropRow {
    DropRow {
        reason: "sg-egress-implicit-deny".into(),
        rule: "no egress rule of sg-app".into(),
        line: Some(39),
        rule_generation: None,
        service: Some("web".into()),
        task: Some(1),
        source: Some(TASK_ADDRESS),
        destination: Some(ORDERS_DB_ADDRESS.into()),
        server: Some(ORDERS_DB_ADDRESS.into()),
        protocol: Some("tcp".into()),
        port: Some(5432),
        packets: 7,
        first_seen_ms_ago: 61_000,
        last_seen_ms_ago: 240,
    }
}

fn malformed() -> DropRow {
    DropRow {
        reason: "malformed-truncated".into(),
        rule: "packet".into(),
        line: None,
        rule_generation: None,
        service: None,
        task: None,
        source: None,
        destination: None,
        server: None,
        protocol: None,
        port: None,
        packets: 1,
        ..dropped()
    }
}

fn eni() -> EniRow {
    EniRow {
        id: ENI_ID.into(),
        device: "eni-0a1b2c3d".into(),
        queues: 1,
        dead_workers: 0,
        kind: "hyperplane".into(),
        subnet: Some("subnet-private-a".into()),
        availability_zone: Some("us-east-1a".into()),
        security_groups: vec!["sg-app".into(), "sg-base".into()],
        address: Some(ENI_ADDRESS),
        public_address: None,
        secondary_addresses: Vec::new(),
        secondary_public_addresses: Vec::new(),
        state: None,
        services: vec!["web".into(), "worker".into()],
        connectors: vec!["prod".into()],
        interface_type: Some("interface".into()),
        requester_managed: true,
        tags: [("AWSAppRunnerManaged".into(), "true".into())].into(),
        tasks: 3,
        flows: 17,
        packets_out: 100,
        bytes_out: 150_000,
        packets_in: 200,
        bytes_in: 3_000_000_000,
        offloaded: Offloaded { bytes_in: 2_400_000_000, packets_in: 190, ..Offloaded::default() },
        port_errors: 0,
        metrics: None,
        drops: 7,
    }
}

fn ps(task: u16) -> PsRow {
    PsRow {
        service: "web".into(),
        task,
        namespace: format!("egret-web-{task}"),
        address: TASK_ADDRESS,
        eni: Some(ENI_ID.into()),
        subnet: Some("subnet-private-a".into()),
        availability_zone: Some("us-east-1a".into()),
        egress: "vpc".into(),
        origin: "file".into(),
        container: None,
        state: "ok".into(),
        faults: Vec::new(),
        way_out: None,
        generation: 3,
        time_scale: 100.0,
    }
}

fn program(command: &str) -> ProcessRow {
    ProcessRow {
        pid: 9125,
        task: Some("web/1".into()),
        namespace: "egret-web-1".into(),
        state: "ended by SIGTERM".into(),
        command: command.into(),
    }
}

#[test]
fn broken_tasks_are_listed_below_the_table_within_its_width() {
    let faults =
        vec!["eth0 has MTU 9000, not 1500".into(), "no default route via 169.254.1.1".into()];
    let way_out = Some("`egret task repair web/1` repairs it".to_owned());
    let broken = PsRow { state: "broken".into(), faults, way_out, ..ps(1) };
    let mut out = Vec::new();
    print_broken(&mut out, &[ps(2), broken]).unwrap();
    let said = "\nweb/1 is broken: eth0 has MTU 9000, not 1500; no default route via 169.254.1.1; `egret task\n    \
                repair web/1` repairs it\n";
    assert_eq!(String::from_utf8(out).unwrap(), said);
    let mut out = Vec::new();
    print_broken(&mut out, &[ps(2)]).unwrap();
    assert!(out.is_empty());
}
