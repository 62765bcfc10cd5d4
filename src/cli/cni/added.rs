//! The answer to ADD: the interface, its address and its resolver, after what earlier plugins of a
//! chain have answered.

use super::config::Config;
use super::environment::Attachment;
use super::error::{CniError, Code};
use super::version::Version;
use crate::daemon::attachments::{AttachmentRow, Resolver};
use crate::linux::link::GATEWAY;
use serde_json::{Map, Value, json};

/// Returns the answer to ADD. The entries of `prevResult` come first, unchanged.
///
/// # Errors
/// `prevResult` has another form than the specification gives it.
pub(super) fn added(
    config: &Config,
    attachment: &Attachment,
    row: &AttachmentRow,
) -> Result<Value, CniError> {
    let mut result = config.prev_result.clone().unwrap_or_default();
    result.insert("cniVersion".to_owned(), config.version.as_str().into());
    let interface = interface(config.version, attachment, row);
    // The engine may give the answer to an earlier ADD of the same container.
    if !list(&mut result, "interfaces")?.contains(&interface) {
        let interfaces = list(&mut result, "interfaces")?;
        let index = interfaces.len();
        interfaces.push(interface);
        list(&mut result, "ips")?.push(address(config.version, row, index));
        list(&mut result, "routes")?.push(json!({"dst": "0.0.0.0/0", "gw": GATEWAY}));
    }
    if !has_nameservers(&result) {
        let dns = config.dns.clone().unwrap_or_else(|| dns(row.resolver.as_ref()));
        result.insert("dns".to_owned(), dns);
    }
    Ok(Value::Object(result))
}

fn list<'a>(result: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>, CniError> {
    let value = result.entry(key).or_insert_with(|| json!([]));
    // Go writes an empty list as null.
    if value.is_null() {
        *value = json!([]);
    }
    let wrong = || CniError::new(Code::Decode, format!("`{key}` of prevResult is no list"));
    value.as_array_mut().ok_or_else(wrong)
}

fn interface(version: Version, attachment: &Attachment, row: &AttachmentRow) -> Value {
    let (name, sandbox) = (&row.interface, &attachment.netns);
    match version {
        Version::V0_4 | Version::V1_0 => json!({"name": name, "mac": row.mac, "sandbox": sandbox}),
        Version::V1_1 => {
            json!({"name": name, "mac": row.mac, "mtu": row.mtu, "sandbox": sandbox})
        }
    }
}

fn address(version: Version, row: &AttachmentRow, interface: usize) -> Value {
    let address = format!("{}/32", row.address);
    match version {
        Version::V0_4 => {
            json!({"version": "4", "address": address, "gateway": GATEWAY, "interface": interface})
        }
        Version::V1_0 | Version::V1_1 => {
            json!({"address": address, "gateway": GATEWAY, "interface": interface})
        }
    }
}

fn has_nameservers(result: &Map<String, Value>) -> bool {
    let servers = result.get("dns").and_then(|dns| dns.get("nameservers"));
    servers.and_then(Value::as_array).is_some_and(|servers| !servers.is_empty())
}

fn dns(resolver: Option<&Resolver>) -> Value {
    match resolver {
        Some(Resolver { address, search, options }) => {
            json!({"nameservers": [address], "search": [search], "options": options})
        }
        None => json!({}),
    }
}
