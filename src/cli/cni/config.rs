//! The network configuration: which lab, and which of its services or resources.

use super::environment::{Verb, is_identifier};
use super::error::{CniError, Code};
use super::version::Version;
use crate::config::{known, lab_name};
use crate::daemon::DEFAULT_LAB;
use crate::daemon::attachments::{Holder, Object};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The keys of egret's own.
const OWN: [&str; 3] = ["lab", "service", "resource"];
/// The keys that the specification, its conventions and engines use, and that egret needs not.
const OF_ENGINES: [&str; 9] = [
    "args",
    "capabilities",
    "cni.dev/attachments",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "ipMasq",
    "loadOnlyInlinedPlugins",
    "runtimeConfig",
];
/// Bytes of a value that a message shows.
const SHOWN: usize = 100;

/// A network configuration.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) version: Version,
    pub(super) lab: String,
    pub(super) object: Object,
    /// The result of the plugin before in a chain, or of the earlier ADD.
    pub(super) prev_result: Option<Map<String, Value>>,
    /// What replaces the lab's resolver in the result.
    pub(super) dns: Option<Value>,
    /// The attachments that still exist.
    pub(super) valid: Option<Vec<Holder>>,
}

/// A configuration as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    name: Option<String>,
    #[serde(rename = "type")]
    _type: Option<String>,
    lab: Option<String>,
    service: Option<String>,
    resource: Option<String>,
    prev_result: Option<Map<String, Value>>,
    dns: Option<Map<String, Value>>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid: Option<Vec<Valid>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// An attachment that still exists.
#[derive(Deserialize)]
struct Valid {
    #[serde(rename = "containerID")]
    container: String,
    ifname: String,
}

impl Config {
    /// Parses a configuration for a verb.
    ///
    /// # Errors
    /// A version that egret does not know or in which the verb does not exist, a key that it does
    /// not know, or a value that is missing or wrong.
    pub(super) fn parse(text: &str, verb: Verb) -> Result<Self, CniError> {
        let value: Value = serde_json::from_str(text).map_err(undecoded)?;
        let version = value.get("cniVersion").map(|version| version.as_str().unwrap_or_default());
        let version = Version::parse(version)?;
        require_verb(verb, version)?;
        let written: Written = serde_json::from_value(value).map_err(undecoded)?;
        require_known(&written.rest)?;
        if !written.name.as_deref().is_some_and(is_identifier) {
            return Err(wrong("`name` is missing, or is not the name of a network"));
        }
        let lab = written.lab.unwrap_or_else(|| DEFAULT_LAB.to_owned());
        let lab = lab_name(&lab).map_err(wrong)?;
        let object = object(written.service, written.resource)?;
        let holder = |Valid { container, ifname: interface }| Holder { container, interface };
        let valid = written.valid.map(|all| all.into_iter().map(holder).collect());
        let dns = written.dns.filter(|dns| !dns.is_empty()).map(Value::Object);
        Ok(Self { version, lab, object, prev_result: written.prev_result, dns, valid })
    }
}

/// Requires that a version has a verb.
fn require_verb(verb: Verb, version: Version) -> Result<(), CniError> {
    match verb {
        Verb::Gc | Verb::Status if version < Version::V1_1 => {
            let message =
                format!("cniVersion {} has no GC and no STATUS: 1.1.0 has", version.as_str());
            Err(CniError::new(Code::IncompatibleVersion, message))
        }
        Verb::Add | Verb::Del | Verb::Check | Verb::Gc | Verb::Status | Verb::Version => Ok(()),
    }
}

fn require_known(rest: &Map<String, Value>) -> Result<(), CniError> {
    let is_unknown = |key: &str| key != "cniVersion" && !OF_ENGINES.contains(&key);
    let Some((key, value)) = rest.iter().find(|(key, _)| is_unknown(key)) else { return Ok(()) };
    let value: String = value.to_string().chars().take(SHOWN).collect();
    let known = known(key, "egret's own keys are", &OWN);
    let message = format!("the configuration has an unknown key `{key}` (value {value}){known}");
    Err(CniError::new(Code::UnsupportedField, message))
}

fn object(service: Option<String>, resource: Option<String>) -> Result<Object, CniError> {
    let (key, object) = match (service, resource) {
        (Some(name), None) => ("service", Object::Service(name)),
        (None, Some(name)) => ("resource", Object::Resource(name)),
        (Some(_), Some(_)) => {
            return Err(wrong("the configuration has `service` and `resource`: give one of them"));
        }
        (None, None) => {
            return Err(wrong("the configuration has neither `service` nor `resource`: give one"));
        }
    };
    let (Object::Service(name) | Object::Resource(name)) = &object;
    match is_identifier(name) {
        true => Ok(object),
        false => Err(wrong(format!("`{key}` is {name:?}, which is no name"))),
    }
}

fn undecoded(error: serde_json::Error) -> CniError {
    CniError::new(Code::Decode, format!("the network configuration cannot be read: {error}"))
}

fn wrong(message: impl std::fmt::Display) -> CniError {
    CniError::new(Code::Config, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    /// Parses a configuration with keys added to a sound one; null removes one.
    fn parse(verb: Verb, changes: Value) -> Result<Config, CniError> {
        let mut config = json!({"cniVersion": "1.1.0", "name": "shop", "type": "egret-cni",
            "lab": "shop", "service": "web"});
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        config.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        Config::parse(&config.to_string(), verb)
    }

    #[test]
    fn keys_of_engines_are_taken_and_others_refused() {
        for key in OF_ENGINES {
            assert!(parse(Verb::Add, json!({ key: true })).is_ok(), "{key}");
        }
        let config = parse(Verb::Add, json!({"lab": null, "prevResult": {"a": 1}})).unwrap();
        assert_eq!((config.lab.as_str(), config.prev_result.unwrap().len()), ("egret", 1));
        let resource = parse(Verb::Add, json!({"service": null, "resource": "db"})).unwrap();
        assert_eq!(resource.object, Object::Resource("db".to_owned()));
        for (changes, code, said) in [
            (json!({"servce": "web"}), Code::UnsupportedField, "did you mean `service`"),
            (json!({"ipam": {"type": "x"}}), Code::UnsupportedField, r#"{"type":"x"}"#),
            (json!({"cniVersion": "2.0.0"}), Code::IncompatibleVersion, "2.0.0"),
            (json!({"cniVersion": null}), Code::IncompatibleVersion, "0.1.0"),
            (json!({"name": null}), Code::Config, "`name`"),
            (json!({"name": "a b"}), Code::Config, "`name`"),
            (json!({"lab": "../x"}), Code::Config, "../x"),
            (json!({"service": null}), Code::Config, "neither"),
            (json!({"resource": "db"}), Code::Config, "`service` and `resource`"),
            (json!({"service": "a/b"}), Code::Config, "a/b"),
            (json!({"service": 1}), Code::Decode, "string"),
            (json!({"prevResult": 1}), Code::Decode, "map"),
        ] {
            let error = parse(Verb::Add, changes.clone()).unwrap_err();
            assert_eq!(error.code(), code, "{changes}");
            let said_so = error.object("1.1.0")["msg"].to_string().replace('\\', "");
            assert!(said_so.contains(said), "{said_so}");
        }
    }

    #[test]
    fn verbs_exist_from_a_version_on() {
        for version in ["0.4.0", "1.0.0"] {
            for (verb, is_there) in
                [(Verb::Add, true), (Verb::Check, true), (Verb::Gc, false), (Verb::Status, false)]
            {
                let parsed = parse(verb, json!({ "cniVersion": version }));
                assert_eq!(parsed.is_ok(), is_there, "{version} {verb:?}");
            }
        }
        assert!(parse(Verb::Gc, json!({})).is_ok());
    }
}
