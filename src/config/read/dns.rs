//! Reads `[[private_zone]]`: Route 53 private hosted zones.

use crate::config::diagnostic::{At, Span};
use crate::config::form;
use crate::config::key::{Key, Table, Type, words};
use crate::config::names::ObjectKind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{PrivateZone, ZoneRecord};
use crate::config::text;
use crate::vpc::RecordData;

pub(super) static ZONE: Table = Table::new(
    "[[private_zone]]",
    &[
        Key::required(
            "name",
            Type::Text(form::DNS_NAME),
            "The zone's name, such as corp.internal.",
        ),
        Key::required(
            "vpcs",
            Type::filled_distinct(&Type::Text(form::REFERENCE)),
            "The ids of the VPCs that see the zone.",
        ),
        Key::optional("records", Type::Tables(&RECORD), "Its records."),
    ],
);

static RECORD: Table = Table::new(
    "a record of [[private_zone]]",
    &[
        Key::required(
            "name",
            Type::Text(form::RECORD_NAME),
            "A name within the zone or the full name; @ is the zone itself, and * is every name \
             that does not exist.",
        ),
        Key::required("type", Type::Words(&words(&TYPES)), "The type of its values."),
        Key::required(
            "values",
            Type::filled(&Type::Text(form::RECORD_VALUE)),
            "Addresses for A, one DNS name for CNAME, strings of at most 255 bytes for TXT.",
        ),
        Key::optional(
            "ttl",
            Type::Integer(0, i32::MAX as i64),
            "How long it may be remembered, in seconds; 300 if absent.",
        ),
    ],
);

/// The TTL that Route 53 proposes, in seconds.
const TTL: u32 = 300;

pub(super) fn private_zone(section: &Section<'_>) -> Option<PrivateZone> {
    let name = section.required("name").and_then(|v| v.parse(text::dns_name));
    let given = section.required("vpcs");
    let vpcs = section.references("vpcs", &[ObjectKind::Vpc]);
    if let Some(given) = given.filter(|given| given.elements().is_empty()) {
        given.error("empty-list", "a private zone without a VPC answers no query", "name a VPC");
    }
    let name = name?;
    let tables = section.get("records").map(|v| v.tables());
    let records = tables.into_iter().flatten().filter_map(|table| record(&table, &name)).collect();
    Some(PrivateZone { name, vpcs, records, line: section.line() })
}

#[derive(Clone, Copy)]
enum RecordType {
    A,
    Cname,
    Txt,
}

const TYPES: [(&str, RecordType); 3] =
    [("A", RecordType::A), ("CNAME", RecordType::Cname), ("TXT", RecordType::Txt)];

fn record(section: &Section<'_>, zone: &At<String>) -> Option<ZoneRecord> {
    let name = section.required("name").and_then(|v| v.parse(|text| record_name(text, zone)));
    let record_type = section.required("type").and_then(|v| v.one_of(&TYPES));
    let ttl = section.get("ttl").and_then(|v| v.integer());
    let given = section.required("values");
    let record_type = record_type?;
    let values = section.list("values", |v| value(v, *record_type));
    let (name, given) = (name?, given?);
    if given.elements().is_empty() {
        given.error(
            "empty-list",
            "a record has at least one value",
            "write one, or remove the record",
        );
        return None;
    }
    if let RecordType::Cname = *record_type {
        alone(section, zone, &name, &given);
    }
    Some(ZoneRecord {
        name,
        ttl: ttl.map_or(TTL, |ttl| u32::try_from(*ttl).unwrap_or(TTL)),
        values: values.into_iter().map(|at| at.value).collect(),
    })
}

/// Checks that a CNAME stands for its whole name: it has one value, and is not at the zone's own
/// name, which has records of its own (RFC 1034, 3.6.2). `validate` checks that no other records
/// have its name.
fn alone(section: &Section<'_>, zone: &At<String>, name: &At<String>, given: &Value<'_>) {
    let error = |span: Span, message: &str, help: &str| {
        section.reader.report.error(span, "bad-record", message, help);
    };
    if given.elements().len() > 1 {
        error(
            given.span,
            "a CNAME has one value",
            "name one; for several addresses, write type = \"A\"",
        );
    }
    if **name == **zone {
        error(
            name.span,
            "the zone's own name cannot be a CNAME",
            "write type = \"A\" with the addresses",
        );
    }
}

fn value(value: &Value<'_>, record_type: RecordType) -> Option<At<RecordData>> {
    match record_type {
        RecordType::A => Some(value.parse(text::address)?.map(RecordData::A)),
        RecordType::Cname => Some(value.parse(text::dns_name)?.map(RecordData::Cname)),
        RecordType::Txt => Some(value.parse(text::txt_value)?.map(RecordData::Txt)),
    }
}

/// Parses the name of a record: `db`, `*`, `@` for the zone itself, or the full name.
fn record_name(text: &str, zone: &str) -> Result<String, text::Fault> {
    if text == "@" {
        return Ok(zone.to_owned());
    }
    let (wildcard, rest) = match text.strip_prefix('*') {
        Some(rest) => ("*.", rest.strip_prefix('.').unwrap_or(rest)),
        None => ("", text),
    };
    if rest.is_empty() && !wildcard.is_empty() {
        return Ok(format!("*.{zone}"));
    }
    let name = text::dns_name(rest)?;
    let is_full = name == zone || name.ends_with(&format!(".{zone}"));
    let full = if is_full { name } else { format!("{name}.{zone}") };
    text::dns_name(&full).map(|name| format!("{wildcard}{name}"))
}
