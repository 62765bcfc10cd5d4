//! `egret` rebuilds an AWS App Runner service's outbound network on one Linux box, with real
//! packets.
//!
//! # Layers
//!
//! A module may use itself and the layers below it, without import cycles between its files;
//! `scripts/check-layers` checks it. `packet`, `vpc`, `flow` and `pipeline` know no sockets, files,
//! threads, clocks, environment, randomness or printing: time and seeds are arguments.
//!
//! | layer | module | contents |
//! |---|---|---|
//! | 9 | [`cli`] | one file per command; `cli/demo` and `cli/bench` have several |
//! | 8 | [`apprunner`] | the App Runner API over a running lab: protocol, operations, records |
//! | 8 | [`docker`] | Docker's network driver: containers are attached to running labs |
//! | 7 | [`daemon`] | a running lab: lifecycle, tasks, control API on a unix socket |
//! | 6 | [`linux`] | all code that uses the kernel: namespaces, links, TUN, tc programs, workers |
//! | 5 | [`explain`] | evidence to text and JSON, rows to tables |
//! | 4 | [`pipeline`] | the engine: the order of the checks, one file per check |
//! | 3 | [`config`] | lab file to [`vpc::Snapshot`]; imports |
//! | 3 | [`flow`] | state between packets: flows, port leases, expiry |
//! | 2 | [`vpc`] | the user's configuration, immutable and indexed; the paths that follow from it |
//! | 1 | [`edge`] | opening files, limits of reading, safe text for terminals |
//! | 1 | [`packet`] | bytes: checked view, tuple, rewrite, checksums, vnet header |
//!
//! `src/steer` holds the tc programs, in C. They check a task's source address and look up links,
//! and hold no policy.
//!
//! # One packet's journey
//!
//! 1. A task sends. At the router's end of its veth, tc (`task_ingress` in
//!    `src/steer/steer.bpf.c`) checks that the source address is the task's own, and redirects the
//!    packet to the TUN of the task's ENI, which [`vpc::Snapshot::choose_eni`] chose when the task
//!    started.
//! 2. The TUN's worker ([`linux::worker`]) reads a batch under one [`vpc::Snapshot`], and gives
//!    each packet to [`pipeline::Engine::judge`]. It is parsed once; a malformed one is dropped
//!    with a reason. Of fragments the first is judged, those that come before it wait, and the
//!    others follow it (`pipeline/fragments.rs`). An ICMP error goes to the flow that it quotes
//!    (`pipeline/icmp_error.rs`).
//! 3. The flow table is asked for (address space, 5-tuple). A hit under the current generation is
//!    the fast path: TTL, size, TCP state, counters, the flow's stored [`packet::Rewrite`]. Nothing
//!    is allocated.
//! 4. A hit of an older generation is walked again and keeps its ports if it may still pass. A miss
//!    is walked if it can begin a flow: a SYN, an echo request, or any packet of UDP or of another
//!    protocol.
//! 5. The walk (`pipeline/walk.rs`) checks, in AWS's order: source; exempt addresses; the
//!    connector's ENI; its security groups, outbound; a port of the ENI. From there the packet
//!    follows the hops of its path ([`vpc::path`]), and each hop is judged by its stage
//!    (`pipeline/stage/`). Inside the ENI's own subnet the packet is delivered. Otherwise come
//!    network ACL, outbound, and route table; and its target, which is
//!    - local: the ACL of the destination's subnet, then the destination's own security groups;
//!    - a NAT gateway: its subnet's ACL, its state, a port, its own route table, its subnet's ACL
//!      again, and the internet gateway, which makes the private address the public one;
//!    - a gateway endpoint: TCP and ICMP echo, from the private address;
//!    - a peering connection: the ACL and the groups of the destination in the other VPC, and a
//!      route from there back;
//!    - an appliance's network interface or a Gateway Load Balancer endpoint: its subnet's ACL and
//!      the appliance's groups both ways, then the route table of that subnet, and its target;
//!    - an internet gateway, for a packet straight from an ENI: the end, since a Hyperplane ENI has
//!      no public address. A Fargate task's ENI may have one, which the gateway makes the source.
//!
//!    A service without a connector has a path of one NAT, App Runner's own.
//! 6. The reply has a list of hops of its own, which follows the route tables on its side; it is
//!    evaluated with the request. A flow whose reply would be dropped is made all the same: its
//!    request passes, and its replies are dropped with the rule that decided. ICMP errors are
//!    evaluated over the same lists.
//! 7. The worker writes a rewritten packet back to the TUN, in fragments if it is too big for its
//!    link and may be fragmented. There, tc (`tun_ingress`) finds the link of the destination as
//!    this TUN's subnet routes it ([`pipeline::delivery`]) and redirects it into the namespace at
//!    the other end. A packet for the public address of a resource gets its private one here, as by
//!    the internet gateway of its VPC; its reply gets the public one back in step 8. The flow table
//!    knows the public address alone.
//! 8. The reply arrives at the veth of a VPC, of a gateway endpoint or of the internet. tc
//!    (`space_ingress`) finds the ENI or gateway that owns the destination address and hands the
//!    packet to its TUN; step 3 finds the flow, in the other direction.
//! 9. A dropped packet is counted by reason, rule, service and destination ([`pipeline::Drops`]).
//!    Nothing is sent, except time exceeded, fragmentation needed, and a RST to a task whose flow
//!    through a NAT gateway was idle for too long.
//!
//! [`pipeline::Engine::explain`] evaluates the same path with a recorder that records, and only
//! looks at ports.

pub mod apprunner;
pub mod cli;
pub mod config;
#[cfg(test)]
mod conformance;
pub mod daemon;
pub mod docker;
pub mod edge;
pub mod explain;
#[cfg(test)]
mod fail_point;
pub mod flow;
pub mod linux;
pub mod packet;
pub mod pipeline;
pub mod vpc;
