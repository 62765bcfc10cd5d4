//! Checks private zones: each name and type once, a CNAME alone, one zone of a name in a VPC.

use crate::config::diagnostic::Report;
use crate::config::spec::{PrivateZone, Spec, ZoneRecord};
use crate::vpc::RecordData;
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

pub(super) fn check(spec: &Spec, report: &Report) {
    one_zone_of_a_name(spec, report);
    for zone in &spec.private_zones {
        records(zone, report);
    }
}

/// Reports two zones of one name in a VPC, which Route 53 refuses.
fn one_zone_of_a_name(spec: &Spec, report: &Report) {
    let mut seen: HashMap<(&str, &str), u32> = HashMap::new();
    for zone in &spec.private_zones {
        for vpc in &zone.vpcs {
            if let Some(line) = seen.insert((&zone.name, vpc), zone.line) {
                report.error(
                    vpc.span,
                    "duplicate-zone",
                    format!(
                        "VPC {:?} has a private zone {:?} already, on line {line}",
                        vpc.value, zone.name.value
                    ),
                    "put the records into one zone",
                );
            }
        }
    }
}

fn records(zone: &PrivateZone, report: &Report) {
    let mut seen: HashMap<&str, Vec<Discriminant<RecordData>>> = HashMap::new();
    for record in &zone.records {
        let Some(kind) = record.values.first().map(discriminant) else { continue };
        let others = seen.entry(&record.name).or_default();
        let alone =
            is_alias(record) || zone.records.iter().any(|r| is_alias(r) && *r.name == *record.name);
        if others.contains(&kind) {
            report.error(
                record.name.span,
                "duplicate-record",
                format!("{:?} has a record of this type already", record.name.value),
                "write all values into one record",
            );
        } else if alone && !others.is_empty() {
            report.error(
                record.name.span,
                "bad-record",
                format!("{:?} is a CNAME, which can have no other records", record.name.value),
                "give the CNAME or the other record another name",
            );
        }
        others.push(kind);
    }
}

fn is_alias(record: &ZoneRecord) -> bool {
    matches!(record.values.first(), Some(RecordData::Cname(_)))
}
