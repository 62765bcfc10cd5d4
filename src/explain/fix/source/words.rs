//! A change in the words of a source.

/// The most columns of a line of a change: texts indent it by six at most.
pub(super) const WIDTH: usize = 94;

/// Returns the name of a new group: AWS accepts no name of a group that begins like its ids.
pub(super) fn group_name(id: &str) -> &str {
    id.strip_prefix("sg-").unwrap_or(id)
}

/// Returns the description of a new group of an endpoint.
pub(super) fn group_description(service: &str) -> String {
    format!("HTTPS to {service}")
}

/// A change in the words of a source.
#[derive(Clone, Debug)]
pub(in crate::explain::fix) struct Words {
    /// The name of the object to change in the source.
    pub(in crate::explain::fix) id: String,
    /// The instruction for the text.
    pub(in crate::explain::fix) action: String,
    /// Commands, blocks or a fragment.
    pub(in crate::explain::fix) text: String,
}
