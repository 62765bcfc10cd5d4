//! Reads `snapshot.json` of `scripts/snapshot-vpc`: the calls without a result, and the AWS CLI's
//! errors.

use super::super::ImportError;
use super::super::json::Node;
use super::reader::Reader;

/// The consequences for the lab of a call without a result. Other calls have a finding or an error
/// of their own.
const CONSEQUENCES: [(&str, &str); 8] = [
    ("apprunner list-vpc-connectors", "the lab has no connector but those that --connector names"),
    ("apprunner list-services", "the lab has no service of the account"),
    ("apprunner describe-service", "whether the service uses a connector is not known"),
    ("ec2 describe-vpc-attribute", "the attribute is taken as AWS sets it for a new VPC"),
    ("ec2 describe-vpc-peering-connections", "the lab has none: routes to them drop"),
    ("ec2 describe-nat-gateways", "the lab has none: routes to them drop"),
    ("ec2 describe-internet-gateways", "the lab has none: routes to them drop"),
    ("ec2 get-managed-prefix-list-entries", "the list is empty where nothing else has its entries"),
];
/// Characters of the CLI's error that are shown at most.
const LONGEST_WORDS: usize = 160;

/// Reads the record of a collection.
pub(super) fn record(reader: &mut Reader, root: &Node<'_>) -> Result<(), ImportError> {
    if root.get("SnapshotVersion")?.is_none() {
        return Ok(());
    }
    for missing in root.list("Missing")? {
        let call = missing.required("call")?;
        let words = missing.string("error")?.unwrap_or_default();
        // A server that is not an AWS API answers with a page.
        let words = words.split('<').next().unwrap_or_default().trim();
        let words: String = words.chars().take(LONGEST_WORDS).collect();
        let known = CONSEQUENCES.iter().find(|(start, _)| call.starts_with(start));
        let consequence =
            known.map_or("the lab does not have the objects of its answer", |(_, c)| *c);
        let what = format!("it returned nothing: {words}");
        let object = format!("call aws {call}");
        if decides(&call) {
            reader.findings.not_understood(object, missing.origin(), what, consequence);
        } else {
            reader.findings.left_out(object, missing.origin(), what, consequence);
        }
    }
    Ok(())
}

/// Decides whether packets take another path without the answer of a call, and no other finding
/// says so.
fn decides(call: &str) -> bool {
    ["ec2 describe-nat-gateways", "ec2 describe-internet-gateways"]
        .iter()
        .any(|start| call.starts_with(start))
}
