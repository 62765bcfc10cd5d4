//! Maps Route 53's private hosted zones and their records, as far as a template has the values.

use super::object::{Mapper, Object, Reported};
use super::template::Resource;
use crate::config::import::{PrivateZone, ZoneRecord};
use std::net::Ipv4Addr;

const NO_NAME: &str = "the lab's resolver does not know the name";

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    /// Maps an `AWS::Route53::HostedZone`. One without VPCs is public, and does not concern the
    /// lab.
    pub(super) fn hosted_zone(&mut self, resource: &Resource<'t>) -> Done {
        let zone = self.object(resource, "private hosted zone", &["Name", "VPCs"]);
        let Some(parts) = self.parts(&zone, "VPCs", "VPC")? else { return Ok(()) };
        let mut vpcs = Vec::new();
        for part in parts {
            vpcs.extend(self.id(&part, "VPCId")?);
        }
        let name = self.text(&zone, "Name");
        let name = self.required(&zone, "Name", name)?;
        self.zones.push(zone.id);
        self.account.private_zones.push(PrivateZone {
            name: without_dot(&name),
            vpcs,
            records: Vec::new(),
            origin: self.origin(resource),
        });
        Ok(())
    }

    /// Maps an `AWS::Route53::RecordSet`, after the zones.
    pub(super) fn record_set(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "HostedZoneId",
            "HostedZoneName",
            "Name",
            "Type",
            "TTL",
            "ResourceRecords",
            "AliasTarget",
        ];
        let record = self.object(resource, "record set", &names);
        self.record(&record, &record)
    }

    /// Maps an `AWS::Route53::RecordSetGroup`. Its records are in its zone if they name none.
    pub(super) fn record_set_group(&mut self, resource: &Resource<'t>) -> Done {
        let names = ["HostedZoneId", "HostedZoneName", "RecordSets"];
        let group = self.object(resource, "record set group", &names);
        for record in self.parts(&group, "RecordSets", "record")?.unwrap_or_default() {
            let zone_of = if self.has(&record, "HostedZoneId") { &record } else { &group };
            // A fault has been reported where it was found.
            let _ = self.record(&record, zone_of);
        }
        Ok(())
    }

    fn record(&mut self, record: &Object, zone_of: &Object) -> Done {
        let Some(zone) = self.zone(zone_of) else { return Ok(()) };
        let (name, kind) = (record.known_text("Name"), record.known_text("Type"));
        let (Some(name), Some(kind)) = (name, kind) else { return Ok(()) };
        let name = without_dot(&name);
        let values = record.known_texts("ResourceRecords").unwrap_or_default();
        let values: Option<Vec<String>> =
            values.iter().map(|value| value_of(&kind, value)).collect();
        let ttl = record.known_text("TTL").and_then(|ttl| ttl.parse().ok());
        let values = values.filter(|values| !values.is_empty());
        let zone = self.account.private_zones.get_mut(zone);
        let (Some(zone), Some(values)) = (zone, values) else {
            let what = format!("the {kind} record of {name}, whose values AWS chooses");
            self.findings.left_out(&record.label, &record.origin, what, NO_NAME);
            return Ok(());
        };
        zone.records.push(ZoneRecord {
            name,
            record_type: kind,
            ttl,
            values,
            origin: record.origin.clone(),
        });
        Ok(())
    }

    /// Returns the private zone of the template that a record is in; those of other zones do not
    /// concern the lab.
    fn zone(&self, record: &Object) -> Option<usize> {
        let id = record.known_text("HostedZoneId");
        let name = record.known_text("HostedZoneName").map(|name| without_dot(&name));
        let zones = self.zones.iter().zip(&self.account.private_zones);
        zones.into_iter().position(|(zone, about)| {
            id.as_ref() == Some(zone) || name.as_ref() == Some(&about.name)
        })
    }
}

/// Returns a value in the form of the lab file.
fn value_of(kind: &str, value: &str) -> Option<String> {
    match kind {
        "A" => value.parse::<Ipv4Addr>().ok().map(|address| address.to_string()),
        "CNAME" => Some(without_dot(value)),
        _ => Some(value.trim_matches('"').to_owned()),
    }
}

fn without_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_lowercase()
}
