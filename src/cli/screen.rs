//! The terminal's second screen, for output that is drawn again and again.

use super::output;
use crate::edge::shown_lines;
use crate::explain::fitting;
use crate::linux::terminal::{KeyByKey, Size, size};
use std::io;
use tokio::io::AsyncReadExt as _;

const SECOND: &str = "\x1b[?1049h\x1b[?25l";
const FIRST: &str = "\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[H\x1b[J";

/// The second screen, without a cursor. Dropping it brings the first one back.
pub(super) struct Screen {
    /// `None` if standard input is no terminal.
    keys: Option<KeyByKey>,
}

impl Screen {
    /// Takes the screen if standard output is a terminal.
    ///
    /// # Errors
    /// The errors of standard output.
    pub(super) fn take() -> io::Result<Option<Self>> {
        if size().is_none() {
            return Ok(None);
        }
        output::command(SECOND)?;
        output::command(CLEAR)?;
        Ok(Some(Self { keys: KeyByKey::take() }))
    }

    /// Draws a text in place of the last one: as much of it as the terminal has room for. Returns
    /// whether there still is a terminal.
    ///
    /// # Errors
    /// The errors of standard output.
    pub(super) fn draw(&self, text: &[u8]) -> io::Result<bool> {
        let text = String::from_utf8_lossy(text);
        let text =
            size().map_or_else(|| text.to_string(), |size| clipped(&shown_lines(&text), size));
        output::command(CLEAR)?;
        output::more(|w| w.write_all(text.as_bytes()))
    }

    /// Waits for a `q`; for ever if standard input is no terminal.
    pub(super) async fn quit(screen: Option<&Self>) {
        if screen.is_some_and(|screen| screen.keys.is_some()) {
            let mut keys = tokio::io::stdin();
            let mut key = [0];
            while let Ok(1) = keys.read(&mut key).await {
                if key == *b"q" {
                    return;
                }
            }
        }
        std::future::pending().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that was closed needs nothing.
        let _ = output::command(FIRST);
    }
}

/// Returns the lines for which a terminal has room, each as far as it fits. A line about the others
/// takes the place of the last one.
fn clipped(text: &str, size: Size) -> String {
    let all: Vec<&str> = text.lines().collect();
    // A line at the very end would scroll the first one away.
    let most = size.rows.saturating_sub(1).max(1);
    let shown = if all.len() > most { most - 1 } else { all.len() };
    let left_out = all.len() - shown;
    let more = (left_out > 0).then(|| format!("… and {left_out} more lines"));
    let lines = all[..shown].iter().map(|line| (*line).to_owned()).chain(more);
    lines.map(|line| format!("{}\n", fitting(&line, size.columns))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_scrolls_away_and_none_is_broken() {
        let text = "HEADING\none\ntwo\nthree\n";
        let clip = |rows, columns| clipped(text, Size { rows, columns });
        assert_eq!(clip(5, 80), text);
        assert_eq!(clip(4, 80), "HEADING\none\n… and 2 more lines\n");
        assert_eq!(clip(5, 3), "HEA\none\ntwo\nthr\n");
        assert_eq!(clipped("網路 a\n", Size { rows: 5, columns: 3 }), "網\n");
        assert_eq!(clip(1, 80), "… and 4 more lines\n");
    }
}
