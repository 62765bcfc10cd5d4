//! Tests of public addresses of network interfaces, in the lab file.

use super::*;
use crate::config::import::PublicAddress;

/// Makes an account with an interface in the public subnet.
fn with_interface(public: PublicAddress) -> Account {
    let mut account = account();
    account.network_interfaces =
        vec![interface("eni-1", "subnet-public", "10.0.0.20", &["sg-app"])];
    account.network_interfaces[0].public_address = public;
    account
}

fn public_ips(imported: &Imported) -> Vec<(String, Option<String>)> {
    let resources = imported.lab.spec.resources.iter();
    resources
        .map(|r| (r.address.value.to_string(), r.public_ip.as_ref().map(|at| at.value.to_string())))
        .collect()
}

fn known(address: &str) -> PublicAddress {
    PublicAddress::Known(address.parse().unwrap())
}

#[test]
fn a_known_public_address_is_taken_over() {
    let imported = imported(with_interface(known("192.0.2.7")));
    assert_eq!(
        section(imported.text(), "resource", "eni-1"),
        "[[resource]]\nname = \"eni-1\"\nsubnet = \"subnet-public\"\naddress = \"10.0.0.20\"\n\
         public_ip = \"192.0.2.7\"\nsecurity_groups = [\"sg-app\"]"
    );
    assert_eq!(of_kind(&imported, FindingKind::LeftOut), [""; 0]);
}

#[test]
fn each_private_address_has_its_own_public_one() {
    let mut account = with_interface(PublicAddress::None);
    let interface = &mut account.network_interfaces[0];
    interface.addresses.push(PrivateAddress::unmapped("10.0.0.21".parse().unwrap()));
    interface.addresses.push(PrivateAddress::unmapped("10.0.0.22".parse().unwrap()));
    interface.associate(Some("10.0.0.20".parse().unwrap()), known("192.0.2.7"));
    interface.associate(Some("10.0.0.22".parse().unwrap()), known("192.0.2.8"));
    let expected =
        [("10.0.0.20", Some("192.0.2.7")), ("10.0.0.21", None), ("10.0.0.22", Some("192.0.2.8"))];
    let expected = expected.map(|(own, public)| (own.to_owned(), public.map(str::to_owned)));
    assert_eq!(public_ips(&imported(account)), expected);
}

#[test]
fn an_unknown_public_address_is_drawn_and_said_to_be() {
    let mut account = with_interface(PublicAddress::Unknown("an Elastic IP address"));
    let mut other = interface("eni-2", "subnet-public", "10.0.0.21", &["sg-app"]);
    other.public_address = PublicAddress::Unknown("PubliclyAccessible");
    let mut taken = interface("eni-3", "subnet-public", "10.0.0.22", &["sg-app"]);
    taken.public_address = known("198.51.100.254");
    account.network_interfaces.extend([other, taken]);
    let imported = imported(account);
    let public: Vec<_> = public_ips(&imported).into_iter().filter_map(|(_, ip)| ip).collect();
    assert_eq!(public, ["198.51.100.253", "198.51.100.252", "198.51.100.254"]);
    let assumed = of_kind(&imported, FindingKind::Assumed);
    let of_first = "network interface eni-1: its public address is not in the source (an Elastic IP address): 198.51.100.253";
    assert!(assumed.contains(&of_first.to_owned()), "{assumed:#?}");
    assert!(imported.text().contains(
        "# assumed: 198.51.100.252: its public address is not in the source (PubliclyAccessible)"
    ));
}

#[test]
fn without_an_internet_gateway_a_public_address_is_left_out() {
    for public in [known("192.0.2.7"), PublicAddress::Unknown("an Elastic IP address")] {
        let mut account = with_interface(public);
        account.internet_gateways.clear();
        account.nat_gateways.clear();
        account.route_tables[0].routes.clear();
        let imported = imported(account);
        assert_eq!(public_ips(&imported), [("10.0.0.20".to_owned(), None)]);
        let left_out = of_kind(&imported, FindingKind::LeftOut);
        assert!(
            left_out[0].contains("VPC vpc-1 has no internet gateway to map it"),
            "{left_out:?}"
        );
    }
}

#[test]
fn blocked_public_access_takes_public_addresses_away() {
    for (mode, is_blocked) in [
        (None, false),
        (Some("off"), false),
        (Some("block-ingress"), true),
        (Some("block-bidirectional"), true),
    ] {
        let mut account = with_interface(known("192.0.2.7"));
        account.vpcs[0].block_public_access = mode.map(str::to_owned);
        let imported = Imported::from_account(account, Findings::new(), &order(true)).unwrap();
        let public = public_ips(&imported).remove(0).1;
        assert_eq!(public.is_none(), is_blocked, "{mode:?}");
        let left_out = of_kind(&imported, FindingKind::LeftOut);
        let said = left_out
            .iter()
            .any(|line| line.contains("VPC Block Public Access drops what comes to it"));
        assert_eq!(said, is_blocked, "{mode:?}: {left_out:?}");
    }
}

#[test]
fn a_public_address_that_a_lab_cannot_have_is_left_out() {
    let mut account = with_interface(known("127.38.48.40"));
    account.nat_gateways[0].addresses =
        vec![NatAddress { public_ip: "192.0.2.9".parse().ok(), ..NatAddress::default() }];
    for (id, address, public) in [
        ("eni-2", "10.0.0.21", "192.0.2.9"),
        ("eni-3", "10.0.0.22", "192.0.2.10"),
        ("eni-4", "10.0.0.23", "192.0.2.10"),
        ("eni-5", "10.0.0.24", "10.9.9.9"),
    ] {
        let mut other = interface(id, "subnet-public", address, &["sg-app"]);
        other.public_address = known(public);
        account.network_interfaces.push(other);
    }
    let imported = imported(account);
    let public: Vec<_> = public_ips(&imported).into_iter().filter_map(|(_, ip)| ip).collect();
    assert_eq!(public, ["192.0.2.10"]);
    let by_private_address = "the lab reaches it by its private address only";
    assert_eq!(
        of_kind(&imported, FindingKind::LeftOut),
        [
            format!(
                "network interface eni-1: its public address 127.38.48.40: it is not a public address: {by_private_address}"
            ),
            format!(
                "network interface eni-2: its public address 192.0.2.9: another object has it: {by_private_address}"
            ),
            format!(
                "network interface eni-4: its public address 192.0.2.10: another object has it: {by_private_address}"
            ),
            format!(
                "network interface eni-5: its public address 10.9.9.9: it is not a public address: {by_private_address}"
            ),
        ]
    );
}

#[test]
fn hosts_that_the_import_adds_have_other_addresses() {
    let imported = imported(with_interface(known("203.0.113.10")));
    let hosts = imported.lab.spec.internet_hosts.iter().map(|host| host.address.value.to_string());
    assert_eq!(hosts.collect::<Vec<_>>(), ["203.0.113.11"]);
}

#[test]
fn more_public_addresses_than_are_free_are_left_out() {
    let mut account = account();
    account.subnets[0].cidr_block = block("10.0.16.0/20");
    account.network_interfaces = (0..200)
        .map(|number| {
            let address = format!("10.0.16.{}", 10 + number);
            let mut one =
                interface(&format!("eni-{number}"), "subnet-public", &address, &["sg-app"]);
            one.public_address = PublicAddress::Unknown("an Elastic IP address");
            one
        })
        .collect();
    let imported = imported(account);
    assert_eq!(public_ips(&imported).iter().filter(|(_, public)| public.is_some()).count(), 191);
    let left_out = of_kind(&imported, FindingKind::LeftOut);
    assert_eq!(left_out.len(), 9);
    assert!(left_out[0].contains("198.51.100.0/24 has no free address for it"), "{left_out:?}");
}

#[test]
fn a_vpc_that_is_left_out_says_whether_packets_get_there() {
    let mut account = account();
    let vpc = Vpc {
        id: "vpc-2".into(),
        cidr_blocks: vec![block("10.1.0.0/16")],
        ..account.vpcs[0].clone()
    };
    account.vpcs.push(vpc);
    account.subnets.push(subnet("subnet-2", "vpc-2", "10.1.0.0/24", "a"));
    account.network_interfaces = vec![interface("eni-2", "subnet-2", "10.1.0.20", &[])];
    let said = |account: Account| of_kind(&imported(account), FindingKind::LeftOut).remove(0);
    assert!(said(account.clone()).ends_with("no packet of a service gets there"));
    account.network_interfaces[0].public_address = known("192.0.2.7");
    assert!(said(account).ends_with("by public addresses, which the lab does not have"));
}

#[test]
fn dns_resolution_of_a_peering_connection_is_taken_over() {
    let mut account = account();
    let vpc = Vpc {
        id: "vpc-2".into(),
        cidr_blocks: vec![block("10.1.0.0/16")],
        ..account.vpcs[0].clone()
    };
    account.vpcs.push(vpc);
    account.peering_connections.push(Peering {
        id: "pcx-1".into(),
        requester_vpc: "vpc-1".into(),
        accepter_vpc: "vpc-2".into(),
        accepter_dns_resolution: true,
        ..Peering::default()
    });
    let peering = &imported(account).lab.spec.peerings[0];
    assert!(!peering.requester_dns_resolution && peering.accepter_dns_resolution);
}
