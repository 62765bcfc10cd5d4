//! Takes a packet and returns a verdict: no sockets, no clock, no formatting; every packet gets a
//! verdict.

use super::arrival::Arrival;
use super::context::{Context, Moment};
use super::observe::count::count_drop;
use super::observe::drops::DropKey;
use super::{Denial, Device, Reason, Recorder, Verdict, exempt, fragments, ipv6, whole};
use crate::flow::{DatagramKey, FlowKey};
use crate::packet::{Fragment, Malformed, Packet, Protocol, VnetHeader};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

/// The bytes that were read from a device.
#[derive(Debug)]
pub struct Received<'a> {
    /// The device.
    pub device: Device,
    /// The packet's bytes, which are rewritten in place.
    pub bytes: &'a mut [u8],
    /// The work that the kernel has left to do on them.
    pub vnet: VnetHeader,
}

/// A verdict on bytes, with the packet to send: `len` bytes in its place, under this header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Bytes of the packet, which may be fewer than arrived.
    pub len: usize,
    /// The largest fragment in which to forward the packet, in bytes, if it must leave in fragments
    /// ([`Fragmenter`]). Its checksums are complete.
    ///
    /// [`Fragmenter`]: crate::packet::Fragmenter
    pub fragments_to: Option<u16>,
    /// The key of a packet whose flow may be offloaded from here on: [`Engine::candidate`] returns
    /// the verdicts for it. If it is offloaded already, the reordering barrier of the packet's
    /// direction may be released when the packet is sent on. Each is requested once, until it is
    /// answered.
    ///
    /// [`Engine::candidate`]: super::Engine::candidate
    pub offload: Option<FlowKey>,
    /// The datagram of which it is the first fragment, if others were held for it:
    /// [`Engine::next_held`] returns them.
    ///
    /// [`Engine::next_held`]: super::Engine::next_held
    pub releases: Option<DatagramKey>,
}

impl Judged {
    /// Returns the result for a packet of which nothing is sent on.
    fn ended(verdict: Verdict) -> Self {
        Self { verdict, len: 0, fragments_to: None, offload: None, releases: None }
    }
}

/// Parses the bytes and judges the packet. `answer` receives the packet that egret itself sends
/// back.
#[inline]
pub(super) fn judge<R: Recorder>(
    moment: &Moment<'_>,
    received: Received<'_>,
    answer: &mut [u8],
    recorder: &mut R,
) -> Judged {
    let Received { device, bytes, vnet } = received;
    // Used where it was made: a copy would wait until all bytes just written are available.
    let mut parsed = Packet::parse(bytes, vnet);
    let packet = match &mut parsed {
        Ok(packet) => packet,
        Err(Malformed::Ipv6) => {
            let verdict = ipv6::refuse(moment, device, (bytes, vnet), answer);
            return Judged::ended(verdict);
        }
        Err(malformed) => return drop_malformed(moment, device, *malformed, bytes),
    };
    let tuple = packet.tuple();
    let Moment { tables, now, snapshot } = *moment;
    let arrival = Arrival::of(snapshot, device, tuple.dst);
    let first = packet.fragment() == Fragment::First;
    let first = first.then(|| DatagramKey::of(arrival.space, packet));
    let mut context = Context { tables, now, snapshot, arrival, answer, recorder };
    let verdict = handle(&mut context, packet);
    let releases = first.filter(|datagram| tables.fragments.holds(datagram));
    let (len, fragments_to) = (packet.len(), packet.fragments_to());
    let offload = packet.is_marked().then(|| FlowKey::new(arrival.space, tuple));
    Judged { verdict, len, fragments_to, offload, releases }
}

#[cold]
fn drop_malformed(
    moment: &Moment<'_>,
    device: Device,
    malformed: Malformed,
    bytes: &[u8],
) -> Judged {
    let denial = Denial { reason: Reason::from(malformed), decided_by: RuleRef::Packet };
    if let Some(tuple) = malformed.tuple(bytes) {
        count_drop(moment, Arrival::of(moment.snapshot, device, tuple.dst), denial, tuple);
        return Judged::ended(denial.into());
    }
    let unknown = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Protocol::Other(0), 0);
    let key = DropKey::new(moment.snapshot.generation, device, None, denial, unknown);
    moment.tables.drops.count(moment.now, key);
    Judged::ended(denial.into())
}

/// Judges a packet: exempt addresses, then the flow table, then the walk. A forwarded packet is
/// rewritten in place.
#[inline]
fn handle<R: Recorder>(context: &mut Context<'_, R>, packet: &mut Packet<'_>) -> Verdict {
    let tuple = packet.tuple();
    let verdict = match exempt::judge(context, packet) {
        Some(verdict) => verdict,
        None if packet.fragment() == Fragment::Whole => whole::judge(context, packet),
        None => fragments::judge(context, packet),
    };
    match verdict {
        Verdict::Forward { .. } => {
            if packet.fragments_to().is_some() {
                fragments::prepare_fragmenting(context, packet);
            }
        }
        Verdict::Hold => {}
        Verdict::Reply { reason, decided_by, .. } | Verdict::Drop { reason, decided_by } => {
            let denial = Denial { reason, decided_by };
            count_drop(&context.moment(), context.arrival, denial, tuple);
        }
    }
    verdict
}
