//! A hostile frame within a flow is treated alike by user space and by the kernel, which forwards
//! offloaded flows. The same frames go into the same flows of two labs, and the test compares the
//! packets that come out, the counters and the flows afterwards. No network stack answers on either
//! side: both ends of every flow are made of frames.

use crate::support::comes;
use crate::support::frames::frame;
use crate::support::lab::{Agent, Lab, can_run};
use egret::explain::{DropRow, EniRow, FlowRow};
use egret::linux::Mac;
use egret::packet::{Protocol, VnetHeader, builder, checksum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

mod call;
mod twists;

use call::{Call, HOST, IPV4, numbered};
use twists::{Sent, Twist, twists};

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// The source port, or the identifier, of the first flow.
const FIRST_PORT: u16 = 10_000;
/// The number of flows that begin together, and of frames between two looks: fewer than a queue has
/// room for.
const BATCH: usize = 50;
/// Packets each way after which both directions of a flow are offloaded.
const EXCHANGES: u32 = 20;
/// The number of a flow that a hostile frame began.
const NEW: u16 = u16::MAX;
const ETHERNET: usize = 14;

#[test]
fn hostile_frames_are_treated_alike_in_kernel_and_user_space() {
    if !can_run() {
        return;
    }
    let all = twists();
    assert!(all.len() >= 500, "{}", all.len());
    let expected = Bed::up("off", &all).run(&all);
    let mut bed = Bed::up("on", &all);
    let by_kernel = |flow: &FlowRow| {
        let offloaded = &flow.offloaded;
        flow.path == "offload" && offloaded.packets_out > 0 && offloaded.packets_in > 0
    };
    let flows = bed.lab.flows();
    assert!(flows.len() > all.len() && flows.iter().all(by_kernel), "{flows:#?}");
    let mut found = bed.run(&all);
    assert_eq!(found.refused, expected.refused, "by the kernel of the sender");
    // Counters may be read a moment later.
    comes(|| {
        bed.look(&mut found);
        found == expected
    });
    found.must_equal(&expected, &all);
}

/// The result of all frames.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// The frames that the sender's kernel refused to send, by number, with the error.
    refused: Vec<(usize, String)>,
    /// The frames that came out at the server's side and at the task's, sorted.
    out: [Vec<String>; 2],
    drops: BTreeMap<String, u64>,
    flows: BTreeMap<String, String>,
    enis: Vec<String>,
}

impl Outcome {
    /// Panics with the differences only, if there are any.
    fn must_equal(&self, expected: &Self, all: &[Twist]) {
        let mut differences = Vec::new();
        for (side, (found, expected)) in
            ["server", "task"].iter().zip(self.out.iter().zip(&expected.out))
        {
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|frame| !b.contains(frame)).cloned().collect()
            };
            let [more, fewer] = [only(found, expected), only(expected, found)];
            differences.extend(more.iter().map(|frame| format!("{side}: more  {frame}")));
            differences.extend(fewer.iter().map(|frame| format!("{side}: fewer {frame}")));
        }
        for (inside, flow) in &expected.flows {
            if self.flows.get(inside) != Some(flow) {
                let port = inside.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
                let number = port.and_then(|port| port.checked_sub(FIRST_PORT)).map(usize::from);
                let name = number.and_then(|number| all.get(number)).map(|twist| &twist.name);
                let found = self.flows.get(inside);
                differences.push(format!("{inside} {name:?}: {found:?}, expected {flow}"));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert_eq!(self.drops, expected.drops);
        assert_eq!(self.enis, expected.enis);
        assert_eq!(self, expected);
    }
}

/// A lab with one flow for each frame, and one more for the marker that shows that everything
/// before it was handled.
struct Bed {
    lab: Lab,
    task: Agent,
    server: Agent,
    router: [Mac; 2],
    calls: Vec<Call>,
    /// The number of a flow by its protocol and its port at the NAT gateway.
    by_outside: BTreeMap<(u8, u16), u16>,
}

impl Bed {
    fn up(offload: &str, all: &[Twist]) -> Self {
        // Nothing may expire in one lab and not in the other.
        let text = format!("offload = \"{offload}\"\n{}", crate::offload::LAB);
        let lab = Lab::up("vnet", &format!("{text}\n[timeouts]\ntime_scale = 0.001\n"));
        let (mut task, mut server) = (lab.task("web"), Lab::agent(&lab.netns("internet")));
        assert_eq!(lab.ps()[0].address, TASK);
        // The stacks of both ends ignore packets for addresses that they do not have.
        lab.exec_ok("web", &format!("ip route del local {TASK} dev eth0 table local"));
        let (ok, said) = lab.exec_internet(&format!("ip address del {HOST}/32 dev net0"));
        assert!(ok, "{said}");
        task.ok(&json!(["wire", "eth0", HOST]));
        server.ok(&json!(["wire", "net0"]));
        let router = [Mac::near(TASK), Mac([0; 6])];
        let (calls, by_outside) = (Vec::new(), BTreeMap::new());
        let mut bed = Self { lab, task, server, router, calls, by_outside };
        let marker = [Protocol::Udp];
        let protocols: Vec<_> = all.iter().map(|twist| twist.protocol).chain(marker).collect();
        for batch in protocols.chunks(BATCH) {
            bed.open(batch);
        }
        bed
    }

    /// Opens flows, and sends enough packets from both ends for the flows to be offloaded.
    fn open(&mut self, protocols: &[Protocol]) {
        let first = self.calls.len();
        let made = protocols.iter().zip(first as u16..).map(|(protocol, number)| {
            let inside = SocketAddrV4::new(TASK, FIRST_PORT + number);
            Call { protocol: *protocol, inside, outside: inside, at: [7, 1_000_000], number }
        });
        self.calls.extend(made);
        for step in 0..=EXCHANGES {
            for egress in [true, false] {
                let calls = self.calls[first..].iter_mut();
                let packets: Vec<_> = calls.map(|call| call.step(step, egress)).collect();
                let frames = packets
                    .iter()
                    .zip(first as u16..)
                    .map(|(packet, number)| self.sendable(egress, numbered(packet, number).into()));
                let frames: Vec<_> = frames.collect();
                let (from, to) = self.ends(egress);
                assert_eq!(from.ask(&request("wire_send", frames)), json!([]));
                let came = taken(to, protocols.len());
                assert_eq!(came.len(), protocols.len(), "in step {step}, of {first} on");
                if step == 0 && egress {
                    came.iter().for_each(|frame| self.learn(frame));
                }
            }
        }
    }

    fn ends(&mut self, egress: bool) -> (&mut Agent, &mut Agent) {
        if egress { (&mut self.task, &mut self.server) } else { (&mut self.server, &mut self.task) }
    }

    /// Returns what an agent has to send. A task's packet that the kernel's IP would send as it is
    /// goes through IP, because the kernel offloads no packet of a packet socket.
    fn sendable(&self, egress: bool, sent: Sent) -> String {
        if egress && sent.is_plain() {
            return format!("packet {}", hexadecimal(&sent.packet));
        }
        let to = sent.to.unwrap_or(self.router[usize::from(!egress)]);
        behind_vnet(sent.vnet, &frame(to, sent.ethertype, &sent.packet))
    }

    /// Learns from the first packet of a flow what the server has to know.
    fn learn(&mut self, frame: &[u8]) {
        let bytes = &frame[VnetHeader::default().to_bytes().len()..];
        self.router[1] = Mac(bytes[6..12].try_into().unwrap());
        let packet = &bytes[ETHERNET..];
        let number = u16::from_be_bytes([packet[4], packet[5]]);
        let at = if packet[9] == 1 { 24 } else { 20 };
        let port = u16::from_be_bytes([packet[at], packet[at + 1]]);
        let address: [u8; 4] = packet[12..16].try_into().unwrap();
        self.calls[usize::from(number)].outside = SocketAddrV4::new(address.into(), port);
        self.by_outside.insert((packet[9], port), number);
    }

    /// Sends all frames, each into its flow.
    fn run(&mut self, all: &[Twist]) -> Outcome {
        let mut outcome = Outcome::default();
        let numbers: Vec<_> = (0..all.len()).collect();
        for egress in [true, false] {
            let own: Vec<_> =
                numbers.iter().copied().filter(|n| all[*n].egress == egress).collect();
            for batch in own.chunks(BATCH) {
                let frames = batch.iter().map(|n| self.hostile(*n, &all[*n])).collect();
                let (from, _) = self.ends(egress);
                let refused: Vec<(usize, String)> =
                    serde_json::from_value(from.ask(&request("wire_send", frames))).unwrap();
                outcome.refused.extend(refused.into_iter().map(|(at, why)| (batch[at], why)));
                self.mark(egress, &mut outcome);
            }
        }
        // What a frame has changed in its flow shows in the next packets of the flow.
        for egress in [true, false] {
            for batch in numbers.chunks(BATCH) {
                let next = |n: &usize| self.sendable(egress, self.honest(*n, egress).into());
                let frames = batch.iter().map(next).collect();
                let (from, _) = self.ends(egress);
                assert_eq!(from.ask(&request("wire_send", frames)), json!([]));
                self.mark(egress, &mut outcome);
            }
        }
        self.look(&mut outcome);
        outcome
    }

    /// Returns the next packet of one side of a flow, as if there had been no hostile frame.
    fn honest(&self, number: usize, egress: bool) -> Vec<u8> {
        numbered(&self.calls[number].packet(egress, b"honest"), number as u16)
    }

    fn hostile(&self, number: usize, twist: &Twist) -> String {
        self.sendable(twist.egress, twist.frame(&self.calls[number]))
    }

    /// Sends a packet that no flow cache handles, since its header has options, and takes all
    /// frames that come out up to that packet: one queue leads there.
    fn mark(&mut self, egress: bool, outcome: &mut Outcome) {
        let marker = self.calls.len() as u16 - 1;
        let packet = self.calls[usize::from(marker)].packet(egress, b"marker");
        let packet = twists::with_options(packet, &[1, 1, 1, 0]);
        let frame = self.sendable(egress, numbered(&packet, marker).into());
        let (from, to) = self.ends(egress);
        assert_eq!(from.ask(&request("wire_send", vec![frame])), json!([]));
        let mut came = Vec::new();
        let is_here = comes(|| {
            came.extend(taken(to, 1));
            came.last().is_some_and(|frame: &Vec<u8>| frame.ends_with(b"marker"))
        });
        assert!(is_here, "{:#?}", self.lab.drops());
        let side = usize::from(!egress);
        outcome.out[side].extend(came.iter().filter_map(|frame| self.normalized(frame)));
        self.take_rest(outcome);
    }

    /// Takes the frames that have come out, on either side.
    fn take_rest(&mut self, outcome: &mut Outcome) {
        for (side, egress) in [(0, true), (1, false)] {
            let (_, end) = self.ends(egress);
            let came = serde_json::from_value(end.ask(&json!(["wire_take", 1 << 20, 0])));
            let came: Vec<String> = came.unwrap();
            let came: Vec<_> = came.iter().map(|frame| bytes_of(frame)).collect();
            outcome.out[side].extend(came.iter().filter_map(|frame| self.normalized(frame)));
            outcome.out[side].sort();
        }
    }

    /// Reads the counters, and takes the frames that have come out since the last look.
    fn look(&mut self, outcome: &mut Outcome) {
        self.take_rest(outcome);
        outcome.drops.clear();
        // Fragments that wait for the first fragment of their datagram are dropped some time later.
        for row in self.lab.drops().into_iter().filter(|row| row.reason != "fragment-unclaimed") {
            // The port at the gateway differs between the labs.
            let port = row.port.filter(|_| row.task.is_some() || row.service.is_some());
            let DropRow { reason, rule, service, task, source, destination, protocol, .. } = &row;
            let key = format!(
                "{reason} {rule} {service:?}/{task:?} {source:?} {destination:?} {protocol:?} {port:?}"
            );
            *outcome.drops.entry(key).or_default() += row.packets;
        }
        let figures = |flow: &FlowRow| {
            let FlowRow { state, packets_out, bytes_out, packets_in, bytes_in, .. } = flow;
            format!("{state} {packets_out} {bytes_out} {packets_in} {bytes_in}")
        };
        let key =
            |flow: &FlowRow| format!("{} {} {}", flow.protocol, flow.destination, flow.inside);
        outcome.flows = self.lab.flows().iter().map(|flow| (key(flow), figures(flow))).collect();
        let enis: Vec<EniRow> = self.lab.rows("enis");
        let counted = |eni: &EniRow| {
            let EniRow { id, flows, packets_out, bytes_out, packets_in, bytes_in, .. } = eni;
            format!("{id} {flows} {packets_out} {bytes_out} {packets_in} {bytes_in}")
        };
        outcome.enis = enis.iter().map(counted).collect();
    }

    /// Writes a frame without what differs between labs: the port at the NAT gateway, which is
    /// chosen at random, and the identification of fragments and of packets that no end of a flow
    /// has sent.
    fn normalized(&self, frame: &[u8]) -> Option<String> {
        let (vnet, bytes) = frame.split_at(VnetHeader::default().to_bytes().len());
        let vnet = VnetHeader::from_bytes(vnet.try_into().unwrap());
        let ethertype = u16::from_be_bytes([bytes[12], bytes[13]]);
        let mut packet = bytes[ETHERNET..].to_vec();
        if ethertype != IPV4 || packet.len() < 20 {
            return Some(format!("{ethertype:04x} {}", hexadecimal(&packet)));
        }
        if vnet.is_partial() {
            let within = VnetHeader { csum_start: vnet.csum_start - ETHERNET as u16, ..vnet };
            builder::complete(&mut packet, within);
        }
        let gso = vnet.is_super_packet().then_some((vnet.gso_type, vnet.gso_size));
        let header = (usize::from(packet[0] & 15) * 4).clamp(20, packet.len());
        let is_valid = checksum::is_valid(&packet[..header]);
        packet[10..12].fill(0);
        let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
        let is_error =
            packet[9] == 1 && packet.len() > header && [3, 11, 12].contains(&packet[header]);
        let is_of_flow = packet[12..16] == HOST.octets() || self.is_outside(&packet[12..16]);
        if fragment != 0 || is_error || !is_of_flow {
            packet[4..6].fill(0);
        }
        if fragment & 0x1fff == 0 {
            match is_error {
                true => self.hide_quoted(&mut packet, header),
                false => self.hide_ports(&mut packet, header),
            }
        }
        Some(format!("{gso:?} {is_valid} {}", hexadecimal(&packet)))
    }

    fn is_outside(&self, address: &[u8]) -> bool {
        *address == self.calls[0].outside.ip().octets()
    }

    /// Replaces the port by the number of the flow, and the checksum by its error: a port that
    /// changes together with its checksum changes neither.
    fn hide_ports(&self, packet: &mut [u8], header: usize) {
        let protocol = packet[9];
        let (at, sum_at) = match protocol {
            6 => (header, header + 16),
            17 => (header, header + 6),
            1 => (header + 4, header + 2),
            _ => return,
        };
        if packet.len() < sum_at + 2 {
            return;
        }
        // A checksum of 0 means none where the protocol is UDP.
        if protocol != 17 || packet[sum_at..sum_at + 2] != [0, 0] {
            let wrong = wrong_by(packet, header);
            packet[sum_at..sum_at + 2].copy_from_slice(&wrong.to_be_bytes());
        }
        if self.is_outside(&packet[12..16]) {
            self.hide_port(packet, protocol, at);
        }
    }

    fn hide_port(&self, packet: &mut [u8], protocol: u8, at: usize) {
        let Some(port) = packet.get_mut(at..at + 2) else { return };
        let number = self.by_outside.get(&(protocol, u16::from_be_bytes([port[0], port[1]])));
        port.copy_from_slice(&number.unwrap_or(&NEW).to_be_bytes());
    }

    /// Does as [`Bed::hide_ports`] for the quoted packet of an ICMP error, whose checksums are left
    /// out.
    fn hide_quoted(&self, packet: &mut [u8], header: usize) {
        let is_valid = checksum::is_valid(&packet[header..]);
        packet[header + 2..header + 4].copy_from_slice(&[0, u8::from(is_valid)]);
        let quoted = header + 8;
        let Some(header) = packet.get(quoted..quoted + 20) else { return };
        let (protocol, l4) = (header[9], quoted + usize::from(header[0] & 15) * 4);
        let [from, to] = [12, 16].map(|at| self.is_outside(&header[at..at + 4]));
        let (from_at, to_at, sum_at) = match protocol {
            1 => (l4 + 4, l4 + 4, l4 + 2),
            6 => (l4, l4 + 2, l4 + 16),
            _ => (l4, l4 + 2, l4 + 6),
        };
        if from {
            self.hide_port(packet, protocol, from_at);
        }
        if to {
            self.hide_port(packet, protocol, to_at);
        }
        packet[quoted + 10..quoted + 12].fill(0);
        if let Some(sum) = packet.get_mut(sum_at..sum_at + 2) {
            sum.fill(0);
        }
    }
}

/// Returns by how much the checksum of an L4 header is wrong; 0 if it is right.
fn wrong_by(packet: &[u8], header: usize) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | c.get(1).map_or(0, |c| u32::from(*c))).sum()
    };
    let length = (packet.len() - header) as u32;
    let pseudo = words(&packet[12..20]) + u32::from(packet[9]) + length;
    let pseudo = if packet[9] == 1 { 0 } else { pseudo };
    ((pseudo + words(&packet[header..])) % 0xffff) as u16
}

/// Returns a frame as the kernel takes it from a packet socket: behind a header whose offsets count
/// from the frame's beginning.
fn behind_vnet(vnet: VnetHeader, frame: &str) -> String {
    let is_asked = vnet.is_partial() || vnet.is_super_packet();
    let start = if is_asked { vnet.csum_start + ETHERNET as u16 } else { 0 };
    let hdr_len = if is_asked { vnet.hdr_len + ETHERNET as u16 } else { 0 };
    let vnet = VnetHeader { csum_start: start, hdr_len, ..vnet };
    hexadecimal(&vnet.to_bytes()) + frame
}

fn request(operation: &str, frames: Vec<String>) -> Value {
    [operation.to_owned()].into_iter().chain(frames).map(Value::from).collect()
}

/// Takes up to `count` frames that came in at an end, with their virtio-net headers.
fn taken(end: &mut Agent, count: usize) -> Vec<Vec<u8>> {
    let frames: Vec<String> =
        serde_json::from_value(end.ask(&json!(["wire_take", count]))).unwrap();
    frames.iter().map(|frame| bytes_of(frame)).collect()
}

fn bytes_of(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
