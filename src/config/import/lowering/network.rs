//! Writes VPCs, subnets, peering connections, prefix lists, private zones, and the region.

use super::super::{Account, Findings, Origin, Subnet, Vpc};
use super::document::{Item, Section, inline, list, quoted};
use super::state::Lowering;
use crate::config::address::{is_reserved, overlap};
use crate::config::names::ObjectKind;
use crate::config::text;
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The zones that subnets without one are put into, in turn.
const ZONE_LETTERS: [char; 3] = ['a', 'b', 'c'];

/// The blocks that tasks can have their addresses from: the lab file's default, and others if a VPC
/// has that.
const TASK_BLOCKS: [([u8; 4], u8); 6] = [
    ([100, 64, 0, 0], 10),
    ([100, 127, 0, 0], 16),
    ([172, 31, 0, 0], 16),
    ([192, 168, 240, 0], 20),
    ([10, 255, 0, 0], 16),
    ([10, 128, 0, 0], 16),
];

/// Returns the region: the source's, or that of its zones' names.
pub(super) fn region(account: &Account, findings: &mut Findings) -> String {
    if let Some(region) = &account.region {
        return region.clone();
    }
    let zones = account.availability_zones.iter().map(|zone| &zone.name);
    let zones = zones.chain(account.subnets.iter().filter_map(|s| s.availability_zone.as_ref()));
    let named = zones.filter_map(|zone| text::region_of_zone(zone));
    named.min().map(str::to_owned).unwrap_or_else(|| {
        let taken = "us-east-1; --region chooses another";
        findings.assumed("the source", &Origin::default(), "it names no region", taken);
        "us-east-1".to_owned()
    })
}

impl<'a> Lowering<'a, '_> {
    /// Writes a block for tasks whose addresses no VPC of the lab has.
    pub(super) fn task_cidr(&mut self) {
        let vpcs = self.account.vpcs.iter().filter(|vpc| self.scope.has(&vpc.id));
        let taken: Vec<Ipv4Network> = vpcs.flat_map(|vpc| vpc.cidr_blocks.clone()).collect();
        let free = TASK_BLOCKS.into_iter().find_map(|(base, prefix)| {
            let block = Ipv4Network::new(Ipv4Addr::from(base), prefix).ok()?;
            taken.iter().all(|other| !overlap(block, *other)).then_some(block)
        });
        if let Some(block) = free.filter(|block| block.ip() != Ipv4Addr::from(TASK_BLOCKS[0].0)) {
            let what = "a VPC uses the default addresses of tasks, 100.64.0.0/10";
            self.document.comment(&super::state::assumption(what, &block.to_string()));
            self.document.line(&format!("task_cidr = {}", quoted(block)));
            self.findings.assumed("tasks", &Origin::default(), what, block.to_string());
        }
    }

    /// Marks the addresses that the source gives as taken, in all of its objects.
    pub(super) fn given_addresses(&mut self) {
        let account = self.account;
        for interface in &account.network_interfaces {
            let Some(subnet) = self.scope.subnet(&interface.subnet) else { continue };
            let given = interface.addresses.iter().map(|private| private.address);
            self.taken.extend(given.map(|address| (subnet.vpc.as_str(), address)));
        }
        for gateway in &account.nat_gateways {
            let subnet = gateway.subnet.as_ref().and_then(|id| self.scope.subnet(id));
            let Some(subnet) = subnet else { continue };
            let given = gateway.addresses.iter().filter_map(|address| address.private_ip);
            self.taken.extend(given.map(|address| (subnet.vpc.as_str(), address)));
        }
    }

    /// Returns the region of a VPC, if a peering connection says that it is another one than the
    /// source's.
    fn region_by_peering(&self, vpc: &Vpc) -> Option<&'a String> {
        let said = self.account.peering_connections.iter().flat_map(|peering| {
            let requester = (&peering.requester_vpc, &peering.requester_region);
            [requester, (&peering.accepter_vpc, &peering.accepter_region)]
        });
        let mut own =
            said.filter(|(id, _)| **id == vpc.id).filter_map(|(_, region)| region.as_ref());
        own.find(|region| **region != self.region)
    }

    pub(super) fn network(&mut self, vpc: &'a Vpc) {
        let mut section = Section::new("vpc", vpc.name.as_deref(), &vpc.origin);
        section.id(self.words.of(ObjectKind::Vpc, &vpc.id), vpc.name.as_deref());
        section.strings("cidr", &vpc.cidr_blocks);
        if let Some(region) = self.region_by_peering(vpc) {
            section.string("region", region);
        }
        if let Some(gateway) = self.attached_gateway(vpc) {
            let word = self.words.of(ObjectKind::InternetGateway, &gateway);
            section.string("internet_gateway", word);
        }
        let tables = &self.account.route_tables;
        if let Some(main) = tables.iter().find(|table| table.main && table.vpc == vpc.id) {
            section.string("main_route_table", self.words.of(ObjectKind::RouteTable, &main.id));
        }
        let dns = [
            ("enable_dns_support", vpc.enable_dns_support, true),
            ("enable_dns_hostnames", vpc.enable_dns_hostnames, false),
        ];
        for (key, said, usual) in dns {
            if said.is_none() {
                let object = format!("VPC {}", vpc.id);
                let taken = format!("{usual}, AWS's default");
                self.assume(
                    &mut section,
                    &object,
                    &vpc.origin,
                    &format!("the source does not give {key}"),
                    &taken,
                );
            }
            section.boolean(key, said.unwrap_or(usual));
        }
        self.block_public_access(vpc);
        self.known_in_part(vpc);
        self.document.push(section);
    }

    /// Reports subnets without a route table or a network ACL in the source, if the source has only
    /// a part of their VPC: it need not have the default objects of a new VPC.
    fn known_in_part(&mut self, vpc: &Vpc) {
        if !vpc.in_part {
            return;
        }
        let (tables, acls) = (&self.account.route_tables, &self.account.network_acls);
        let has_main = tables.iter().any(|table| table.main && table.vpc == vpc.id);
        let has_default = acls.iter().any(|acl| acl.default && acl.vpc == vpc.id);
        let routed: BTreeSet<&String> = tables.iter().flat_map(|table| &table.subnets).collect();
        let filtered: BTreeSet<&String> = acls.iter().flat_map(|acl| &acl.subnets).collect();
        for (is_whole, explicit, what, default) in [
            (has_main, routed, "route table", "a main route table with local routes only"),
            (has_default, filtered, "network ACL", "a default network ACL that allows everything"),
        ] {
            let subnets = self.account.subnets.iter().filter(|subnet| subnet.vpc == vpc.id);
            let open = subnets.filter(|subnet| !is_whole && !explicit.contains(&subnet.id));
            let open: Vec<&str> = open.map(|subnet| subnet.id.as_str()).collect();
            if !open.is_empty() {
                self.findings.not_understood(
                    format!("VPC {}", vpc.id),
                    &vpc.origin,
                    format!("the source has no {what} of {}", open.join(", ")),
                    format!("the lab has {default} there"),
                );
            }
        }
    }

    pub(super) fn attached_gateway(&self, vpc: &Vpc) -> Option<String> {
        let mut gateways = self.account.internet_gateways.iter();
        gateways.find(|gateway| gateway.vpc.as_deref() == Some(&vpc.id)).map(|g| g.id.clone())
    }

    fn block_public_access(&mut self, vpc: &Vpc) {
        let object = format!("VPC {}", vpc.id);
        match vpc.block_public_access.as_deref() {
            None | Some("off") => {}
            Some("block-ingress") => self.findings.left_out(
                object,
                &vpc.origin,
                "VPC Block Public Access, block-ingress",
                "NAT gateways still lead out; public addresses, by which packets could come in, are left out",
            ),
            Some(mode) => self.findings.not_understood(
                object,
                &vpc.origin,
                format!("VPC Block Public Access, {mode}"),
                "AWS drops packets through the internet gateway; the lab forwards them",
            ),
        }
    }

    pub(super) fn subnet(&mut self, vpc: &'a Vpc, subnet: &'a Subnet) {
        let mut section = Section::new("subnet", subnet.name.as_deref(), &subnet.origin);
        let zone = match &subnet.availability_zone {
            Some(zone) => zone.clone(),
            None => self.assumed_zone(vpc, subnet, &mut section),
        };
        section.id(self.words.of(ObjectKind::Subnet, &subnet.id), subnet.name.as_deref());
        section.string("vpc", self.words.of(ObjectKind::Vpc, &vpc.id));
        section.string("availability_zone", zone);
        section.string("cidr", subnet.cidr_block);
        let account = self.account;
        let mut tables = account.route_tables.iter();
        if let Some(table) = tables.find(|table| table.subnets.contains(&subnet.id)) {
            section.string("route_table", self.words.of(ObjectKind::RouteTable, &table.id));
        }
        let of_vpc = || account.network_acls.iter().filter(|acl| acl.vpc == vpc.id);
        let acl = of_vpc().find(|acl| acl.subnets.contains(&subnet.id));
        if let Some(acl) = acl.or_else(|| of_vpc().find(|acl| acl.default)) {
            section.string("network_acl", self.words.of(ObjectKind::NetworkAcl, &acl.id));
        }
        self.document.push(section);
    }

    fn assumed_zone(&mut self, vpc: &Vpc, subnet: &Subnet, section: &mut Section) -> String {
        let mut of_vpc = self.account.subnets.iter().filter(|other| other.vpc == vpc.id);
        let position = of_vpc.position(|other| other.id == subnet.id).unwrap_or(0);
        let letter = ZONE_LETTERS.get(position % ZONE_LETTERS.len()).copied().unwrap_or('a');
        let zone = format!("{}{letter}", self.region);
        let object = format!("subnet {}", subnet.id);
        self.assume(section, &object, &subnet.origin, "AWS chooses its Availability Zone", &zone);
        zone
    }

    pub(super) fn peerings(&mut self) {
        let account = self.account;
        for peering in &account.peering_connections {
            let (requester, accepter) = (&peering.requester_vpc, &peering.accepter_vpc);
            if !(self.scope.has(requester) && self.scope.has(accepter)) {
                // Routes to it report the consequence.
                continue;
            }
            let name = peering.name.as_deref();
            let mut section = Section::new("vpc_peering_connection", name, &peering.origin);
            section.id(self.words.of(ObjectKind::Peering, &peering.id), peering.name.as_deref());
            section.string("requester_vpc", self.words.of(ObjectKind::Vpc, requester));
            section.string("accepter_vpc", self.words.of(ObjectKind::Vpc, accepter));
            let dns = [
                ("requester_dns_resolution", peering.requester_dns_resolution),
                ("accepter_dns_resolution", peering.accepter_dns_resolution),
            ];
            for (key, _) in dns.into_iter().filter(|(_, allows)| *allows) {
                section.boolean(key, true);
            }
            match peering.status.as_deref().unwrap_or("active") {
                "active" => {}
                state @ ("pending-acceptance" | "rejected" | "expired" | "deleted") => {
                    section.string("state", state);
                }
                "deleting" | "failed" => section.string("state", "deleted"),
                other => {
                    section.string("state", "pending-acceptance");
                    let taken = "pending-acceptance: nothing passes";
                    let object = format!("peering connection {}", peering.id);
                    let what = format!("its state is {other:?}");
                    self.assume(&mut section, &object, &peering.origin, &what, taken);
                }
            }
            self.document.push(section);
        }
    }

    /// Writes the prefix lists that other objects name.
    pub(super) fn prefix_lists(&mut self) {
        let account = self.account;
        for prefix_list in &account.prefix_lists {
            let Some(entries) = &prefix_list.entries else { continue };
            if !self.used_lists.contains(prefix_list.id.as_str()) {
                continue;
            }
            let name = prefix_list.name.as_deref();
            let mut section = Section::new("prefix_list", name, &prefix_list.origin);
            section.id(
                self.words.of(ObjectKind::PrefixList, &prefix_list.id),
                prefix_list.name.as_deref(),
            );
            let mut seen = BTreeSet::new();
            let once: Vec<_> = entries.iter().filter(|entry| seen.insert(**entry)).collect();
            section.strings("entries", &once);
            self.document.push(section);
        }
    }

    pub(super) fn private_zones(&mut self) {
        let account = self.account;
        for zone in &account.private_zones {
            let vpcs: Vec<&String> = zone.vpcs.iter().filter(|vpc| self.scope.has(vpc)).collect();
            if vpcs.is_empty() {
                continue;
            }
            let vpcs: Vec<String> =
                vpcs.into_iter().map(|vpc| self.words.of(ObjectKind::Vpc, vpc)).collect();
            let mut section = Section::new("private_zone", None, &zone.origin);
            section.string("name", &zone.name);
            section.strings("vpcs", &vpcs);
            let mut records = Vec::new();
            for record in &zone.records {
                if !matches!(record.record_type.as_str(), "A" | "CNAME" | "TXT") {
                    self.findings.left_out(
                        format!("private zone {}", zone.name),
                        &record.origin,
                        format!("the {} record of {}", record.record_type, record.name),
                        "the resolver has no answer of this type",
                    );
                    continue;
                }
                let mut fields = vec![
                    ("name", quoted(&record.name)),
                    ("type", quoted(&record.record_type)),
                    ("values", list(&record.values)),
                ];
                fields.extend(record.ttl.map(|ttl| ("ttl", ttl.to_string())));
                let origin = record.origin.clone();
                records.push(Item { value: inline(&fields), comment: None, origin });
            }
            section.items("records", records);
            self.document.push(section);
        }
    }
}

/// Decides whether an interface of a subnet can have an address.
pub(super) fn is_usable(subnet: &Subnet, address: Ipv4Addr) -> bool {
    subnet.cidr_block.contains(address) && !is_reserved(subnet.cidr_block, address)
}
