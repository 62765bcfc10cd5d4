//! Generates labs from bytes: every legal kind of object, many combinations, and simpler ones as
//! the bytes run out.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// Choices, drawn one byte at a time; 0 after the last.
pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % end.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T], least: usize, most: usize) -> Vec<T> {
        let wanted = least + self.below(most - least + 1);
        let mut left = from.to_vec();
        let mut chosen = Vec::new();
        while chosen.len() < wanted && !left.is_empty() {
            chosen.push(left.remove(self.below(left.len())));
        }
        chosen
    }
}

const PORTS: [&str; 8] =
    ["all", "443", "5432", "53", "1-1023", "1024-65535", "30000-50000", "400-6000"];
const INTERNET: [&str; 5] =
    ["203.0.113.0/24", "203.0.113.8/29", "203.0.113.10/32", "192.0.2.0/24", "0.0.0.0/0"];
const LISTS: [&str; 2] = ["pl-a", "pl-b"];

/// A VPC that is being written.
struct Vpc {
    id: String,
    net: u8,
    subnets: Vec<(String, String)>,
    /// The zone of each subnet.
    zones: Vec<&'static str>,
    groups: Vec<String>,
    nats: Vec<String>,
    /// The middleboxes through which routes may lead.
    middleboxes: Vec<String>,
    igw: bool,
    /// A group of the peered VPC.
    peer_group: Option<String>,
}

pub(crate) fn lab(tape: &mut Tape<'_>) -> String {
    let mut out = String::new();
    for list in LISTS {
        let entries = tape.some(&INTERNET[..4], 1, 3);
        let _ = writeln!(out, "[[prefix_list]]\nid = \"{list}\"\nentries = {}", quoted(&entries));
    }
    let count = 1 + usize::from(tape.one_in(3));
    let overlapping = tape.one_in(2);
    let peering = count == 2 && !overlapping;
    let mut vpcs = Vec::new();
    for number in 0..count {
        let net = if overlapping { 0 } else { number as u8 };
        vpcs.push(vpc(tape, &mut out, number, net, peering));
    }
    if peering {
        out += "[[vpc_peering_connection]]\nid = \"pcx\"\nrequester_vpc = \"vpc-0\"\naccepter_vpc = \"vpc-1\"\n";
        let states = ["active", "active", "active", "deleted", "pending-acceptance", "rejected"];
        let _ = writeln!(out, "state = \"{}\"", tape.pick(&states));
    }
    out += "[[internet_host]]\nname = \"example\"\naddress = \"203.0.113.10\"\n";
    let mut connectors = Vec::new();
    for vpc in &vpcs {
        for number in 0..1 + tape.below(2) {
            let name = format!("{}-connector-{number}", vpc.id);
            let subnets: Vec<String> = vpc.subnets.iter().map(|(id, _)| id.clone()).collect();
            let subnets = tape.some(&subnets, 1, 3);
            let groups = tape.some(&vpc.groups, 0, 2);
            let _ = writeln!(
                out,
                "[[vpc_connector]]\nname = \"{name}\"\nsubnets = {}\nsecurity_groups = {}",
                quoted(&subnets),
                quoted(&groups)
            );
            connectors.push(name);
        }
    }
    for (number, connector) in connectors.iter().enumerate() {
        let kinds = ["kind = \"lambda\"", "kind = \"fargate\"", PUBLIC_FARGATE];
        let kind = if tape.one_in(2) { kinds[tape.below(3)] } else { "" };
        let _ = writeln!(
            out,
            "[[service]]\nname = \"s{number}\"\nvpc_connector = \"{connector}\"\ntasks = 3\n{kind}"
        );
    }
    if tape.one_in(4) {
        out += "[[service]]\nname = \"public\"\negress = \"default\"\n";
    }
    give_public_addresses(tape, &out)
}

/// The line after which a resource may get a public address, while the lab is written.
const MAY_BE_PUBLIC: &str = "# public\n";

/// Gives some of the resources a public address. Drawn last, so that bytes keep the meaning that
/// they had before there were any.
fn give_public_addresses(tape: &mut Tape<'_>, text: &str) -> String {
    let mut out = String::new();
    let mut free = (11..15).chain(101..200);
    for (number, part) in text.split(MAY_BE_PUBLIC).enumerate() {
        if number > 0 && tape.one_in(3) {
            let _ = writeln!(out, "public_ip = \"203.0.113.{}\"", free.next().unwrap());
        }
        out += part;
    }
    out
}

const PUBLIC_FARGATE: &str = "kind = \"fargate\"\nassign_public_ip = true";

fn vpc(tape: &mut Tape<'_>, out: &mut String, number: usize, net: u8, peering: bool) -> Vpc {
    let id = format!("vpc-{number}");
    let igw = !tape.one_in(5);
    let second = tape.one_in(4).then(|| format!("172.{}.0.0/24", 20 + net));
    let mut cidrs = vec![format!("10.{net}.0.0/16")];
    cidrs.extend(second.clone());
    let _ = writeln!(out, "[[vpc]]\nid = \"{id}\"\ncidr = {}", quoted(&cidrs));
    if net % 4 == 1 {
        out.push_str("enable_dns_support = false\n");
    }
    if igw {
        let _ = writeln!(out, "internet_gateway = \"igw-{number}\"");
    }
    let tables: Vec<String> = (0..2 + tape.below(2)).map(|n| format!("{id}-rtb-{n}")).collect();
    let acls: Vec<String> = (0..tape.below(3)).map(|n| format!("{id}-acl-{n}")).collect();
    let (mut subnets, mut zones) = (Vec::new(), Vec::new());
    for n in 0..2 + tape.below(3) {
        let cidr = match &second {
            Some(_) if n == 0 => format!("172.{}.0.0/25", 20 + net),
            _ => format!("10.{net}.{n}.0/24"),
        };
        let name = format!("{id}-subnet-{n}");
        let zone = tape.pick(&["a", "b"]);
        let _ = writeln!(
            out,
            "[[subnet]]\nid = \"{name}\"\nvpc = \"{id}\"\navailability_zone = \"us-east-1{zone}\"\ncidr = \"{cidr}\""
        );
        // As in most accounts: the first subnet and the first table are the public ones.
        let table = match n {
            0 if !tape.one_in(4) => Some(tables[0].clone()),
            _ => (!tape.one_in(4)).then(|| tape.pick(&tables)),
        };
        if let Some(table) = table {
            let _ = writeln!(out, "route_table = \"{table}\"");
        }
        if !acls.is_empty() && tape.one_in(2) {
            let _ = writeln!(out, "network_acl = \"{}\"", tape.pick(&acls));
        }
        subnets.push((name, cidr));
        zones.push(zone);
    }
    let groups: Vec<String> = (0..1 + tape.below(3)).map(|n| format!("{id}-sg-{n}")).collect();
    let nats: Vec<String> = (0..tape.below(3)).map(|n| format!("{id}-nat-{n}")).collect();
    let peer_group = peering.then(|| format!("vpc-{}-sg-0", 1 - number));
    let mut vpc =
        Vpc { id, net, subnets, zones, groups, nats, middleboxes: Vec::new(), igw, peer_group };
    gateways(tape, out, &vpc);
    vpc.middleboxes = middleboxes(tape, out, &vpc);
    endpoint(tape, out, &vpc, &tables);
    for (n, table) in tables.iter().enumerate() {
        route_table(tape, out, &vpc, number, table, n == 0, peering);
    }
    for acl in &acls {
        network_acl(tape, out, &vpc, acl);
    }
    for (n, group) in vpc.groups.iter().enumerate() {
        security_group(tape, out, &vpc, group, n == 0);
    }
    resources(tape, out, &vpc);
    interface_endpoint(tape, out, &vpc);
    vpc
}

fn gateways(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc) {
    for nat in &vpc.nats {
        let (subnet, _) =
            if tape.one_in(3) { tape.pick(&vpc.subnets) } else { vpc.subnets[0].clone() };
        let _ = writeln!(out, "[[nat_gateway]]\nid = \"{nat}\"\nsubnet = \"{subnet}\"");
        if !vpc.igw || tape.one_in(4) {
            out.push_str("connectivity = \"private\"\n");
        }
        let _ = writeln!(out, "secondary_private_ip_count = {}", tape.pick(&[0, 0, 2]));
        let state =
            ["available", "available", "available", "available", "pending", "deleted", "deleting"];
        let _ = writeln!(out, "state = \"{}\"", tape.pick(&state));
    }
}

/// Writes appliances and Gateway Load Balancer endpoints, mostly in the last subnets.
fn middleboxes(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc) -> Vec<String> {
    let mut ids = Vec::new();
    let _ = writeln!(
        out,
        "[[security_group]]\nid = \"{0}-sg-open\"\nvpc = \"{0}\"\ningress = [{{ protocol = \"all\", from = \"0.0.0.0/0\" }}]",
        vpc.id
    );
    for number in 0..tape.below(3) as u32 {
        let last = vpc.subnets.len() - 1;
        let (subnet, cidr) =
            if tape.one_in(3) { tape.pick(&vpc.subnets) } else { vpc.subnets[last].clone() };
        let id = format!("{}-box-{number}", vpc.id);
        if tape.one_in(3) {
            let _ = writeln!(
                out,
                "[[vpc_endpoint]]\nid = \"{id}\"\nvpc = \"{}\"\nkind = \"gateway-load-balancer\"\nservice = \"com.amazonaws.vpce.us-east-1.vpce-svc-1\"\nsubnets = [\"{subnet}\"]",
                vpc.id
            );
        } else {
            let base: ipnetwork::Ipv4Network = cidr.parse().unwrap();
            let address = Ipv4Addr::from(u32::from(base.network()) + 90 + number);
            let open = vec![format!("{}-sg-open", vpc.id)];
            let groups = if tape.one_in(3) { tape.some(&vpc.groups, 0, 2) } else { open };
            let check = if tape.one_in(4) { "true" } else { "false" };
            let _ = writeln!(
                out,
                "[[resource]]\nname = \"{id}-appliance\"\nsubnet = \"{subnet}\"\naddress = \"{address}\"\nsecurity_groups = {}\nnetwork_interface = \"{id}\"\nsource_dest_check = {check}",
                quoted(&groups)
            );
        }
        ids.push(id);
    }
    ids
}

fn endpoint(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc, tables: &[String]) {
    let _ = writeln!(
        out,
        "[[vpc_endpoint]]\nid = \"{0}-vpce\"\nvpc = \"{0}\"\nkind = \"gateway\"\nservice = \"com.amazonaws.us-east-1.s3\"\nprefix_list = \"pl-b\"",
        vpc.id
    );
    if tape.one_in(6) {
        let _ = writeln!(out, "route_tables = [\"{}\"]", tape.pick(tables));
    }
}

fn route_table(
    tape: &mut Tape<'_>,
    out: &mut String,
    vpc: &Vpc,
    number: usize,
    id: &str,
    first: bool,
    peering: bool,
) {
    let mut routes: Vec<String> = Vec::new();
    let mut add = |destination: &str, target: &str| {
        routes.push(format!("{{ destination = \"{destination}\", target = \"{target}\" }}"));
    };
    let mut targets: Vec<String> = vpc.nats.clone();
    targets.extend(vpc.nats.clone());
    if tape.one_in(3) {
        targets.extend(vpc.middleboxes.clone());
    }
    if vpc.igw {
        targets.extend([format!("igw-{number}"), format!("igw-{number}")]);
    }
    targets.push("blackhole".to_owned());
    let destinations = [
        "0.0.0.0/0",
        "203.0.113.0/24",
        "203.0.113.8/29",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "10.0.0.0/8",
        "pl-a",
    ];
    let usual = match (first, vpc.igw, vpc.nats.first()) {
        (true, true, _) => Some(format!("igw-{number}")),
        (false, _, Some(nat)) => Some(nat.clone()),
        _ => None,
    };
    let usual = usual.filter(|_| !tape.one_in(3));
    if let Some(target) = &usual {
        add("0.0.0.0/0", target);
    }
    for destination in tape.some(&destinations, 0, 4) {
        if usual.is_none() || destination != "0.0.0.0/0" {
            add(destination, &tape.pick(&targets));
        }
    }
    if tape.one_in(4) {
        add("pl-b", &format!("{}-vpce", vpc.id));
    }
    if peering && tape.one_in(2) {
        let theirs = format!("10.{}.0.0/16", 1 - vpc.net);
        // The route is too wide: packets for others than the peer are dropped at the connection.
        add(&tape.pick(&[theirs.clone(), theirs, "172.16.0.0/12".to_owned()]), "pcx");
    }
    // More specific than local: a whole subnet, to one of three kinds of target (spec 3.4).
    let inside: Vec<String> = vpc.nats.iter().chain(&vpc.middleboxes).cloned().collect();
    if !inside.is_empty() && tape.one_in(2) {
        for (_, cidr) in tape.some(&vpc.subnets, 1, 2) {
            add(&cidr, &tape.pick(&inside));
        }
    }
    let main = if first && tape.one_in(2) { "main = true\n" } else { "" };
    let _ = writeln!(
        out,
        "[[route_table]]\nid = \"{id}\"\nvpc = \"{}\"\n{main}routes = [{}]",
        vpc.id,
        routes.join(", ")
    );
}

fn network_acl(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc, id: &str) {
    let rules = |tape: &mut Tape<'_>| {
        let mut rules = Vec::new();
        let numbers: Vec<usize> = (1..9).map(|n| n * 100).collect();
        for number in tape.some(&numbers, 0, 5) {
            let action = tape.pick(&["allow", "allow", "deny"]);
            let (traffic, cidr) = (traffic(tape), cidr(tape, vpc));
            rules.push(format!(
                "{{ rule = {number}, action = \"{action}\", {traffic}, cidr = \"{cidr}\" }}"
            ));
        }
        // A rule that forbids replies, as in many accounts.
        if tape.one_in(4) {
            let ports = tape.pick(&["1024-65535", "30000-50000"]);
            let action = tape.pick(&["allow", "deny"]);
            rules.push(format!(
                "{{ rule = 50, action = \"{action}\", protocol = \"tcp\", ports = \"{ports}\", cidr = \"0.0.0.0/0\" }}"
            ));
        }
        if !tape.one_in(3) {
            rules.push(
                "{ rule = 32000, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }"
                    .to_owned(),
            );
        }
        rules.join(", ")
    };
    let (egress, ingress) = (rules(tape), rules(tape));
    let _ = writeln!(
        out,
        "[[network_acl]]\nid = \"{id}\"\nvpc = \"{}\"\negress = [{egress}]\ningress = [{ingress}]",
        vpc.id
    );
}

fn security_group(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc, id: &str, first: bool) {
    let _ = writeln!(out, "[[security_group]]\nid = \"{id}\"\nvpc = \"{}\"", vpc.id);
    if first && tape.one_in(4) {
        out.push_str("default = true\n");
    }
    let rules = |tape: &mut Tape<'_>, key: &str| {
        let mut rules = Vec::new();
        for _ in 0..tape.below(5) {
            let peer = match tape.below(4) {
                0 if tape.one_in(3) => {
                    vpc.peer_group.clone().unwrap_or_else(|| vpc.groups[0].clone())
                }
                0 => tape.pick(&vpc.groups),
                1 => tape.pick(&LISTS).to_owned(),
                _ => cidr(tape, vpc),
            };
            rules.push(format!("{{ {}, {key} = \"{peer}\" }}", traffic(tape)));
        }
        rules.join(", ")
    };
    if tape.one_in(3) {
        let _ = writeln!(out, "egress = [{}]", rules(tape, "to"));
    }
    let _ = writeln!(out, "ingress = [{}]", rules(tape, "from"));
}

fn resources(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc) {
    for (subnet, cidr) in &vpc.subnets {
        let base: ipnetwork::Ipv4Network = cidr.parse().unwrap();
        for n in 0..tape.below(3) as u32 {
            let address = Ipv4Addr::from(u32::from(base.network()) + 10 + n);
            let groups = tape.some(&vpc.groups, 0, 2);
            let _ = writeln!(
                out,
                "[[resource]]\nname = \"{subnet}-r{n}\"\nsubnet = \"{subnet}\"\naddress = \"{address}\"\nsecurity_groups = {}",
                quoted(&groups)
            );
            if vpc.igw {
                out.push_str(MAY_BE_PUBLIC);
            }
        }
    }
}

/// Writes an interface endpoint in one subnet of each zone, at addresses that are given or drawn.
fn interface_endpoint(tape: &mut Tape<'_>, out: &mut String, vpc: &Vpc) {
    if !tape.one_in(3) {
        return;
    }
    let first = tape.below(vpc.subnets.len());
    let other = (0..vpc.subnets.len()).find(|n| vpc.zones[*n] != vpc.zones[first]);
    let other = other.filter(|_| tape.one_in(2));
    let subnets: Vec<&(String, String)> =
        std::iter::once(first).chain(other).map(|n| &vpc.subnets[n]).collect();
    let ids: Vec<&String> = subnets.iter().map(|(id, _)| id).collect();
    let given = tape.below(subnets.len() + 1);
    let address = |(_, cidr): &&(String, String)| {
        let base: ipnetwork::Ipv4Network = cidr.parse().unwrap();
        Ipv4Addr::from(u32::from(base.network()) + 100)
    };
    let addresses: Vec<Ipv4Addr> = subnets.iter().take(given).map(address).collect();
    let groups = tape.some(&vpc.groups, 0, 2);
    let _ = writeln!(
        out,
        "[[vpc_endpoint]]\nid = \"{0}-vpce-sqs\"\nvpc = \"{0}\"\nkind = \"interface\"\nservice = \"com.amazonaws.us-east-1.sqs\"\nsubnets = {1}\naddresses = {2}\nsecurity_groups = {3}",
        vpc.id,
        quoted(&ids),
        quoted(&addresses),
        quoted(&groups)
    );
}

fn traffic(tape: &mut Tape<'_>) -> String {
    match tape.below(8) {
        0 => "protocol = \"all\"".to_owned(),
        1 | 2 => format!("protocol = \"tcp\", ports = \"{}\"", tape.pick(&PORTS)),
        3 => format!("protocol = 6, ports = \"{}\"", tape.pick(&PORTS)),
        4 => format!("protocol = \"udp\", ports = \"{}\"", tape.pick(&PORTS)),
        5 => tape
            .pick(&[
                "protocol = \"icmp\"",
                "protocol = \"icmp\", icmp_type = 8",
                "protocol = 1, icmp_type = 0, icmp_code = 0",
            ])
            .to_owned(),
        6 => tape.pick(&["protocol = 50", "protocol = \"47\""]).to_owned(),
        _ => "protocol = -1".to_owned(),
    }
}

fn cidr(tape: &mut Tape<'_>, vpc: &Vpc) -> String {
    match tape.below(6) {
        0 | 1 => "0.0.0.0/0".to_owned(),
        2 => tape.pick(&INTERNET).to_owned(),
        3 => format!("10.{}.0.0/16", vpc.net),
        4 => tape.pick(&vpc.subnets).1,
        _ => format!("10.{}.{}.0/26", vpc.net, tape.below(4)),
    }
}

fn quoted<T: std::fmt::Display>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", words.join(", "))
}
