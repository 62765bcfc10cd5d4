//! Lists the flows of a killed run that the next one does not have. Flows that the kernel did not
//! carry are not in the handover; the tasks' own kernels still have their ends of the connections.

use super::aside::aside;
use super::attachment::Attachment;
use super::running::Running;
use crate::explain::LostFlow;
use crate::linux::handover::HandedOver;
use crate::linux::sockets::{SocketState, TcpSocket, tcp_sockets};
use crate::linux::{Netns, sockets};
use crate::packet::{Protocol, Tuple};
use crate::pipeline::Denial;
use crate::vpc::exempt::is_link_local;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// Describes a flow that the kernel carried and this configuration does not resume.
pub(super) fn refused(running: &Running, over: &HandedOver, denial: Denial) -> LostFlow {
    let tuple = over.record.egress.tuple();
    let [_, back] = over.carried;
    let [_, counted] = over.record.counted;
    let replied = back.packets + counted.own[0] + counted.offloaded[0] > 0;
    let state = match (tuple.protocol, replied) {
        (Protocol::Tcp, _) => "established",
        (_, true) => "replied",
        (_, false) => "unreplied",
    };
    lost(running, tuple, state, denial.reason.sentence())
}

/// Lists the connections of tasks that are no flows of this run. No packet is judged meanwhile.
pub(super) fn unknown_connections(running: &Running) -> Vec<LostFlow> {
    let mut known = HashSet::new();
    aside(|| {
        running.engine.flows().for_each(|entry| {
            known.insert(entry.flow.egress.tuple());
        });
    });
    let mut lost_flows = Vec::new();
    for attachment in running.tasks.values() {
        for socket in connections(attachment) {
            let tuple = tuple_of(&socket);
            if is_flow(running, attachment, socket) && !known.contains(&tuple) {
                let (state, why) = state_of(socket.state);
                lost_flows.push(lost(running, tuple, state, why));
            }
        }
    }
    lost_flows
}

/// Returns the connections of a task; none if its namespace cannot be read.
fn connections(attachment: &Attachment) -> Vec<TcpSocket> {
    let netns = Netns::open(&attachment.namespace);
    netns.ok().and_then(|netns| tcp_sockets(&netns).ok()).unwrap_or_default()
}

/// Returns whether a connection is a flow: connections to exempt addresses are none.
fn is_flow(running: &Running, attachment: &Attachment, socket: TcpSocket) -> bool {
    let snapshot = running.current.load();
    let task = snapshot.task(attachment.address);
    let resolver = task.and_then(|task| task.eni).map(|eni| snapshot.eni(eni).resolver());
    let to = *socket.remote.ip();
    *socket.local.ip() == attachment.address && !is_link_local(to) && Some(to) != resolver
}

fn tuple_of(socket: &sockets::TcpSocket) -> Tuple {
    Tuple {
        protocol: Protocol::Tcp,
        src: *socket.local.ip(),
        dst: *socket.remote.ip(),
        sport: socket.local.port(),
        dport: socket.remote.port(),
    }
}

fn state_of(state: SocketState) -> (&'static str, &'static str) {
    match state {
        SocketState::Opening => {
            ("opening", "its handshake was user space's; the task's next SYN begins it again")
        }
        SocketState::Established => {
            ("established", "it was not offloaded, or had expired before: reconnect")
        }
        SocketState::Closing => ("closing", "its end had begun, which user space follows"),
    }
}

fn lost(running: &Running, tuple: Tuple, state: &str, why: &str) -> LostFlow {
    let Tuple { protocol, src, dst, sport, dport } = tuple;
    let task = running.tasks.get(&src);
    let end = |address: Ipv4Addr, port: u16| match protocol.has_ports() {
        true => format!("{address}:{port}"),
        false => address.to_string(),
    };
    LostFlow {
        service: task.map(|task| task.service.clone()).unwrap_or_default(),
        task: task.map_or(0, |task| task.number),
        protocol: protocol.to_string(),
        state: state.to_owned(),
        inside: end(src, sport),
        destination: end(dst, dport),
        why: why.to_owned(),
    }
}
