//! A change in the words of a source.

/// The columns that a line of a change may have: texts indent it by six at most.
pub(super) const WIDTH: usize = 94;

/// Returns the name of a new group: AWS takes no name of a group that begins as its ids do.
pub(super) fn group_name(id: &str) -> &str {
    id.strip_prefix("sg-").unwrap_or(id)
}

/// Describes a new group of an endpoint.
pub(super) fn group_description(service: &str) -> String {
    format!("HTTPS to {service}")
}

/// A change in the words of a source.
#[derive(Clone, Debug)]
pub(in crate::explain::fix) struct Words {
    /// What the source calls the object to change.
    pub(in crate::explain::fix) id: String,
    /// What to do with the text.
    pub(in crate::explain::fix) action: String,
    /// Commands, blocks or a fragment.
    pub(in crate::explain::fix) text: String,
}
