//! Tests of private zones, aliases and the DNS attributes of a VPC: lowered, with errors, with
//! warnings.

use super::*;
use crate::vpc::{DnsRecord, Generation, RecordData, VpcIx};

fn zone(records: &str) -> String {
    format!(
        "[[private_zone]]\nname = \"Corp.Internal.\"\nvpcs = [\"vpc-a\"]\nrecords = [{records}]"
    )
}

/// Returns the zone, with one record.
fn record(record: &str) -> String {
    zone(&format!("{{ {record} }}"))
}

#[track_caller]
fn mistake(rule: &str, text: &str, addition: &str) {
    let errors = errors(&based(addition));
    let found: Vec<_> = errors.iter().map(|e| (e.rule, e.text.as_str())).collect();
    assert_eq!(found, [(rule, text)], "{addition}\n{errors}");
    assert!(errors[0].line > 0 && !errors[0].help.is_empty());
}

#[test]
fn mistakes_in_zones() {
    let a = r#"name = "db", type = "A", values = ["10.0.1.10"]"#;
    let alias = r#"name = "db", type = "CNAME", values = ["other.corp.internal"]"#;
    let long = "x".repeat(256);
    let label = "l".repeat(64);
    mistake("bad-dns-name", "\"-corp\"", "[[private_zone]]\nname = \"-corp\"\nvpcs = [\"vpc-a\"]");
    mistake(
        "bad-dns-name",
        "\"a..b\"",
        &record(r#"name = "a..b", type = "A", values = ["10.0.1.10"]"#),
    );
    mistake(
        "bad-dns-name",
        "\"a.*\"",
        &record(r#"name = "a.*", type = "A", values = ["10.0.1.10"]"#),
    );
    let text = format!("\"{label}\"");
    mistake(
        "bad-dns-name",
        &text,
        &record(&format!("name = {text}, type = \"A\", values = [\"10.0.1.10\"]")),
    );
    mistake(
        "bad-address",
        "\"10.0.1\"",
        &record(r#"name = "db", type = "A", values = ["10.0.1"]"#),
    );
    mistake("ipv6", "\"::1\"", &record(r#"name = "db", type = "A", values = ["::1"]"#));
    mistake("unknown-word", "\"AAAA\"", &record(r#"name = "db", type = "AAAA", values = ["::1"]"#));
    mistake("out-of-range", "-1", &record(&format!("{a}, ttl = -1")));
    mistake("unknown-key", "weight", &record(&format!("{a}, weight = 1")));
    mistake("empty-list", "[]", &record(r#"name = "db", type = "A", values = []"#));
    mistake("bad-record", "\"@\"", &record(r#"name = "@", type = "CNAME", values = ["a.b"]"#));
    mistake(
        "bad-record",
        r#"["a.b", "c.d"]"#,
        &record(r#"name = "db", type = "CNAME", values = ["a.b", "c.d"]"#),
    );
    let text = format!("\"{long}\"");
    mistake(
        "bad-record",
        &text,
        &record(&format!("name = \"db\", type = \"TXT\", values = [{text}]")),
    );
    mistake("bad-record", "\"db\"", &zone(&format!("{{ {a} }}, {{ {alias} }}")));
    mistake("bad-record", "\"db\"", &zone(&format!("{{ {alias} }}, {{ {a} }}")));
    let full = r#"{ name = "DB.corp.internal", type = "A", values = ["10.0.1.11"] }"#;
    mistake("duplicate-record", "\"DB.corp.internal\"", &zone(&format!("{{ {a} }}, {full}")));
    mistake("dangling-id", "\"vpc-x\"", "[[private_zone]]\nname = \"corp\"\nvpcs = [\"vpc-x\"]");
    mistake("empty-list", "[]", "[[private_zone]]\nname = \"corp\"\nvpcs = []");
    mistake("missing-key", "[[private_zone]]", "[[private_zone]]\nname = \"corp\"");
    mistake("duplicate-zone", "\"vpc-a\"", &format!("{}\n{}", zone(""), zone("")));
}

#[test]
fn mistakes_elsewhere() {
    mistake(
        "bad-dns-name",
        "\"a b\"",
        "[[internet_host]]\nname = \"h\"\naddress = \"203.0.113.77\"\naliases = [\"a b\"]",
    );
    let resource = "[[resource]]\nname = \"r\"\nsubnet = \"subnet-a\"\naddress = \"10.0.1.77\"\n";
    for aliases in ["", "aliases = []\n"] {
        let public = format!("{resource}{aliases}public_dns_name = true");
        mistake("public-name-without-alias", "true", &public);
    }
    mistake("wrong-type", "\"yes\"", &format!("{resource}public_dns_name = \"yes\""));
    mistake("out-of-range", "0", "[limits]\ndns_packets_per_second = 0");
    let vpc = "[[vpc]]\nid = \"vpc-c\"\ncidr = \"10.7.0.0/16\"\nenable_dns_support = \"yes\"";
    mistake("wrong-type", "\"yes\"", vpc);
    mistake(
        "namespace-clash",
        "\"services\"",
        "[[vpc]]\nid = \"services\"\ncidr = \"10.7.0.0/16\"",
    );
}

#[test]
fn a_name_that_becomes_public_is_a_change_of_its_resource() {
    let public = |public: bool| {
        lab(&based(&format!(
            "[[resource]]\nname = \"r\"\nsubnet = \"subnet-a\"\naddress = \"10.0.1.77\"\n\
             aliases = [\"r.c1.us-east-1.rds.amazonaws.com\"]\npublic_dns_name = {public}\n"
        )))
    };
    let all = crate::config::changes::changes(&public(false), &public(true));
    let [change] = all.as_slice() else { panic!("one change: {all:?}") };
    let details: Vec<_> = change.details.iter().map(|detail| detail.name.as_str()).collect();
    assert_eq!((change.kind.as_str(), change.id.as_str()), ("resource", "r"));
    assert_eq!(
        details,
        ["alias r.c1.us-east-1.rds.amazonaws.com", "public alias r.c1.us-east-1.rds.amazonaws.com"]
    );
}

#[test]
fn a_vpc_without_both_attributes_is_warned_about_in_its_zone() {
    let check = |attributes: &str, expected: Option<&str>| {
        let vpc = format!("[[vpc]]\nid = \"vpc-c\"\ncidr = \"10.7.0.0/16\"\n{attributes}\n");
        let zone = "[[private_zone]]\nname = \"corp\"\nvpcs = [\"vpc-c\"]";
        let warnings = lab(&based(&format!("{vpc}{zone}"))).lint();
        let of_zone = warnings.iter().find(|w| w.rule == "private-dns-without-attributes");
        assert_eq!(of_zone.map(|w| w.help.as_str()), expected, "{attributes}");
    };
    check("enable_dns_hostnames = true", None);
    check("", Some("write enable_dns_hostnames = true in the VPC"));
    check(
        "enable_dns_support = false\nenable_dns_hostnames = true",
        Some("write enable_dns_support = true in the VPC"),
    );
    check(
        "enable_dns_support = false",
        Some("write enable_dns_support = true and enable_dns_hostnames = true in the VPC"),
    );
}

#[test]
fn a_vpc_without_both_attributes_is_warned_about_in_an_endpoint_with_private_dns() {
    let check = |attributes: &str, endpoint: &str, expected: Option<&str>| {
        let vpc = format!("[[vpc]]\nid = \"vpc-c\"\ncidr = \"10.7.0.0/16\"\n{attributes}\n");
        let more = "[[vpc_endpoint]]\nid = \"vpce\"\nvpc = \"vpc-c\"\nkind = \"interface\"\n";
        let warnings = lab(&based(&format!("{vpc}{more}{endpoint}"))).lint();
        let found = warnings.iter().find(|w| w.rule == "private-dns-without-attributes");
        assert_eq!(found.map(|w| w.message.as_str()), expected, "{attributes} {endpoint}");
    };
    let sqs = "service = \"com.amazonaws.us-east-1.sqs\"";
    let says = "in VPC \"vpc-c\" the name sqs.us-east-1.amazonaws.com does not lead to \"vpce\"";
    check("", sqs, Some(says));
    check("enable_dns_support = false\nenable_dns_hostnames = true", sqs, Some(says));
    check("enable_dns_hostnames = true", sqs, None);
    check("", &format!("{sqs}\nprivate_dns_enabled = false"), None);
    let dkr = "service = \"com.amazonaws.us-east-1.ecr.dkr\"";
    check("", dkr, Some(&says.replace("sqs", "*.dkr.ecr")));
    check("", "service = \"com.amazonaws.vpce.us-east-1.vpce-svc-1\"", None);
}

#[test]
fn zones_and_attributes_arrive_in_the_snapshot() {
    let records = r#"{ name = "*", type = "A", values = ["10.0.1.10", "10.0.1.11"], ttl = 5 }, { name = "@", type = "TXT", values = ["hello"] }"#;
    let text = format!("{}\n[limits]\ndns_packets_per_second = 7", zone(records));
    let snapshot = lab(&based(&text)).lower(Generation(1));
    let parts = snapshot.parts();
    let [zone] = parts.private_zones.as_slice() else { panic!("one zone") };
    assert_eq!((zone.name.as_str(), zone.vpcs.as_slice()), ("corp.internal", &[VpcIx(0)][..]));
    let record = |name: &str, ttl, data| DnsRecord { name: name.to_owned(), ttl, data };
    let address = |last| RecordData::A(std::net::Ipv4Addr::new(10, 0, 1, last));
    assert_eq!(
        zone.records,
        [
            record("*.corp.internal", 5, address(10)),
            record("*.corp.internal", 5, address(11)),
            record("corp.internal", 300, RecordData::Txt("hello".to_owned())),
        ]
    );
    assert_eq!(parts.limits.dns_packets_per_second, 7);
    // AWS's defaults (spec 8).
    let vpc = snapshot.vpc(VpcIx(0));
    assert!(vpc.enable_dns_support && !vpc.enable_dns_hostnames && !vpc.has_private_names());
    assert_eq!(lab(&based("")).lower(Generation(1)).parts().limits.dns_packets_per_second, 1024);
}
