//! Compares two lab files object by object, in AWS's words. `egret apply` prints the result before
//! it acts.
//!
//! Each object is a list of facts; two objects of the same kind and id are compared fact by fact.
//! The descriptions destructure [`spec`] field by field, so that a new field without a description
//! does not compile.

use super::apprunner::{AppRunner, StartupLatency};
use super::diagnostic::At;
use super::plan::{EniKey, PlannedEni, PlannedNatGateway};
use super::{Lab, spec};
use crate::vpc::{Connectivity, Limits, Line, Listen, Mtu, ServiceKind, Timeouts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

/// The change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The kind of change.
    pub what: What,
    /// The kind of object, such as `security group`.
    pub kind: String,
    /// Its id or name.
    pub id: String,
    /// Its line in the new file, or in the old one if it is removed. `None` for an object that the
    /// file implies.
    pub line: Option<Line>,
    /// The facts that differ; for an object that is added or removed, all of its facts.
    pub details: Vec<Difference>,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The object did not exist before.
    Added,
    /// The object exists before and after.
    Changed,
    /// The object does not exist any more.
    Removed,
}

/// One fact about an object, before and after. A rule has no value: it exists or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The name of the fact.
    pub name: String,
    /// The value before; `None` if there was no such fact.
    pub before: Option<String>,
    /// The value after; `None` if there is no such fact any more.
    pub after: Option<String>,
}

/// Lists all changes from `before` to `after`. Order, comments and lines are no change.
pub fn changes(before: &Lab, after: &Lab) -> Vec<Change> {
    let (old, new) = (objects(before), objects(after));
    let key = |object: &Object| (object.kind, object.id.clone());
    let olds: BTreeMap<_, &Object> = old.iter().map(|object| (key(object), object)).collect();
    let news: BTreeMap<_, &Object> = new.iter().map(|object| (key(object), object)).collect();
    let removed = old.iter().filter(|object| !news.contains_key(&key(object)));
    let removed =
        removed.map(|object| object.change(What::Removed, differences(&object.facts, &[])));
    let kept = new.iter().filter_map(|object| match olds.get(&key(object)) {
        None => Some(object.change(What::Added, differences(&[], &object.facts))),
        Some(old) => {
            let differences = differences(&old.facts, &object.facts);
            (!differences.is_empty()).then(|| object.change(What::Changed, differences))
        }
    });
    removed.chain(kept).collect()
}

/// The name of a fact, and its value.
type Fact = (String, String);

struct Object {
    kind: &'static str,
    id: String,
    line: Line,
    facts: Vec<Fact>,
}

impl Object {
    fn change(&self, what: What, details: Vec<Difference>) -> Change {
        let line = (self.line > 0).then_some(self.line);
        Change { what, kind: self.kind.to_owned(), id: self.id.clone(), line, details }
    }
}

fn differences(before: &[Fact], after: &[Fact]) -> Vec<Difference> {
    let value = |facts: &[Fact], name: &str| {
        facts.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let mut found: Vec<Difference> = Vec::new();
    for (name, _) in before.iter().chain(after) {
        let (before, after) = (value(before, name), value(after, name));
        if before != after && !found.iter().any(|known| known.name == *name) {
            found.push(Difference { name: name.clone(), before, after });
        }
    }
    found
}

/// Lists the objects of a lab, in the order of the sections in `docs/reference/lab-file.md`.
fn objects(lab: &Lab) -> Vec<Object> {
    let spec::Spec {
        lab: name,
        region,
        device: _,
        offload: _,
        offload_grace: _,
        queues: _,
        task_cidr: _,
        apprunner_public_ip: _,
        apprunner,
        mtu,
        limits,
        timeouts,
        time_scale,
        vpcs,
        subnets,
        route_tables,
        vpc_endpoints,
        peerings,
        security_groups,
        network_acls,
        prefix_lists,
        nat_gateways,
        resources,
        internet_hosts,
        private_zones,
        connectors,
        services,
        expectations: _,
        access_group: _,
        lint_allow: _,
        more_tasks: _,
        name_tags,
    } = &lab.spec;
    let mut facts = vec![fact("region", region)];
    let own = lab.plan.apprunner_address;
    facts.extend(own.map(|address| fact("App Runner's public address", address)));
    facts.extend(mtus(mtu).into_iter().chain(limit_facts(limits)));
    facts.extend(timeout_facts(timeouts));
    facts.push(fact("timeouts.time_scale", time_scale));
    facts.extend(apprunner_facts(apprunner));
    let mut objects = vec![Object { kind: "lab", id: name.value.clone(), line: 0, facts }];
    objects.extend(vpcs.iter().map(vpc));
    objects.extend(subnets.iter().map(subnet));
    objects.extend(route_tables.iter().map(route_table));
    objects.extend(vpc_endpoints.iter().map(vpc_endpoint));
    objects.extend(peerings.iter().map(peering));
    objects.extend(security_groups.iter().map(security_group));
    objects.extend(network_acls.iter().map(network_acl));
    objects.extend(prefix_lists.iter().map(prefix_list));
    objects.extend(
        nat_gateways.iter().map(|n| nat_gateway(n, lab.plan.nat_gateways.get(&n.id.value))),
    );
    objects.extend(resources.iter().map(resource));
    objects.extend(internet_hosts.iter().map(internet_host));
    objects.extend(private_zones.iter().map(private_zone));
    let declared = connectors.iter().filter(|c| c.kind == ServiceKind::AppRunner);
    objects.extend(declared.map(connector));
    objects.extend(lab.plan.enis.iter().map(eni));
    objects.extend(services.iter().map(|of| service(&lab.spec, of)));
    for object in &mut objects {
        let tag = name_tags.get(&object.id);
        object.facts.extend(tag.map(|tag| fact("name_tag", tag)));
    }
    objects
}

fn fact(name: impl Into<String>, value: impl Display) -> Fact {
    (name.into(), value.to_string())
}

/// Makes the fact of a rule: there may be several, and a rule has no value.
fn rule(rule: String) -> Fact {
    (rule, String::new())
}

fn given<T: Display>(name: &str, value: Option<&At<T>>) -> Option<Fact> {
    value.map(|at| fact(name, &at.value))
}

fn groups(ids: &[At<String>]) -> String {
    if ids.is_empty() { "the VPC's default group".to_owned() } else { list(ids) }
}

fn list(ids: &[At<String>]) -> String {
    let mut ids: Vec<&str> = ids.iter().map(|id| id.value.as_str()).collect();
    ids.sort_unstable();
    ids.join(", ")
}

fn mtus(mtu: &Mtu) -> [Fact; 2] {
    let Mtu { task: _, vpc, internet } = mtu;
    [fact("mtu", vpc), fact("internet_mtu", internet)]
}

fn limit_facts(limits: &Limits) -> [Fact; 3] {
    let Limits { nat_connections_per_destination, eni_connections, dns_packets_per_second } =
        limits;
    [
        fact("limits.nat_connections_per_destination", nat_connections_per_destination),
        fact("limits.eni_connections", eni_connections),
        fact("limits.dns_packets_per_second", dns_packets_per_second),
    ]
}

fn timeout_facts(timeouts: &Timeouts) -> Vec<Fact> {
    let Timeouts {
        tcp_idle,
        tcp_opening,
        tcp_half_closed,
        tcp_closing,
        tcp_reset,
        udp_idle,
        icmp_idle,
        other_idle,
        eni_udp,
        eni_udp_stream,
        port_quarantine,
    } = timeouts;
    [
        ("tcp_idle", tcp_idle),
        ("tcp_opening", tcp_opening),
        ("tcp_half_closed", tcp_half_closed),
        ("tcp_closing", tcp_closing),
        ("tcp_reset", tcp_reset),
        ("udp_idle", udp_idle),
        ("icmp_idle", icmp_idle),
        ("other_idle", other_idle),
        ("eni_udp", eni_udp),
        ("eni_udp_stream", eni_udp_stream),
        ("port_quarantine", port_quarantine),
    ]
    .map(|(name, value)| fact(format!("timeouts.{name}"), word(value)))
    .into()
}

fn apprunner_facts(settings: &AppRunner) -> Vec<Fact> {
    // The API's own settings cannot change while it runs.
    let AppRunner {
        startup_latency,
        public_subnets,
        access_role,
        source,
        same_security_groups,
        refuse_subnets,
        unsupported_availability_zones: zones,
        api: _,
        api_at: _,
    } = settings;
    let mut facts = vec![
        fact("apprunner.public_subnets", word(public_subnets)),
        fact("apprunner.access_role", word(access_role)),
        fact("apprunner.source", word(source)),
        fact("apprunner.same_security_groups", word(same_security_groups)),
        fact("apprunner.refuse_subnets", word(refuse_subnets)),
    ];
    facts.extend(startup_latency.map(|StartupLatency { shortest, longest }| {
        fact("apprunner.startup_latency", format!("{} to {}", word(&shortest), word(&longest)))
    }));
    let zone = |at: &At<String>| rule(format!("unsupported Availability Zone {}", at.value));
    facts.extend(zones.iter().map(zone));
    facts
}

/// Returns the lab file's word for a duration or an enum: its debug form in lower case.
fn word(value: &impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn vpc(vpc: &spec::Vpc) -> Object {
    let spec::Vpc {
        id,
        cidrs,
        region,
        internet_gateway,
        main_route_table,
        enable_dns_support,
        enable_dns_hostnames,
        line,
    } = vpc;
    let mut facts: Vec<Fact> = cidrs.iter().map(|at| rule(format!("CIDR {}", at.value))).collect();
    facts.extend(given("region", region.as_ref()));
    facts.extend(given("internet gateway", internet_gateway.as_ref()));
    facts.extend(given("main route table", main_route_table.as_ref()));
    facts.extend(given("enable_dns_support", enable_dns_support.as_ref()));
    facts.extend(given("enable_dns_hostnames", enable_dns_hostnames.as_ref()));
    Object { kind: "VPC", id: id.value.clone(), line: *line, facts }
}

fn subnet(subnet: &spec::Subnet) -> Object {
    let spec::Subnet { id, vpc, availability_zone, cidr, route_table, network_acl, line } = subnet;
    let or = |given: &Option<At<String>>, implied: &str| {
        given.as_ref().map_or_else(|| implied.to_owned(), |at| at.value.clone())
    };
    let facts = vec![
        fact("VPC", &vpc.value),
        fact("Availability Zone", availability_zone),
        fact("CIDR", cidr.value),
        fact("route table", or(route_table, "the VPC's main table")),
        fact("network ACL", or(network_acl, "the VPC's default ACL")),
    ];
    Object { kind: "subnet", id: id.value.clone(), line: *line, facts }
}

fn route_table(table: &spec::RouteTable) -> Object {
    let spec::RouteTable { id, vpc, main, routes, line } = table;
    let mut facts = vec![fact("VPC", &vpc.value)];
    facts.extend(given("main", main.as_ref()));
    facts.extend(routes.iter().map(|route| {
        let spec::Route { destination, target, line: _ } = route;
        fact(format!("route to {}", destination.value), self::target(&target.value))
    }));
    Object { kind: "route table", id: id.value.clone(), line: *line, facts }
}

fn target(target: &spec::Target) -> String {
    match target {
        spec::Target::Local => "local".to_owned(),
        spec::Target::InternetGateway(id)
        | spec::Target::NatGateway(id)
        | spec::Target::VpcEndpoint(id)
        | spec::Target::Peering(id)
        | spec::Target::NetworkInterface(id) => id.clone(),
        spec::Target::Blackhole(None) => "blackhole".to_owned(),
        spec::Target::Blackhole(Some(id)) => format!("blackhole ({id})"),
    }
}

fn vpc_endpoint(endpoint: &spec::VpcEndpoint) -> Object {
    let spec::VpcEndpoint {
        id,
        vpc,
        kind,
        service,
        prefix_list,
        route_tables,
        subnets,
        addresses,
        security_groups,
        listen,
        private_dns_enabled,
        line,
    } = endpoint;
    let mut facts =
        vec![fact("VPC", &vpc.value), fact("kind", kind.as_str()), fact("service", service)];
    facts.extend(given("prefix list", prefix_list.as_ref()));
    facts.extend(route_tables.iter().map(|table| rule(format!("route in {}", table.value))));
    facts.extend(subnets.iter().map(|subnet| rule(format!("interface in {}", subnet.value))));
    facts.extend(addresses.iter().map(|at| rule(format!("interface at {}", at.value))));
    facts.extend(listen.iter().map(listens));
    if *kind == spec::EndpointKind::Interface {
        facts.push(fact("security groups", groups(security_groups)));
        facts.push(fact("private DNS", private_dns_enabled));
    }
    Object { kind: "VPC endpoint", id: id.value.clone(), line: *line, facts }
}

fn peering(peering: &spec::Peering) -> Object {
    let spec::Peering {
        id,
        requester_vpc,
        accepter_vpc,
        state,
        requester_dns_resolution,
        accepter_dns_resolution,
        line,
    } = peering;
    let mut facts = vec![
        fact("requester VPC", &requester_vpc.value),
        fact("accepter VPC", &accepter_vpc.value),
        fact("state", state.as_str()),
    ];
    let dns = [("requester", requester_dns_resolution), ("accepter", accepter_dns_resolution)];
    let allowed = dns.into_iter().filter(|(_, allows)| **allows);
    facts.extend(allowed.map(|(side, _)| rule(format!("DNS resolution of the {side}'s names"))));
    Object { kind: "VPC peering connection", id: id.value.clone(), line: *line, facts }
}

fn security_group(group: &spec::SecurityGroup) -> Object {
    let spec::SecurityGroup { id, vpc, default, egress, ingress, line } = group;
    let one = |direction: &str, side: &str, of: &spec::SecurityGroupRule| {
        let spec::SecurityGroupRule { traffic, peer, line: _ } = of;
        rule(format!("{direction} {traffic} {side} {}", self::peer(&peer.value)))
    };
    let mut facts = vec![fact("VPC", &vpc.value)];
    facts.extend(given("default", default.as_ref()));
    match egress {
        Some(rules) => facts.extend(rules.iter().map(|rule| one("egress", "to", rule))),
        None => facts.push(rule("egress all traffic to 0.0.0.0/0 (implied)".to_owned())),
    }
    facts.extend(ingress.iter().map(|rule| one("ingress", "from", rule)));
    Object { kind: "security group", id: id.value.clone(), line: *line, facts }
}

fn peer(peer: &spec::Peer) -> String {
    match peer {
        spec::Peer::Cidr(network) => network.to_string(),
        spec::Peer::SecurityGroup(id) | spec::Peer::PrefixList(id) => id.clone(),
    }
}

fn network_acl(acl: &spec::NetworkAcl) -> Object {
    let spec::NetworkAcl { id, vpc, egress, ingress, line } = acl;
    let one = |direction: &str, of: &spec::AclRule| {
        let spec::AclRule { number, action, traffic, cidr, line: _ } = of;
        let name = format!("{direction} rule {}", number.value);
        fact(name, format!("{} {traffic} {cidr}", word(action)))
    };
    let mut facts = vec![fact("VPC", &vpc.value)];
    facts.extend(egress.iter().map(|rule| one("egress", rule)));
    facts.extend(ingress.iter().map(|rule| one("ingress", rule)));
    Object { kind: "network ACL", id: id.value.clone(), line: *line, facts }
}

fn prefix_list(list: &spec::PrefixList) -> Object {
    let spec::PrefixList { id, entries, line } = list;
    let facts = entries.iter().map(|entry| rule(format!("entry {entry}"))).collect();
    Object { kind: "prefix list", id: id.value.clone(), line: *line, facts }
}

fn nat_gateway(gateway: &spec::NatGateway, planned: Option<&PlannedNatGateway>) -> Object {
    let spec::NatGateway {
        id,
        subnet,
        connectivity,
        public_ip: _,
        private_ip: _,
        secondary_public_ips: _,
        secondary_private_ips: _,
        secondary_private_ip_count: _,
        state,
        line,
    } = gateway;
    let mut facts = vec![fact("subnet", &subnet.value), fact("state", state.as_str())];
    if *connectivity == Connectivity::Private {
        facts.push(fact("connectivity", "private"));
    }
    if let Some(planned) = planned {
        for own in &planned.addresses {
            let public =
                own.public.map_or_else(|| "none".to_owned(), |address| address.to_string());
            facts.push(fact(format!("public address of {}", own.private), public));
        }
    }
    Object { kind: "NAT gateway", id: id.value.clone(), line: *line, facts }
}

fn resource(resource: &spec::Resource) -> Object {
    let spec::Resource {
        name,
        aliases,
        public_dns_name,
        subnet,
        address,
        public_ip,
        security_groups,
        listen,
        network_interface,
        source_dest_check: _,
        line,
    } = resource;
    let mut facts = vec![
        fact("subnet", &subnet.value),
        fact("address", address.value),
        fact("security groups", groups(security_groups)),
    ];
    if let Some(public) = public_ip {
        facts.push(fact("public address", public.value));
    }
    let kind = if *public_dns_name { "public alias" } else { "alias" };
    facts.extend(aliases.iter().map(|alias| rule(format!("{kind} {alias}"))));
    facts.extend(listen.iter().map(listens));
    if let Some(id) = network_interface {
        facts.push(fact("network interface", &id.value));
        facts.push(fact("source/dest check", resource.has_source_dest_check()));
    }
    Object { kind: "resource", id: name.value.clone(), line: *line, facts }
}

fn listens(listen: &Listen) -> Fact {
    rule(format!("listens on {listen}"))
}

fn internet_host(host: &spec::InternetHost) -> Object {
    let spec::InternetHost { name, aliases, address, listen, line } = host;
    let mut facts = vec![fact("address", address.value)];
    facts.extend(aliases.iter().map(|alias| rule(format!("alias {alias}"))));
    facts.extend(listen.iter().map(listens));
    Object { kind: "internet host", id: name.value.clone(), line: *line, facts }
}

fn private_zone(zone: &spec::PrivateZone) -> Object {
    let spec::PrivateZone { name, vpcs, records, line } = zone;
    let mut facts = vec![fact("VPCs", list(vpcs))];
    facts.extend(records.iter().map(|record| {
        let spec::ZoneRecord { name, ttl, values } = record;
        fact(format!("record {}", name.value), format!("{values:?}, {ttl} s"))
    }));
    Object { kind: "private hosted zone", id: name.value.clone(), line: *line, facts }
}

fn connector(connector: &spec::Connector) -> Object {
    let spec::Connector { name, kind: _, subnets, security_groups, line } = connector;
    let facts =
        vec![fact("subnets", list(subnets)), fact("security groups", groups(security_groups))];
    Object { kind: "VPC connector", id: name.value.clone(), line: *line, facts }
}

fn eni(eni: &PlannedEni) -> Object {
    let PlannedEni { id, device: _, key, address, public_address } = eni;
    let EniKey { kind, subnet, security_groups, task } = key;
    let mut facts = vec![
        fact("subnet", subnet),
        fact("security groups", security_groups.join(", ")),
        fact("address", address),
    ];
    facts.extend(public_address.map(|address| fact("public address", address)));
    match (kind, task) {
        (_, Some((service, number))) => facts.push(fact("task", format!("{service}/{number}"))),
        (ServiceKind::Lambda, None) => facts.push(fact("of", "Lambda functions")),
        (ServiceKind::AppRunner | ServiceKind::Fargate, None) => {}
    }
    Object { kind: "ENI", id: id.clone(), line: 0, facts }
}

fn service(spec: &spec::Spec, service: &spec::Service) -> Object {
    let spec::Service { name, kind, vpc_connector, assign_public_ip, tasks, line } = service;
    let connector = vpc_connector.as_ref();
    let mut facts = match (kind, connector) {
        (ServiceKind::AppRunner, Some(connector)) => {
            vec![fact("egress", format!("vpc, by {}", connector.value))]
        }
        (ServiceKind::AppRunner | ServiceKind::Lambda | ServiceKind::Fargate, None) => {
            vec![fact("egress", "default")]
        }
        (ServiceKind::Lambda | ServiceKind::Fargate, Some(own)) => {
            let own = spec.connector(own);
            let subnets = own.map_or_else(String::new, |own| list(&own.subnets));
            let groups = own.map_or_else(String::new, |own| groups(&own.security_groups));
            vec![fact("subnets", subnets), fact("security groups", groups)]
        }
    };
    if *kind != ServiceKind::AppRunner {
        facts.push(fact("kind", kind.as_str()));
    }
    facts.extend(given("assign_public_ip", assign_public_ip.as_ref()));
    facts.push(fact("tasks", tasks));
    Object { kind: "service", id: name.value.clone(), line: *line, facts }
}
