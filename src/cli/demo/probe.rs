//! The probes: the packets that each sends, the expected result, and the comparison with the
//! result.

use super::judge::{Expected, Sent, judge};
use super::net::{Seen, tcp_echo, udp_echo, who_am_i};
use super::report::ProbeRow;
use super::stage::{Sender, Stage};
use super::tools::{PINGS, ping, traceroute};
use super::{DemoError, net};
use crate::explain::{DropRow, FlowRow};
use crate::packet::Protocol;
use crate::pipeline::Reason;
use futures_util::future::join_all;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Limits the wait for an answer that is expected.
const PATIENCE: Duration = Duration::from_secs(5);
/// Limits the wait for an answer that is not expected: a hundred times what one takes.
const DOUBT: Duration = Duration::from_secs(1);
/// The ports at which the demo's own servers report to peers the address that they come from.
const REPORTER_IN_VPC: u16 = 5202;
const REPORTER_ON_INTERNET: u16 = 443;

/// A probe.
pub(super) struct Probe {
    name: &'static str,
    from: Sender,
    to: String,
    address: Ipv4Addr,
    action: Action,
    expected: Expected,
}

enum Action {
    TcpEcho(u16),
    UdpEcho(u16),
    /// The address that the destination sees.
    WhoAmI(u16),
    /// The comparison of the addresses that the destination sees for this task and another one.
    WhoAreWe(u16, Box<Sender>),
    Ping,
    Traceroute(u16),
}

impl Action {
    fn protocol(&self) -> Protocol {
        match self {
            Self::TcpEcho(_) | Self::WhoAmI(_) | Self::WhoAreWe(..) | Self::Traceroute(_) => {
                Protocol::Tcp
            }
            Self::UdpEcho(_) => Protocol::Udp,
            Self::Ping => Protocol::Icmp,
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::TcpEcho(port)
            | Self::UdpEcho(port)
            | Self::WhoAmI(port)
            | Self::WhoAreWe(port, _)
            | Self::Traceroute(port) => Some(*port),
            Self::Ping => None,
        }
    }
}

/// Makes all probes. No two of them that are dropped send to the same place from the same task by
/// the same protocol.
pub(super) fn script(stage: &Stage) -> Result<Vec<Probe>, DemoError> {
    let (web, public) = (stage.task("web")?, stage.task("public")?);
    let (isolated, trap) = (stage.task("isolated")?, stage.task("trap")?);
    let (sharing, other, eni) = stage.sharing("web", "api")?;
    let (nat, nat_public) = stage.nat_gateway()?;
    let app_runner = stage.app_runner_address()?;
    let internet = stage.address("example")?;

    let answer = |text: &str| Expected::Answer(text.to_owned());
    let echo = || answer("echo");
    let replies = || Expected::Answer(format!("{PINGS} of {PINGS} replies"));
    let seen_as = |address: Ipv4Addr| Expected::Answer(format!("seen as {address}"));
    let both_seen_as = Expected::Answer(format!("both seen as {eni}"));
    let route = Expected::Answer(format!("{nat} > {internet}"));
    let reporter = Action::WhoAmI(REPORTER_ON_INTERNET);
    let both = Action::WhoAreWe(REPORTER_IN_VPC, Box::new(other));

    let lines: [(&'static str, &Sender, &str, Action, Expected); 16] = [
        ("private TCP", &web, "orders-db", Action::TcpEcho(5432), echo()),
        ("private ping", &web, "orders-db", Action::Ping, replies()),
        (
            "denied by SG egress",
            &web,
            "example",
            Action::TcpEcho(80),
            Expected::Drop(Reason::SgEgressImplicitDeny),
        ),
        (
            "denied by the DB's SG ingress",
            &web,
            "cache",
            Action::TcpEcho(6379),
            Expected::Drop(Reason::SgIngressImplicitDeny),
        ),
        (
            "denied by a NACL",
            &web,
            "reports-db",
            Action::TcpEcho(5432),
            Expected::Drop(Reason::NaclIngressDeny),
        ),
        (
            "answer denied by a NACL",
            &web,
            "archive-db",
            Action::TcpEcho(5432),
            Expected::Drop(Reason::NaclReturnImplicitDeny),
        ),
        ("no route", &isolated, "example", Action::TcpEcho(443), Expected::Drop(Reason::NoRoute)),
        (
            "public-subnet trap",
            &trap,
            "payments",
            Action::TcpEcho(443),
            Expected::Drop(Reason::IgwNoPublicAddress),
        ),
        ("NAT gateway, TCP", &web, "example", Action::TcpEcho(443), echo()),
        ("NAT gateway, UDP", &web, "example", Action::UdpEcho(53), echo()),
        ("NAT gateway's address", &web, "checkip", reporter, seen_as(nat_public)),
        ("NAT gateway, ping", &web, "payments", Action::Ping, replies()),
        ("NAT gateway, traceroute", &web, "example", Action::Traceroute(443), route),
        ("two services, one ENI", &sharing, "tools", both, both_seen_as),
        (
            "default egress, internet",
            &public,
            "checkip",
            Action::WhoAmI(REPORTER_ON_INTERNET),
            seen_as(app_runner),
        ),
        (
            "default egress, no VPC",
            &public,
            "orders-db",
            Action::TcpEcho(5432),
            Expected::Drop(Reason::AppRunnerPrivateDestination),
        ),
    ];
    lines
        .into_iter()
        .map(|(name, from, to, action, expected)| {
            let protocol = action.protocol();
            let port = action.port().map_or_else(String::new, |port| format!(":{port}"));
            Ok(Probe {
                name,
                from: from.clone(),
                address: stage.address(to)?,
                to: format!("{to}{port}/{protocol}"),
                action,
                expected,
            })
        })
        .collect()
}

/// Sends them all at once; returns their results in order.
pub(super) async fn send(stage: &Stage, probes: &[Probe]) -> Result<Vec<Seen>, DemoError> {
    let in_vpc = stage.endpoint("tools", REPORTER_IN_VPC)?;
    let on_internet = stage.endpoint("checkip", REPORTER_ON_INTERNET)?;
    let _servers =
        [net::reporter(&stage.vpc, in_vpc)?, net::reporter(&stage.internet, on_internet)?];
    Ok(join_all(probes.iter().map(Probe::send)).await)
}

impl Probe {
    async fn send(&self) -> Seen {
        let from = &self.from.netns;
        let to = |port: u16| SocketAddrV4::new(self.address, port);
        let patience = match self.expected {
            Expected::Answer(_) => PATIENCE,
            Expected::Drop(_) => DOUBT,
        };
        match &self.action {
            Action::TcpEcho(port) => tcp_echo(from, to(*port), patience).await,
            Action::UdpEcho(port) => udp_echo(from, to(*port), patience).await,
            Action::WhoAmI(port) => match who_am_i(from, to(*port), patience).await {
                Ok(address) => Seen::Answer(format!("seen as {address}")),
                Err(seen) => seen,
            },
            Action::WhoAreWe(port, other) => {
                let one = who_am_i(from, to(*port), patience);
                let other = who_am_i(&other.netns, to(*port), patience);
                match tokio::join!(one, other) {
                    (Ok(one), Ok(other)) if one == other => {
                        Seen::Answer(format!("both seen as {one}"))
                    }
                    (Ok(one), Ok(other)) => Seen::Answer(format!("seen as {one} and as {other}")),
                    (Err(seen), _) | (_, Err(seen)) => seen,
                }
            }
            Action::Ping => ping(&self.from, self.address).await,
            Action::Traceroute(port) => traceroute(&self.from, self.address, *port).await,
        }
    }

    fn from(&self) -> String {
        match &self.action {
            Action::WhoAreWe(_, other) => format!("{}, {}", self.from.name(), other.name()),
            Action::TcpEcho(_)
            | Action::UdpEcho(_)
            | Action::WhoAmI(_)
            | Action::Ping
            | Action::Traceroute(_) => self.from.name(),
        }
    }

    fn sent(&self) -> Sent {
        Sent {
            service: self.from.row.service.clone(),
            task: self.from.row.task,
            source: self.from.row.address,
            destination: self.address,
            protocol: self.action.protocol(),
            port: self.action.port(),
        }
    }

    /// Compares the result, and the running lab's counters, with the expected result.
    pub(super) fn row(&self, seen: &Seen, drops: &[DropRow], flows: &[FlowRow]) -> ProbeRow {
        let sent = self.sent();
        let found = judge(&self.expected, seen, sent.drop(drops), sent.flow(flows));
        ProbeRow {
            name: self.name.to_owned(),
            from: self.from(),
            to: self.to.clone(),
            expected: self.expected.to_string(),
            seen: found.seen,
            reason: found.reason,
            rule: found.rule,
            line: found.line,
            ok: found.ok,
        }
    }
}
