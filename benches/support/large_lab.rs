//! A lab as large as large accounts have: 500 routes, 1,000 resources, 5 groups of 300 rules each
//! way, 40 network ACL rules per direction.

use std::fmt::Write;

/// Numbers that look random, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len() as u64) as usize]
    }

    fn ports(&mut self) -> String {
        let first = 1 + self.below(60_000);
        format!("{first}-{}", first + self.below(400))
    }

    /// Returns a block of the VPC, of a network behind it, or of the internet.
    fn block(&mut self) -> String {
        match self.below(8) {
            0 => "0.0.0.0/0".to_owned(),
            1 => "10.0.0.0/16".to_owned(),
            2 | 3 => format!("10.0.{}.0/24", self.below(64)),
            4 => format!("10.0.{}.{}/32", self.below(64), self.below(256)),
            _ => format!("{}.{}.{}.0/24", 20 + self.below(60), self.below(256), self.below(256)),
        }
    }
}

const GROUPS: [&str; 5] = ["sg-0", "sg-1", "sg-2", "sg-3", "sg-4"];
const DATA_SUBNETS: u64 = 20;

/// Writes the lab file. Its service is `web`.
pub(crate) fn large_lab() -> String {
    let mut numbers = Numbers(7);
    let mut out =
        String::from("[[vpc]]\nid = \"vpc\"\ncidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw\"\n");
    subnets(&mut out);
    routes(&mut out, &mut numbers);
    for acl in ["acl-private", "acl-public", "acl-data"] {
        network_acl(&mut out, &mut numbers, acl);
    }
    for group in GROUPS {
        security_group(&mut out, &mut numbers, group);
    }
    resources(&mut out, &mut numbers);
    out += "[[internet_host]]\nname = \"example\"\naddress = \"203.0.113.10\"\n";
    let _ = write!(
        out,
        "[[vpc_connector]]\nname = \"c\"\nsubnets = [\"private-a\", \"private-b\", \"private-c\"]\nsecurity_groups = {GROUPS:?}\n\
         [[service]]\nname = \"web\"\nvpc_connector = \"c\"\n"
    );
    out
}

fn subnets(out: &mut String) {
    let mut subnet = |id: &str, zone: &str, third: u64, table: &str, acl: &str| {
        let _ = write!(
            out,
            "[[subnet]]\nid = \"{id}\"\nvpc = \"vpc\"\navailability_zone = \"us-east-1{zone}\"\ncidr = \"10.0.{third}.0/24\"\nroute_table = \"{table}\"\nnetwork_acl = \"{acl}\"\n"
        );
    };
    for (number, zone) in (0..).zip(["a", "b", "c"]) {
        subnet(&format!("public-{zone}"), zone, number, "rtb-public", "acl-public");
        subnet(&format!("private-{zone}"), zone, 8 + number, "rtb-private", "acl-private");
    }
    for number in 0..DATA_SUBNETS {
        let zone = ["a", "b", "c"][(number % 3) as usize];
        subnet(&format!("data-{number}"), zone, 16 + number, "rtb-data", "acl-data");
    }
}

fn routes(out: &mut String, numbers: &mut Numbers) {
    for zone in ["a", "b"] {
        let _ = write!(
            out,
            "[[nat_gateway]]\nid = \"nat-{zone}\"\nsubnet = \"public-{zone}\"\nsecondary_private_ip_count = 1\n"
        );
    }
    out.push_str("[[route_table]]\nid = \"rtb-public\"\nvpc = \"vpc\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"igw\" }]\n");
    out.push_str("[[route_table]]\nid = \"rtb-data\"\nvpc = \"vpc\"\n");
    let mut routes = vec!["{ destination = \"0.0.0.0/0\", target = \"nat-a\" }".to_owned()];
    for number in 0..500u64 {
        let target = numbers.pick(&["nat-a", "nat-b", "nat-b", "blackhole"]);
        let (second, third) = (number / 2, numbers.below(256));
        routes.push(format!(
            "{{ destination = \"{}.{second}.{third}.0/24\", target = \"{target}\" }}",
            20 + number % 2
        ));
    }
    let _ = write!(
        out,
        "[[route_table]]\nid = \"rtb-private\"\nvpc = \"vpc\"\nroutes = [{}]\n",
        routes.join(", ")
    );
}

fn network_acl(out: &mut String, numbers: &mut Numbers, id: &str) {
    let mut rules = || {
        let mut rules: Vec<String> = (1..40)
            .map(|number| {
                let protocol = numbers.pick(&["tcp", "tcp", "udp"]);
                let action = numbers.pick(&["allow", "allow", "deny"]);
                let (ports, block) = (numbers.ports(), numbers.block());
                format!("{{ rule = {number}, action = \"{action}\", protocol = \"{protocol}\", ports = \"{ports}\", cidr = \"{block}\" }}")
            })
            .collect();
        rules.push(
            "{ rule = 32000, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }"
                .to_owned(),
        );
        rules.join(", ")
    };
    let (egress, ingress) = (rules(), rules());
    let _ = write!(
        out,
        "[[network_acl]]\nid = \"{id}\"\nvpc = \"vpc\"\negress = [{egress}]\ningress = [{ingress}]\n"
    );
}

fn security_group(out: &mut String, numbers: &mut Numbers, id: &str) {
    let mut rules = |peer: &str| {
        let rules: Vec<String> = (0..300)
            .map(|_| {
                let protocol = numbers.pick(&["tcp", "tcp", "tcp", "udp"]);
                let other = if numbers.below(10) == 0 {
                    numbers.pick(&GROUPS).to_owned()
                } else {
                    numbers.block()
                };
                format!(
                    "{{ protocol = \"{protocol}\", ports = \"{}\", {peer} = \"{other}\" }}",
                    numbers.ports()
                )
            })
            .collect();
        rules.join(", ")
    };
    let (egress, ingress) = (rules("to"), rules("from"));
    let _ = write!(
        out,
        "[[security_group]]\nid = \"{id}\"\nvpc = \"vpc\"\negress = [{egress}]\ningress = [{ingress}]\n"
    );
}

fn resources(out: &mut String, numbers: &mut Numbers) {
    for number in 0..1000 {
        let (subnet, host) = (number % DATA_SUBNETS, 10 + number / DATA_SUBNETS);
        let (first, second) = (numbers.pick(&GROUPS), numbers.pick(&GROUPS));
        let groups = if first == second {
            format!("[\"{first}\"]")
        } else {
            format!("[\"{first}\", \"{second}\"]")
        };
        let _ = write!(
            out,
            "[[resource]]\nname = \"r{number}\"\nsubnet = \"data-{subnet}\"\naddress = \"10.0.{}.{host}\"\nsecurity_groups = {groups}\n",
            16 + subnet
        );
    }
}
