//! Tests that a reload keeps egret's choices for each object that exists before and after it, even
//! if it moves in the file.

use super::*;
use crate::vpc::Snapshot;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Returns a lab of some of ten VPCs, each with a subnet, a NAT gateway and a service of its own,
/// in any order.
fn lab(of: &[usize]) -> String {
    let section = |n: &usize| {
        format!(
            "[[vpc]]\nid = \"vpc-{n}\"\ncidr = \"10.{n}.0.0/16\"\ninternet_gateway = \"igw-{n}\"\n\
             [[subnet]]\nid = \"subnet-{n}\"\nvpc = \"vpc-{n}\"\navailability_zone = \"a\"\ncidr = \"10.{n}.0.0/28\"\n\
             [[nat_gateway]]\nid = \"nat-{n}\"\nsubnet = \"subnet-{n}\"\n\
             [[security_group]]\nid = \"sg-{n}\"\nvpc = \"vpc-{n}\"\n\
             [[vpc_connector]]\nname = \"connector-{n}\"\nsubnets = [\"subnet-{n}\"]\nsecurity_groups = [\"sg-{n}\"]\n\
             [[service]]\nname = \"service-{n}\"\nvpc_connector = \"connector-{n}\"\negress = \"vpc\"\n"
        )
    };
    of.iter().map(section).collect()
}

/// Returns all choices, by the name of the object that has them.
fn chosen(lab: &Lab) -> BTreeMap<String, String> {
    let snapshot: Snapshot = lab.lower(Generation(1));
    let parts = snapshot.parts();
    let vpcs = parts.vpcs.iter().map(|v| (v.id.clone(), format!("{:?}", v.space)));
    let gateways = parts.nat_gateways.iter().map(|n| {
        (n.id.clone(), format!("{} {} {:?}", n.device, n.private_address(), n.public_address()))
    });
    let enis = parts.enis.iter().map(|e| {
        let subnet = snapshot.subnet(e.subnet).id.clone();
        (format!("eni of {subnet}"), format!("{} {} {}", e.id, e.device, e.address))
    });
    vpcs.chain(gateways).chain(enis).collect()
}

fn next(previous: &Lab, text: &str) -> Lab {
    Lab::parse_after(Some(previous), "lab.toml", text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A chain of reloads inserts, removes and reorders sections.
    #[test]
    fn objects_that_stay_keep_their_addresses_and_no_two_share_one(
        labs in prop::collection::vec(
            prop::sample::subsequence((0..10).collect::<Vec<usize>>(), 1..10).prop_shuffle(), 2..6)
    ) {
        let mut before = Lab::parse("lab.toml", &lab(&labs[0])).unwrap();
        for of in &labs[1..] {
            let after = next(&before, &lab(of));
            let (old, new) = (chosen(&before), chosen(&after));
            for (name, what) in &new {
                if let Some(kept) = old.get(name) {
                    prop_assert_eq!(kept, what, "{} was kept", name);
                } else {
                    prop_assert!(!old.values().any(|other| other == what), "{} took over {}", name, what);
                }
            }
            let distinct: std::collections::BTreeSet<_> = new.values().collect();
            prop_assert_eq!(distinct.len(), new.len());
            before = after;
        }
    }
}

#[test]
fn a_lab_without_a_past_is_planned_the_same_every_time() {
    let text = lab(&[3, 1, 2]);
    let (one, two) = (Lab::parse("a", &text).unwrap(), Lab::parse("b", &text).unwrap());
    assert_eq!(chosen(&one), chosen(&two));
}

#[test]
fn an_address_that_the_file_now_gives_to_another_is_not_kept() {
    let before = Lab::parse("lab.toml", &lab(&[1])).unwrap();
    let gateway = Ipv4Addr::new(10, 1, 0, 4);
    assert!(chosen(&before)["nat-1"].contains(&gateway.to_string()));
    let text = lab(&[1])
        + &format!("[[resource]]\nname = \"db\"\nsubnet = \"subnet-1\"\naddress = \"{gateway}\"\n");
    let after = next(&before, &text);
    assert!(!chosen(&after)["nat-1"].contains(&format!(" {gateway} ")));
    let eni = "eni of subnet-1";
    assert_eq!(chosen(&after)[eni], chosen(&before)[eni]);
}

/// A gateway in the place of a deleted one is a different one: its address must not continue the
/// flows.
#[test]
fn an_object_that_replaces_another_gets_an_address_of_its_own() {
    let before = Lab::parse("lab.toml", &lab(&[1])).unwrap();
    let after = next(&before, &lab(&[1]).replace("\"nat-1\"", "\"nat-other\""));
    let (old, new) = (&chosen(&before)["nat-1"], &chosen(&after)["nat-other"]);
    let (old, new): (Vec<_>, Vec<_>) = (old.split(' ').collect(), new.split(' ').collect());
    assert!(old.iter().all(|word| !new.contains(word)), "{old:?} {new:?}");
}

#[test]
fn regression_a_given_address_is_not_chosen_for_the_next() {
    let given = lab(&[1]).replace("id = \"nat-1\"", "id = \"nat-1\"\npublic_ip = \"198.51.100.1\"");
    let before = Lab::parse("lab.toml", &given).unwrap();
    let after = next(&before, &lab(&[1]).replace("\"nat-1\"", "\"nat-other\""));
    assert!(chosen(&after)["nat-other"].contains("198.51.100.2"));
}

/// If no other address is free, a previous one is better than none.
#[test]
fn addresses_that_rest_are_the_last_resort() {
    let before = Lab::parse("lab.toml", &lab(&[1])).unwrap();
    let mut text = lab(&[1]).replace("\"nat-1\"", "\"nat-other\"");
    // 4 and 5 were chosen, 6 to 14 are given.
    for last in 6..=14 {
        text += &format!(
            "[[resource]]\nname = \"r{last}\"\nsubnet = \"subnet-1\"\naddress = \"10.1.0.{last}\"\n"
        );
    }
    assert!(chosen(&next(&before, &text))["nat-other"].contains(" 10.1.0.4 "));
}
