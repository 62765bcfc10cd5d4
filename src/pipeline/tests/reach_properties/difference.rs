//! Checks that the difference of two answers contains the packets that pass by one of them only:
//! those, and no others.

use super::*;
use crate::pipeline::reach::{Answered, Changed, ChangedSide, Difference, difference};

/// A question about a lab and about a slightly different one.
struct Pair {
    before: Asked,
    after: Asked,
    answers: [Answer; 2],
}

/// Asks the same question in two labs. Both have the services that the question can be about.
fn pair(lab: &[u8], choices: &[u8], (at, byte): (usize, u8)) -> Option<Pair> {
    let mut other = lab.to_vec();
    if let Some(position) = at.checked_rem(lab.len()) {
        other[position] = byte;
    }
    let (before, after) = (asked(lab, choices), asked(&other, choices));
    let same = before.question.service == after.question.service;
    let answers = [before.answer(), after.answer()];
    same.then_some(Pair { before, after, answers })
}

impl Pair {
    fn answered(&self) -> [Answered<'_>; 2] {
        let [before, after] = &self.answers;
        [
            Answered { snapshot: &self.before.snapshot, answer: before },
            Answered { snapshot: &self.after.snapshot, answer: after },
        ]
    }

    fn difference(&self) -> Difference {
        let [before, after] = self.answered();
        difference(before, after)
    }

    fn show(&self) -> String {
        format!("{}\n--- and ---\n{}", self.before.text, self.after.text)
    }
}

fn passes(asked: &Asked, packet: &Packet) -> bool {
    judge(&asked.world, &asked.snapshot, asked.question.service, packet).is_none()
}

/// Draws a packet of a change, as each side has it.
fn members(changed: &Changed, draw: &mut Draw<'_>) -> [Packet; 2] {
    let (protocol, port) = protocol_and_port(&changed.ports, draw);
    let to = draw.from(&changed.destinations).unwrap();
    let eni_port = changed.source_ports.as_ref().and_then(|all| draw.from(all)).unwrap_or(0) as u16;
    let at = draw.from(&Ranges::of(0, changed.before.attachments.len() as u32 - 1)).unwrap();
    [&changed.before, &changed.after].map(|side: &ChangedSide| {
        let (attachment, addresses) = &side.attachments[at as usize];
        let gateway = draw.one(&side.gateway_addresses).cloned();
        let any = Ranges::of(1024, 65_535);
        let choice = Choice {
            eni_address: draw.from(addresses).unwrap_or(0).into(),
            eni_port,
            nat_position: gateway.as_ref().map_or(0, |at| at.position),
            nat_address: gateway.and_then(|at| draw.from(&at.private)).map(Ipv4Addr::from),
            nat_port: draw.from(side.gateway_ports.as_ref().unwrap_or(&any)).unwrap() as u16,
        };
        Packet { attachment: *attachment, to, protocol, port, choice }
    })
}

fn is_in(side: &ChangedSide, packet: &Packet, gateway: Option<NatGatewayIx>) -> bool {
    let Choice { eni_address, nat_position, nat_address, nat_port, .. } = packet.choice;
    let at_eni = |(at, own): &(Attachment, Ranges)| {
        *at == packet.attachment && (own.is_empty() || own.contains(eni_address.to_bits()))
    };
    let at_gateway = |at: &reach::GatewayAddress| {
        Some(at.gateway) == gateway
            && at.position == nat_position
            && nat_address.is_none_or(|address| at.private.contains(address.to_bits()))
    };
    side.attachments.iter().any(at_eni)
        && (side.gateway_addresses.is_empty() || side.gateway_addresses.iter().any(at_gateway))
        && side.gateway_ports.as_ref().is_none_or(|all| all.contains(nat_port.into()))
}

fn is_changed(changed: &Changed, pair: &Pair, [before, after]: &[Packet; 2]) -> bool {
    let (protocol, port) = (before.protocol, before.port);
    is_in(&changed.before, before, pair.before.gateway(before))
        && is_in(&changed.after, after, pair.after.gateway(after))
        && changed.destinations.contains(before.to)
        && changed.ports.contains(protocol, port)
        && changed
            .source_ports
            .as_ref()
            .is_none_or(|all| all.contains(before.choice.eni_port.into()))
}

/// Draws a packet that both labs have: from the same subnet and groups, with the same addresses and
/// ports.
fn any_of_both(pair: &Pair, draw: &mut Draw<'_>) -> Option<[Packet; 2]> {
    let before = any_packet(&pair.before, &pair.answers[0], draw);
    let name = |snapshot: &Snapshot, at: Attachment| match at {
        Attachment::Eni(ix) => {
            let eni = snapshot.eni(ix);
            let id =
                |group: &crate::vpc::SecurityGroupIx| snapshot.security_group(*group).id.clone();
            let groups: Vec<String> = eni.security_groups.iter().map(id).collect();
            Some((eni.kind, snapshot.subnet(eni.subnet).id.clone(), groups))
        }
        Attachment::AppRunner => None,
    };
    let wanted = name(&pair.before.snapshot, before.attachment);
    let number = |asked: &Asked, at: Attachment| match at {
        Attachment::Eni(ix) => asked.snapshot.eni(ix).task.map(|task| task.number),
        Attachment::AppRunner => None,
    };
    let is_it = |at: &Attachment| {
        name(&pair.after.snapshot, *at) == wanted
            && number(&pair.after, *at) == number(&pair.before, before.attachment)
    };
    let others = pair.after.question.attachments.iter().map(|asked| asked.attachment);
    let attachment = others.into_iter().find(is_it)?;
    let mut after = Packet { attachment, ..before };
    let id = |asked: &Asked, packet| {
        let gateway = asked.gateway(packet)?;
        Some(asked.snapshot.nat_gateway(gateway).id.clone())
    };
    if id(&pair.before, &before) != id(&pair.after, &after) {
        after.choice.nat_position = 0;
        after.choice.nat_address = None;
    }
    let eni = |answer: &Answer, at: Attachment| {
        let all = answer.classes.iter().flat_map(|class| &class.eni_addresses);
        Ranges::new(
            all.filter(|(ix, _)| Attachment::Eni(*ix) == at).flat_map(|(_, own)| own.iter()),
        )
    };
    let own = eni(&pair.answers[1], attachment);
    let address = before.choice.eni_address.to_bits();
    (own.is_empty() || own.contains(address)).then_some([before, after])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { cases() } else { 64 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_difference_holds_the_packets_whose_verdict_changes(
        lab in proptest::collection::vec(any::<u8>(), 1..900),
        choices in proptest::collection::vec(any::<u8>(), 5),
        change in any::<(usize, u8)>(),
        seed in any::<u64>(),
    ) {
        let Some(pair) = pair(&lab, &choices, change) else { return Ok(()) };
        let difference = pair.difference();
        let mut numbers = numbers(seed);
        let mut draw = Draw(&mut numbers);
        for changed in difference.changes.iter().take(CLASSES) {
            for _ in 0..20 {
                let [before, after] = members(changed, &mut draw);
                let reported = (changed.before.passes(), changed.after.passes());
                prop_assert_ne!(reported.0, reported.1);
                let seen = (passes(&pair.before, &before), passes(&pair.after, &after));
                prop_assert_eq!(seen, reported, "{:?} {:?}\n{:#?}\n{}", before, after, changed, pair.show());
            }
        }
        for _ in 0..200 {
            let Some(both) = any_of_both(&pair, &mut draw) else { continue };
            let changes = passes(&pair.before, &both[0]) != passes(&pair.after, &both[1]);
            let reported = difference.changes.iter().filter(|changed| is_changed(changed, &pair, &both));
            let reported = reported.count();
            prop_assert_eq!(reported, usize::from(changes), "{:?}\n{:#?}\n{}", both, difference, pair.show());
        }
    }

    #[test]
    fn a_difference_is_empty_without_a_change_and_mirrored_when_swapped(
        lab in proptest::collection::vec(any::<u8>(), 1..900),
        choices in proptest::collection::vec(any::<u8>(), 5),
        change in any::<(usize, u8)>(),
    ) {
        let Some(pair) = pair(&lab, &choices, change) else { return Ok(()) };
        let [before, after] = pair.answered();
        prop_assert_eq!(difference(before, before).changes, Vec::new());
        prop_assert_eq!(difference(after, after).changes, Vec::new());
        let (there, back) = (difference(before, after), difference(after, before));
        let swap = |changed: Changed| {
            Changed { before: changed.after, after: changed.before, ..changed }
        };
        let mut swapped: Vec<Changed> = back.changes.into_iter().map(swap).collect();
        let key = |changed: &Changed| (changed.before.class, changed.after.class);
        swapped.sort_by_key(key);
        // Attachments have the order of one side.
        for changed in &mut swapped {
            sort_attachments(changed);
        }
        let mut there_sorted = there.changes;
        there_sorted.iter_mut().for_each(sort_attachments);
        prop_assert_eq!(there_sorted, swapped);
        prop_assert_eq!((there.only_before, there.only_after), (back.only_after, back.only_before));
    }
}

fn sort_attachments(changed: &mut Changed) {
    let both = changed.before.attachments.iter().cloned();
    let mut both: Vec<_> = both.zip(changed.after.attachments.iter().cloned()).collect();
    both.sort_by_key(|((at, _), _)| format!("{at:?}"));
    (changed.before.attachments, changed.after.attachments) = both.into_iter().unzip();
}
