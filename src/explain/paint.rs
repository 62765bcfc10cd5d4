//! The look of a text: colours if requested, and the shown part of long lists.

/// The look of a text for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Set for colours, for a terminal.
    pub color: bool,
    /// Set to shorten and leave out nothing, whatever the width.
    pub wide: bool,
}

impl Look {
    pub(super) fn paint(self) -> Paint {
        Paint(self.color)
    }

    /// Returns the number of items of a list that are shown: `few`, or all of them.
    pub(super) fn most(self, few: usize) -> usize {
        if self.wide { usize::MAX } else { few }
    }
}

/// Makes a look with or without colours, at the usual width.
impl From<bool> for Look {
    fn from(color: bool) -> Self {
        Self { color, wide: false }
    }
}

/// The meaning of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Good,
    Bad,
    Note,
    Faint,
}

/// The choice whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// Returns the text between the ANSI sequences of the style, or unchanged.
    pub(super) fn with(self, style: Style, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let code = match style {
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Note => "36",
            Style::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
