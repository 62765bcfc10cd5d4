//! Tests of public addresses of resources: valid ones, those that no other object gets, and those
//! that no packet reaches.

use super::errors::check as mistake;
use super::lints::{check, found, warnings};
use super::*;
use std::net::Ipv4Addr;

fn resource(subnet: &str, address: &str, public: &str) -> String {
    format!(
        "[[resource]]\nname = \"r{address}\"\nsubnet = \"{subnet}\"\naddress = \"{address}\"\npublic_ip = \"{public}\"\n"
    )
}

/// Returns the main route table of `vpc-a`.
fn main_table(routes: &str) -> String {
    format!("[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nmain = true\nroutes = [{routes}]\n")
}

#[test]
fn two_things_with_one_public_address_are_an_error() {
    let one = resource("subnet-a", "10.0.1.10", "192.0.2.7");
    for (what, other) in [
        ("another resource", resource("subnet-a2", "10.0.2.10", "192.0.2.7")),
        ("a host", "[[internet_host]]\nname = \"h\"\naddress = \"192.0.2.7\"\n".to_owned()),
        (
            "a NAT gateway",
            "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"\npublic_ip = \"192.0.2.7\"\n".to_owned(),
        ),
        (
            "another address of a NAT gateway",
            "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"\nsecondary_public_ips = [\"192.0.2.7\"]\n"
                .to_owned(),
        ),
    ] {
        let errors = errors(&based(&format!("{one}{other}")));
        let found: Vec<_> = errors.iter().map(|e| (e.rule, e.message.as_str())).collect();
        let expected = "192.0.2.7 is the address of \"r10.0.1.10\" already";
        assert_eq!(found, [("duplicate-address", expected)], "{what}");
    }
    mistake(
        "duplicate-address",
        "\"192.0.2.7\"",
        &format!("apprunner_public_ip = \"192.0.2.7\"\n{one}"),
    );
}

#[test]
fn an_address_that_no_gateway_maps_is_not_public() {
    for address in [
        "10.0.1.10",
        "172.16.0.1",
        "192.168.3.4",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "0.1.2.3",
        "224.0.0.5",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        let text = resource("subnet-a", "10.0.1.10", address);
        let errors = errors(&based(&text));
        let rules: Vec<_> = errors.iter().map(|e| (e.rule, e.text.clone())).collect();
        assert_eq!(rules, [("not-public", format!("\"{address}\""))]);
    }
}

#[test]
fn a_vpc_without_an_internet_gateway_has_no_public_addresses() {
    let text = resource("subnet-b", "10.1.1.10", "192.0.2.7");
    mistake("public-ip-without-internet-gateway", "\"192.0.2.7\"", &text);
}

#[test]
fn an_address_that_the_file_gives_is_drawn_for_nothing_else() {
    let drawn = |public: &str| {
        let text = based(&format!(
            "{}[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"\n\
             [[service]]\nname = \"edge\"\nkind = \"fargate\"\nsubnets = [\"subnet-a\"]\nassign_public_ip = true\ntasks = 2\n\
             [[service]]\nname = \"open\"\n",
            resource("subnet-a", "10.0.1.10", public)
        ));
        let snapshot = lab(&text).lower(Generation(1));
        let parts = snapshot.parts();
        let enis = parts.enis.iter().filter_map(|eni| eni.public_address());
        let gateways = parts.nat_gateways.iter().filter_map(|gateway| gateway.public_address());
        let mut all: Vec<Ipv4Addr> = enis.chain(gateways).chain(parts.apprunner_address).collect();
        all.sort_unstable();
        all
    };
    let addresses = |last: [u8; 4]| last.map(|last| Ipv4Addr::new(198, 51, 100, last));
    assert_eq!(drawn("192.0.2.7"), addresses([1, 2, 3, 4]));
    assert_eq!(drawn("198.51.100.2"), addresses([1, 3, 4, 5]));
}

#[test]
fn a_drawn_address_that_the_file_now_gives_to_a_resource_is_drawn_again() {
    let nat = "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"\n";
    let before = lab(&based(nat));
    let address = |lab: &Lab| lab.lower(Generation(1)).parts().nat_gateways[0].public_address();
    assert_eq!(address(&before), Some(Ipv4Addr::new(198, 51, 100, 1)));
    let text = based(&format!("{nat}{}", resource("subnet-a", "10.0.1.10", "198.51.100.1")));
    let after = Lab::parse_after(Some(&before), "lab.toml", &text).unwrap();
    assert_eq!(address(&after), Some(Ipv4Addr::new(198, 51, 100, 2)));
}

#[test]
fn a_change_of_the_public_address_is_a_change_of_the_resource() {
    let text = |public: &str| lab(&based(&resource("subnet-a", "10.0.1.10", public)));
    let changes = changes::changes(&text("192.0.2.7"), &text("192.0.2.8"));
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    let [detail] = change.details.as_slice() else { panic!("{change:?}") };
    assert_eq!((change.kind.as_str(), detail.name.as_str()), ("resource", "public address"));
    assert_eq!(
        (detail.before.as_deref(), detail.after.as_deref()),
        (Some("192.0.2.7"), Some("192.0.2.8"))
    );
}

const RULE: &str = "public-ip-in-private-subnet";

#[test]
fn a_public_address_in_a_private_subnet_is_of_no_use() {
    let one = resource("subnet-a", "10.0.1.10", "192.0.2.7");
    check(&[(RULE, "\"192.0.2.7\"")], &one);
    let nat = "[[subnet]]\nid = \"subnet-nat\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.9.0/24\"\n\
               route_table = \"rtb-nat\"\n[[route_table]]\nid = \"rtb-nat\"\nvpc = \"vpc-a\"\n\
               routes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-nat\"\n";
    for routes in [
        "{ destination = \"0.0.0.0/0\", target = \"nat\" }",
        "{ destination = \"198.51.100.0/24\", target = \"blackhole\" }",
    ] {
        let found = warnings(&based(&format!("{one}{nat}{}", main_table(routes))));
        assert!(found.contains(&(RULE, "\"192.0.2.7\"".to_owned())), "{routes}: {found:?}");
    }
    let said = &found(&based(&one))[0];
    assert!(
        said.message
            .contains("the route table of its subnet \"subnet-a\" leads to no internet gateway")
    );
    assert!(said.help.contains("public subnet"), "{}", said.help);
}

#[test]
fn a_route_to_the_internet_gateway_for_some_senders_is_enough() {
    let one = resource("subnet-a", "10.0.1.10", "192.0.2.7");
    for routes in [
        "{ destination = \"0.0.0.0/0\", target = \"igw-a\" }",
        "{ destination = \"198.51.100.0/24\", target = \"igw-a\" }",
        "{ destination = \"0.0.0.0/0\", target = \"igw-a\" }, { destination = \"198.51.100.0/24\", target = \"blackhole\" }",
    ] {
        let found = warnings(&based(&format!("{one}{}", main_table(routes))));
        assert!(found.iter().all(|(rule, _)| *rule != RULE), "{routes}: {found:?}");
    }
    // No sender has a private address that an internet gateway leads to.
    let private = main_table("{ destination = \"172.16.0.0/12\", target = \"igw-a\" }");
    let found = warnings(&based(&format!("{one}{private}")));
    assert!(found.iter().any(|(rule, _)| *rule == RULE), "{found:?}");
}

#[test]
fn replies_through_a_middlebox_leave() {
    let text = format!(
        "{}{}[[subnet]]\nid = \"subnet-fw\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.9.0/24\"\n\
         route_table = \"rtb-fw\"\n[[route_table]]\nid = \"rtb-fw\"\nvpc = \"vpc-a\"\n\
         routes = [{{ destination = \"0.0.0.0/0\", target = \"igw-a\" }}]\n\
         [[resource]]\nname = \"firewall\"\nsubnet = \"subnet-fw\"\naddress = \"10.0.9.10\"\n\
         network_interface = \"eni-fw\"\nsource_dest_check = false\n",
        resource("subnet-a", "10.0.1.10", "192.0.2.7"),
        main_table("{ destination = \"0.0.0.0/0\", target = \"eni-fw\" }")
    );
    let found = warnings(&based(&text));
    assert!(found.iter().all(|(rule, _)| *rule != RULE), "{found:?}");
}

#[test]
fn a_public_address_of_no_use_can_be_allowed() {
    let one = resource("subnet-a", "10.0.1.10", "192.0.2.7");
    check(&[], &format!("{one}[lint]\nallow = [\"{RULE}\"]\n"));
}

#[test]
fn dns_resolution_of_a_peering_connection_is_read_and_compared() {
    let peering = |more: &str| {
        lab(&based(&format!(
            "[[vpc_peering_connection]]\nid = \"pcx\"\nrequester_vpc = \"vpc-a\"\naccepter_vpc = \"vpc-b\"\n{more}"
        )))
    };
    let (off, on) = (peering(""), peering("accepter_dns_resolution = true\n"));
    let lowered = on.lower(Generation(1));
    let own = &lowered.parts().peerings[0];
    assert!(!own.requester_dns_resolution && own.accepter_dns_resolution);
    let changes = changes::changes(&off, &on);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((change.kind.as_str(), change.details.len()), ("VPC peering connection", 1));
    assert_eq!(change.details[0].name, "DNS resolution of the accepter's names");
    mistake(
        "wrong-type",
        "\"yes\"",
        "[[vpc_peering_connection]]\nid = \"pcx\"\nrequester_vpc = \"vpc-a\"\naccepter_vpc = \"vpc-b\"\naccepter_dns_resolution = \"yes\"",
    );
}
