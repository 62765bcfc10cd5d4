//! The constraints on requests: those of the service model, as data, and the one walk that checks
//! them. SDKs check next to nothing themselves (spec 1.1).

use super::fault::{Fault, FaultKind};
use super::noting::Setting;
use crate::config::apprunner::AppRunner;
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Elements of the longest list. The model sets no bound; AWS's limits for subnets, groups and tags
/// are far below.
const LONGEST_LIST: usize = 200;
/// The most failures that one answer lists.
const MOST_FAILURES: usize = 100;

/// The type and constraints of a member.
pub(super) enum Shape {
    /// A string.
    String(&'static Text),
    /// One of these words.
    Enum(&'static [&'static str]),
    /// An integer within bounds, both included.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// A list of these.
    List(&'static Shape),
    /// An object with keys of the user's choice.
    Map(&'static Text, &'static Text),
    /// An object with known members. Others are ignored, as AWS does.
    Structure(&'static [Member]),
}

/// A member of a structure.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: &'static Shape,
    pub(super) required: bool,
    /// The setting that decides about constraints from here on: `None` means as above it, and at
    /// the top that all are enforced.
    pub(super) setting: Option<Setting>,
}

/// A string's constraints.
pub(super) struct Text {
    /// Its length in characters.
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) pattern: Option<&'static Pattern>,
    /// True if no message may show it.
    pub(super) sensitive: bool,
}

/// A regular expression that the whole string must match.
pub(super) struct Pattern {
    pub(super) text: &'static str,
    pub(super) regex: LazyLock<Result<Regex, regex::Error>>,
}

/// A [`Pattern`], as an initializer of a static.
macro_rules! pattern {
    ($text:expr) => {
        pattern!($text, $text)
    };
    // The model's pattern, and an equivalent one without look-ahead.
    ($text:expr, $same:expr) => {
        $crate::apprunner::shape::Pattern {
            text: $text,
            regex: std::sync::LazyLock::new(|| regex::Regex::new(concat!("^(?:", $same, ")$"))),
        }
    };
}
pub(super) use pattern;

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        // A test has compiled each; one that does not compile would refuse everything.
        self.regex.as_ref().is_ok_and(|regex| regex.is_match(text))
    }
}

/// Checks a value: returns it with only the members that the shape knows, and notes on failed
/// constraints that are accepted. A member that is `null` counts as absent.
///
/// # Errors
/// `SerializationException` if a type is wrong, and otherwise `InvalidRequestException` with all
/// failed constraints that are not accepted.
pub(super) fn checked(
    shape: &Shape,
    value: Value,
    lab: &AppRunner,
) -> Result<(Value, Vec<String>), Fault> {
    let (failures, notes) = (Vec::new(), Vec::new());
    let mut walk = Walk { path: Vec::new(), setting: None, lab, failures, notes };
    let value = walk.value(shape, value)?;
    let count = walk.failures.len();
    if count == 0 {
        return Ok((value, walk.notes));
    }
    let errors = if count == 1 { "error" } else { "errors" };
    let failures = walk.failures.join("; ");
    Err(Fault::invalid(format!("{count} validation {errors} detected: {failures}")))
}

struct Walk<'a> {
    path: Vec<String>,
    setting: Option<Setting>,
    lab: &'a AppRunner,
    failures: Vec<String>,
    notes: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, shape: &Shape, value: Value) -> Result<Value, Fault> {
        match (shape, value) {
            (Shape::String(text), Value::String(string)) => {
                self.text(text, &string);
                Ok(Value::String(string))
            }
            (Shape::Enum(words), Value::String(string)) => {
                if !words.contains(&string.as_str()) {
                    let words = words.join(", ");
                    self.fails(Some(&string), &format!("satisfy enum value set: [{words}]"));
                }
                Ok(Value::String(string))
            }
            (Shape::Integer(least, most), Value::Number(number)) => {
                let Some(integer) = number.as_i64() else {
                    return Err(self.wrong_type(shape, &Value::Number(number)));
                };
                let shown = integer.to_string();
                if integer < *least {
                    let constraint = format!("have value greater than or equal to {least}");
                    self.fails(Some(&shown), &constraint);
                } else if integer > *most {
                    let constraint = format!("have value less than or equal to {most}");
                    self.fails(Some(&shown), &constraint);
                }
                Ok(Value::Number(number))
            }
            (Shape::Boolean, Value::Bool(word)) => Ok(Value::Bool(word)),
            (Shape::List(element), Value::Array(values)) => self.list(element, values),
            (Shape::Map(key, value), Value::Object(entries)) => self.map(key, value, entries),
            (Shape::Structure(members), Value::Object(given)) => self.structure(members, given),
            (_, value) => Err(self.wrong_type(shape, &value)),
        }
    }

    fn list(&mut self, element: &Shape, values: Vec<Value>) -> Result<Value, Fault> {
        if values.len() > LONGEST_LIST {
            self.fails(None, &format!("have length less than or equal to {LONGEST_LIST}"));
            return Ok(Value::Array(Vec::new()));
        }
        let mut kept = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            self.path.push(format!("{}.member", index + 1));
            kept.push(self.value(element, value)?);
            self.path.pop();
        }
        Ok(Value::Array(kept))
    }

    fn map(&mut self, key: &Text, of: &Text, entries: Map<String, Value>) -> Result<Value, Fault> {
        for (name, value) in &entries {
            self.path.push("key".to_owned());
            self.text(key, name);
            self.path.pop();
            self.path.push("value".to_owned());
            let Value::String(text) = value else {
                return Err(self.mismatch("a string", value));
            };
            self.text(of, text);
            self.path.pop();
        }
        Ok(Value::Object(entries))
    }

    fn structure(
        &mut self,
        members: &'static [Member],
        mut given: Map<String, Value>,
    ) -> Result<Value, Fault> {
        let mut kept = Map::new();
        for member in members {
            self.path.push(camel(member.name));
            match given.remove(member.name).filter(|value| !value.is_null()) {
                Some(value) => {
                    let above = self.setting;
                    self.setting = member.setting.or(above);
                    kept.insert(member.name.to_owned(), self.value(member.shape, value)?);
                    self.setting = above;
                }
                None if member.required => self.fails(Some("null"), "not be null"),
                None => {}
            }
            self.path.pop();
        }
        Ok(Value::Object(kept))
    }

    fn text(&mut self, text: &Text, given: &str) {
        let shown = (!text.sensitive).then_some(given);
        let length = given.chars().count();
        if length < text.least {
            let least = text.least;
            self.fails(shown, &format!("have length greater than or equal to {least}"));
        } else if length > text.most {
            self.fails(shown, &format!("have length less than or equal to {}", text.most));
        } else if let Some(pattern) = text.pattern.filter(|p| !p.matches(given)) {
            self.fails(shown, &format!("satisfy regular expression pattern: {}", pattern.text));
        }
    }

    fn fails(&mut self, value: Option<&str>, constraint: &str) {
        // A message has its own limit; a value that fills it says less than the constraint.
        let value = value.filter(|value| value.chars().count() <= 100);
        let value = value.map_or_else(String::new, |value| format!(" '{value}'"));
        let place = self.path.join(".");
        let failure = format!(
            "Value{value} at '{place}' failed to satisfy constraint: Member must {constraint}"
        );
        let note = self.setting.and_then(|setting| setting.note(self.lab, &failure));
        let list = if note.is_some() { &mut self.notes } else { &mut self.failures };
        if list.len() < MOST_FAILURES {
            list.push(note.unwrap_or(failure));
        }
    }

    fn wrong_type(&self, shape: &Shape, value: &Value) -> Fault {
        self.mismatch(
            match shape {
                Shape::String(_) | Shape::Enum(_) => "a string",
                Shape::Integer(..) => "an integer",
                Shape::Boolean => "true or false",
                Shape::List(_) => "a list",
                Shape::Map(..) | Shape::Structure(_) => "an object",
            },
            value,
        )
    }

    fn mismatch(&self, expected: &str, value: &Value) -> Fault {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let place = match self.path.is_empty() {
            true => "the body".to_owned(),
            false => format!("'{}'", self.path.join(".")),
        };
        Fault::new(FaultKind::Serialization, format!("{place}: expected {expected}, got {found}"))
    }
}

/// Converts a member's name to AWS's spelling in messages, which begins in lower case as in Java.
fn camel(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// Converts a request to a type; its shape has been checked.
pub(super) fn typed<T: DeserializeOwned>(request: Value) -> Result<T, Fault> {
    serde_json::from_value(request)
        .map_err(|error| Fault::new(FaultKind::Serialization, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::shapes;
    use super::*;
    use crate::config::apprunner::Strictness;
    use serde_json::json;

    fn strict() -> AppRunner {
        let (access_role, source) = (Strictness::Require, Strictness::Require);
        AppRunner { access_role, source, ..AppRunner::default() }
    }

    fn connector(value: Value) -> Result<Value, Fault> {
        checked(&shapes::CREATE_VPC_CONNECTOR, value, &AppRunner::default()).map(|(value, _)| value)
    }

    fn service(value: Value) -> Fault {
        checked(&shapes::CREATE_SERVICE, value, &strict()).unwrap_err()
    }

    #[test]
    fn unknown_members_are_left_out_and_null_is_absent() {
        let given = json!({"VpcConnectorName": "abcd", "Subnets": ["s"], "Color": 1, "Tags": null});
        assert_eq!(connector(given), Ok(json!({"VpcConnectorName": "abcd", "Subnets": ["s"]})));
    }

    #[test]
    fn all_failures_are_reported_together_with_their_places() {
        let given = json!({"VpcConnectorName": "a b!!", "Tags": [{"Key": "", "Value": "v"}]});
        let fault = connector(given).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert_eq!(
            fault.message,
            "3 validation errors detected: Value 'a b!!' at 'vpcConnectorName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,39}; Value 'null' at 'subnets' failed to \
             satisfy constraint: Member must not be null; Value '' at 'tags.1.member.key' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        );
    }

    #[test]
    fn a_list_has_an_end_and_so_has_an_answer() {
        let many: Vec<String> = (0..=LONGEST_LIST).map(|n| format!("subnet-{n}")).collect();
        let given = json!({"VpcConnectorName": "abcd", "Subnets": many});
        let message = connector(given).unwrap_err().message;
        let expected = "Value at 'subnets' failed to satisfy constraint: Member must have length less than or equal to 200";
        assert!(message.ends_with(expected), "{message}");
        let bad: serde_json::Map<String, Value> =
            (0..1000).map(|n| (format!("k{n}"), json!("v".repeat(3000)))).collect();
        let given = json!({"ServiceName": "abcd", "SourceConfiguration": {"ImageRepository": {
            "ImageIdentifier": "public.ecr.aws/a/b", "ImageRepositoryType": "ECR_PUBLIC",
            "ImageConfiguration": {"RuntimeEnvironmentSecrets": bad}}}});
        let message = service(given).message;
        assert!(message.starts_with("100 validation errors"), "{message}");
    }

    /// A strict lab refuses each; another one accepts it as it is, with a note that contains these
    /// words.
    #[test]
    fn members_that_egret_does_not_run_are_noted_unless_the_lab_file_has_them_refused() {
        let image = |identifier: &str| {
            json!({"SourceConfiguration": {"ImageRepository":
                {"ImageIdentifier": identifier, "ImageRepositoryType": "ECR"}}})
        };
        let role = "arn:aws:iam::1:role/a";
        let code = json!({"SourceCodeVersion": {"Type": "TAG", "Value": "1"}, "CodeConfiguration":
            {"ConfigurationSource": "API", "CodeConfigurationValues": {"Runtime": "NODEJS_24"}}});
        for (given, parts) in [
            (image("nginx:latest"), &["'nginx:latest' at", "source = "][..]),
            (image("1234.dkr.ecr.eu-central-1.amazonaws.com/a:1"), &["imageIdentifier"]),
            (
                json!({"SourceConfiguration": {"AuthenticationConfiguration":
                    {"ConnectionArn": "arn", "AccessRoleArn": role}}}),
                &["connectionArn", "accessRoleArn", "access_role = "],
            ),
            (
                json!({"SourceConfiguration": {"CodeRepository": code}}),
                &["repositoryUrl", "'TAG'", "'NODEJS_24'"],
            ),
            (json!({"InstanceConfiguration": {"InstanceRoleArn": role}}), &["access_role = "]),
            (json!({"InstanceConfiguration": {"Cpu": "16 vCPU"}}), &["'16 vCPU'"]),
            (json!({"EncryptionConfiguration": {"KmsKey": "alias/mine"}}), &["'alias/mine'"]),
            (json!({"AutoScalingConfigurationArn": "mine"}), &["autoScalingConfigurationArn"]),
            (json!({"ObservabilityConfiguration": {}}), &["observabilityEnabled"]),
            (json!({"HealthCheckConfiguration": {"Interval": 60}}), &["interval"]),
        ] {
            let mut request = json!({"ServiceName": "abcd", "SourceConfiguration": {}});
            request.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let strict = service(request.clone());
            assert_eq!(strict.kind, FaultKind::InvalidRequest, "{strict}");
            let lab = AppRunner::default();
            let (kept, notes) = checked(&shapes::CREATE_SERVICE, request.clone(), &lab).unwrap();
            assert_eq!(kept, request);
            for part in parts {
                assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:?}");
            }
        }
    }

    #[test]
    fn members_about_the_network_are_refused_whatever_the_lab_file_says() {
        for given in [
            json!({"NetworkConfiguration": {"EgressConfiguration": {"EgressType": "SOME"}}}),
            json!({"NetworkConfiguration": {"EgressConfiguration": {"VpcConnectorArn": "a"}}}),
            json!({"NetworkConfiguration": {"IpAddressType": "IPV6"}}),
            json!({"ServiceName": "a"}),
            json!({"Tags": [{"Key": "aws:a"}]}),
        ] {
            let mut request =
                json!({"ServiceName": "abcd", "SourceConfiguration": {"ImageRepository": {}}});
            request.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let lab = AppRunner::default();
            let fault = checked(&shapes::CREATE_SERVICE, request, &lab).unwrap_err();
            assert!(fault.message.starts_with("1 validation error detected"), "{fault}");
        }
    }

    #[test]
    fn a_wrong_type_is_another_fault() {
        for (given, message) in [
            (json!([]), "the body: expected an object, got a list"),
            (json!({"VpcConnectorName": 1}), "'vpcConnectorName': expected a string, got a number"),
            (
                json!({"VpcConnectorName": "abcd", "Subnets": ["a", null]}),
                "'subnets.2.member': expected a string, got null",
            ),
        ] {
            let fault = connector(given).unwrap_err();
            assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Serialization, message));
        }
    }

    #[test]
    fn no_message_shows_what_is_sensitive() {
        let secret = "begin\nend";
        let given = json!({"ServiceName": "abcd", "SourceConfiguration": {"ImageRepository": {
            "ImageIdentifier": "public.ecr.aws/a/b", "ImageRepositoryType": "ECR_PUBLIC",
            "ImageConfiguration": {"StartCommand": secret}}}});
        let fault = service(given);
        assert!(fault.message.contains("imageConfiguration.startCommand"), "{}", fault.message);
        assert!(!fault.message.contains(secret), "{}", fault.message);
    }
}
