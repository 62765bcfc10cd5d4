//! Values of a source that no message shows.

use std::collections::BTreeSet;

/// A shorter value, or part of one, is a part of too many words.
const SHORTEST: usize = 4;
/// What stands in place of a value.
const STARS: &str = "****";

/// Values that no message shows, with the forms that they have there, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Collects values: each as it is, as Rust writes it between quotes, and its parts, as a template may take it apart.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            let parts = value.split(|c: char| !c.is_alphanumeric()).map(str::to_owned);
            let escaped = value.escape_debug().to_string();
            forms.extend(parts.chain([escaped, value.clone()]));
        }
        let mut forms: Vec<_> = forms.into_iter().filter(|form| form.len() >= SHORTEST).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self(forms)
    }

    /// Puts stars in place of them.
    pub fn hide(&self, text: &mut String) {
        for form in &self.0 {
            if text.contains(form) {
                *text = text.replace(form, STARS);
            }
        }
    }

    /// Adds those of another part of the source.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
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
            ("abc is a part of too many words", "abc is a part of too many words"),
        ] {
            let mut text = said.to_owned();
            secrets.hide(&mut text);
            assert_eq!(text, shown);
        }
    }
}
