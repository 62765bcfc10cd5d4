//! Parses Terraform's addresses: `module.net[0].aws_subnet.private["a"].id` as its steps.

use serde_json::Value;
use std::fmt;

/// The index of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Index {
    /// The index of an instance of `count`.
    Count(u64),
    /// The key of an instance of `for_each`.
    Key(String),
}

/// A module's instance: the calls that lead to it from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ModulePath(pub(super) Vec<(String, Option<Index>)>);

impl ModulePath {
    /// Parses an address such as `module.net["a"].module.rules`.
    pub(super) fn parse(address: &str) -> Self {
        let mut path = Vec::new();
        let mut steps = steps(address).into_iter().peekable();
        while let Some(step) = steps.next() {
            if step != Step::Name("module".to_owned()) {
                continue;
            }
            let Some(Step::Name(name)) = steps.next() else { break };
            let index = match steps.peek() {
                Some(Step::Index(index)) => Some(index.clone()),
                Some(Step::Name(_)) | None => None,
            };
            path.push((name, index));
        }
        Self(path)
    }

    /// Returns the module that makes the last call, and that call.
    pub(super) fn split(&self) -> Option<(Self, &str, Option<&Index>)> {
        let ((name, index), parents) = self.0.split_last()?;
        Some((Self(parents.to_vec()), name, index.as_ref()))
    }

    /// Returns a module that this one calls.
    pub(super) fn child(&self, name: &str, index: Option<Index>) -> Self {
        let mut path = self.0.clone();
        path.push((name.to_owned(), index));
        Self(path)
    }
}

/// The address of a resource, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The module's address, such as `module.net[0]`; empty for the root module.
    pub module: String,
    /// True of a data source.
    pub is_data: bool,
    /// The type, such as `aws_subnet`.
    pub kind: String,
    /// The name, such as `private`.
    pub name: String,
    /// The index with its brackets, such as `["a"]`; empty if there is none.
    pub index: String,
}

impl Address {
    /// Reads the address at the start of a place: an attribute behind it is left out.
    pub fn parse(place: &str) -> Option<Self> {
        let steps = steps(place);
        let mut steps = steps.iter().peekable();
        let mut module = String::new();
        while steps.next_if(|step| step.is("module")).is_some() {
            let dot = if module.is_empty() { "" } else { "." };
            module.push_str(&format!("{dot}module.{}", steps.next()?));
            if let Some(index) = steps.next_if(|step| matches!(step, Step::Index(_))) {
                module.push_str(&index.to_string());
            }
        }
        let is_data = steps.next_if(|step| step.is("data")).is_some();
        let (kind, name) = (steps.next()?.to_string(), steps.next()?.to_string());
        let index = steps.next_if(|step| matches!(step, Step::Index(_)));
        let index = index.map(ToString::to_string).unwrap_or_default();
        let is_words = is_identifier(&kind) && is_identifier(&name) && has_words(&module);
        is_words.then_some(Self { module, is_data, kind, name, index })
    }
}

/// Decides whether a word is an identifier of Terraform. Nothing else of an address is printed.
fn is_identifier(word: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(is_inner)
}

/// Decides whether the steps of a module's address are identifiers. Indexes are quoted in print.
fn has_words(module: &str) -> bool {
    steps(module).iter().all(|step| match step {
        Step::Name(name) => is_identifier(name),
        Step::Index(_) => true,
    })
}

/// Shows the address that the resource has in its own module.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = if self.is_data { "data." } else { "" };
        write!(f, "{data}{}.{}{}", self.kind, self.name, self.index)
    }
}

/// A step of a traversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name`.
    Name(String),
    /// `[0]` or `["a"]`.
    Index(Index),
}

impl Step {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Name(name) if name == word)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(Index::Count(number)) => write!(f, "[{number}]"),
            Self::Index(Index::Key(key)) => write!(f, "[{key:?}]"),
        }
    }
}

/// Returns the steps of an address or a reference. A text that is not an address has steps too,
/// which name nothing.
pub(super) fn steps(address: &str) -> Vec<Step> {
    let mut found = Vec::new();
    let mut rest = address;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = closing_bracket(inside);
            found.push(index_of(&inside[..end]));
            rest = inside.get(end + 1..).unwrap_or_default();
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                found.push(Step::Name(rest[..end].to_owned()));
            }
            rest = match rest[end..].strip_prefix('.') {
                Some(after) => after,
                None => &rest[end..],
            };
        }
    }
    found
}

/// Returns the position of the `]` that ends an index; brackets within quotes are a part of the
/// key.
fn closing_bracket(inside: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in inside.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            ']' if !quoted => return at,
            _ => {}
        }
    }
    inside.len()
}

fn index_of(text: &str) -> Step {
    if let Ok(number) = text.parse() {
        return Step::Index(Index::Count(number));
    }
    // A quoted key is a JSON string except for `${` and `%{`, which no key of a resource has in
    // practice.
    match serde_json::from_str(text) {
        Ok(Value::String(key)) => Step::Index(Index::Key(key)),
        _ => Step::Index(Index::Key(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_steps_whatever_its_keys_contain() {
        let text: Vec<String> = steps(r#"module.net["eu.a]"].aws_subnet.b[3].id"#)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(text, ["module", "net", r#"["eu.a]"]"#, "aws_subnet", "b", "[3]", "id"]);
        for odd in ["", ".", "[", "[\"", "a..b", "[]x", "ä[ö]", "a[\"\\"] {
            steps(odd);
            ModulePath::parse(odd);
        }
    }

    #[test]
    fn an_address_is_taken_apart_and_put_together() {
        let parts = |place: &str| {
            let address = Address::parse(place).unwrap();
            (address.module.clone(), address.to_string(), address.is_data)
        };
        let expected =
            ("module.net[\"a.b\"].module.x".to_owned(), "aws_subnet.b[3]".to_owned(), false);
        assert_eq!(parts(r#"module.net["a.b"].module.x.aws_subnet.b[3].cidr_block"#), expected);
        let data = (String::new(), "data.aws_vpc.main".to_owned(), true);
        assert_eq!(parts("data.aws_vpc.main"), data);
        assert_eq!((Address::parse(""), Address::parse("module.net")), (None, None));
    }

    #[test]
    fn a_module_path_ends_with_the_last_call() {
        let path = ModulePath::parse(r#"module.net[1].module.rules["x"]"#);
        let (parent, name, index) = path.split().unwrap();
        assert_eq!((name, index), ("rules", Some(&Index::Key("x".to_owned()))));
        assert_eq!(parent, ModulePath::parse("module.net[1]"));
        assert_eq!(parent.child("rules", Some(Index::Key("x".to_owned()))), path);
        assert_eq!(ModulePath::default().split(), None);
    }
}
