//! The verb and the container, which the engine gives in environment variables.

use super::error::{CniError, Code};
use std::env;
use std::path::PathBuf;

/// The variable with the verb.
pub(super) const COMMAND: &str = "CNI_COMMAND";
const CONTAINER: &str = "CNI_CONTAINERID";
const NETNS: &str = "CNI_NETNS";
const INTERFACE: &str = "CNI_IFNAME";
/// Bytes of the longest name of an interface (`IFNAMSIZ`, without its last byte).
const LONGEST_INTERFACE: usize = 15;

/// A verb of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Attach a container.
    Add,
    /// Detach it.
    Del,
    /// Compare it with what ADD has answered.
    Check,
    /// Detach all containers that no longer exist.
    Gc,
    /// Say whether ADD could succeed.
    Status,
    /// List the versions.
    Version,
}

/// The container and the interface that a verb is about.
#[derive(Debug, Default)]
pub(super) struct Attachment {
    pub(super) container: String,
    pub(super) interface: String,
    /// The namespace's path, as the engine writes it.
    pub(super) netns: Option<String>,
}

/// Reads the verb.
///
/// # Errors
/// The variable is missing, or names no verb.
pub(super) fn verb() -> Result<Verb, CniError> {
    let word = required(COMMAND)?;
    Ok(match word.as_str() {
        "ADD" => Verb::Add,
        "DEL" => Verb::Del,
        "CHECK" => Verb::Check,
        "GC" => Verb::Gc,
        "STATUS" => Verb::Status,
        "VERSION" => Verb::Version,
        _ => {
            let valid = "ADD, DEL, CHECK, GC, STATUS or VERSION";
            return Err(wrong(format!("{COMMAND} is `{word}`: use {valid}")));
        }
    })
}

/// Reads what a verb is about. GC, STATUS and VERSION are about no container.
///
/// # Errors
/// A variable is missing, or has a value that the specification does not allow.
pub(super) fn attachment(verb: Verb) -> Result<Attachment, CniError> {
    match verb {
        Verb::Add | Verb::Check => {
            let netns = PathBuf::from(required(NETNS)?);
            if !netns.is_absolute() {
                return Err(wrong(format!("{NETNS} is `{}`: give a whole path", netns.display())));
            }
            let netns = Some(netns.to_string_lossy().into_owned());
            Ok(Attachment { netns, ..named()? })
        }
        Verb::Del => named(),
        Verb::Gc | Verb::Status | Verb::Version => Ok(Attachment::default()),
    }
}

fn named() -> Result<Attachment, CniError> {
    let (container, interface) = (required(CONTAINER)?, required(INTERFACE)?);
    if !is_identifier(&container) {
        let valid = "begin with a letter or a digit, and go on with these, `_`, `.` and `-`";
        return Err(wrong(format!("{CONTAINER} is `{container}`: {valid}")));
    }
    if !is_interface(&interface) {
        let valid =
            format!("use at most {LONGEST_INTERFACE} characters without `/`, `:` and spaces");
        return Err(wrong(format!("{INTERFACE} is `{interface}`: {valid}")));
    }
    Ok(Attachment { container, interface, netns: None })
}

/// Returns whether a text has the form that the specification gives to ids of containers and to
/// names of networks.
pub(super) fn is_identifier(text: &str) -> bool {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_valid)
}

fn is_interface(text: &str) -> bool {
    let is_wrong = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    !matches!(text, "." | "..") && text.len() <= LONGEST_INTERFACE && !text.contains(is_wrong)
}

/// Returns the value of a variable. An empty one counts as missing.
fn required(name: &str) -> Result<String, CniError> {
    let value = env::var_os(name).unwrap_or_default();
    match value.into_string() {
        Ok(text) if text.is_empty() => Err(wrong(format!("the variable {name} is missing"))),
        Ok(text) => Ok(text),
        Err(_) => Err(wrong(format!("the variable {name} is not UTF-8"))),
    }
}

fn wrong(message: String) -> CniError {
    CniError::new(Code::Environment, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_of_the_specification() {
        for name in ["a", "4f00ab", "cni-1.2_3", "0"] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["", "-a", ".a", "_a", "a b", "a/b", "ä"] {
            assert!(!is_identifier(name), "{name}");
        }
        for name in ["eth0", "net-1.x", "x23456789012345"] {
            assert!(is_interface(name), "{name}");
        }
        for name in [".", "..", "a/b", "a:b", "a b", "x234567890123456"] {
            assert!(!is_interface(name), "{name}");
        }
    }
}
