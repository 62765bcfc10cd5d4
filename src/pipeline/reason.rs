//! The reasons why a packet was dropped, or answered by egret itself: one flat table of number,
//! stage, sentence, hint, and the AWS Reachability Analyzer code if an honest one exists
//! (spec 10.2).

use super::Stage;
use crate::packet::Malformed;

macro_rules! reasons {
    ($($number:literal $variant:ident $name:literal $stage:ident $code:expr, $sentence:literal, $hint:literal;)*) => {
        /// The reason why a packet was dropped or answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $sentence] $variant = $number,)*
        }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable name, as `egret drops` and `--json` show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the stage that gives it.
            pub const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)* }
            }

            /// Returns the Reachability Analyzer's explanation code with the same meaning, if there
            /// is one (spec 10.2).
            pub const fn code(self) -> Option<&'static str> {
                match self { $(Self::$variant => $code,)* }
            }

            /// Returns one sentence that states what happened.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Returns a hint how to fix it.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

/// One more than the highest number: the size of an array of counters indexed by reason.
pub const REASONS: usize = 128;

reasons! {
    0 MalformedTruncated "malformed-truncated" Parse None,
        "The packet is shorter than an IPv4 header.", "Look at what sends it: tcpdump in the task's namespace.";
    1 Ipv6 "ipv6" Parse None,
        "The packet is IPv6; an App Runner connector carries IPv4 here.", "Use the IPv4 address, or an A record.";
    2 MalformedVersion "malformed-version" Parse None,
        "The IP version in the header is not the one that the frame announces, or neither 4 nor 6.", "Look at what sends it: tcpdump in the task's namespace.";
    3 MalformedHeaderLength "malformed-header-length" Parse None,
        "The IPv4 header length is impossible.", "Look at what sends it: tcpdump in the task's namespace.";
    4 MalformedTotalLength "malformed-total-length" Parse None,
        "The IPv4 total length disagrees with the number of bytes that arrived.", "Look at what sends it: tcpdump in the task's namespace.";
    5 MalformedHeaderChecksum "malformed-header-checksum" Parse None,
        "The IPv4 header checksum is wrong.", "Look at what sends it: tcpdump in the task's namespace.";
    6 MalformedL4 "malformed-l4-header" Parse None,
        "The TCP, UDP or ICMP header does not fit in the packet.", "Look at what sends it: tcpdump in the task's namespace.";
    7 MalformedIcmpChecksum "malformed-icmp-checksum" Parse None,
        "The ICMP checksum is wrong (RFC 5508 requires the drop).", "Look at what sends it: tcpdump in the task's namespace.";
    8 MalformedVnetHeader "malformed-vnet-header" Parse None,
        "The kernel's offload header contradicts the packet.", "Set device = \"plain\" in the lab file to go without offloads.";

    9 SourceForged "source-forged" SourceCheck Some("ENI_SOURCE_DEST_CHECK_RESTRICTION"),
        "The source address is not the sender's own.", "Send from the address on the task's eth0, or on the attached resource's interface.";
    10 SourceUnknown "source-unknown" SourceCheck Some("ENI_SOURCE_DEST_CHECK_RESTRICTION"),
        "No task of this ENI has the source address.", "Send from the address on the task's eth0.";
    11 DestinationNotUnicast "destination-not-unicast" SourceCheck None,
        "The destination is a multicast, broadcast or unspecified address; a VPC carries unicast only.", "Use a unicast address.";
    12 NoOwner "no-owner" SourceCheck None,
        "A packet came from a VPC or the internet for an address that no ENI and no gateway has.", "Nothing in the VPC may open flows to a task; only replies come back.";

    13 ExemptAddressUnserved "exempt-address-unserved" ExemptAddress None,
        "The destination is one that AWS serves itself (link-local, the VPC's resolver, a subnet's router), and egret does not.", "Use the resolver (the VPC's base + 2, or 169.254.169.253), Amazon Time Sync (169.254.169.123) or ECS task metadata (169.254.170.2). Instance metadata is not offered: App Runner's tasks run on Fargate.";

    14 SgEgressNoRules "sg-egress-no-rules" SecurityGroupEgress Some("SG_HAS_NO_RULES"),
        "The ENI's security groups have no egress rule, so nothing may leave.", "Add an egress rule to a security group of the connector.";
    15 SgEgressImplicitDeny "sg-egress-implicit-deny" SecurityGroupEgress Some("ENI_SG_RULES_MISMATCH"),
        "No egress rule of the ENI's security groups allows this packet.", "Add an egress rule for this protocol, port and destination to a security group of the connector.";

    16 NaclEgressDeny "nacl-egress-deny" NetworkAclEgress Some("SUBNET_ACL_RESTRICTION"),
        "An egress rule of the subnet's network ACL denies this packet.", "Give an allow rule a lower number than the deny, or take the deny away.";
    17 NaclEgressImplicitDeny "nacl-egress-implicit-deny" NetworkAclEgress Some("SUBNET_ACL_RESTRICTION"),
        "No egress rule of the subnet's network ACL matches, so its * denies this packet.", "Add an egress rule that allows it.";
    18 NaclIngressDeny "nacl-ingress-deny" NetworkAclIngress Some("SUBNET_ACL_RESTRICTION"),
        "An ingress rule of the subnet's network ACL denies this packet.", "Give an allow rule a lower number than the deny, or take the deny away.";
    19 NaclIngressImplicitDeny "nacl-ingress-implicit-deny" NetworkAclIngress Some("SUBNET_ACL_RESTRICTION"),
        "No ingress rule of the subnet's network ACL matches, so its * denies this packet.", "Add an ingress rule that allows it.";
    20 NaclReturnDeny "nacl-return-deny" NetworkAclReturn Some("SUBNET_ACL_RESTRICTION"),
        "The request passes, but a network ACL rule denies the reply: network ACLs are stateless.", "Allow TCP and UDP 1024-65535 in the direction of the reply; that is where NAT gateways and Hyperplane ENIs take their ports.";
    21 NaclReturnImplicitDeny "nacl-return-implicit-deny" NetworkAclReturn Some("SUBNET_ACL_RESTRICTION"),
        "The request passes, but no network ACL rule allows the reply: network ACLs are stateless.", "Allow TCP and UDP 1024-65535 in the direction of the reply; that is where NAT gateways and Hyperplane ENIs take their ports.";

    22 NoRoute "no-route" RouteTable Some("NO_ROUTE_TO_DESTINATION"),
        "The subnet's route table has no route for the destination.", "Add a route: for the internet, 0.0.0.0/0 to a NAT gateway in a public subnet.";
    23 RouteBlackhole "route-blackhole" RouteTable Some("BAD_STATE_ROUTE"),
        "The most specific route is a blackhole: its target no longer exists. AWS does not fall back to a less specific route.", "Point the route at a target that exists, or delete it.";
    24 SgIngressBehindNat "sg-ingress-behind-nat" SecurityGroupIngress Some("SG_REFERENCES_NOT_PRESERVED"),
        "The destination's security groups would let the connector's ENI in, but what they see is the NAT gateway's private address, which no reference to a group matches.", "Add an ingress rule from the NAT gateway's private address or its subnet's CIDR block, or route to the destination without the NAT gateway.";

    25 NatGatewayState "nat-gateway-state" NatGateway Some("BAD_STATE"),
        "The NAT gateway is not available.", "Wait for it, or route to another NAT gateway.";
    26 NatProtocol "nat-protocol" NatGateway Some("PROTOCOL_RESTRICTION"),
        "A NAT gateway carries TCP, UDP and ICMP only.", "Use TCP or UDP.";
    27 NatFragment "nat-fragment" NatGateway None,
        "A NAT gateway drops fragments of TCP and ICMP.", "Send datagrams that fit the path's MTU.";
    28 NatNoRoute "nat-no-route" NatGateway Some("NO_ROUTE_TO_DESTINATION"),
        "The NAT gateway's own subnet has no route for the destination, so the gateway cannot send the packet on.", "Put a public NAT gateway in a public subnet: one whose route table has 0.0.0.0/0 to an internet gateway. A private one gets no packet to the internet.";
    29 NatRoutesToNat "nat-routes-to-nat" NatGateway Some("NO_POSSIBLE_DESTINATION"),
        "The NAT gateway's own subnet routes the packet to a NAT gateway again: the gateway is in a private subnet.", "Put a public NAT gateway in a public subnet: one whose route table has 0.0.0.0/0 to an internet gateway. A private one gets no packet to the internet.";
    30 NatBlackhole "nat-blackhole" NatGateway Some("BAD_STATE_ROUTE"),
        "The NAT gateway's own subnet has a blackhole route for the destination.", "Point that route at the internet gateway.";
    31 NatAddress "nat-gateway-address" NatGateway None,
        "The destination is a NAT gateway's own address, which answers nothing.", "Use the address of a resource.";

    32 IgwNoPublicAddress "igw-no-public-address" InternetGateway Some("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"),
        "The internet gateway drops packets whose source has no public address, and a connector's ENI never has one.", "Route 0.0.0.0/0 of the connector's subnets to a NAT gateway in a public subnet, or move the connector to private subnets.";
    33 IgwPrivateDestination "igw-rfc1918-destination" InternetGateway Some("IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
        "The internet gateway drops packets to private (RFC 1918) addresses.", "Add a route to where that network is; it is not on the internet.";
    34 IgwSharedDestination "igw-rfc6598-destination" InternetGateway Some("IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS"),
        "The internet gateway drops packets to shared (RFC 6598, 100.64.0.0/10) addresses.", "Add a route to where that network is; it is not on the internet.";
    35 IgwPrivateNat "igw-private-nat" InternetGateway Some("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"),
        "The internet gateway drops packets of a private NAT gateway: it has no Elastic IP.", "Use a public NAT gateway.";
    36 NatHairpin "nat-hairpin" InternetGateway Some("IGW_NAT_REFLECTION"),
        "The destination is a public address of the lab's own NAT gateway or of App Runner; nothing is reflected back inside.", "Use the private address.";

    37 NoInterface "no-interface" Deliver Some("NO_POSSIBLE_DESTINATION"),
        "The destination is inside the VPC, but nothing there has that address.", "Add a [[resource]] with this address, or correct the address.";
    38 EniAddress "eni-address" SecurityGroupIngress Some("ENI_SG_RULES_MISMATCH"),
        "The destination is the ENI of a service's tasks, which takes no requests: egress only.", "Call the service by its public name.";
    39 SgIngressNoRules "sg-ingress-no-rules" SecurityGroupIngress Some("SG_HAS_NO_RULES"),
        "The destination's security groups have no ingress rule, so nothing may enter.", "Add an ingress rule from the connector's security group to the destination's.";
    40 SgIngressImplicitDeny "sg-ingress-implicit-deny" SecurityGroupIngress Some("ENI_SG_RULES_MISMATCH"),
        "No ingress rule of the destination's security groups allows this packet. Egress was fine: ingress is the second check.", "Add an ingress rule for this protocol and port, from the connector's security group, to the destination's.";

    41 EniPortsExhausted "eni-ports-exhausted" PortLease None,
        "The ENI has no free port for this destination, or has reached its limit of flows.", "`egret enis --holders` lists who holds the ports. Close idle connections, reuse them, or raise limits.eni_connections.";
    42 NatPortsExhausted "nat-ports-exhausted" PortLease None,
        "ErrorPortAllocation: the NAT gateway has no free port for this destination, or App Runner's own egress has reached its limit of flows.", "`egret enis --holders` lists who holds the ports. Reuse connections, spread over destinations, or add secondary addresses or NAT gateways.";

    43 TcpNoFlow "tcp-no-flow" FlowTable None,
        "A TCP segment that is not a SYN, of a flow that does not exist, or no longer.", "Open a new connection: only a SYN starts one.";
    44 FlowExpired "flow-expired" FlowTable None,
        "The flow was idle for longer than its timeout.", "Send keep-alives more often than every 350 s, or reconnect.";
    45 Unsolicited "unsolicited" FlowTable None,
        "A packet came from outside for a flow that does not exist: only replies come back.", "Nothing outside may open flows to a task.";
    46 IcmpErrorNoFlow "icmp-error-no-flow" FlowTable None,
        "An ICMP error about a flow that does not exist.", "None needed: it may be about a flow that has ended.";
    47 IcmpUnsupported "icmp-unsupported" FlowTable None,
        "An ICMP message that is neither an echo request, nor the reply to one, nor an error about a flow.", "Use an echo (ping).";
    48 FlowMoved "flow-moved" FlowTable None,
        "After a change of the configuration, the flow would leave by another gateway: it cannot keep its address.", "Reconnect.";
    49 Fragment "fragment" FlowTable None,
        "A fragment of an ICMP error, or of a datagram whose flow has ended meanwhile, or whose first one was refused before a reload.", "Send datagrams that fit the path's MTU.";

    50 TtlExpired "ttl-expired" Deliver None,
        "The time to live ended at the NAT gateway; egret answered with ICMP time exceeded from the gateway's private address.", "Normal for traceroute; otherwise raise the TTL.";
    51 MtuExceeded "mtu-exceeded" Deliver None,
        "The packet is larger than the next link's MTU and may not be fragmented; egret answered with ICMP fragmentation needed.", "Lower the packet size, or let path MTU discovery do it.";
    52 MtuExceededNoAnswer "mtu-exceeded-no-answer" Deliver None,
        "The packet is larger than the next link's MTU, and no answer to it is allowed or possible.", "Send datagrams that fit the path's MTU.";
    53 TtlExpiredNoAnswer "ttl-expired-no-answer" Deliver None,
        "The time to live ended, and no answer to this packet is allowed.", "Raise the TTL.";

    54 AppRunnerPrivateDestination "apprunner-private-destination" AppRunner None,
        "The service has egress = \"default\": it leaves by App Runner's own public address, from where no private address is reached.", "Give the service a way into the VPC: egress = \"vpc\" and a vpc_connector; a Lambda function subnets; a service of the App Runner API EgressType VPC. Or send to the destination's public address, if it has one.";

    55 EngineFault "engine-fault" Parse None,
        "egret failed on this packet and dropped it, or its worker hung. This is a bug in egret.", "Report the packet: tcpdump in the task's namespace.";
    56 NotIp "not-ip" SourceCheck None,
        "A frame that is neither IPv4 nor IPv6, or that has a VLAN tag.", "None needed.";
    57 MalformedQuote "malformed-icmp-quote" Parse None,
        "The packet that an ICMP error quotes is malformed (RFC 5508 requires the drop).", "Look at what sends it: tcpdump in the namespace of its sender.";
    58 NoLink "no-link" Deliver None,
        "A packet that the engine let pass had no link to leave by.", "Report it: this is a bug in egret.";

    59 WriteFailed "write-failed" Deliver None,
        "The kernel did not take a packet that the engine let pass, or answered.", "See that the TUN device is up in the router namespace; if it is, report it.";
    60 ReadFailed "read-failed" Parse None,
        "The kernel had a packet for the engine and could not hand it over.", "Set device = \"plain\" in the lab file to go without offloads.";
    61 QueueFull "queue-full" Parse None,
        "Packets came faster than the worker of the ENI or gateway read them, and its queue was full.", "Send less at a time, or spread over more ENIs: connectors with other subnets or security groups.";

    62 FragmentUnclaimed "fragment-unclaimed" FlowTable None,
        "A later fragment waited for the first one of its datagram, which did not come within 30 s, or had to make room for newer ones.", "Look at where the first fragment is lost, or send datagrams that fit the path's MTU.";

    63 PeeringOutsideCidr "peering-outside-peer-cidr" Peering Some("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"),
        "The peering connection carries packets to the peer VPC's own addresses only; nothing behind that VPC is reached through it.", "Peer with the VPC that has this address, or route it elsewhere.";
    64 ReplyNotRoutedBack "reply-not-routed-back" RouteTableReturn None,
        "The packet arrives, but the route table of the destination's subnet does not lead the reply back the way it came.", "Add the route back to that table: of a peered VPC, the source's CIDR to the same peering connection; of a public address, 0.0.0.0/0 to the internet gateway.";
    65 EndpointProtocol "endpoint-protocol" GatewayEndpoint Some("VPCE_GATEWAY_PROTOCOL_RESTRICTION"),
        "A gateway endpoint carries TCP and ICMP echo only.", "Use TCP, or route these addresses to a NAT gateway.";

    66 DnsSupportDisabled "dns-support-disabled" ExemptAddress None,
        "The VPC has enable_dns_support = false, so its resolver does not answer.", "Set enable_dns_support = true on the VPC, or ask a DNS server of your own.";
    67 DnsThrottled "dns-throttled" ExemptAddress None,
        "The ENI has sent more packets to the resolver within a second than its limit, which AWS has at 1,024.", "Cache answers in the task, or spread over more ENIs: connectors with other subnets or security groups.";
    68 InterfaceEndpointProtocol "interface-endpoint-protocol" Deliver None,
        "An interface endpoint carries TCP only, and does not answer ping.", "Use the service's HTTPS endpoint; let a [[resource]] stand in for what speaks another protocol.";
    69 ForeignSource "foreign-source" Deliver None,
        "A packet that the engine let pass has a source address that does not exist in the network for which it would leave, such as a private one toward the internet.", "Normal for a moment in which a change of the configuration takes an address away; otherwise report it: this is a bug in egret.";
    70 DeviceUnknown "device-unknown" Parse None,
        "The ENI or gateway is not part of the configuration: a reload has just created it, or is about to remove it.", "None needed: it passes with the change of the configuration.";

    71 SourceDestCheck "source-dest-check" Middlebox Some("ENI_SOURCE_DEST_CHECK_RESTRICTION"),
        "The packet is routed through an appliance's network interface, whose source/dest check drops what is neither from its own address nor for it.", "Set source_dest_check = false on that [[resource]], if it forwards packets of other senders.";
    72 MiddleboxLoop "middlebox-loop" RouteTable Some("NO_POSSIBLE_DESTINATION"),
        "The packet is in a loop: the route leads to a middlebox in a subnet whose table the packet has passed already, or to a ninth middlebox in a row.", "Give the middlebox a subnet of its own, whose route table leads on to the destination.";
    73 ApplianceSgIngress "appliance-sg-ingress" SecurityGroupIngress Some("ENI_SG_RULES_MISMATCH"),
        "No ingress rule of the appliance's security groups lets in this packet, which is routed through it.", "Add an ingress rule for this protocol and port to a security group of the appliance.";
    74 ApplianceSgEgress "appliance-sg-egress" SecurityGroupEgress Some("ENI_SG_RULES_MISMATCH"),
        "No egress rule of the appliance's security groups lets out this packet, which is routed through it.", "Add an egress rule for this protocol, port and destination to a security group of the appliance.";
    75 SgIngressBehindMiddlebox "sg-ingress-behind-middlebox" SecurityGroupIngress Some("SG_REFERENCES_NOT_PRESERVED"),
        "The destination's security groups would let the connector's ENI in by a reference to its group, but behind a middlebox no reference matches.", "Add an ingress rule from the ENI's address or its subnet's CIDR block, or route to the destination without the middlebox.";

    76 NotForRouter "not-for-router" SourceCheck None,
        "The frame is for another MAC address than the router's, or a broadcast with a packet for one host.", "Send to the MAC address of the default gateway: `ip neigh` in the task's namespace shows it.";

    77 NoSuchInternetHost "no-such-internet-host" Deliver None,
        "The VPC lets the packet out, but it is for a public address that no host of the lab has: there it would time out.", "Add an [[internet_host]] with this address, or correct the address.";

    78 SgIngressPublicAddress "sg-ingress-public-address" SecurityGroupIngress Some("SG_REFERENCES_NOT_PRESERVED"),
        "The destination's security groups would let the connector's ENI in, but the packet is for the destination's public address: over the internet they see the sender's public address, which no reference to a group matches.", "Add an ingress rule from the sender's public address, or send to the destination's private address if a route leads there.";

    79 SgUntrackedFlow "sg-untracked-flow" FlowTable Some("ENI_SG_RULES_MISMATCH"),
        "The flow's ENI does not track it, since security groups let everything through both ways when it began; now no rule lets this packet of it through.", "Put the rule back, or open a new connection: what narrower rules let through is tracked, and goes on without them.";

    80 LinkDropped "link-dropped" Parse None,
        "The kernel dropped the packet at the link of a task, a VPC or the internet, before egret saw it: it is larger than the MTU of the router's end, or that end's queue was full.", "`egret ps` shows whether the task's eth0 has another MTU than the lab gave it, and `egret task repair` repairs it; otherwise send less at a time.";

    81 SourceRoute "source-route" Parse None,
        "The packet has an IPv4 source route option (LSRR or SSRR), which names other hops than the destination address.", "Send without it: routers of the internet drop it as well.";
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::MalformedTruncated,
            Malformed::Ipv6 => Self::Ipv6,
            Malformed::Version => Self::MalformedVersion,
            Malformed::HeaderLength => Self::MalformedHeaderLength,
            Malformed::TotalLength => Self::MalformedTotalLength,
            Malformed::HeaderChecksum => Self::MalformedHeaderChecksum,
            Malformed::SourceRoute => Self::SourceRoute,
            Malformed::L4Truncated => Self::MalformedL4,
            Malformed::IcmpChecksum => Self::MalformedIcmpChecksum,
            Malformed::Quote => Self::MalformedQuote,
            Malformed::VnetHeader => Self::MalformedVnetHeader,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_count_up_and_fit_the_counters() {
        let numbers: Vec<usize> = Reason::ALL.iter().map(|&reason| reason as usize).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(numbers.iter().all(|number| *number < REASONS), "{numbers:?}");
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
