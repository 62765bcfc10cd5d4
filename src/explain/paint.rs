//! How a text looks: colour where it is asked for, and how much of long lists is shown.

/// How a text for people looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// True with colours, for a terminal.
    pub color: bool,
    /// True with nothing shortened or left out, however wide it gets.
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

/// Takes colours or not, at the usual width.
impl From<bool> for Look {
    fn from(color: bool) -> Self {
        Self { color, wide: false }
    }
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Good,
    Bad,
    Note,
    Faint,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// The text between the ANSI sequences of the style, or as it is.
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
