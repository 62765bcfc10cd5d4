//! JSON with the path to each value, so that a fault can be reported at its place.

use super::{ImportError, Origin};
use ipnetwork::Ipv4Network;
use serde_json::{Map, Value};
use std::net::Ipv4Addr;

/// Reads JSON.
///
/// # Errors
/// The place where it is broken, by line.
pub(super) fn parse(text: &str, file: &str) -> Result<Value, ImportError> {
    serde_json::from_str(text).map_err(|error| {
        let help = match error.is_eof() {
            true => "the file ends too early: fetch it again",
            false => "the file is not JSON: fetch it with `--output json`",
        };
        Origin::file(file).error(error.to_string(), help)
    })
}

/// A value and its place. `null` counts as absent.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    value: &'v Value,
    origin: Origin,
}

impl<'v> Node<'v> {
    pub(super) fn root(file: &str, value: &'v Value) -> Self {
        Self { value, origin: Origin::file(file) }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the value at this place.
    pub(super) fn value(&self) -> &'v Value {
        self.value
    }

    /// Returns the members of an object.
    pub(super) fn object(&self) -> Result<&'v Map<String, Value>, ImportError> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    /// Returns a member, if it exists.
    pub(super) fn get(&self, key: &str) -> Result<Option<Node<'v>>, ImportError> {
        let value = self.object()?.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| Node { value, origin: self.origin.member(key) }))
    }

    /// Returns the elements of a list; an absent list has none.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Node<'v>>, ImportError> {
        let Some(list) = self.get(key)? else { return Ok(Vec::new()) };
        let elements = list.value.as_array().ok_or_else(|| list.wrong("a list"))?;
        let elements = elements.iter().enumerate();
        Ok(elements.map(|(at, value)| Node { value, origin: list.origin.element(at) }).collect())
    }

    /// Returns a list of strings.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>, ImportError> {
        self.list(key)?.iter().map(|node| node.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn as_str(&self) -> Result<&'v str, ImportError> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, ImportError> {
        self.get(key)?.map(|node| node.as_str().map(str::to_owned)).transpose()
    }

    /// Returns a string that must exist, and not be empty.
    pub(super) fn required(&self, key: &str) -> Result<String, ImportError> {
        let found = self.string(key)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| {
            self.origin
                .error(format!("it has no {key}"), "EC2 always gives it: fetch the file again")
        })
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, ImportError> {
        let as_bool =
            |node: Node<'_>| node.value.as_bool().ok_or_else(|| node.wrong("true or false"));
        self.get(key)?.map(as_bool).transpose()
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, ImportError> {
        let as_i64 =
            |node: Node<'_>| node.value.as_i64().ok_or_else(|| node.wrong("a whole number"));
        self.get(key)?.map(as_i64).transpose()
    }

    pub(super) fn cidr(&self, key: &str) -> Result<Option<Ipv4Network>, ImportError> {
        self.get(key)?.map(|node| node.origin.cidr(node.as_str()?)).transpose()
    }

    pub(super) fn address(&self, key: &str) -> Result<Option<Ipv4Addr>, ImportError> {
        self.get(key)?.map(|node| node.origin.address(node.as_str()?)).transpose()
    }

    fn wrong(&self, wanted: &str) -> ImportError {
        let is = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.origin.error(format!("this is {is}"), format!("{wanted} is expected here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_their_place() {
        let value = serde_json::json!({"Vpcs": [{"VpcId": 7, "CidrBlock": null, "Is": "no"}]});
        let root = Node::root("v.json", &value);
        let vpc = root.list("Vpcs").unwrap().remove(0);
        assert_eq!(
            vpc.required("VpcId").unwrap_err().to_string(),
            "v.json: Vpcs[0].VpcId: this is a number\n  a string is expected here"
        );
        assert_eq!(vpc.cidr("CidrBlock").unwrap(), None);
        assert!(vpc.required("CidrBlock").unwrap_err().message.contains("it has no CidrBlock"));
        assert!(vpc.boolean("Is").unwrap_err().origin.path.ends_with("Vpcs[0].Is"));
        assert!(root.list("Vpcs").unwrap()[0].list("Is").is_err());
    }

    #[test]
    fn broken_json_is_named_by_line() {
        let error = parse("{\n \"Vpcs\": [", "v.json").unwrap_err();
        assert!(error.message.contains("line 2"), "{error}");
        assert!(error.help.contains("ends too early"), "{error}");
        assert!(parse("Vpcs: []", "v.json").unwrap_err().help.contains("not JSON"));
    }
}
