//! Maps security groups and network ACLs, with inline rules and with rules that are resources of
//! their own.

use super::object::{Mapper, Object, Reported};
use super::template::Resource;
use crate::config::import::{
    AclDirection, AclEntry, NetworkAcl, RulePeer, SecurityGroup, SecurityGroupRule,
};
use crate::vpc::everywhere;

const TRAFFIC: [&str; 6] =
    ["IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description"];
const SOURCES: [&str; 4] = [
    "SourceSecurityGroupId",
    "SourcePrefixListId",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
];
const DESTINATIONS: [&str; 2] = ["DestinationSecurityGroupId", "DestinationPrefixListId"];

/// The list of a security group that a rule is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Ingress,
    Egress,
}

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    pub(super) fn security_group(&mut self, resource: &Resource<'t>) -> Done {
        let group = self.object(
            resource,
            "security group",
            &["VpcId", "SecurityGroupIngress", "SecurityGroupEgress"],
        );
        let Some(vpc) = self.id(&group, "VpcId")? else {
            let what = "it names no VPC, so EC2 makes it in the region's default VPC";
            self.findings.left_out(
                &group.label,
                &group.origin,
                what,
                "the lab does not have that VPC, nor the group",
            );
            return Ok(());
        };
        let ingress = self.rules(&group, Way::Ingress)?;
        let mut egress = self.rules(&group, Way::Egress)?;
        let origin = self.origin(resource);
        // Rules that egret leaves out, those of IPv6, replace EC2's rule as well.
        if group.is_empty("SecurityGroupEgress") {
            egress.push(all(RulePeer::Cidr(everywhere()), &origin));
            self.default_egress.insert(group.id.clone());
        }
        self.account.security_groups.push(SecurityGroup {
            group_name: self.label(resource, "GroupName").unwrap_or_else(|| group.id.clone()),
            id: group.id,
            name: self.name_tag(resource),
            description: self.label(resource, "GroupDescription"),
            vpc,
            default: false,
            ingress,
            egress,
            origin,
        });
        Ok(())
    }

    fn rules(&mut self, group: &Object, way: Way) -> Result<Vec<SecurityGroupRule>, Reported> {
        let name = match way {
            Way::Ingress => "SecurityGroupIngress",
            Way::Egress => "SecurityGroupEgress",
        };
        let mut rules = Vec::new();
        for part in self.parts(group, name, "rule")?.unwrap_or_default() {
            if let Ok(Some(rule)) = self.rule(&part, way) {
                rules.push(rule);
            }
        }
        Ok(rules)
    }

    /// Maps an `AWS::EC2::SecurityGroupIngress`, after the groups.
    pub(super) fn security_group_ingress(&mut self, resource: &Resource<'t>) -> Done {
        self.rule_apart(resource, Way::Ingress, &SOURCES)
    }

    /// Maps an `AWS::EC2::SecurityGroupEgress`, after the groups.
    pub(super) fn security_group_egress(&mut self, resource: &Resource<'t>) -> Done {
        self.rule_apart(resource, Way::Egress, &DESTINATIONS)
    }

    fn rule_apart(&mut self, resource: &Resource<'t>, way: Way, peers: &[&str]) -> Done {
        let names: Vec<&str> =
            ["GroupId", "GroupName"].iter().chain(&TRAFFIC).chain(peers).copied().collect();
        let object = self.object(resource, "security group rule", &names);
        let Some(id) = self.id(&object, "GroupId")? else {
            let what = "it names its group by GroupName, so the group is in the default VPC";
            self.findings.left_out(
                &object.label,
                &object.origin,
                what,
                "the lab does not have that VPC, nor the group",
            );
            return Ok(());
        };
        self.make_default_group(&id);
        if way == Way::Egress {
            self.take_default_egress_away(&id, &object);
        }
        let Some(rule) = self.rule(&object, way)? else { return Ok(()) };
        let Some(group) = self.account.security_groups.iter_mut().find(|group| group.id == id)
        else {
            self.elsewhere(&object, "security group", &id);
            return Ok(());
        };
        match way {
            Way::Ingress => group.ingress.push(rule),
            Way::Egress => group.egress.push(rule),
        }
        Ok(())
    }

    /// Removes the rule that EC2 gives a new group. The first rule of the group's own replaces it,
    /// whatever its traffic. A rule with the same meaning in the template stays.
    fn take_default_egress_away(&mut self, id: &str, added: &Object) {
        if !self.default_egress.remove(id) {
            return;
        }
        let groups = self.account.security_groups.iter_mut();
        groups
            .filter(|group| group.id == id)
            .for_each(|group| group.egress.retain(|rule| !allows_all(rule)));
        let what = "an AWS::EC2::SecurityGroupEgress adds a rule to it";
        let taken =
            "CloudFormation removes the rule that allows all egress when it adds another one";
        self.findings.assumed(format!("security group {id}"), &added.origin, what, taken);
    }

    /// Reads a rule; `None` if it is of IPv6.
    fn rule(&mut self, rule: &Object, way: Way) -> Result<Option<SecurityGroupRule>, Reported> {
        let (group, list) = match way {
            Way::Ingress => ("SourceSecurityGroupId", "SourcePrefixListId"),
            Way::Egress => ("DestinationSecurityGroupId", "DestinationPrefixListId"),
        };
        let ip_protocol = self.text(rule, "IpProtocol");
        let ip_protocol = self.required(rule, "IpProtocol", ip_protocol)?;
        let peer = if let Some(id) = self.id(rule, group)? {
            self.make_default_group(&id);
            RulePeer::SecurityGroup(id)
        } else if let Some(id) = self.id(rule, list)? {
            RulePeer::PrefixList(id)
        } else if self.has(rule, "CidrIp") {
            let cidr = self.cidr(rule, "CidrIp");
            RulePeer::Cidr(self.required(rule, "CidrIp", cidr)?)
        } else if self.has(rule, "CidrIpv6") {
            self.findings.ipv6("security group rule", &rule.origin);
            return Ok(None);
        } else if self.has(rule, "SourceSecurityGroupName") {
            let consequence =
                format!("{}; name the group by SourceSecurityGroupId", rule.otherwise);
            self.not_understood(
                rule,
                "a rule that names its source by SourceSecurityGroupName",
                consequence,
            );
            return Ok(None);
        } else {
            let what = "a rule without a CIDR block, a prefix list or a security group";
            self.findings.left_out(
                &rule.label,
                &rule.origin,
                what,
                "CloudFormation makes no rule from it either",
            );
            return Ok(None);
        };
        Ok(Some(SecurityGroupRule {
            ip_protocol,
            from_port: self.integer(rule, "FromPort")?,
            to_port: self.integer(rule, "ToPort")?,
            peer,
            description: rule.known_text("Description"),
            origin: rule.origin.clone(),
        }))
    }

    /// Adds a VPC's default group, which a template can only name by `Fn::GetAtt`, when something
    /// names it.
    pub(super) fn make_default_group(&mut self, id: &str) {
        let Some(vpc) = id.strip_suffix(".DefaultSecurityGroup") else { return };
        let is_there = self.account.security_groups.iter().any(|group| group.id == id);
        let Some(vpc) = self.account.vpcs.iter().find(|one| one.id == vpc).filter(|_| !is_there)
        else {
            return;
        };
        let origin = vpc.origin.clone();
        self.default_egress.insert(id.to_owned());
        self.account.security_groups.push(SecurityGroup {
            id: id.to_owned(),
            group_name: "default".to_owned(),
            name: None,
            description: Some("default VPC security group".to_owned()),
            vpc: vpc.id.clone(),
            default: true,
            ingress: vec![all(RulePeer::SecurityGroup(id.to_owned()), &origin)],
            egress: vec![all(RulePeer::Cidr(everywhere()), &origin)],
            origin,
        });
    }

    /// Maps a function that the CDK adds to its VPCs: it removes the rules of the default group.
    pub(super) fn restricted_default_group(&mut self, resource: &Resource<'t>) -> Done {
        let restriction =
            self.object(resource, "default group restriction", &["DefaultSecurityGroupId"]);
        let Some(id) = self.id(&restriction, "DefaultSecurityGroupId")? else { return Ok(()) };
        self.make_default_group(&id);
        self.default_egress.remove(&id);
        if let Some(group) = self.account.security_groups.iter_mut().find(|group| group.id == id) {
            group.ingress.retain(|rule| rule.peer != RulePeer::SecurityGroup(id.clone()));
            group.egress.retain(|rule| !allows_all(rule));
        }
        Ok(())
    }

    pub(super) fn network_acl(&mut self, resource: &Resource<'t>) -> Done {
        let acl = self.object(resource, "network ACL", &["VpcId"]);
        let vpc = self.id(&acl, "VpcId");
        let vpc = self.required(&acl, "VpcId", vpc)?;
        self.account.network_acls.push(NetworkAcl {
            id: acl.id,
            name: self.name_tag(resource),
            vpc,
            origin: self.origin(resource),
            ..NetworkAcl::default()
        });
        Ok(())
    }

    /// Adds a VPC's default ACL as [`Mapper::make_default_group`] does its group.
    fn make_default_acl(&mut self, id: &str) {
        let Some(vpc) = id.strip_suffix(".DefaultNetworkAcl") else { return };
        let is_there = self.account.network_acls.iter().any(|acl| acl.id == id);
        let Some(vpc) = self.account.vpcs.iter().find(|one| one.id == vpc).filter(|_| !is_there)
        else {
            return;
        };
        let origin = vpc.origin.clone();
        let entry = |direction| AclEntry {
            direction,
            rule_number: 100,
            allow: true,
            protocol: "-1".to_owned(),
            cidr_block: everywhere(),
            ports: None,
            icmp: None,
            origin: origin.clone(),
        };
        self.account.network_acls.push(NetworkAcl {
            id: id.to_owned(),
            name: None,
            vpc: vpc.id.clone(),
            default: true,
            subnets: Vec::new(),
            entries: vec![entry(AclDirection::Ingress), entry(AclDirection::Egress)],
            origin: origin.clone(),
        });
    }

    /// Maps an `AWS::EC2::NetworkAclEntry`, after the ACLs.
    pub(super) fn network_acl_entry(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "NetworkAclId",
            "RuleNumber",
            "Protocol",
            "RuleAction",
            "Egress",
            "CidrBlock",
            "Ipv6CidrBlock",
            "PortRange",
            "Icmp",
        ];
        let entry = self.object(resource, "network ACL entry", &names);
        if self.has(&entry, "Ipv6CidrBlock") && !self.has(&entry, "CidrBlock") {
            self.findings.ipv6("network ACL rule", &entry.origin);
            return Ok(());
        }
        let acl = self.id(&entry, "NetworkAclId");
        let acl = self.required(&entry, "NetworkAclId", acl)?;
        let rule_number = self.integer(&entry, "RuleNumber");
        let rule_number = self.required(&entry, "RuleNumber", rule_number)?;
        let protocol = self.text(&entry, "Protocol");
        let protocol = self.required(&entry, "Protocol", protocol)?;
        let action = self.text(&entry, "RuleAction");
        let action = self.required(&entry, "RuleAction", action)?;
        let allow = match action.to_lowercase().as_str() {
            "allow" => true,
            "deny" => false,
            _ => {
                return Err(self.wrong(
                    entry.place,
                    "RuleAction",
                    &format!("{action:?}"),
                    "allow or deny is expected",
                ));
            }
        };
        let is_egress = self.flag(&entry, "Egress")?.unwrap_or(false);
        let cidr_block = self.cidr(&entry, "CidrBlock");
        let cidr_block = self.required(&entry, "CidrBlock", cidr_block)?;
        let ports = self.pair(&entry, "PortRange", "From", "To")?;
        let icmp = self.pair(&entry, "Icmp", "Type", "Code")?;
        self.make_default_acl(&acl);
        let added = AclEntry {
            direction: if is_egress { AclDirection::Egress } else { AclDirection::Ingress },
            rule_number,
            allow,
            protocol,
            cidr_block,
            ports,
            icmp,
            origin: self.origin(resource),
        };
        match self.account.network_acls.iter_mut().find(|one| one.id == acl) {
            Some(acl) => acl.entries.push(added),
            None => self.elsewhere(&entry, "network ACL", &acl),
        }
        Ok(())
    }

    fn pair(
        &mut self,
        entry: &Object,
        name: &str,
        first: &str,
        second: &str,
    ) -> Result<Option<(i64, i64)>, Reported> {
        let Some(part) = self.part(entry, name)? else { return Ok(None) };
        let one = self.integer(&part, first);
        let one = self.required(&part, first, one)?;
        let other = self.integer(&part, second);
        Ok(Some((one, self.required(&part, second, other)?)))
    }

    pub(super) fn subnet_network_acl_association(&mut self, resource: &Resource<'t>) -> Done {
        let association =
            self.object(resource, "network ACL association", &["NetworkAclId", "SubnetId"]);
        let acl = self.id(&association, "NetworkAclId");
        let acl = self.required(&association, "NetworkAclId", acl)?;
        let subnet = self.id(&association, "SubnetId");
        let subnet = self.required(&association, "SubnetId", subnet)?;
        self.make_default_acl(&acl);
        let knows_subnet = self.account.subnets.iter().any(|one| one.id == subnet);
        match self.account.network_acls.iter_mut().find(|one| one.id == acl) {
            Some(acl) => acl.subnets.push(subnet),
            None if knows_subnet => {
                let what = format!(
                    "subnet {subnet} has the network ACL {acl}, which the template does not create"
                );
                self.not_understood(
                    &association,
                    what,
                    "the subnet has the VPC's default network ACL in the lab",
                );
            }
            None => self.elsewhere(&association, "network ACL", &acl),
        }
        Ok(())
    }
}

/// Returns a rule for all traffic.
fn all(peer: RulePeer, origin: &crate::config::import::Origin) -> SecurityGroupRule {
    SecurityGroupRule {
        ip_protocol: "-1".to_owned(),
        from_port: None,
        to_port: None,
        peer,
        description: None,
        origin: origin.clone(),
    }
}

fn allows_all(rule: &SecurityGroupRule) -> bool {
    rule.ip_protocol == "-1" && rule.peer == RulePeer::Cidr(everywhere())
}
