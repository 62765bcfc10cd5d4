//! Reads private hosted zones and their records.

use super::import::Import;
use super::network::VPCS;
use super::reader::{Block, Trouble};
use crate::config::import::{PrivateZone, ZoneRecord};

const ZONES: &[&str] = &["aws_route53_zone"];
/// The record types that a lab has.
const TYPES: [&str; 3] = ["A", "CNAME", "TXT"];

/// Reads an `aws_route53_zone` with at least one VPC. A public zone is the internet's.
pub(super) fn zone(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let mut vpcs = Vec::new();
    for vpc in block.blocks("vpc")? {
        vpcs.push(vpc.needed_id("vpc_id", VPCS)?);
    }
    if vpcs.is_empty() {
        return Ok(());
    }
    let name = block.text("name")?.ok_or_else(|| block.lacks("name"))?;
    import.zones.insert(block.resource.id(), import.account.private_zones.len());
    import.account.private_zones.push(PrivateZone {
        name: name.trim_end_matches('.').to_owned(),
        vpcs,
        records: Vec::new(),
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_route53_zone_association`.
pub(super) fn association(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("zone_id", ZONES)?;
    let vpc = block.needed_id("vpc_id", VPCS)?;
    let former = import.former;
    match import.zone(&id) {
        Some(zone) if former => zone.vpcs.retain(|other| *other != vpc),
        Some(zone) if zone.vpcs.contains(&vpc) => {}
        Some(zone) => zone.vpcs.push(vpc),
        None => import.without(block, &format!("private hosted zone {id}")),
    }
    Ok(())
}

/// Reads an `aws_route53_record` of a private zone.
pub(super) fn record(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("zone_id", ZONES)?;
    let Some(zone) = import.zone(&id) else {
        return Ok(());
    };
    let zone_name = zone.name.clone();
    let record_type = block.text("type")?.ok_or_else(|| block.lacks("type"))?;
    let name = match block.label("fqdn").or(block.label("name")) {
        Some(name) if name == zone_name || name.ends_with(&format!(".{zone_name}")) => name,
        Some(name) => format!("{name}.{zone_name}"),
        None => zone_name,
    };
    let is_alias = !block.blocks("alias")?.is_empty();
    if is_alias || !TYPES.contains(&record_type.as_str()) {
        let what = if is_alias {
            "an alias record"
        } else {
            "a record of a type that a lab does not have"
        };
        import.findings.left_out(
            format!("record {name} {record_type}"),
            &block.origin,
            what,
            "the lab's resolver does not know the name",
        );
        return Ok(());
    }
    let values = match block.strings("records") {
        Err(Trouble::Unknown { origin, what }) => {
            let consequence = "the lab's resolver does not know the name";
            import.findings.left_out(format!("record {name}"), &origin, what, consequence);
            return Ok(());
        }
        read => read?,
    };
    let record = ZoneRecord {
        name,
        record_type,
        ttl: block.number("ttl")?.and_then(|ttl| u32::try_from(ttl).ok()),
        values,
        origin: block.origin.clone(),
    };
    if let Some(zone) = import.zone(&id) {
        zone.records.push(record);
    }
    Ok(())
}
