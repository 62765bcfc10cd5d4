//! How a flow begins, and how it is judged again under a new configuration.

use super::arrival::{Arrival, Place, place};
use super::engine::{Engine, FlowOutcome, Forward, NOT_HERE};
use super::port_lease::{Grant, Purpose};
use super::walk::{Path, Probe};
use super::way::{Gone, Way};
use super::{Denial, Device, Link, PathKey, Reason, Recorder, Verdict};
use crate::flow::{Flow, FlowKey, FlowStart, Instant};
use crate::packet::{Fragment, IcmpKind, Packet, Protocol, Rewrite, Tuple};
use crate::vpc::{Egress, RuleRef, Snapshot, Task, Traffic};
use std::net::Ipv4Addr;
use std::sync::Arc;

impl Engine {
    /// Makes a flow of its first packet, and sends that. Of a first packet that is not sent on, being too old or too big,
    /// nothing is left: no flow, and no port that rests, since none was seen.
    #[expect(clippy::too_many_arguments, reason = "those of `handle`, and the key")]
    pub(super) fn begin_flow<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        key: &FlowKey,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Result<Verdict, Denial> {
        let flow = self.admit(now, snapshot, arrival, key, packet, recorder)?;
        let verdict = self.send_by(now, snapshot, arrival.place, key, packet, reply, recorder);
        match verdict {
            Verdict::Forward { .. } => flow.mark_ports_used(),
            Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => {
                // Another worker may have sent a packet of it by now.
                if flow.sent.packets() == 0 {
                    self.flows().remove(&flow);
                }
            }
        }
        Ok(verdict)
    }

    fn admit<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        key: &FlowKey,
        packet: &Packet<'_>,
        recorder: &mut R,
    ) -> Result<Arc<Flow>, Denial> {
        let inside = key.tuple();
        let task = *snapshot
            .task(inside.src)
            .filter(|task| attached_to(snapshot, task) == Some(arrival.device))
            .ok_or(NOT_HERE)?;
        self.require_start(key, packet)?;
        let fragment = packet.fragment() != Fragment::Whole;
        let probe = Probe { inside, icmp: packet.icmp_type_code(), fragment, task };
        let path = self.walk(now, snapshot, probe, Purpose::NewFlow, recorder)?;
        let (link, hop, reply_denied) = (path.link, path.hop, path.reply_denied);
        let flow = Arc::new(self.begin(now, snapshot, &task, key, path));
        if self.offloads {
            self.flows().allow_offload(&flow);
        }
        let (egress, returned) = outcomes(snapshot, &flow, Some(arrival.place), link, hop);
        let returned = reply_denied.map_or(returned, FlowOutcome::Drop);
        self.flows().put(&flow, snapshot.generation, egress, returned);
        Ok(flow)
    }

    /// Only a first packet may begin a flow; whatever else comes without one is late, or never belonged to any.
    fn require_start(&self, key: &FlowKey, packet: &Packet<'_>) -> Result<(), Denial> {
        if can_start(packet) {
            return Ok(());
        }
        let reason = if self.flows().tombstone(key).is_some() {
            Reason::FlowExpired
        } else if key.tuple().protocol == Protocol::Tcp {
            Reason::TcpNoFlow
        } else {
            Reason::IcmpUnsupported
        };
        Err(Denial { reason, decided_by: RuleRef::FlowTable })
    }

    fn begin(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        task: &Task,
        inside: &FlowKey,
        path: Path,
    ) -> Flow {
        let lease = Grant::into_lease;
        let key = PathKey {
            eni: path.eni.as_ref().map(|(ix, _)| *ix),
            nat_gateway: path.nat.as_ref().and_then(|(ix, _)| *ix),
        };
        let tally = self.tally(snapshot, key);
        let start = FlowStart {
            egress: *inside,
            returned: FlowKey::new(path.space, path.outside.reversed()),
            service: task.service,
            eni: path.eni.and_then(|(ix, grant)| Some((ix, lease(grant)?))),
            nat: path.nat.and_then(|(ix, grant)| Some((ix, lease(grant)?))),
            admitted_by: path.admitted_by,
            admitted_under: snapshot.generation,
            totals: tally,
        };
        Flow::new(now, start)
    }

    /// Walks a flow again under a new configuration, with its own ports offered: what is still allowed keeps them.
    ///
    /// # Errors
    /// The flow would leave by another gateway and is ended.
    pub(super) fn walk_again<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        flow: &Arc<Flow>,
        recorder: &mut R,
    ) -> Result<(), Denial> {
        match self.review(now, snapshot, flow, recorder) {
            Ok((egress, returned)) => {
                self.flows().update(flow, snapshot.generation, egress, returned);
                Ok(())
            }
            Err(moved) => {
                self.flows().remove(flow);
                Err(moved)
            }
        }
    }

    /// What a configuration makes of a flow, in both directions; no table is touched.
    ///
    /// # Errors
    /// The flow would leave by another gateway.
    pub(super) fn review<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        flow: &Flow,
        recorder: &mut R,
    ) -> Result<(FlowOutcome, FlowOutcome), Denial> {
        let inside = flow.egress.tuple();
        let task =
            snapshot.task(inside.src).filter(|task| is_at_the_same_nat(snapshot, task, flow));
        let Some(&task) = task else { return Err(MOVED) };
        let icmp = if inside.protocol == Protocol::Icmp { (8, 0) } else { (0, 0) };
        let probe = Probe { inside, icmp, fragment: false, task };
        match self.walk(now, snapshot, probe, Purpose::Tracked(flow), recorder) {
            Ok(path)
                if path.outside.reversed() == flow.returned.tuple()
                    && path.space == flow.returned.space =>
            {
                let place = attached_to(snapshot, &task).map(|device| place(snapshot, device));
                let (egress, returned) = outcomes(snapshot, flow, place, path.link, path.hop);
                Ok((egress, path.reply_denied.map_or(returned, FlowOutcome::Drop)))
            }
            Ok(_) => Err(MOVED),
            Err(denial) => Ok((FlowOutcome::Drop(denial), replies_of(snapshot, flow))),
        }
    }
}

const MOVED: Denial = Denial { reason: Reason::FlowMoved, decided_by: RuleRef::FlowTable };

/// Whether a task is still attached where its flow was made: only there the flow has its port.
fn is_at_the_same_nat(snapshot: &Snapshot, task: &Task, flow: &Flow) -> bool {
    let now = task
        .eni
        .map(|ix| snapshot.eni(ix))
        .map(|eni| (snapshot.space(snapshot.subnet(eni.subnet).vpc), eni.address));
    now == flow.eni.as_ref().map(|(_, lease)| (lease.key().space, lease.key().address))
}

/// Whether a packet may be the first of a flow.
pub(super) fn can_start(packet: &Packet<'_>) -> bool {
    match packet.protocol() {
        Protocol::Tcp => {
            packet.tcp().is_some_and(|t| t.flags.syn() && !t.flags.ack() && !t.flags.rst())
        }
        Protocol::Icmp => packet.icmp() == Some(IcmpKind::EchoRequest),
        Protocol::Udp | Protocol::Other(_) => true,
    }
}

/// The device that a task's packets are read from. A task of a VPC service without an ENI is attached nowhere: least of
/// all to App Runner's own egress.
pub(super) fn attached_to(snapshot: &Snapshot, task: &Task) -> Option<Device> {
    match (task.eni, snapshot.service(task.service).egress) {
        (Some(ix), _) => Some(Device::Eni(ix)),
        (None, Egress::Default) => Some(Device::AppRunner),
        (None, Egress::Vpc(_)) => None,
    }
}

/// Both directions of a flow that may pass.
fn outcomes(
    snapshot: &Snapshot,
    flow: &Flow,
    read_at: Option<Place>,
    link: Link,
    hop: Option<Ipv4Addr>,
) -> (FlowOutcome, FlowOutcome) {
    let (inside, back) = (flow.egress.tuple(), flow.returned.tuple());
    let mtu = snapshot.parts().mtu;
    let own = flow.eni.as_ref().map_or(back.dst, |(_, lease)| lease.key().address);
    let beyond = match link {
        Link::Internet => mtu.internet,
        Link::Vpc(_) | Link::Endpoint(_) => mtu.vpc,
        Link::Task(_) | Link::Services => mtu.task,
    };
    // An MSS limits what comes the other way, so both SYNs are held to what both links carry, less 40 octets of headers.
    let max_mss = hop.map(|_| mtu.task.min(beyond).saturating_sub(40));
    let egress = Forward {
        read_at,
        max_mss,
        rewrite: rewrite_to(back.reversed(), hop.is_some()),
        link,
        mtu: beyond,
        answers_from: Some(hop.unwrap_or(own)),
    };
    let returned = Forward {
        read_at: None,
        max_mss,
        rewrite: rewrite_to(inside.reversed(), hop.is_some()),
        link: Link::Task(inside.src),
        mtu: mtu.task,
        // Toward the outside only the address that it knows may speak.
        answers_from: Some(back.dst),
    };
    (FlowOutcome::Forward(egress), FlowOutcome::Forward(returned))
}

/// What becomes of the replies of a flow whose requests are no longer let out: ACLs and the server's own route table
/// decide (spec 4.4).
fn replies_of(snapshot: &Snapshot, flow: &Flow) -> FlowOutcome {
    let inside = flow.egress.tuple();
    let reply = Traffic { protocol: inside.protocol, port: inside.dport, icmp: (0, 0) };
    let refusal = match Way::of(snapshot, flow) {
        Ok(way) => way.and_then(|way| way.refusal_inbound(snapshot, reply)),
        Err(Gone) => Some(MOVED),
    };
    if let Some(denial) = refusal {
        return FlowOutcome::Drop(denial);
    }
    let hop = flow.nat.as_ref().map(|_| flow.returned.tuple().dst);
    let link = snapshot.vpc_in(flow.returned.space).map_or(Link::Internet, Link::Vpc);
    match outcomes(snapshot, flow, None, link, hop).1 {
        // Nothing that egret would answer itself may go where the flow may not: another address may lie there by now.
        FlowOutcome::Forward(forward) => {
            FlowOutcome::Forward(Forward { answers_from: None, ..forward })
        }
        denied @ FlowOutcome::Drop(_) => denied,
    }
}

fn rewrite_to(tuple: Tuple, decrement_ttl: bool) -> Rewrite {
    let Tuple { src, dst, sport, dport, .. } = tuple;
    Rewrite { src, dst, sport, dport, decrement_ttl }
}
