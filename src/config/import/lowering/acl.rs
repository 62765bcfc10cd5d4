//! Writes network ACLs: both directions by rule number, without the implied denies.

use super::super::{AclDirection, AclEntry, NetworkAcl};
use super::document::{Item, Section, inline, quoted};
use super::state::Lowering;
use super::traffic::{Traffic, traffic};
use crate::config::names::ObjectKind;

/// The highest number that a rule can have (spec 5); above it are the implied denies.
const LAST_RULE: i64 = 32_766;

impl<'a> Lowering<'a, '_> {
    pub(super) fn network_acl(&mut self, acl: &'a NetworkAcl) {
        let title = match (&acl.name, acl.default) {
            (Some(name), true) => Some(format!("{name}, the VPC's default")),
            (None, true) => Some("the VPC's default".to_owned()),
            (name, false) => name.clone(),
        };
        let mut section = Section::new("network_acl", title.as_deref(), &acl.origin);
        section.id(self.words.of(ObjectKind::NetworkAcl, &acl.id), acl.name.as_deref());
        section.string("vpc", self.words.of(ObjectKind::Vpc, &acl.vpc));
        let ways = [("ingress", AclDirection::Ingress), ("egress", AclDirection::Egress)];
        for (key, direction) in ways {
            let mut entries: Vec<&AclEntry> =
                acl.entries.iter().filter(|entry| entry.direction == direction).collect();
            entries.sort_by_key(|entry| entry.rule_number);
            let rules =
                entries.into_iter().filter_map(|entry| self.acl_rule(acl, entry, &mut section));
            let rules = rules.collect();
            section.items(key, rules);
        }
        self.document.push(section);
    }

    fn acl_rule(
        &mut self,
        acl: &NetworkAcl,
        entry: &AclEntry,
        section: &mut Section,
    ) -> Option<Item> {
        let object = format!("network ACL {}", acl.id);
        if entry.rule_number > LAST_RULE {
            if entry.allow {
                self.findings.not_understood(
                    object,
                    &entry.origin,
                    format!(
                        "rule {} allows, above the last number that AWS takes",
                        entry.rule_number
                    ),
                    "the lab has no such rule: packets that only it allows are dropped",
                );
            }
            return None;
        }
        let is_icmp = matches!(entry.protocol.as_str(), "1" | "icmp");
        let (from, to) = if is_icmp { entry.icmp.unzip() } else { entry.ports.unzip() };
        if is_icmp && entry.icmp.is_none() {
            let what = format!("rule {} has no ICMP type", entry.rule_number);
            self.assume(section, &object, &entry.origin, &what, "all of ICMP");
        }
        let traffic = match traffic(&entry.protocol, from, to) {
            Ok(Traffic::Fields(fields)) => fields,
            Ok(Traffic::Ipv6) => {
                self.findings.ipv6("network ACL rule", &entry.origin);
                return None;
            }
            Err(why) => {
                let help = "correct the entry in the source: EC2 refuses it";
                self.errors.push(entry.origin.error(why, help));
                return None;
            }
        };
        let action = if entry.allow { "allow" } else { "deny" };
        let mut fields = vec![("rule", entry.rule_number.to_string()), ("action", quoted(action))];
        fields.extend(traffic);
        fields.push(("cidr", quoted(entry.cidr_block)));
        Some(Item { value: inline(&fields), comment: None, origin: entry.origin.clone() })
    }
}
