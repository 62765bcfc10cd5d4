//! The probes: what each sends, what should come of it, and how what was seen is judged.

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

/// How long an answer may take that should come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait where none should come: a hundred times what one takes.
const DOUBT: Duration = Duration::from_secs(1);
/// Where the demo's own servers tell peers what address they come from.
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

enum Expected {
    Answer(String),
    Drop(Reason),
}

enum Action {
    TcpEcho(u16),
    UdpEcho(u16),
    /// Who the destination sees.
    WhoAmI(u16),
    /// Whether the destination sees this task and another one as the same.
    WhoAreWe(u16, Sender),
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

/// All probes. No two of them send to the same place from the same task by the same protocol and die.
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
    let both = Action::WhoAreWe(REPORTER_IN_VPC, other);

    let lines: [(&'static str, &Sender, &str, Action, Expected); 15] = [
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
    ];
    let last = (
        "default egress, no VPC",
        &public,
        "orders-db",
        Action::TcpEcho(5432),
        Expected::Drop(Reason::AppRunnerPrivateDestination),
    );
    lines
        .into_iter()
        .chain([last])
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

/// Sends them all at once; what each met with, in their order.
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

    /// What the running lab counted for the probe: its own packets, or else the answers to them.
    fn drop<'d>(&self, drops: &'d [DropRow]) -> Option<&'d DropRow> {
        let protocol = self.action.protocol().to_string();
        let mut same = drops.iter().filter(|row| row.protocol.as_deref() == Some(&protocol));
        let request = same.clone().find(|row| {
            row.source == Some(self.from.row.address)
                && row.destination == Some(self.address)
                && row.port == self.action.port()
        });
        request.or_else(|| {
            same.find(|row| {
                row.source == Some(self.address)
                    && row.service.as_deref() == Some(&*self.from.row.service)
            })
        })
    }

    /// What admitted the probe's flow.
    fn admitted_by<'f>(&self, flows: &'f [FlowRow]) -> Option<&'f FlowRow> {
        let destination = match self.action.port() {
            Some(port) => format!("{}:{port}", self.address),
            None => self.address.to_string(),
        };
        let protocol = self.action.protocol().to_string();
        flows.iter().find(|flow| {
            (&flow.service, flow.task) == (&self.from.row.service, self.from.row.task)
                && flow.protocol == protocol
                // With ICMP an identifier may follow.
                && flow.destination.split(' ').next() == Some(&destination)
        })
    }
}

/// Holds what was seen, and what the running lab counted, against what was expected.
pub(super) fn judge(
    probes: &[Probe],
    seen: &[Seen],
    drops: &[DropRow],
    flows: &[FlowRow],
) -> Vec<ProbeRow> {
    probes.iter().zip(seen).map(|(probe, seen)| row(probe, seen, drops, flows)).collect()
}

fn row(probe: &Probe, seen: &Seen, drops: &[DropRow], flows: &[FlowRow]) -> ProbeRow {
    let expected = match &probe.expected {
        Expected::Answer(text) => text.clone(),
        Expected::Drop(reason) => format!("drop: {reason}"),
    };
    let counted = probe.drop(drops);
    let (seen, reason, rule, line) = match (seen, counted) {
        (Seen::Answer(text), _) => {
            let flow = probe.admitted_by(flows);
            (text.clone(), None, flow.map(|f| f.admitted_by.clone()), flow.and_then(|f| f.line))
        }
        (Seen::Silence, Some(row)) => {
            ("drop".to_owned(), Some(row.reason.clone()), Some(row.rule.clone()), row.line)
        }
        (Seen::Silence, None) => ("no answer, no drop counted".to_owned(), None, None, None),
        (Seen::Fault(text), _) => (text.clone(), None, None, None),
    };
    let ok = match &probe.expected {
        Expected::Answer(text) => seen == *text,
        Expected::Drop(expected) => seen == "drop" && reason.as_deref() == Some(expected.name()),
    };
    ProbeRow {
        name: probe.name.to_owned(),
        from: probe.from(),
        to: probe.to.clone(),
        expected,
        seen,
        reason,
        rule,
        line,
        ok,
    }
}
