use super::*;
use crate::vpc::{
    Destination, Egress, EniIx, Interface, NatGatewayIx, RouteTableIx, ServiceIx, SubnetIx, Target,
    VpcIx,
};
use std::net::Ipv4Addr;

fn snapshot(text: &str) -> Snapshot {
    lab(text).lower(Generation(1))
}

#[test]
fn two_connectors_with_the_same_subnets_and_groups_share_their_enis() {
    let snapshot = snapshot(THREE_AZ);
    let connectors: Vec<_> = [0, 1]
        .map(|service| match snapshot.service(ServiceIx(service)).egress {
            Egress::Vpc(connector) => connector,
            Egress::Default => panic!("web and api use connectors"),
        })
        .into();
    assert_ne!(connectors[0], connectors[1]);
    assert_eq!(snapshot.choose_eni(ServiceIx(0), 1), snapshot.choose_eni(ServiceIx(1), 1));
    assert_eq!(snapshot.parts().enis.len(), 3 + 2 + 2);
}

#[test]
fn every_eni_has_an_address_of_its_subnet_that_nothing_else_has() {
    let snapshot = snapshot(THREE_AZ);
    for (position, eni) in snapshot.parts().enis.iter().enumerate() {
        assert!(snapshot.subnet(eni.subnet).cidr.contains(eni.address));
        assert_eq!(
            snapshot.interface(VpcIx(0), eni.address),
            Some(Interface::Eni(EniIx::from(position)))
        );
    }
    let nat = snapshot.nat_gateway(NatGatewayIx(0));
    assert_eq!(nat.private_address, Ipv4Addr::new(10, 0, 0, 4));
    assert_eq!(nat.public_address, Some(Ipv4Addr::new(198, 51, 100, 7)));
    assert_eq!(snapshot.parts().apprunner_address, Some(Ipv4Addr::new(198, 51, 100, 1)));
}

#[test]
fn routes_lead_to_their_targets() {
    let snapshot = snapshot(THREE_AZ);
    let target = |table, address| {
        snapshot.route_table(RouteTableIx(table)).lookup(address).map(|(_, r)| r.target.clone())
    };
    let internet = Ipv4Addr::new(203, 0, 113, 10);
    assert_eq!(target(0, internet), Some(Target::InternetGateway));
    assert_eq!(target(1, internet), Some(Target::NatGateway(NatGatewayIx(0))));
    assert_eq!(target(2, internet), None);
    assert_eq!(target(2, Ipv4Addr::new(10, 0, 48, 10)), Some(Target::Local));
    let local = &snapshot.route_table(RouteTableIx(0)).routes[0];
    assert_eq!(local.destination, Destination::Cidr("10.0.0.0/16".parse().unwrap()));
    let _ = SubnetIx(0);
}
