//! A task cannot send as another one by the kind of frame that it sends: ethertypes, VLAN tags, MAC
//! addresses, both while user space forwards the flows and while they are offloaded.

use crate::support::comes;
use crate::support::frames::{self, with};
use crate::support::lab::{Agent, Lab, for_both_kinds};
use egret::explain::FlowRow;
use egret::linux::Mac;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(
    regression_no_frame_of_a_task_carries_another_tasks_source,
    regression_no_frame_of_a_task_gets_into_another_tasks_connection,
    no_ethertype_but_those_of_ip_gets_through,
    a_frame_that_changes_while_it_is_sent_carries_no_other_source,
    frames_from_outside_are_taken_only_without_tag_and_for_the_router,
);

const FIRST: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const BROADCAST: Mac = Mac([0xff; 6]);
const MULTICAST: Mac = Mac([1, 0, 0x5e, 0, 0, 0xfb]);
/// The source port of [`frames::udp`] and [`frames::tcp`], and their destination port.
const PORTS: (u16, u16) = (5000, 53);

/// Two tasks of one ENI, each with a flow to the same server.
struct Bed {
    protocol: &'static str,
    lab: Lab,
    tasks: [Agent; 2],
    server: Agent,
    path: &'static str,
}

impl Bed {
    /// Brings up the lab with flows of datagrams.
    fn up(device: &str, path: &'static str) -> Self {
        Self::up_with(device, path, "udp")
    }

    fn up_with(device: &str, path: &'static str, protocol: &'static str) -> Self {
        let offload = if path == "offload" { "on" } else { "off" };
        let text = format!("offload = \"{offload}\"\n{}", crate::offload::LAB);
        let lab = Lab::up(device, &text);
        lab.egret_ok("task add web");
        let mut server = Lab::agent(&lab.netns("internet"));
        let serve = if protocol == "tcp" { "serve" } else { "serve_udp" };
        server.ok(&json!([serve, HOST, PORTS.1]));
        let mut tasks = ["web/1", "web/2"].map(|task| lab.task(task));
        if protocol == "tcp" {
            for task in &mut tasks {
                assert_eq!(task.ask(&json!(["open", "own", HOST, PORTS.1, PORTS.0])), PORTS.0);
            }
        }
        let mut bed = Self { protocol, lab, tasks, server, path };
        (0..20).for_each(|_| bed.talk());
        bed.server.peers();
        for address in [FIRST, SECOND] {
            assert_eq!(bed.flow(address).path, path);
        }
        bed
    }

    /// Sends one datagram or line from each task, which must be echoed.
    fn talk(&mut self) {
        for task in &mut self.tasks {
            if self.protocol == "tcp" {
                task.ok(&json!(["say", "own"]));
                continue;
            }
            assert_eq!(task.ask(&json!(["udp", HOST, PORTS.1, PORTS.0])), PORTS.0);
        }
    }

    fn flow(&self, inside: Ipv4Addr) -> FlowRow {
        let flows = self.lab.flows();
        let own = |flow: &&FlowRow| flow.inside == format!("{inside}:{}", PORTS.0);
        flows.iter().find(own).unwrap_or_else(|| panic!("{inside}: {flows:#?}")).clone()
    }

    /// Returns the packets of both flows, and which side forwards them. The packets of TCP are not
    /// counted, because acknowledgements come late.
    fn figures(&self) -> [(u64, u64, String); 2] {
        [FIRST, SECOND].map(|inside| {
            let FlowRow { packets_out, packets_in, path, state, .. } = self.flow(inside);
            if self.protocol == "tcp" {
                assert_eq!(state, "established");
                return (0, 0, path);
            }
            (packets_out, packets_in, path)
        })
    }

    /// Sends a frame from the first task, which must be dropped for this reason.
    fn sends_in_vain(&mut self, reason: &str, frame: &str) {
        let before = self.figures();
        let [task, _] = &mut self.tasks;
        let drop = self.lab.drops_for(reason, "", || {
            task.ok(&json!(["frames", "eth0", frame]));
        });
        assert_eq!((drop.task, drop.packets), (Some(1), 1), "{reason}: {frame}");
        assert_eq!(self.figures(), before, "{reason}: {frame}");
        assert_eq!(self.server.peers(), [], "{reason}: {frame}");
    }

    /// Checks that both flows continue as before.
    fn ends_well(mut self) {
        let before = self.figures();
        self.talk();
        let more = before.map(|(sent, received, path)| (sent + 1, received + 1, path));
        assert_eq!(self.figures(), more);
        assert_eq!(self.flow(SECOND).path, self.path);
        assert_eq!(self.server.peers().len(), 2);
    }
}

/// The server would accept every segment: the first task knows the sequence numbers of the second
/// one's connection.
fn regression_no_frame_of_a_task_gets_into_another_tasks_connection(device: &str) {
    for path in ["userspace", "offload"] {
        let mut bed = Bed::up_with(device, path, "tcp");
        let router = Mac::near(FIRST);
        let numbers = bed.tasks[1].ask(&json!(["numbers", "own"]));
        let numbers = [0, 1].map(|at| u32::try_from(numbers[at].as_u64().unwrap()).unwrap());
        for packet in frames::tcp(SECOND, HOST, PORTS.1, numbers) {
            bed.sends_in_vain("source-forged", &frames::ipv4(router, &packet));
            bed.sends_in_vain("malformed-version", &frames::frame(router, IPV6, &packet));
            for ethertype in [IPV4, IPV6] {
                bed.sends_in_vain("not-ip", &tagged(router, &[0x8100], ethertype, &packet));
            }
            for to in [Mac::near(SECOND), Mac::far(SECOND), BROADCAST] {
                bed.sends_in_vain("not-for-router", &frames::ipv4(to, &packet));
            }
        }
        assert_eq!(bed.tasks[1].ask(&json!(["numbers", "own"])), json!(numbers));
        bed.talk();
        for address in [FIRST, SECOND] {
            let flow = bed.flow(address);
            assert_eq!((&*flow.path, &*flow.state), (path, "established"));
        }
        // The numbers were right: sent by the task that owns the connection, the last segment ends
        // it.
        let numbers = bed.tasks[1].ask(&json!(["numbers", "own"]));
        let numbers = [0, 1].map(|at| u32::try_from(numbers[at].as_u64().unwrap()).unwrap());
        let [.., rst] = frames::tcp(SECOND, HOST, PORTS.1, numbers);
        bed.tasks[1].ok(&json!(["frames", "eth0", frames::ipv4(Mac::near(SECOND), &rst)]));
        assert_eq!(bed.flow(SECOND).state, "closed");
        assert_eq!(bed.flow(FIRST).state, "established");
    }
}

/// Returns a frame with tags between its MAC addresses and its ethertype.
fn tagged(to: Mac, tags: &[u16], ethertype: u16, packet: &[u8]) -> String {
    let inner: Vec<u8> = tags
        .iter()
        .skip(1)
        .chain([&ethertype])
        .flat_map(|next| [[0, 7], next.to_be_bytes()].concat())
        .collect();
    frames::frame(to, tags[0], &[&inner, packet].concat())
}

fn regression_no_frame_of_a_task_carries_another_tasks_source(device: &str) {
    for path in ["userspace", "offload"] {
        let mut bed = Bed::up(device, path);
        let router = Mac::near(FIRST);
        // The task's own source, too: a fault of the frame is reported for any sender.
        for source in [FIRST, SECOND] {
            let packet = frames::udp(source, HOST, PORTS.1);
            bed.sends_in_vain("malformed-version", &frames::frame(router, IPV6, &packet));
            for tags in [&[0x8100][..], &[0x88a8], &[0x8100, 0x8100], &[0x88a8, 0x8100]] {
                for ethertype in [IPV4, IPV6] {
                    bed.sends_in_vain("not-ip", &tagged(router, tags, ethertype, &packet));
                }
            }
            let macs = [Mac::near(SECOND), Mac::far(FIRST), Mac::far(SECOND), BROADCAST, MULTICAST];
            for to in macs {
                bed.sends_in_vain("not-for-router", &frames::ipv4(to, &packet));
            }
            for version in [0x55, 0x65] {
                let packet = with(packet.clone(), |p| p[0] = version);
                bed.sends_in_vain("malformed-version", &frames::ipv4(router, &packet));
            }
            for length in [0, 1, 19] {
                for ethertype in [IPV4, IPV6] {
                    let frame = frames::frame(router, ethertype, &packet[..length]);
                    bed.sends_in_vain("malformed-truncated", &frame);
                }
            }
        }
        let forged = frames::udp(SECOND, HOST, PORTS.1);
        bed.sends_in_vain("source-forged", &frames::ipv4(router, &forged));
        bed.ends_well();
    }
}

fn no_ethertype_but_those_of_ip_gets_through(device: &str) {
    let mut bed = Bed::up(device, "offload");
    let before = bed.figures();
    let packet = frames::udp(SECOND, HOST, PORTS.1);
    let others: Vec<u16> = (0..=u16::MAX).filter(|kind| ![IPV4, IPV6].contains(kind)).collect();
    let [task, _] = &mut bed.tasks;
    for batch in others.chunks(512) {
        let frames = batch.iter().map(|kind| frames::frame(Mac::near(FIRST), *kind, &packet));
        let request: Vec<Value> =
            ["frames".into(), "eth0".into()].into_iter().chain(frames.map(Value::from)).collect();
        task.ok(&Value::from(request));
    }
    let all = || bed.lab.packets_dropped("not-ip") == others.len() as u64;
    assert!(comes(all), "{:#?}", bed.lab.drops());
    assert_eq!(bed.figures(), before);
    assert_eq!(bed.server.peers(), []);
    bed.ends_well();
}

/// A packet socket with a ring shares a frame's pages with its sender: the source address that is
/// checked must be the one that is sent.
fn a_frame_that_changes_while_it_is_sent_carries_no_other_source(device: &str) {
    const COUNT: u32 = 50_000;
    const SOURCE: usize = 14 + 12;
    let mut bed = Bed::up(device, "userspace");
    let before = bed.figures();
    // Its checksum is right for the source of the second task.
    let frame = frames::ipv4(Mac::near(FIRST), &frames::udp(SECOND, HOST, PORTS.1));
    let own: String = FIRST.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let [task, _] = &mut bed.tasks;
    let mut dropped = [0; 2];
    // On a busy machine one thread may not run while the other does.
    let has_changed_in_time = comes(|| {
        task.ok(&json!(["frames_that_change", "eth0", frame, SOURCE, own, COUNT]));
        let both = ["source-forged", "malformed-header-checksum"];
        dropped = both.map(|reason| bed.lab.packets_dropped(reason));
        dropped.iter().all(|packets| *packets > 100)
    });
    assert!(has_changed_in_time, "{dropped:?}");
    assert_eq!(bed.figures(), before);
    assert_eq!(bed.server.peers(), []);
    bed.ends_well();
}

fn frames_from_outside_are_taken_only_without_tag_and_for_the_router(device: &str) {
    for path in ["userspace", "offload"] {
        let mut bed = Bed::up(device, path);
        let outside: std::net::SocketAddrV4 = bed.flow(FIRST).outside.parse().unwrap();
        let packet = with(frames::udp(HOST, *outside.ip(), outside.port()), |p| {
            p[20..22].copy_from_slice(&PORTS.1.to_be_bytes());
            // The datagram has no checksum.
            p[26..28].fill(0);
        });
        let router = router_of(&bed.lab);
        let before = bed.figures();
        for (reason, frame) in [
            ("not-ip", tagged(router, &[0x8100], IPV4, &packet)),
            ("not-ip", tagged(router, &[0x88a8, 0x8100], IPV4, &packet)),
            ("not-ip", frames::frame(router, IPV6, &packet)),
            ("not-for-router", frames::ipv4(Mac::far(HOST), &packet)),
            ("not-for-router", frames::ipv4(BROADCAST, &packet)),
            ("not-for-router", frames::ipv4(MULTICAST, &packet)),
        ] {
            let drop = bed.lab.drops_for(reason, "", || {
                bed.server.ok(&json!(["frames", "net0", frame]));
            });
            assert_eq!((drop.task, drop.packets), (None, 1), "{reason}: {frame}");
            assert_eq!(bed.figures(), before, "{reason}: {frame}");
        }
        bed.server.ok(&json!(["frames", "net0", frames::ipv4(router, &packet)]));
        let [(sent, received, path), other] = before;
        assert_eq!(bed.figures(), [(sent, received + 1, path), other], "as it should be");
        bed.ends_well();
    }
}

/// Returns the MAC address to which the internet sends.
fn router_of(lab: &Lab) -> Mac {
    let (ok, said) = lab.exec_internet("ip neigh show dev net0");
    let mut words = said.split_whitespace().skip_while(|word| *word != "lladdr").skip(1);
    let mac = words.next().filter(|_| ok).unwrap_or_else(|| panic!("{said}"));
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    Mac(bytes.try_into().unwrap())
}
