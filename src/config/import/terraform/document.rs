//! Reads `terraform show -json` as a list of resources of all modules; a plan's resources come with
//! their configuration (Terraform's "JSON Output Format", format versions 0 and 1).

use super::address::{Index, ModulePath};
use super::sensitive;
use crate::config::import::secrets::Secrets;
use crate::config::import::{ImportError, ImportErrors, Origin};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The resources of a state or a plan.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) resources: Vec<Resource>,
    /// Resources that a plan deletes, replaces or changes, as they are before: AWS still lists them
    /// in the objects that they are a part of.
    pub(super) former: Vec<Resource>,
    /// `configuration` of a plan.
    pub(super) configuration: Value,
    /// The values that Terraform marks as sensitive.
    pub(super) secrets: Secrets,
}

/// One instance of a resource or a data source.
#[derive(Debug)]
pub(super) struct Resource {
    /// The address, such as `module.net.aws_subnet.private["a"]`.
    pub(super) address: String,
    /// Marks a data source.
    pub(super) data: bool,
    /// `type`, such as `aws_subnet`.
    pub(super) kind: String,
    /// `name`, such as `private`.
    pub(super) name: String,
    /// `index`, of `count` or `for_each`.
    pub(super) index: Option<Index>,
    /// Its module.
    pub(super) module: ModulePath,
    /// `values`.
    pub(super) values: Value,
    /// `after_unknown` of a plan: `true` if a value is known only after the apply.
    pub(super) unknown: Value,
    /// The file and the address.
    pub(super) origin: Origin,
}

impl Document {
    /// Reads the output of `terraform show -json`.
    ///
    /// # Errors
    /// It is not JSON, not Terraform's format, or of an unknown version.
    pub(super) fn read(text: &str, file: &Origin) -> Result<Self, ImportErrors> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            file.error(
                format!("not the JSON of `terraform show -json`: {error}"),
                "write it whole: terraform show -json > state.json, or terraform show -json PLAN > plan.json",
            )
        })?;
        check_version(&value, file)?;
        let mut reading =
            Reading { file, resources: Vec::new(), former: Vec::new(), errors: Vec::new() };
        let configuration = match value.get("planned_values") {
            Some(planned) => {
                reading.root(planned, &file.at("planned_values"), Wanted::All);
                if let Some(prior) = value.pointer("/prior_state/values") {
                    reading.root(prior, &file.at("prior_state.values"), Wanted::Data);
                }
                reading.changes(value.get("resource_changes").unwrap_or(&Value::Null));
                value.get("configuration").cloned().unwrap_or_default()
            }
            None => {
                let values = value.get("values").ok_or_else(|| no_values(&value, file))?;
                reading.root(values, &file.at("values"), Wanted::All);
                Value::Null
            }
        };
        match reading.errors {
            errors if errors.is_empty() => {
                let Reading { resources, former, .. } = reading;
                Ok(Self { resources, former, configuration, secrets: sensitive::secrets(&value) })
            }
            errors => Err(ImportErrors(errors)),
        }
    }
}

impl Resource {
    /// Decides whether one of its attributes, at any depth, names subnets or a VPC.
    pub(super) fn is_in_a_vpc(&self) -> bool {
        fn names_one(value: &Value) -> bool {
            match value {
                Value::Object(members) => members.iter().any(|(key, value)| {
                    IN_A_VPC.contains(&key.as_str()) && is_said(value) || names_one(value)
                }),
                Value::Array(elements) => elements.iter().any(names_one),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
            }
        }
        names_one(&self.values) || names_one(&self.unknown)
    }

    /// Returns its region: the provider's own attribute, or the one in its ARN.
    pub(super) fn region(&self) -> Option<&str> {
        let text = |key: &str| self.values.get(key).and_then(Value::as_str);
        text("region")
            .filter(|_| !self.data)
            .or_else(|| text("arn")?.split(':').nth(3))
            .filter(|region| !region.is_empty())
    }
}

/// Attributes that name the place of an object.
const IN_A_VPC: [&str; 5] = ["subnet_id", "subnet_ids", "subnets", "vpc_id", "vpc_subnet_ids"];

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(said) => *said,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn check_version(value: &Value, file: &Origin) -> Result<(), ImportError> {
    let help = "give the output of: terraform show -json [PLAN]";
    if value.get("version").is_some() && value.get("lineage").is_some() {
        return Err(file.error("this is Terraform's state file, whose format is its own", help));
    }
    let place = file.at("format_version");
    let version = match value.get("format_version") {
        Some(Value::String(version)) => version,
        Some(other) => {
            return Err(place.error(format!("{}, not a version", type_name(other)), help));
        }
        None => {
            return Err(
                file.error("not the output of `terraform show -json`: no format_version", help)
            );
        }
    };
    match version.split('.').next() {
        Some("0" | "1") => Ok(()),
        _ => Err(place.error(
            format!("format version {version:?} is not known: egret reads 0.x and 1.x"),
            "show it with a Terraform whose format is 1.x (1.1 and later)",
        )),
    }
}

fn no_values(value: &Value, file: &Origin) -> ImportError {
    let what = if value.get("errored") == Some(&Value::Bool(true)) {
        "a plan that failed: it has no planned_values"
    } else {
        "it has neither values nor planned_values: the state is empty"
    };
    file.error(what, "apply or plan first, then: terraform show -json [PLAN]")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Data sources that were read before the plan: the managed ones are in `planned_values`.
    Data,
}

struct Reading<'a> {
    file: &'a Origin,
    resources: Vec<Resource>,
    former: Vec<Resource>,
    errors: Vec<ImportError>,
}

impl Reading<'_> {
    fn root(&mut self, values: &Value, place: &Origin, wanted: Wanted) {
        if let Some(module) = values.get("root_module") {
            self.module(module, &place.member("root_module"), wanted);
        }
    }

    fn module(&mut self, module: &Value, place: &Origin, wanted: Wanted) {
        let path = module.get("address").and_then(Value::as_str).unwrap_or_default();
        let path = ModulePath::parse(path);
        for (position, resource) in self.list(module, "resources", place).iter().enumerate() {
            let place = place.member("resources").element(position);
            match read_resource(resource, &path, self.file, &place) {
                Ok(resource) if wanted == Wanted::Data && !resource.data => {}
                Ok(resource) => self.resources.push(resource),
                Err(error) => self.errors.push(error),
            }
        }
        for (position, child) in self.list(module, "child_modules", place).iter().enumerate() {
            self.module(child, &place.member("child_modules").element(position), wanted);
        }
    }

    fn list<'v>(&mut self, object: &'v Value, key: &str, place: &Origin) -> &'v [Value] {
        match object.get(key) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(elements)) => elements,
            Some(other) => {
                self.errors.push(wrong_type(&place.member(key), other, "a list"));
                &[]
            }
        }
    }

    /// Reads `resource_changes`: the unknown values, and the resources as they are before the plan.
    fn changes(&mut self, changes: &Value) {
        let unknown: HashMap<&str, &Value> = changes
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|change| {
                Some((change.get("address")?.as_str()?, change.pointer("/change/after_unknown")?))
            })
            .collect();
        for resource in &mut self.resources {
            if let Some(unknown) = unknown.get(resource.address.as_str()) {
                resource.unknown = (*unknown).clone();
            }
        }
        for change in changes.as_array().into_iter().flatten() {
            self.former.extend(former(change, self.file));
        }
    }
}

/// Returns a managed resource as it is before the plan, if the plan changes it.
fn former(change: &Value, file: &Origin) -> Option<Resource> {
    let text = |key: &str| change.get(key)?.as_str().map(str::to_owned);
    let ends = |action: &Value| matches!(action.as_str(), Some("delete" | "update"));
    let actions = change.pointer("/change/actions")?.as_array()?;
    let values = change.pointer("/change/before").filter(|before| before.is_object())?;
    let (address, kind) = (text("address")?, text("type")?);
    if text("mode").as_deref() != Some("managed") || !actions.iter().any(ends) {
        return None;
    }
    Some(Resource {
        data: false,
        kind,
        name: text("name").unwrap_or_default(),
        index: None,
        module: ModulePath::default(),
        values: values.clone(),
        unknown: Value::Null,
        origin: file.at(address.clone()),
        address,
    })
}

fn read_resource(
    value: &Value,
    module: &ModulePath,
    file: &Origin,
    place: &Origin,
) -> Result<Resource, ImportError> {
    let text =
        |key: &str| match value.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong_type(&place.member(key), other, "a string")),
            None => Err(place
                .error(format!("a resource without {key}"), "show it with `terraform show -json`")),
        };
    let address = text("address")?;
    let origin = file.at(address.clone());
    let index = match value.get("index") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(Index::Key(key.clone())),
        Some(Value::Number(number)) => number.as_u64().map(Index::Count),
        Some(other) => {
            return Err(wrong_type(&origin.member("index"), other, "a number or a string"));
        }
    };
    let values = match value.get("values") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(values @ Value::Object(_)) => values.clone(),
        Some(other) => return Err(wrong_type(&origin.member("values"), other, "an object")),
    };
    Ok(Resource {
        data: value.get("mode").and_then(Value::as_str) == Some("data"),
        kind: text("type")?,
        name: text("name")?,
        index,
        module: module.clone(),
        values,
        unknown: Value::Null,
        origin,
        address,
    })
}

/// Makes the error of a value of a type that the format does not have there.
pub(super) fn wrong_type(place: &Origin, found: &Value, wanted: &str) -> ImportError {
    place.error(
        format!("{} where {wanted} belongs", type_name(found)),
        "give the unchanged output of: terraform show -json [PLAN]",
    )
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
