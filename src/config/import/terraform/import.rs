//! The account while it is read, and the default objects of VPCs that the source names and may not
//! list.

use super::association::Association;
use super::document::Resource;
use super::owners::Owners;
use super::reader::{Block, Trouble};
use crate::config::import::{
    Account, AclDirection, AclEntry, Findings, ImportError, NetworkAcl, Origin, PrivateZone,
    RouteTable, RulePeer, SecurityGroup, SecurityGroupRule,
};
use crate::vpc::everywhere;
use serde_json::Value;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The state of the import.
pub(super) struct Import<'a> {
    pub(super) account: Account,
    pub(super) findings: Findings,
    pub(super) errors: Vec<ImportError>,
    /// Public addresses by allocation.
    pub(super) elastic_ips: HashMap<String, Ipv4Addr>,
    /// The associations of Elastic IP addresses.
    pub(super) associations: Vec<Association>,
    /// The default objects of VPCs, by id.
    pub(super) implied: HashMap<String, Implied>,
    /// The positions of private hosted zones in the account, by id.
    pub(super) zones: HashMap<String, usize>,
    pub(super) owners: Owners<'a>,
    /// Says that parts are removed instead of added.
    pub(super) former: bool,
}

/// A default object of a VPC, which the source names and may not list.
#[derive(Clone, Debug)]
pub(super) struct Implied {
    what: DefaultObject,
    vpc: String,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultObject {
    RouteTable,
    NetworkAcl,
    SecurityGroup,
}

/// The attributes of a VPC that name its default objects.
const DEFAULT_OBJECTS: [(&str, DefaultObject); 4] = [
    ("main_route_table_id", DefaultObject::RouteTable),
    ("default_route_table_id", DefaultObject::RouteTable),
    ("default_network_acl_id", DefaultObject::NetworkAcl),
    ("default_security_group_id", DefaultObject::SecurityGroup),
];

impl Import<'_> {
    /// Returns the value, or reports its trouble. The rest of the source is still read.
    pub(super) fn part<T>(
        &mut self,
        block: &Block<'_>,
        ipv6: &str,
        outcome: Result<T, Trouble>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => return Some(value),
            Err(Trouble::Error(error)) => self.errors.push(error),
            Err(Trouble::Ipv6 { origin }) => self.findings.ipv6(ipv6, &origin),
            Err(Trouble::Unknown { origin, what }) => self.findings.not_understood(
                block.object(),
                &origin,
                what,
                "left out: apply first, and import the state (terraform show -json)",
            ),
        }
        None
    }

    /// Returns blocks of a resource; reports trouble with the list as a whole.
    pub(super) fn parts<'b>(&mut self, block: &Block<'b>, key: &str) -> Vec<Block<'b>> {
        let blocks = block.blocks(key);
        self.part(block, key, blocks).unwrap_or_default()
    }

    /// Reports a part of an object that the source does not have.
    pub(super) fn without(&mut self, block: &Block<'_>, object: &str) {
        self.findings.left_out(
            block.object(),
            &block.origin,
            format!("{object}, which it is a part of, is not in this source"),
            "left out with it",
        );
    }

    /// Decides whether an object exists already.
    pub(super) fn has(&self, id: &str) -> bool {
        let account = &self.account;
        account.vpcs.iter().any(|one| one.id == id)
            || account.subnets.iter().any(|one| one.id == id)
            || account.route_tables.iter().any(|one| one.id == id)
            || account.security_groups.iter().any(|one| one.id == id)
            || account.nat_gateways.iter().any(|one| one.id == id)
            || account.internet_gateways.iter().any(|one| one.id == id)
            || account.vpc_endpoints.iter().any(|one| one.id == id)
            || account.prefix_lists.iter().any(|one| one.id == id)
            || account.network_interfaces.iter().any(|one| one.id == id)
            || account.peering_connections.iter().any(|one| one.id == id)
            || self.zones.contains_key(id)
    }

    /// Records the ids of a VPC's default objects: those that it has, and in a plan the results of
    /// references to them.
    pub(super) fn imply(&mut self, vpc: &Resource) {
        for (key, what) in DEFAULT_OBJECTS {
            let implied = Implied { what, vpc: vpc.id(), origin: vpc.origin.clone() };
            if let Some(id) = vpc.values.get(key).and_then(Value::as_str) {
                self.implied.insert(id.to_owned(), implied.clone());
            }
            self.implied.insert(vpc.computed(key), implied);
        }
    }

    fn implied(&self, id: &str, what: DefaultObject) -> Option<Implied> {
        self.implied.get(id).filter(|implied| implied.what == what).cloned()
    }

    /// Returns a route table. A VPC's main one is made if it is named and the source does not list
    /// it.
    pub(super) fn route_table(&mut self, id: &str) -> Option<&mut RouteTable> {
        let tables = &self.account.route_tables;
        let mut position = tables.iter().position(|table| table.id == id);
        if let (None, Some(implied)) = (position, self.implied(id, DefaultObject::RouteTable)) {
            position = tables.iter().position(|table| table.main && table.vpc == implied.vpc);
            if position.is_none() {
                position = Some(tables.len());
                self.account.route_tables.push(RouteTable {
                    id: id.to_owned(),
                    vpc: implied.vpc,
                    main: true,
                    origin: implied.origin,
                    ..RouteTable::default()
                });
            }
        }
        self.account.route_tables.get_mut(position?)
    }

    /// Returns a network ACL. A VPC's default one is made as in AWS if it is named and the source
    /// does not list it.
    pub(super) fn network_acl(&mut self, id: &str) -> Option<&mut NetworkAcl> {
        let acls = &self.account.network_acls;
        let mut position = acls.iter().position(|acl| acl.id == id);
        if let (None, Some(implied)) = (position, self.implied(id, DefaultObject::NetworkAcl)) {
            position = acls.iter().position(|acl| acl.default && acl.vpc == implied.vpc);
            if position.is_none() {
                position = Some(acls.len());
                let allow = |direction| AclEntry {
                    direction,
                    rule_number: 100,
                    allow: true,
                    protocol: "-1".to_owned(),
                    cidr_block: everywhere(),
                    ports: None,
                    icmp: None,
                    origin: implied.origin.clone(),
                };
                self.account.network_acls.push(NetworkAcl {
                    id: id.to_owned(),
                    vpc: implied.vpc.clone(),
                    default: true,
                    entries: vec![allow(AclDirection::Ingress), allow(AclDirection::Egress)],
                    origin: implied.origin.clone(),
                    ..NetworkAcl::default()
                });
            }
        }
        self.account.network_acls.get_mut(position?)
    }

    /// Returns a security group. A VPC's default one is made as in AWS if it is named and the
    /// source does not list it.
    pub(super) fn group(&mut self, id: &str) -> Option<&mut SecurityGroup> {
        let id = self.canonical_group(id);
        let mut position = self.account.security_groups.iter().position(|group| group.id == id);
        if let (None, Some(implied)) = (position, self.implied(&id, DefaultObject::SecurityGroup)) {
            position = Some(self.account.security_groups.len());
            self.findings.assumed(
                format!("security group {id}"),
                &implied.origin,
                "the source names the VPC's default group and does not list it",
                "AWS's default rules: all traffic from the group itself, and all egress",
            );
            self.account.security_groups.push(default_group(&id, implied));
        }
        self.account.security_groups.get_mut(position?)
    }

    /// Returns the id of a VPC's default group here. The importer makes the group at the end if it
    /// is missing.
    pub(super) fn default_group_of(&self, vpc: &str) -> Option<String> {
        let is_one =
            |implied: &Implied| implied.what == DefaultObject::SecurityGroup && implied.vpc == vpc;
        let ids = self.implied.iter().filter(|(_, implied)| is_one(implied)).map(|(id, _)| id);
        // An id that AWS gave comes before a substitute.
        ids.min_by_key(|id| (id.contains('.'), *id)).cloned()
    }

    /// Returns the id with which a VPC's default group is listed, if the given one means it.
    fn canonical_group(&self, id: &str) -> String {
        let Some(implied) = self.implied(id, DefaultObject::SecurityGroup) else {
            return id.to_owned();
        };
        let groups = &self.account.security_groups;
        groups
            .iter()
            .find(|group| group.id == id)
            .or_else(|| groups.iter().find(|group| group.default && group.vpc == implied.vpc))
            .map_or_else(|| id.to_owned(), |group| group.id.clone())
    }

    pub(super) fn zone(&mut self, id: &str) -> Option<&mut PrivateZone> {
        self.account.private_zones.get_mut(*self.zones.get(id)?)
    }
}

/// Makes a default group as AWS does (spec 4.2).
fn default_group(id: &str, implied: Implied) -> SecurityGroup {
    let rule = |peer| SecurityGroupRule {
        ip_protocol: "-1".to_owned(),
        from_port: None,
        to_port: None,
        peer,
        description: None,
        origin: implied.origin.clone(),
    };
    SecurityGroup {
        id: id.to_owned(),
        group_name: "default".to_owned(),
        vpc: implied.vpc.clone(),
        default: true,
        ingress: vec![rule(RulePeer::SecurityGroup(id.to_owned()))],
        egress: vec![rule(RulePeer::Cidr(everywhere()))],
        origin: implied.origin.clone(),
        ..SecurityGroup::default()
    }
}
