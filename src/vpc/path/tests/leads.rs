//! Tests of the leads of whole networks.

use super::*;

/// Formats a lead as one line: the network, the last route, and the link or the dead end.
fn line(snapshot: &Snapshot, lead: &Lead) -> String {
    let route = lead.last_route.map_or("-".to_owned(), |route| route_of(snapshot, route));
    let end = match lead.end {
        Ok(link) => format!("{link:?}"),
        Err(dead_end) => end(snapshot, dead_end),
    };
    format!("{} by {route}: {end}", lead.to)
}

fn lines(snapshot: &Snapshot, leads: &[Lead]) -> Vec<String> {
    leads.iter().map(|lead| line(snapshot, lead)).collect()
}

#[test]
fn leads_hold_every_address_in_the_parts_at_which_paths_differ() {
    let snapshot = lab(&[
        ("a", "192.0.0.0/8 > nat, 10.8.0.0/15 > pcx, 203.0.113.0/24 > igw"),
        ("public", "192.0.2.0/24 > igw, pl > vpce, 192.168.0.0/16 > nat-own"),
    ]);
    let leads = leads(&snapshot, ix(&snapshot, "a"));
    assert_eq!(
        lines(&snapshot, &leads),
        [
            "0.0.0.0/0 by -: NoRoute a",
            "10.0.0.0/16 by 10.0.0.0/16: Vpc(VpcIx(0))",
            "10.0.0.0/24 by 10.0.0.0/16: Vpc(VpcIx(0))",
            "10.0.1.0/24 by -: Vpc(VpcIx(0))",
            "10.8.0.0/15 by 10.8.0.0/15: OutsidePeer pcx",
            "10.9.0.0/16 by 10.8.0.0/15: Vpc(VpcIx(1))",
            "192.0.0.0/8 by 192.0.0.0/8: NatNoRoute nat",
            "192.0.2.0/24 by 192.0.2.0/24: Internet",
            "192.168.0.0/16 by 192.168.0.0/16: NatToNat nat 192.168.0.0/16",
            "203.0.113.0/24 by 203.0.113.0/24: Internet",
        ]
    );
    let by_nat = |lead: &&Lead| lead.nat_gateway == Some(gateway(&snapshot, "nat"));
    let led: Vec<_> = leads.iter().filter(by_nat).map(|lead| lead.to.to_string()).collect();
    assert_eq!(led, ["192.0.0.0/8", "192.0.2.0/24", "192.168.0.0/16"]);
    assert!(
        leads.iter().filter(by_nat).all(|l| route_of(&snapshot, l.route.unwrap()) == "192.0.0.0/8")
    );
}

#[test]
fn leads_leave_out_networks_whose_addresses_are_all_in_smaller_ones() {
    let halves = "0.0.0.0/0 > igw, 0.0.0.0/1 > nat, 128.0.0.0/1 > nat, 192.0.2.0/25 > igw, 192.0.2.128/25 > igw, 192.0.2.0/24 > nat";
    let snapshot = lab(&[("a", halves), OUT]);
    let leads = leads(&snapshot, ix(&snapshot, "a"));
    let led: Vec<_> = leads.iter().map(|lead| lead.to.to_string()).collect();
    assert_eq!(
        led,
        [
            "0.0.0.0/1",
            "10.0.0.0/16",
            "10.0.0.0/24",
            "10.0.1.0/24",
            "10.9.0.0/16",
            "128.0.0.0/1",
            "192.0.2.0/25",
            "192.0.2.128/25"
        ]
    );
}

#[test]
fn leads_by_another_table_begin_there_and_go_on_by_the_own_ones() {
    let snapshot = lab(&[("a", "0.0.0.0/0 > eni-fw"), ("fw", "203.0.113.0/24 > igw"), OUT]);
    let table = |id: &str| snapshot.subnet(ix(&snapshot, id)).route_table;
    let to = |leads: &[Lead]| {
        let lead = leads.iter().find(|lead| lead.to.to_string() == "203.0.113.0/24");
        lead.map(|lead| (lead.middlebox.is_some(), line(&snapshot, lead)))
    };
    let line = |line: &str| line.to_owned();
    let own = leads(&snapshot, ix(&snapshot, "a"));
    assert_eq!(to(&own), Some((true, line("203.0.113.0/24 by 203.0.113.0/24: Internet"))));
    let of_fw = leads_by_table(&snapshot, ix(&snapshot, "data"), table("fw"));
    assert_eq!(to(&of_fw), Some((false, line("203.0.113.0/24 by 203.0.113.0/24: Internet"))));
    let itself = leads_by_table(&snapshot, ix(&snapshot, "fw"), table("a"));
    let everything = itself.first().unwrap();
    assert_eq!(everything.end, Err(DeadEnd::Loop(ix(&snapshot, "fw"), everything.route.unwrap())));
}

#[test]
fn leads_beyond_a_nat_gateway_pass_no_second_one() {
    let snapshot = lab(&[("public", "0.0.0.0/0 > nat-own, 203.0.113.0/24 > igw")]);
    let leads = leads_beyond(&snapshot, gateway(&snapshot, "nat"));
    assert_eq!(
        lines(&snapshot, &leads),
        [
            "0.0.0.0/0 by 0.0.0.0/0: NatToNat nat 0.0.0.0/0",
            "10.0.0.0/16 by 10.0.0.0/16: Vpc(VpcIx(0))",
            "10.0.0.0/24 by -: Vpc(VpcIx(0))",
            "10.0.1.0/24 by 10.0.0.0/16: Vpc(VpcIx(0))",
            "10.9.0.0/16 by 0.0.0.0/0: NatToNat nat 0.0.0.0/0",
            "203.0.113.0/24 by 203.0.113.0/24: Internet",
        ]
    );
}

#[test]
fn network_is_led_back_if_any_part_of_it_is() {
    let led = |cache: &str, to: &str| {
        let snapshot = lab(&[("cache", cache)]);
        let to: Ipv4Network = to.parse().unwrap();
        is_led_back(&snapshot, ix(&snapshot, "cache"), &[to], PeeringIx(0))
    };
    assert!(led("10.0.0.0/16 > pcx", "10.0.1.0/24"));
    assert!(led("10.0.1.0/24 > pcx", "10.0.0.0/16"));
    assert!(led("10.0.0.0/16 > pcx, 10.0.1.0/24 > blackhole", "10.0.0.0/16"));
    assert!(!led("10.0.0.0/16 > pcx, 10.0.1.0/24 > blackhole", "10.0.1.0/24"));
    assert!(!led(
        "10.0.0.0/16 > pcx, 10.0.0.0/17 > blackhole, 10.0.128.0/17 > blackhole",
        "10.0.0.0/16"
    ));
    assert!(!led("10.0.0.0/16 > igw-2", "10.0.1.0/24"));
    assert!(!led("", "10.0.1.0/24"));
}

#[test]
fn link_of_a_network_is_that_of_its_addresses() {
    let snapshot =
        lab(&[("a", "0.0.0.0/0 > nat, 10.8.0.0/15 > pcx, 198.18.0.0/15 > blackhole"), OUT]);
    let link = |to: &str| link(&snapshot, ix(&snapshot, "a"), to.parse().unwrap());
    assert_eq!(link("0.0.0.0/0"), Some(Link::Internet));
    assert_eq!(link("10.0.1.0/24"), Some(Link::Vpc(VpcIx(0))));
    assert_eq!(link("10.8.0.0/15"), Some(Link::Vpc(VpcIx(1))), "some of it is the peer's");
    assert_eq!(link("198.18.0.0/15"), None);
    let prefixes: Vec<_> =
        prefixes(&snapshot, ix(&snapshot, "a")).iter().map(ToString::to_string).collect();
    let expected =
        ["0.0.0.0/0", "10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "10.8.0.0/15", "198.18.0.0/15"];
    assert_eq!(prefixes, expected);
}
