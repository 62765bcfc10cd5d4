//! Converts a flow's record to the form in the map of the tc programs, and back.

use super::shared::{
    self, APP_RUNNER_PORT, NO_PORT, OWN_PORT, RecordCounted, RecordPort, RecordTuple,
};
use crate::flow::{Counted, FlowKey, HandoverRecord, Instant, LastNat, NatPort, Space};
use crate::packet::{Protocol, Tuple};

impl From<&HandoverRecord> for shared::SharedRecord {
    fn from(record: &HandoverRecord) -> Self {
        let nat = record.nat.map(|(nat, port)| match nat {
            LastNat::Gateway => (OWN_PORT, port),
            LastNat::AppRunner => (APP_RUNNER_PORT, port),
        });
        let endpoint =
            record.endpoint.map(|(space, address)| (OWN_PORT, NatPort { space, address, port: 0 }));
        Self {
            egress: tuple_of(&record.egress),
            returned: tuple_of(&record.returned),
            eni: port_of(record.eni.map(|port| (OWN_PORT, port))),
            nat: port_of(nat),
            endpoint: port_of(endpoint),
            untracked: record.untracked.into(),
            began: record.began.0,
            counted: record
                .counted
                .map(|Counted { own, offloaded }| RecordCounted { own, offloaded }),
        }
    }
}

impl From<shared::SharedRecord> for HandoverRecord {
    fn from(kept: shared::SharedRecord) -> Self {
        let shared::SharedRecord {
            egress,
            returned,
            eni,
            nat,
            endpoint,
            untracked,
            began,
            counted,
        } = kept;
        let nat = port(nat).map(|port| match nat.holder {
            APP_RUNNER_PORT => (LastNat::AppRunner, port),
            _ => (LastNat::Gateway, port),
        });
        Self {
            egress: key(egress),
            returned: key(returned),
            eni: port(eni),
            nat,
            endpoint: port(endpoint).map(|at| (at.space, at.address)),
            untracked: untracked != 0,
            began: Instant(began),
            counted: counted.map(|RecordCounted { own, offloaded }| Counted { own, offloaded }),
        }
    }
}

fn tuple_of(key: &FlowKey) -> RecordTuple {
    let Tuple { protocol, src, dst, sport, dport } = key.tuple();
    RecordTuple {
        space: key.space.0,
        protocol: protocol.number(),
        zero: 0,
        source: src.octets(),
        destination: dst.octets(),
        sport: sport.into(),
        dport: dport.into(),
    }
}

fn key(tuple: RecordTuple) -> FlowKey {
    let RecordTuple { space, protocol, zero: _, source, destination, sport, dport } = tuple;
    let tuple = Tuple {
        protocol: Protocol::from(protocol),
        src: source.into(),
        dst: destination.into(),
        sport: sport.get(),
        dport: dport.get(),
    };
    FlowKey::new(Space(space), tuple)
}

fn port_of(port: Option<(u16, NatPort)>) -> RecordPort {
    let none = RecordPort { holder: NO_PORT, space: 0, address: [0; 4], port: 0 };
    port.map_or(none, |(holder, NatPort { space, address, port })| RecordPort {
        holder,
        space: space.0,
        address: address.octets(),
        port: port.into(),
    })
}

fn port(kept: RecordPort) -> Option<NatPort> {
    let RecordPort { holder, space, address, port } = kept;
    let port = u16::try_from(port).ok().filter(|_| holder != NO_PORT)?;
    Some(NatPort { space: Space(space), address: address.into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_is_kept_of_it() {
        let port =
            NatPort { space: Space::INTERNET, address: [198, 51, 100, 7].into(), port: 1024 };
        for nat in [None, Some((LastNat::Gateway, port)), Some((LastNat::AppRunner, port))] {
            let record = HandoverRecord::example(nat);
            assert_eq!(HandoverRecord::from(shared::SharedRecord::from(&record)), record);
            let without = HandoverRecord { eni: None, endpoint: None, untracked: true, ..record };
            assert_eq!(HandoverRecord::from(shared::SharedRecord::from(&without)), without);
        }
    }
}
