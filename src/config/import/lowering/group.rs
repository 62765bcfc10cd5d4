//! Writes security groups: rules of equal traffic together, each peer that the lab has.

use super::super::{RulePeer, SecurityGroup, SecurityGroupRule};
use super::document::{Item, Section, inline, list, quoted};
use super::state::Lowering;
use super::traffic::{Fields, Traffic, traffic};
use crate::config::names::ObjectKind;
use std::collections::BTreeMap;

/// The most peers on one line.
const PEERS_OF_A_LINE: usize = 8;

/// Rules that share a line of the file.
struct Together<'a> {
    fields: Fields,
    description: Option<&'a str>,
    peers: Vec<String>,
    first: &'a SecurityGroupRule,
}

impl<'a> Lowering<'a, '_> {
    pub(super) fn security_group(&mut self, group: &'a SecurityGroup) {
        let name = group.name.as_deref().unwrap_or(&group.group_name);
        let title = match group.description.as_deref().filter(|said| !said.is_empty()) {
            Some(said) => format!("{name}: {said}"),
            None => name.to_owned(),
        };
        let mut section = Section::new("security_group", Some(&title), &group.origin);
        section.id(self.words.of(ObjectKind::SecurityGroup, &group.id), Some(name));
        section.string("vpc", self.words.of(ObjectKind::Vpc, &group.vpc));
        if group.default {
            section.boolean("default", true);
        }
        section.items("ingress", self.rules(group, &group.ingress, "from"));
        section.items("egress", self.rules(group, &group.egress, "to"));
        self.document.push(section);
    }

    fn rules(
        &mut self,
        group: &SecurityGroup,
        rules: &'a [SecurityGroupRule],
        key: &'static str,
    ) -> Vec<Item> {
        let mut lines: Vec<Together<'a>> = Vec::new();
        let mut open: BTreeMap<(Fields, Option<&str>), usize> = BTreeMap::new();
        for rule in rules {
            let fields = match traffic(&rule.ip_protocol, rule.from_port, rule.to_port) {
                Ok(Traffic::Fields(fields)) => fields,
                Ok(Traffic::Ipv6) => {
                    self.findings.ipv6("security group rule", &rule.origin);
                    continue;
                }
                Err(why) => {
                    let help = "correct the rule in the source: EC2 refuses it";
                    self.errors.push(rule.origin.error(why, help));
                    continue;
                }
            };
            let Some(peer) = self.peer(group, rule) else { continue };
            let description = rule.description.as_deref().filter(|said| !said.is_empty());
            let kind = (fields.clone(), description);
            let line = open.get(&kind).and_then(|at| lines.get_mut(*at));
            match line.filter(|line| line.peers.len() < PEERS_OF_A_LINE) {
                Some(line) => line.peers.push(peer),
                None => {
                    open.insert(kind, lines.len());
                    lines.push(Together { fields, description, peers: vec![peer], first: rule });
                }
            }
        }
        lines.into_iter().map(|line| line.item(key)).collect()
    }

    /// Returns the other end, if the lab has it.
    fn peer(&mut self, group: &SecurityGroup, rule: &'a SecurityGroupRule) -> Option<String> {
        let object = format!("security group {}", group.id);
        match &rule.peer {
            RulePeer::Cidr(block) => Some(block.to_string()),
            RulePeer::SecurityGroup(id) => match self.scope.vpc_of_group(id) {
                Some(vpc) if self.scope.sees(&group.vpc, vpc) => {
                    Some(self.words.of(ObjectKind::SecurityGroup, id))
                }
                Some(_) | None => {
                    self.findings.left_out(
                        object,
                        &rule.origin,
                        format!("a rule that names group {id}"),
                        "the lab has no such group, so nothing that the rule could match",
                    );
                    None
                }
            },
            RulePeer::PrefixList(id) => {
                if self.use_prefix_list(id) {
                    return Some(self.words.of(ObjectKind::PrefixList, id));
                }
                self.findings.not_understood(
                    object,
                    &rule.origin,
                    format!(
                        "a rule that names prefix list {id}, whose entries are not in the source"
                    ),
                    "the lab has no such rule: packets that only it allows are dropped",
                );
                None
            }
        }
    }

    /// Adds a list to the lab file; returns whether its entries are known.
    pub(super) fn use_prefix_list(&mut self, id: &str) -> bool {
        let account = self.account;
        let list = account.prefix_lists.iter().find(|list| list.id == id);
        let Some(list) = list.filter(|list| list.entries.is_some()) else { return false };
        self.used_lists.insert(&list.id);
        true
    }

    /// Returns the group of interfaces at which AWS filters nothing: those of a Network Load
    /// Balancer, for example.
    pub(super) fn open_group(&mut self, vpc: &'a str, origin: &super::Origin) -> String {
        if let Some(word) = self.open_groups.get(vpc) {
            return word.clone();
        }
        let word = self.words.free(ObjectKind::SecurityGroup, "no-security-group");
        let what = "an interface has no security group in the source";
        let taken = "nothing is filtered at it and at others like it";
        self.findings.assumed(format!("VPC {vpc}"), origin, what, taken);
        let title = "not in the source: stands for an interface without security groups, where nothing is filtered";
        let mut section = Section::new("security_group", Some(title), origin);
        section.string("id", &word);
        section.string("vpc", self.words.of(ObjectKind::Vpc, vpc));
        let all = |key| {
            let value = inline(&[("protocol", quoted("all")), (key, quoted("0.0.0.0/0"))]);
            vec![Item { value, comment: None, origin: origin.clone() }]
        };
        section.items("ingress", all("from"));
        section.items("egress", all("to"));
        self.document.push(section);
        self.open_groups.insert(vpc, word.clone());
        word
    }
}

impl Together<'_> {
    fn item(self, key: &'static str) -> Item {
        let mut fields = self.fields;
        let peers = match self.peers.as_slice() {
            [only] => quoted(only),
            several => list(several),
        };
        fields.push((key, peers));
        Item {
            value: inline(&fields),
            comment: self.description.map(str::to_owned),
            origin: self.first.origin.clone(),
        }
    }
}
