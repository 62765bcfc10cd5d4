//! A VPC that was built with the AWS CLI at another EC2 endpoint (moto) is collected with
//! `scripts/snapshot-vpc`, imported and explained. moto differs from EC2 in ways that an import
//! must accept and report (spec 12).

use super::support::aws;
use super::support::moto::{Moto, text};
use std::process::Command;

#[test]
fn a_vpc_in_moto_is_collected_imported_and_explained() {
    let Some(venv) = aws::venv() else { return };
    let moto = Moto::start(venv);
    let ids = moto.build();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();

    // Everything is collected except App Runner, which moto does not have: that is reported and
    // recorded, and does not stop the collection.
    let collected = moto.snapshot(&ids["vpc"], folder);
    let said = String::from_utf8_lossy(&collected.stderr).into_owned();
    assert_eq!(collected.status.code(), Some(3), "{said}");
    let missing: Vec<&str> = said.lines().filter(|line| line.contains("MISSING")).collect();
    assert_eq!(missing.len(), 2, "{said}");
    assert!(missing.iter().all(|line| line.contains("500")), "{said}");
    assert!(folder.join("describe-security-group-rules.json").exists());
    assert!(
        folder.join(format!("get-managed-prefix-list-entries-{}.json", ids["partners"])).exists()
    );
    // A second collection would mix with the first.
    let again = moto.snapshot(&ids["vpc"], folder);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));

    let source = folder.to_str().unwrap();
    let app = format!("app={},{}:app", ids["private_a"], ids["private_b"]);
    let trap = format!("trap={}:{}", ids["public_a"], ids["sg_app"]);
    let from = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_egret"))
            .args(arguments)
            .args(["--connector", &app, "--connector", &trap])
            .output()
            .unwrap()
    };

    let imported = from(&["import", source]);
    let lab = text(&imported);
    let findings = String::from_utf8_lossy(&imported.stderr).into_owned();
    let quirks = [
        // Where moto differs from EC2.
        format!("nat gateway {}", ids["nat"]),
        format!("vpc endpoint {}", ids["secrets"]),
        // The calls that moto does not have.
        "call aws apprunner list-vpc-connectors".to_owned(),
        "call aws apprunner list-services".to_owned(),
    ];
    for quirk in quirks {
        assert!(findings.to_lowercase().contains(&quirk), "{quirk}\n{findings}");
    }
    for word in ["orders-db", "reports-db", &ids["acl"], &ids["partners"], &ids["s3"]] {
        assert!(lab.contains(word), "{word}\n{lab}");
    }

    for (task, to, outcome) in [
        // A rule from group to group, in zone a, through the ACL of the data subnet; the ACL's
        // entry for zone b denies.
        ("app/1", "orders-db:5432", "FORWARD"),
        ("app/2", "orders-db:5432", "DROP nacl-ingress-deny"),
        ("app/1", "orders-db:6379", "DROP sg-ingress-implicit-deny"),
        ("app/1", "orders-db:8080", "DROP sg-egress-implicit-deny"),
        ("app/1", "10.0.10.20:5432", "FORWARD"),
        // A prefix list, by way of the NAT gateway; no rule allows addresses outside of the list.
        ("app/1", "203.0.113.9:443", "FORWARD"),
        ("app/1", "203.0.113.99:443", "DROP sg-egress-implicit-deny"),
        ("trap/1", "203.0.113.9:443", "DROP igw-no-public-address"),
        // S3 has an endpoint, and no rule for it.
        ("app/1", "s3:443", "DROP sg-egress-implicit-deny"),
        ("app/1", "secretsmanager.us-east-1.amazonaws.com:443", "FORWARD"),
    ] {
        let explained = from(&["explain", task, to, "--from", source]);
        let said = String::from_utf8_lossy(&explained.stdout);
        let errors = String::from_utf8_lossy(&explained.stderr);
        assert_eq!(said.lines().next(), Some(outcome), "{task} {to}\n{said}{errors}");
    }
}
