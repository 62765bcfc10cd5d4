//! The paths that are measured beside each other, each in namespaces of its own: from a task's
//! namespace to the server's.

use super::bare;
use super::load::Between;
use super::peer::{Peer, PeerError};
use crate::cli::program::Tool;
use crate::config::Lab;
use std::net::Ipv4Addr;

/// The server's first port.
const PORT: u16 = 5201;
/// The number of ports over which new connections are spread.
const PORTS: u16 = 8;
const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// The address to which the bare TUN translates the task's address.
const BARE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

const NFT: Tool = Tool { program: "nft", package: "nftables" };
const SLIRP: Tool = Tool { program: "slirp4netns", package: "slirp4netns" };
const PASTA: Tool = Tool { program: "pasta", package: "passt" };

/// The policy of the egret lab's security groups for nftables: the task may open TCP and UDP to the
/// server, and nothing else.
const RULES: &str = "
table ip bench {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname \"task\" ip saddr 100.64.0.2 ip daddr 10.0.1.10 meta l4proto { tcp, udp } accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname \"vpc\" masquerade
    }
}
";

/// The egret lab. An ENI's own limit of connections would be reached by closed ones that still
/// wait; the kernel's table has no such limit.
const LAB: &str = r#"
region = "us-east-1"

[[vpc]]
id = "vpc"
cidr = ["10.0.0.0/16"]

[[subnet]]
id = "subnet-a"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[security_group]]
id = "sg-task"
vpc = "vpc"
egress = [{ protocol = "tcp", ports = "0-65535", to = "sg-server" }, { protocol = "udp", ports = "0-65535", to = "sg-server" }]

[[security_group]]
id = "sg-server"
vpc = "vpc"
ingress = [{ protocol = "tcp", ports = "0-65535", from = "sg-task" }, { protocol = "udp", ports = "0-65535", from = "sg-task" }]

[[resource]]
name = "server"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-server"]

[[vpc_connector]]
name = "connector"
subnets = ["subnet-a"]
security_groups = ["sg-task"]

[[service]]
name = "task"
egress = "vpc"
vpc_connector = "connector"
tasks = 1

[limits]
eni_connections = 1000000
"#;

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DataPath {
    /// A bare veth, no policy
    Veth,
    /// The kernel's routing, nft masquerade and an equivalent stateful filter
    Nft,
    /// egret, established flows in tc
    Offload,
    /// egret, every packet through userspace
    Userspace,
    /// egret on a TUN without offloads
    Plain,
    /// A bare userspace NAT: one address for another, nothing decided
    Bare,
    /// slirp4netns
    Slirp4netns,
    /// pasta
    Pasta,
}

/// All paths, in the order of the table.
pub(super) const ALL: [DataPath; 8] = [
    DataPath::Veth,
    DataPath::Nft,
    DataPath::Offload,
    DataPath::Userspace,
    DataPath::Plain,
    DataPath::Bare,
    DataPath::Slirp4netns,
    DataPath::Pasta,
];

impl DataPath {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Nft => "nft",
            Self::Offload => "offload",
            Self::Userspace => "userspace",
            Self::Plain => "plain",
            Self::Bare => "bare",
            Self::Slirp4netns => "slirp4netns",
            Self::Pasta => "pasta",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Veth => "a bare veth, no policy: the limit of the machine",
            Self::Nft => {
                "the kernel's routing, nft masquerade, and a stateful filter equivalent to the lab's security groups"
            }
            Self::Offload => "egret, `offload = \"on\"`: established flows are rewritten in tc",
            Self::Userspace => "egret, `offload = \"off\"`: every packet goes through userspace",
            Self::Plain => {
                "egret, `offload = \"off\"`, `device = \"plain\"`: a TUN without offloads, one packet per segment"
            }
            Self::Bare => {
                "egret's loop over a TUN without egret's engine: one address for another, no policy, no flows, no ports"
            }
            Self::Slirp4netns => {
                "slirp4netns with an MTU of 65520, as rootless containers start it"
            }
            Self::Pasta => "pasta (passt) with its own MTU of 65520",
        }
    }

    /// Returns whether it is another project's program: where that does not run, the others are
    /// measured all the same.
    pub(super) fn is_foreign(self) -> bool {
        matches!(self, Self::Slirp4netns | Self::Pasta)
    }

    /// Returns whether the server sees another address than the task's.
    pub(super) fn translates(self) -> bool {
        self != Self::Veth
    }

    /// Returns why it cannot be measured on this machine, or with this build.
    pub(super) fn missing(self) -> Option<String> {
        let absent = |tool: Tool| {
            (!tool.is_installed())
                .then(|| format!("not installed: apt-get install {}", tool.package))
        };
        match self {
            Self::Veth | Self::Userspace | Self::Plain | Self::Bare => None,
            Self::Nft => absent(NFT),
            Self::Slirp4netns => absent(SLIRP),
            Self::Pasta => absent(PASTA),
            Self::Offload => {
                (!knows_offload()).then(|| "this build has no `offload` setting".to_owned())
            }
        }
    }

    /// Sets the path up. `egret` is the program to measure.
    pub(super) async fn start(self, egret: &std::path::Path) -> Result<Peer, PeerError> {
        let mut peer = Peer::new(self.key());
        match self {
            Self::Veth => veth(&mut peer)?,
            Self::Nft => nft(&mut peer)?,
            Self::Offload => lab(&mut peer, egret, "vnet", "on").await?,
            Self::Userspace => lab(&mut peer, egret, "vnet", "off").await?,
            Self::Plain => lab(&mut peer, egret, "plain", "off").await?,
            Self::Bare => bare_tun(&mut peer)?,
            Self::Slirp4netns => slirp4netns(&mut peer)?,
            Self::Pasta => pasta(&mut peer)?,
        }
        Ok(peer)
    }

    /// Returns the two ends, once the path has been set up.
    pub(super) fn between(self, peer: &Peer) -> Result<Between, PeerError> {
        let (client, server) = match self {
            Self::Offload | Self::Userspace | Self::Plain => {
                let lab = lab_name(peer);
                (peer.known(&format!("{lab}-task-1"))?, peer.known(&format!("{lab}-vpc"))?)
            }
            Self::Veth | Self::Nft | Self::Bare | Self::Slirp4netns | Self::Pasta => {
                (peer.netns("task")?, peer.netns("server")?)
            }
        };
        Ok(Between { client, server, address: SERVER, port: PORT, ports: PORTS })
    }

    /// Returns whether the server saw the client at the expected address.
    pub(super) fn is_seen_rightly(self, address: &str) -> bool {
        let as_task = address.starts_with("100.64.");
        as_task != self.translates()
    }
}

/// Returns whether this build knows the key `offload`.
pub(super) fn knows_offload() -> bool {
    Lab::parse("bench.toml", &format!("offload = \"off\"\n{LAB}")).is_ok()
}

fn veth(peer: &mut Peer) -> Result<(), PeerError> {
    peer.add_netns("task")?;
    peer.add_netns("server")?;
    peer.veth(
        ("task", "eth0", &format!("{TASK}/30")),
        ("server", "vpc0", &format!("{SERVER}/24")),
    )?;
    peer.ip("task", "route add default dev eth0")?;
    peer.ip("server", "route add default dev vpc0")
}

fn nft(peer: &mut Peer) -> Result<(), PeerError> {
    routed_task(peer)?;
    peer.feed("router", NFT.program, &["-f", "-"], RULES)?;
    peer.set("router", "ipv4/ip_forward", "1")
}

/// Sets up the bare TUN: the kernel routes the task's packets, and the answers, to the TUN, and the
/// packets that it writes to their destination.
fn bare_tun(peer: &mut Peer) -> Result<(), PeerError> {
    routed_task(peer)?;
    let worker = bare::start(&peer.netns("router")?, "bare", TASK, BARE)?;
    peer.keep(worker);
    for link in ["all", "default", "task", "vpc", "bare"] {
        peer.set("router", &format!("ipv4/conf/{link}/rp_filter"), "0")?;
    }
    peer.ip("router", "route add default dev bare table 7")?;
    peer.ip("router", "rule add iif task lookup 7")?;
    peer.ip("router", &format!("route add {BARE}/32 dev bare"))?;
    // The server sends ARP requests for the address on its link.
    peer.set("router", "ipv4/conf/vpc/proxy_arp", "1")?;
    peer.set("router", "ipv4/ip_forward", "1")
}

/// Makes a task behind a router that has a link to it.
fn routed_task(peer: &mut Peer) -> Result<(), PeerError> {
    router(peer)?;
    peer.add_netns("task")?;
    peer.veth(("task", "eth0", &format!("{TASK}/30")), ("router", "task", "100.64.0.1/30"))?;
    peer.ip("task", "route add default via 100.64.0.1")
}

/// Makes the router between task and server, for paths that are no single link.
fn router(peer: &mut Peer) -> Result<(), PeerError> {
    peer.add_netns("router")?;
    peer.add_netns("server")?;
    peer.veth(("router", "vpc", "10.0.1.254/24"), ("server", "vpc0", &format!("{SERVER}/24")))
}

fn slirp4netns(peer: &mut Peer) -> Result<(), PeerError> {
    router(peer)?;
    peer.add_netns("task")?;
    let task = peer.file_of("task");
    let words = ["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"];
    peer.run_in("router", SLIRP.program, &[&words[..], &[&task, "tap0"]].concat())
}

fn pasta(peer: &mut Peer) -> Result<(), PeerError> {
    router(peer)?;
    peer.add_netns("task")?;
    // It copies address and routes of the link with the default route; the gateway's address need
    // not exist.
    peer.ip("router", "route add default via 10.0.1.1")?;
    let task = peer.file_of("task");
    let words = ["--foreground", "--quiet", "--config-net", "--no-map-gw", "--runas", "0"];
    let none = ["-t", "none", "-u", "none", "-T", "none", "-U", "none"];
    peer.run_in("router", PASTA.program, &[&words[..], &none, &["--netns", &task]].concat())
}

async fn lab(
    peer: &mut Peer,
    egret: &std::path::Path,
    device: &str,
    offload: &str,
) -> Result<(), PeerError> {
    let name = lab_name(peer);
    let offload =
        if knows_offload() { format!("offload = \"{offload}\"\n") } else { String::new() };
    let text = format!("lab = \"{name}\"\ndevice = \"{device}\"\n{offload}{LAB}");
    peer.lab_up(egret, &name, &text).await
}

/// Returns the name of a path's lab: short, as lab names have to be.
fn lab_name(peer: &Peer) -> String {
    format!("b{}-{}", std::process::id(), peer.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_is_sound() {
        assert!(Lab::parse("bench.toml", LAB).is_ok());
    }

    #[test]
    fn a_path_without_its_translation_is_found_out() {
        assert!(DataPath::Veth.is_seen_rightly("100.64.0.2"));
        assert!(DataPath::Nft.is_seen_rightly("10.0.1.254"));
        assert!(!DataPath::Nft.is_seen_rightly("100.64.0.2"));
        assert!(!DataPath::Veth.is_seen_rightly("10.0.1.4"));
    }

    #[test]
    fn names_are_distinct() {
        let mut keys: Vec<&str> = ALL.iter().map(|path| path.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }
}
