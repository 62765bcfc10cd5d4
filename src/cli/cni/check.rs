//! CHECK: compares what ADD has answered with the running lab.

use super::environment::Attachment;
use super::error::{CniError, Code};
use super::lab::open;
use crate::daemon::attachments::AttachmentRow;
use crate::linux::netns;
use serde_json::{Map, Value};

/// Requires that an attachment is what ADD has answered, and that its link is not broken. Entries of
/// other plugins are not egret's to check.
///
/// # Errors
/// The first difference.
pub(super) fn require_same(
    earlier: &Map<String, Value>,
    attachment: &Attachment,
    row: &AttachmentRow,
) -> Result<(), CniError> {
    let AttachmentRow { name, interface, address, mac, .. } = row;
    let netns = attachment.netns.as_deref().unwrap_or_default();
    let identity = open(netns)?.identity().map_err(|error| CniError::new(Code::Io, error))?;
    if netns::identity_of(&row.namespace) != Some(identity) {
        let other = &row.namespace;
        return Err(differs(format!("{name} is in namespace {other}, which is not {netns}")));
    }
    let (index, entry) = own_interface(earlier, interface).ok_or_else(|| {
        differs(format!("prevResult has no interface {interface} in a container, which {name} has"))
    })?;
    if let Some(earlier) = entry.get("mac").and_then(Value::as_str)
        && !earlier.eq_ignore_ascii_case(mac)
    {
        let said = format!("{interface} of {name} has hardware address {mac}, not {earlier}");
        return Err(differs(said));
    }
    let earlier = addresses(earlier, index);
    if earlier != [format!("{address}/32")] {
        let earlier = if earlier.is_empty() { "none".to_owned() } else { earlier.join(", ") };
        return Err(differs(format!("{name} has address {address}/32, in prevResult {earlier}")));
    }
    match row.faults.as_slice() {
        [] => Ok(()),
        faults => Err(differs(format!("{name} is broken: {}", faults.join("; ")))),
    }
}

/// Finds the interface in a container that has this name, with its position.
fn own_interface<'a>(earlier: &'a Map<String, Value>, name: &str) -> Option<(usize, &'a Value)> {
    let text = |entry: &'a Value, key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let all = earlier.get("interfaces")?.as_array()?;
    let is_own =
        |entry: &'a Value| text(entry, "name") == name && !text(entry, "sandbox").is_empty();
    all.iter().enumerate().find(|(_, entry)| is_own(entry))
}

/// Returns the addresses of the interface in this position.
fn addresses(earlier: &Map<String, Value>, interface: usize) -> Vec<String> {
    let all = earlier.get("ips").and_then(Value::as_array);
    let is_own = |entry: &&Value| {
        entry.get("interface").and_then(Value::as_u64) == u64::try_from(interface).ok()
    };
    let own = all.into_iter().flatten().filter(is_own);
    own.filter_map(|entry| Some(entry.get("address")?.as_str()?.to_owned())).collect()
}

fn differs(message: String) -> CniError {
    CniError::new(Code::Differs, message)
}
