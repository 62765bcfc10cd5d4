//! Words and short forms in the pictures.

use super::super::width::{columns_of, fitting};
use super::model::{Kind, Node};
use crate::edge::thousands;

/// The most lines of a node in a picture.
const MOST_LINES: usize = 12;

/// Stands between the destination of a route and its target.
pub(super) const ARROW: &str = " → ";

/// Returns a number of things, such as `2 tasks`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", thousands(count as u64)),
    }
}

/// Returns ids with commas between.
pub(super) fn listed<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.collect::<Vec<_>>().join(", ")
}

/// Returns the kind of a node in words, if its column's heading does not say it.
pub(super) const fn kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Service | Kind::Connector | Kind::Eni | Kind::Subnet | Kind::RouteTable => None,
        Kind::Local => Some("inside the VPC"),
        Kind::InternetGateway => Some("internet gateway"),
        Kind::NatGateway => Some("NAT gateway"),
        Kind::PeeringConnection => Some("peering connection"),
        Kind::GatewayEndpoint => Some("gateway endpoint"),
        Kind::NetworkInterface => Some("network interface"),
        Kind::GatewayLoadBalancerEndpoint => Some("load balancer endpoint"),
        Kind::Blackhole => Some("drops everything"),
        Kind::AppRunner => Some("egress"),
        Kind::Vpc => Some("VPC"),
        Kind::Internet => None,
        Kind::EndpointService => Some("AWS service"),
    }
}

/// The lines of a node in a picture, below its name.
pub(super) struct Shown<'a> {
    /// The kind of object, in words.
    pub(super) kind: Option<&'static str>,
    /// The lines.
    pub(super) lines: &'a [String],
    /// The number of further lines.
    pub(super) more: usize,
}

impl<'a> Shown<'a> {
    /// Returns all lines.
    pub(super) fn whole(node: &'a Node) -> Self {
        Self { kind: kind(node.kind), lines: &node.lines, more: 0 }
    }

    /// Returns as many lines as a picture has room for.
    pub(super) fn of(node: &'a Node) -> Self {
        let count = match node.lines.len() {
            // A line that says `+1 more` takes as much room as the line itself.
            all if all <= MOST_LINES + 1 => all,
            _ => MOST_LINES,
        };
        let (lines, rest) = node.lines.split_at(count);
        Self { kind: kind(node.kind), lines, more: rest.len() }
    }

    /// Returns all lines below the name.
    pub(super) fn all(&self) -> Vec<String> {
        let kind = self.kind.map(str::to_owned);
        let more = (self.more > 0).then(|| format!("+{} more", thousands(self.more as u64)));
        kind.into_iter().chain(self.lines.iter().cloned()).chain(more).collect()
    }

    /// Returns the position among [`Shown::all`] of one of the node's lines.
    pub(super) fn row(&self, line: usize) -> usize {
        usize::from(self.kind.is_some()) + line.min(self.lines.len())
    }
}

/// Shortens a text to at most `most` characters, in the middle: names and ids differ at their ends.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if columns_of(text) <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(1);
    let (head, tail) = (fitting(text, room - room / 2), last_fitting(text, room / 2));
    format!("{head}…{tail}")
}

/// Returns the longest end of a text that there is room for.
fn last_fitting(text: &str, room: usize) -> &str {
    let ends = text.char_indices().rev().map(|(at, _)| &text[at..]);
    ends.take_while(|end| columns_of(end) <= room).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_keeps_both_ends() {
        assert_eq!(shortened("subnet-private-a", 16), "subnet-private-a");
        assert_eq!(shortened("subnet-private-payments-a", 16), "subnet-p…ments-a");
        assert_eq!(shortened("eni-0a1b2c3d4e5f60718", 4), "en…8");
        assert_eq!(shortened("ééééé", 4), "éé…é");
        assert_eq!(shortened("日本語日本", 6), "日…本");
        for most in 0..30 {
            assert!(
                columns_of(&shortened("subnet-0123456789abcdef0", most)) <= most.max(1),
                "{most}"
            );
        }
    }

    #[test]
    fn node_with_many_lines_says_how_many_are_missing() {
        let lines = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
        let node = |count| Node::new(Kind::NatGateway, "nat-a", None, lines(count));
        assert_eq!(Shown::of(&node(13)).all().len(), 14);
        let long = node(1014);
        let shown = Shown::of(&long);
        assert_eq!(shown.all().last().map(String::as_str), Some("+1,002 more"));
        assert_eq!(Shown::whole(&long).all().len(), 1015);
        assert_eq!((shown.row(0), shown.row(11), shown.row(500)), (1, 12, 13));
    }
}
