#![allow(clippy::unwrap_used, reason = "tests")]

use crate::config::Lab;
use crate::explain::fix_tests::{ask, proposed, some, text};
use crate::explain::{Fix, Repair, repair};
use crate::pipeline::reach::SetVerdict;

/// A VPC with a database whose groups are the implied default one, and tables and groups with the
/// names that egret gives first to implied objects.
const TAKEN: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw"

[[subnet]]
id = "priv"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[subnet]]
id = "pub"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "vpc-a-main"

[[route_table]]
id = "vpc-a-main"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]

[[nat_gateway]]
id = "nat"
subnet = "pub"

[[security_group]]
id = "vpc-a-default"
vpc = "vpc-a"

[[security_group]]
id = "vpc-a-default-2"
vpc = "vpc-a"

[[resource]]
name = "db"
subnet = "priv"
address = "10.0.1.20"
listen = ["5432/tcp"]

[[internet_host]]
name = "example"
address = "203.0.113.90"

[[vpc_connector]]
name = "c"
subnets = ["priv"]
security_groups = ["vpc-a-default"]

[[service]]
name = "web"
vpc_connector = "c"
"#;

/// Reads a text, and asks about it until everything passes.
fn repaired(lab: &str, service: &str, destination: &str) -> (String, Vec<Fix>) {
    let read = |text: &str| Lab::parse("lab.toml", text).map(|_| text.to_owned());
    let mut read = |text: &str| read(text).map_err(|_| Refused);
    let mut asked = |text: &String| Ok(ask(text, service, destination));
    let repaired = repair(lab, &mut read, &mut asked).unwrap();
    let Repair::Text { text, fixes } = repaired else { unreachable!("{repaired:?}") };
    assert_eq!(ask(&text, service, destination).verdict(), SetVerdict::Forward, "{text}");
    (text, fixes)
}

/// An error of a text or of an edit.
#[derive(Debug, PartialEq, Eq)]
struct Refused;

impl From<crate::config::edit::EditError> for Refused {
    fn from(_: crate::config::edit::EditError) -> Self {
        Self
    }
}

#[test]
fn an_implied_section_gets_an_id_that_nothing_else_has() {
    let (text, fixes) = repaired(TAKEN, "web", "db:5432");
    assert_eq!(fixes.len(), 1);
    assert!(text.contains("id = \"vpc-a-default-3\"\nvpc = \"vpc-a\"\ndefault = true"), "{text}");
    assert!(text.contains("{ protocol = \"all\", from = \"vpc-a-default-3\" }"), "{text}");
    let (text, fixes) = repaired(TAKEN, "web", "example:443");
    assert_eq!(fixes.len(), 1);
    assert!(text.contains("id = \"vpc-a-main-2\"\nvpc = \"vpc-a\"\nmain = true"), "{text}");
}

/// If the text that egret made of the file is not a lab, its errors do not help the user, who has
/// not seen that text.
#[test]
fn an_edited_text_that_is_no_lab_is_no_repair() {
    let mut read = |text: &str| match text == TAKEN {
        true => Ok(text.to_owned()),
        false => Err(Refused),
    };
    let mut asked = |text: &String| Ok::<_, Refused>(ask(text, "web", "db:5432"));
    let repaired = repair(TAKEN, &mut read, &mut asked).unwrap();
    let Repair::Unknown(why) = repaired else { unreachable!("{repaired:?}") };
    assert!(why.contains("with the change of vpc-a/default the lab file is not valid"), "{why}");
    let own = repair(TAKEN, &mut |_: &str| Err::<String, _>(Refused), &mut asked);
    assert_eq!(own.unwrap_err(), Refused);
}

#[test]
fn a_lab_file_with_inline_lists_is_repaired() {
    let lab = r#"
vpc = [{ id = "vpc-0", cidr = ["10.0.0.0/16"] }]
subnet = [{ id = "a", vpc = "vpc-0", availability_zone = "us-east-1a", cidr = "10.0.1.0/24" }]
security_group = [{ id = "sg-app", vpc = "vpc-0", egress = [] }]
resource = [{ name = "db", subnet = "a", address = "10.0.1.10", listen = ["5432/tcp"] }]
vpc_connector = [{ name = "c", subnets = ["a"], security_groups = ["sg-app"] }]
service = [{ name = "web", vpc_connector = "c" }]
"#;
    let (text, fixes) = repaired(lab, "web", "db:5432");
    assert_eq!(fixes.len(), 2);
    assert!(!text.contains("[["), "{text}");
}

/// Two peered VPCs whose tables have a blackhole for each other, that of the first for a part of
/// the other's block.
const PEERS: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"

[[vpc]]
id = "vpc-b"
cidr = ["10.1.0.0/16", "10.2.0.0/16"]

[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"

[[route_table]]
id = "rtb-a"
vpc = "vpc-a"
routes = [
    { destination = "10.1.0.0/16", target = "blackhole" },
    { destination = "10.2.1.0/24", target = "blackhole" },
]

[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "blackhole" }]

[[subnet]]
id = "a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-a"

[[subnet]]
id = "b1"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-b"

[[subnet]]
id = "b2"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.2.1.0/24"
route_table = "rtb-b"

[[security_group]]
id = "sg"
vpc = "vpc-b"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[resource]]
name = "db"
subnet = "b1"
address = "10.1.1.10"
security_groups = ["sg"]
listen = ["5432/tcp"]

[[resource]]
name = "db2"
subnet = "b2"
address = "10.2.1.10"
security_groups = ["sg"]
listen = ["5432/tcp"]

[[vpc_connector]]
name = "c"
subnets = ["a"]

[[service]]
name = "web"
vpc_connector = "c"
"#;

#[test]
fn a_blackhole_for_a_peers_block_is_led_to_the_peering_connection() {
    for (destination, block) in [("db:5432", "10.1.0.0/16"), ("db2:5432", "10.2.1.0/24")] {
        let rule = format!("{{ destination = \"{block}\", target = \"pcx\" }}");
        let expected = some("rtb-a", "change the route", &rule);
        assert_eq!(proposed(PEERS, "web", destination), expected);
        let (text, fixes) = repaired(PEERS, "web", destination);
        let changed: Vec<(&str, &str)> =
            fixes.iter().map(|fix| (fix.id.as_str(), fix.action.as_str())).collect();
        assert_eq!(changed, [("rtb-a", "change the route"), ("rtb-b", "change the route")]);
        assert!(text.contains("[{ destination = \"10.0.0.0/16\", target = \"pcx\" }]"), "{text}");
    }
}

#[test]
fn no_rule_is_opened_for_an_address_that_nothing_has() {
    let closed = TAKEN.replace(
        "id = \"vpc-a-default\"\nvpc = \"vpc-a\"\n",
        "id = \"vpc-a-default\"\nvpc = \"vpc-a\"\negress = []\n",
    );
    for destination in ["10.0.1.77:5432", "10.0.1.4:5432"] {
        assert_eq!(proposed(&closed, "web", destination), None, "{destination}");
        let text = text(&ask(&closed, "web", destination));
        let why = "no change is proposed: nothing there takes these packets, whatever the rules";
        assert!(text.contains(why), "{text}");
    }
    // A part of a block may pass.
    let (id, action, _) = proposed(&closed, "web", "10.0.1.16/28:5432").unwrap();
    assert_eq!((id.as_str(), action.as_str()), ("vpc-a-default", "add to egress"));
}

#[test]
fn the_advice_for_a_task_without_a_public_address_is_to_give_it_one() {
    let lab = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw"

[[subnet]]
id = "pub"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb"

[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]

[[internet_host]]
name = "example"
address = "203.0.113.90"

[[service]]
name = "web"
kind = "fargate"
subnets = ["pub"]
"#;
    let expected = some("web", "change", "assign_public_ip = true");
    assert_eq!(proposed(lab, "web", "example:443"), expected);
    let text = text(&ask(lab, "web", "example:443"));
    assert!(text.contains("fix: Give the tasks of the service public addresses"), "{text}");
    assert!(!text.contains("NAT gateway in a public subnet"), "{text}");
}
