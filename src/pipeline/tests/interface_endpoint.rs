//! Tests interface endpoints: addresses of the VPC with groups of their own, reached by the local
//! route (spec 7.2).

use super::world::*;
use crate::pipeline::{Link, Reason};
use crate::vpc::VpcIx;
use std::net::Ipv4Addr;

pub(super) const A: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 200);

/// Returns a lab with an endpoint in both of the connector's subnets; only the first of its
/// addresses is given.
pub(super) fn lab(ingress: &str) -> String {
    format!(
        r#"{LAB}
[[vpc_endpoint]]
id = "vpce-secrets"
vpc = "vpc"
kind = "interface"
service = "com.amazonaws.us-east-1.secretsmanager"
subnets = ["subnet-a", "subnet-b"]
addresses = ["10.0.1.200"]
security_groups = ["sg-endpoint"]
[[security_group]]
id = "sg-endpoint"
vpc = "vpc"
ingress = [{ingress}]
"#
    )
}

const HTTPS: &str = r#"{ protocol = "tcp", ports = "443", from = "sg-app" }"#;

#[test]
fn an_endpoint_is_reached_in_every_zone_without_a_nat_gateway() {
    let lab = with(&lab(HTTPS), r#"{ destination = "0.0.0.0/0", target = "nat" },"#, "");
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let interfaces: Vec<_> =
        world.snapshot.parts().resources.iter().filter(|r| r.endpoint.is_some()).collect();
    let addresses: Vec<Ipv4Addr> = interfaces.iter().map(|r| r.address).collect();
    assert_eq!(addresses[0], A);
    assert_eq!(addresses[1].octets()[..3], [10, 0, 2]);
    for address in addresses {
        let (out, link) = world.connects(web, 1, (address, 443));
        assert_eq!((out.src, link), (ENI_A, Link::Vpc(VpcIx(0))));
    }
}

#[test]
fn its_own_groups_must_let_the_connector_in() {
    let mut world =
        World::new(&lab(r#"{ protocol = "tcp", ports = "443", from = "10.9.0.0/16" }"#));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (A, 443))), Reason::SgIngressImplicitDeny);
    let mut world = World::new(&lab(""));
    assert_eq!(world.refuses(&syn(web, 1, (A, 443))), Reason::SgIngressNoRules);
}

/// Always tracked: removing a rule does not cut a connection (spec 4.4).
#[test]
fn a_connection_outlives_the_rule_that_let_it_in() {
    let mut world = World::new(&lab(HTTPS));
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 1, (A, 443));
    world.reload(&lab(""));
    assert_eq!(world.passes(&tcp(web, 1, (A, 443), ACK, 101, 501)).0, out);
    world.comes_back(link, &segment(out.reversed(), ACK, 501, 101));
    assert_eq!(world.refuses(&syn(web, 2, (A, 443))), Reason::SgIngressNoRules);
}

#[test]
fn it_carries_tcp_only() {
    let mut world = World::new(&lab(r#"{ protocol = "all", from = "0.0.0.0/0" }"#));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&ping(web, A, 1)), Reason::InterfaceEndpointProtocol);
    assert_eq!(world.refuses(&udp(web, 1, (A, 53))), Reason::InterfaceEndpointProtocol);
    world.connects(web, 1, (A, 443));
}

#[test]
fn it_is_known_by_its_own_names_and_with_private_dns_by_the_services() {
    let names = |text: &str| {
        let world = World::new(text);
        let parts = world.snapshot.parts();
        let interface = parts.resources.iter().find(|r| r.endpoint.is_some()).unwrap();
        (interface.aliases.clone(), interface.private_dns.clone())
    };
    let own = [
        "vpce-secrets.secretsmanager.us-east-1.vpce.amazonaws.com".to_owned(),
        "vpce-secrets-us-east-1a.secretsmanager.us-east-1.vpce.amazonaws.com".to_owned(),
    ];
    let text = lab(HTTPS);
    let public = "secretsmanager.us-east-1.amazonaws.com".to_owned();
    assert_eq!(names(&text), (own.to_vec(), Some(public)));
    let without = with(&text, "addresses = [\"10.0.1.200\"]", "private_dns_enabled = false");
    assert_eq!(names(&without), (own.to_vec(), None));
    let of =
        |service: &str| names(&with(&text, "com.amazonaws.us-east-1.secretsmanager", service)).1;
    let turned = of("com.amazonaws.us-east-1.ecr.api").unwrap();
    assert_eq!(turned, "api.ecr.us-east-1.amazonaws.com");
    let registries = of("com.amazonaws.us-east-1.ecr.dkr").unwrap();
    assert_eq!(registries, "*.dkr.ecr.us-east-1.amazonaws.com");
    assert_eq!(of("com.amazonaws.vpce.us-east-1.vpce-svc-1"), None, "somebody's own service");
}
