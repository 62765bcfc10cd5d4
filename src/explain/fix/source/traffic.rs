//! The traffic of a rule in the form of AWS's APIs.

use crate::packet::Protocol;
use crate::vpc::{PortMatch, ProtocolMatch, TrafficMatch};

/// The protocol of a rule for all protocols.
pub(super) const ALL: &str = "-1";

/// Protocol and ports.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// The word or number of a security group's rule.
    pub(super) word: String,
    /// The number of a network ACL's entry.
    pub(super) number: String,
    /// `FromPort` and `ToPort` of TCP and UDP.
    pub(super) ports: Option<(u16, u16)>,
    /// Type and code of ICMP; -1 is any.
    pub(super) icmp: Option<(i32, i32)>,
}

impl Traffic {
    pub(super) fn of(traffic: &TrafficMatch) -> Self {
        let ProtocolMatch::Is(protocol) = traffic.protocol else {
            let all = || ALL.to_owned();
            return Self { word: all(), number: all(), ports: None, icmp: None };
        };
        let number = protocol.number().to_string();
        let any = |field: Option<u8>| field.map_or(-1, i32::from);
        let PortMatch { from, to } = traffic.ports;
        let (word, ports, icmp) = match protocol {
            Protocol::Tcp => ("tcp".to_owned(), Some((from, to)), None),
            Protocol::Udp => ("udp".to_owned(), Some((from, to)), None),
            Protocol::Icmp => {
                let both = (any(traffic.icmp.icmp_type), any(traffic.icmp.code));
                ("icmp".to_owned(), None, Some(both))
            }
            Protocol::Other(_) => (number.clone(), None, None),
        };
        Self { word, number, ports, icmp }
    }

    /// Returns `FromPort` and `ToPort` of a security group's rule.
    pub(super) fn port_range(&self) -> Option<(i32, i32)> {
        self.ports.map(|(from, to)| (from.into(), to.into())).or(self.icmp)
    }

    /// Returns a name of the traffic for people, such as `tcp_5432` or `udp_1024_to_65535`.
    pub(super) fn shown(&self) -> String {
        let word = &self.word;
        match self.ports {
            Some((from, to)) if from == to => format!("{word}_{from}"),
            Some((0, u16::MAX)) => word.clone(),
            Some((from, to)) => format!("{word}_{from}_to_{to}"),
            None if self.word == ALL => "all".to_owned(),
            None => word.clone(),
        }
    }
}
