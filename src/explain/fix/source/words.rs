//! A change in the words of a source.

/// The columns that a line of a change may have: the text indents it.
pub(super) const WIDTH: usize = 95;

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
