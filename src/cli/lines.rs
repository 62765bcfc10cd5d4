//! The lines of an answer that arrives in pieces.

/// Cuts arriving bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes the next piece.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Returns the next whole line, without its end.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.rest.drain(..=end).collect();
        line.pop();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        lines.take(b"one\ntw");
        assert_eq!(lines.next(), Some(b"one".to_vec()));
        assert_eq!(lines.next(), None);
        lines.take(b"o\n\nthree");
        assert_eq!(
            [lines.next(), lines.next(), lines.next()],
            [Some(b"two".to_vec()), Some(Vec::new()), None]
        );
    }
}
