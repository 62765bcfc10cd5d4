//! Values of a source that no message shows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Bytes of the shortest value, or part of one, that is hidden: a shorter one is in too many words.
const SHORTEST: usize = 4;

/// Values that no message shows: their forms in messages, the longest first, with the stars that
/// replace them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<(String, &'static str)>);

impl Secrets {
    /// Collects values. Each is hidden in its own form and in the form that Rust writes between
    /// quotes, and so is each item of a list. Its parts may be words, and are hidden only between
    /// quotes.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let is_long = |part: &&str| part.len() >= SHORTEST;
        let mut forms = BTreeMap::new();
        for value in values.into_iter().filter(|value| value.len() >= SHORTEST) {
            let parts = value.split(|c: char| !c.is_alphanumeric()).filter(is_long);
            forms.extend(parts.map(|part| (format!("\"{part}\""), "\"****\"")));
            let items = value.split(',').map(str::trim).filter(is_long).map(str::to_owned);
            let escaped = value.escape_debug().to_string();
            forms.extend(items.chain([escaped, value.clone()]).map(|form| (form, "****")));
        }
        let mut secrets = Self(forms.into_iter().collect());
        secrets.sort();
        secrets
    }

    /// Replaces them by stars.
    pub fn hide(&self, text: &mut String) {
        for (form, stars) in &self.0 {
            if text.contains(form) {
                *text = text.replace(form, stars);
            }
        }
    }

    /// Adds those of another part of the source.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
        self.sort();
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|(form, _)| Reverse(form.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_secret_is_hidden() {
        let secrets = Secrets::new([
            "quo\"ted\\slash77".to_owned(),
            "lista1111,listb2222".to_owned(),
            "abc".to_owned(),
        ]);
        for (said, shown) in [
            (r#""quo\"ted\\slash77" is no CIDR block"#, r#""****" is no CIDR block"#),
            (r#"quo"ted\slash77"#, "****"),
            (r#""listb2222" and "lista1111,listb2222""#, r#""****" and "****""#),
            (r#""slash77" of a slash77"#, r#""****" of a slash77"#),
            ("abc is a part of too many words", "abc is a part of too many words"),
        ] {
            let mut text = said.to_owned();
            secrets.hide(&mut text);
            assert_eq!(text, shown);
        }
    }
}
