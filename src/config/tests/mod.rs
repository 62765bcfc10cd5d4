#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod apprunner;
mod dns;
mod errors;
mod expectations;
mod hidden;
mod json_schema;
mod kinds;
mod lints;
mod lints_of_paths;
mod lowering;
mod overlay;
mod public_ip;
mod reference_pages;
mod rendered;
mod robust;
mod stability;

use super::*;

const THREE_AZ: &str = include_str!("../../../examples/three-az.toml");
const MINIMAL: &str = include_str!("../../../examples/minimal.toml");

/// Two VPCs, to which a test adds the objects that it is about.
const BASE: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-a2"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
"#;

fn based(addition: &str) -> String {
    // Keys before the first section stay there.
    let (keys, sections) = match addition.find('[') {
        Some(at) if addition[..at].trim().is_empty() || !addition.trim().starts_with('[') => {
            let line = addition[..at].rfind('\n').map_or(0, |n| n + 1);
            addition.split_at(line)
        }
        Some(_) => ("", addition),
        None => (addition, ""),
    };
    format!("{keys}{BASE}{sections}")
}

#[track_caller]
fn lab(text: &str) -> Lab {
    match Lab::parse("lab.toml", text) {
        Ok(lab) => {
            assert_eq!(json_schema::faults(text), [""; 0], "the schema refuses\n{text}");
            lab
        }
        Err(errors) => panic!("{errors}"),
    }
}

#[track_caller]
fn errors(text: &str) -> Diagnostics {
    match Lab::parse("lab.toml", text) {
        Ok(_) => panic!("no errors in\n{text}"),
        Err(errors) => errors,
    }
}
