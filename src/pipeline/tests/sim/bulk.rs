//! Sends gigabytes through one flow: its sequence numbers wrap, its timers pass many times, and it
//! never expires (checklist 5.5). There are no endpoints here, which would have to hold the data:
//! one super-packet is judged repeatedly.

use super::*;
use crate::flow::Side;
use crate::packet::field::{ipv4, put_u32, tcp};
use crate::pipeline::{Device, Received};

const PAYLOAD: usize = 44 * 1460;
const HEADERS: usize = ipv4::MIN_LEN + tcp::MIN_LEN;

/// A packet that is judged many times: its headers are restored after each.
struct Again {
    bytes: Vec<u8>,
    headers: [u8; HEADERS],
    vnet: VnetHeader,
}

impl Again {
    fn new(mut bytes: Vec<u8>, gso_size: u16) -> Self {
        let vnet = builder::to_super_packet(&mut bytes, gso_size);
        let headers = bytes[..HEADERS].try_into().unwrap();
        Self { bytes, headers, vnet }
    }

    #[track_caller]
    fn judge(&mut self, sim: &Sim, device: Device, seq: u32, ack: u32) {
        self.bytes[..HEADERS].copy_from_slice(&self.headers);
        put_u32(&mut self.bytes, ipv4::MIN_LEN + tcp::SEQ, seq);
        put_u32(&mut self.bytes, ipv4::MIN_LEN + tcp::ACK, ack);
        let World { engine, snapshot, now, .. } = &sim.world;
        let received = Received { device, bytes: &mut self.bytes, vnet: self.vnet };
        let judged = engine.judge(*now, snapshot, received, &mut [0; 2048]);
        assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{judged:?}");
    }
}

#[test]
fn five_gigabytes_over_ten_timer_periods_never_expire() {
    let mut sim = Sim::new(LAB, 1);
    let task = sim.task("web", 1);
    sim.connected(task, 40_000, OUT);
    let web = sim.world.task("web", 1);
    let mut returned = None;
    sim.world.engine.flows().for_each(|entry| returned = Some(entry.flow.returned.tuple()));
    let back = returned.unwrap();
    let (inside, outside) =
        (sim.world.device_of(web), sim.world.device_toward(Link::Internet, back.dst));
    let here = SocketAddrV4::new(web, 40_000);
    let there = SocketAddrV4::new(OUT.0, OUT.1);
    let mut data = Again::new(builder::tcp(here, there, ACK, 0, 0, &vec![7; PAYLOAD]), 1460);
    let mut acks = Again::new(segment(back, ACK, 0, 0), 0);
    acks.vnet = VnetHeader::default();
    acks.bytes = segment(back, ACK, 0, 0);
    acks.headers = acks.bytes[..HEADERS].try_into().unwrap();
    let rounds = 5_000_000_000 / PAYLOAD as u64;
    let (mut sent, mut seq) = (0_u64, 0_u32);
    for _ in 0..rounds {
        // Ten timer periods in all: one packet every 45 ms.
        sim.run_for(Duration::from_nanos(3_500_000_000_000 / rounds));
        data.judge(&sim, inside, seq, 501);
        seq = seq.wrapping_add(PAYLOAD as u32);
        sent += PAYLOAD as u64;
        acks.judge(&sim, outside, 501, seq);
    }
    assert!(sent > 1 << 32, "the sequence numbers have wrapped");
    let mut counted = (0, 0, Side::Return);
    sim.world.engine.flows().for_each(|entry| {
        counted = (entry.flow.sent.bytes(), entry.flow.sent.segments(), entry.side);
    });
    let segments = rounds * PAYLOAD.div_ceil(1460) as u64;
    assert!(counted.0 >= sent + segments * 40 && counted.1 >= segments);
    assert_eq!((sim.leased(), sim.drops.len()), ((1, 1), 0));
}
