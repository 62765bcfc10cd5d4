//! The meaning of names while a template is evaluated, and the limits of an evaluation.

use super::fault::Fault;
use super::parameters::Parameter;
use super::template::Template;
use super::tree::Place;
use super::value::{State, Unknown, Value, ValueKind};
use crate::config::import::Options;
use crate::config::names;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The most levels of values within values, conditions within conditions, and attributes of
/// attributes: more than any template needs, and within the stack of a thread.
const DEEPEST: usize = 200;
/// The most values and bytes of all expressions together. A template of 1 MB stays far below.
const MOST_WORK: usize = 1 << 26;
/// The cost of naming another condition or attribute.
const NAMED: usize = 32;
/// The values that replace those of an account if they are not given.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
const STACK: &str = "stack";
/// Pseudo parameters with an invented value, which is good enough in an ARN, and must not decide a
/// condition.
const INVENTED: [&str; 3] = ["AWS::AccountId", "AWS::StackId", "AWS::StackName"];

/// A template with the values of its parameters.
pub(super) struct Scope<'t> {
    pub(super) template: &'t Template,
    pub(super) parameters: HashMap<&'t str, Parameter>,
    options: &'t Options,
    conditions: RefCell<HashMap<&'t str, State>>,
    /// Conditions and attributes that are being evaluated.
    within: RefCell<(Vec<String>, HashSet<String>)>,
    depth: Cell<usize>,
    /// Says that the values are for a condition, which an invented one must not decide.
    comparing: Cell<bool>,
    work: Cell<usize>,
    /// Names of exports whose values were given and used.
    imported: RefCell<BTreeSet<String>>,
    /// Parameters that were needed and have no value.
    missing: RefCell<BTreeMap<String, Place>>,
    /// Values that the template leaves open, with the assumed ones.
    assumed: RefCell<BTreeMap<&'static str, String>>,
}

impl<'t> Scope<'t> {
    pub(super) fn new(
        template: &'t Template,
        parameters: HashMap<&'t str, Parameter>,
        options: &'t Options,
    ) -> Self {
        Self {
            template,
            parameters,
            options,
            conditions: RefCell::default(),
            within: RefCell::default(),
            depth: Cell::default(),
            comparing: Cell::default(),
            work: Cell::default(),
            imported: RefCell::default(),
            missing: RefCell::default(),
            assumed: RefCell::default(),
        }
    }

    /// Makes the fault of an unknown name, with the name that was probably meant.
    pub(super) fn unknown_name(&self, name: &str, place: Place) -> Fault {
        let parameters = self.template.section("Parameters").iter();
        let resources = self.template.section("Resources").iter();
        let valid: Vec<&str> = parameters.chain(resources).map(|entry| &*entry.key).collect();
        let help = match valid.len() {
            0..=30 => names::suggestion(name, &valid),
            many => format!("it is none of the template's {many} parameters and resources"),
        };
        Fault::new(place, format!("there is no resource and no parameter {name}"), help)
    }

    pub(super) fn parameter(&self, name: &str, parameter: &Parameter, place: Place) -> Value {
        match parameter {
            Parameter::Text(text) => Value::text(place, text),
            Parameter::List(values) => {
                let items = values.iter().map(|value| Value::text(place, value)).collect();
                Value { place, kind: ValueKind::List(items) }
            }
            Parameter::Missing => {
                self.missing.borrow_mut().entry(name.to_owned()).or_insert(place);
                Value::unknown(
                    place,
                    format!("the parameter {name} has no value"),
                    format!("give it with --parameter {name}=VALUE"),
                )
            }
            Parameter::Stored(key) => Value::unknown(
                place,
                format!("the parameter {name} is the value of {key} in Systems Manager"),
                format!("give that value with --parameter {name}=VALUE"),
            ),
        }
    }

    pub(super) fn pseudo_parameter(&self, name: &str, place: Place) -> Option<ValueKind> {
        let given =
            self.options.parameters.get(name).filter(|_| name.starts_with("AWS::")).cloned();
        if given.is_none() && self.comparing.get() && INVENTED.contains(&name) {
            let (what, help) = (
                format!("the template does not give {name}"),
                format!("give it with --parameter {name}=VALUE"),
            );
            return Some(ValueKind::Unknown(Unknown { what, help }));
        }
        let text = match name {
            "AWS::NoValue" => return Some(ValueKind::Absent),
            "AWS::NotificationARNs" => return Some(ValueKind::List(Vec::new())),
            "AWS::Region" => self.region(),
            "AWS::AccountId" => given.unwrap_or_else(|| self.assume("AWS::AccountId", ACCOUNT)),
            "AWS::StackName" => given.unwrap_or_else(|| self.assume("AWS::StackName", STACK)),
            "AWS::StackId" => given.unwrap_or_else(|| self.stack_id()),
            "AWS::Partition" => given.unwrap_or_else(|| partition(&self.region()).to_owned()),
            "AWS::URLSuffix" => given.unwrap_or_else(|| url_suffix(&self.region()).to_owned()),
            _ => return None,
        };
        Some(Value::text(place, text).kind)
    }

    /// Returns `AWS::Region`, as `--parameter AWS::Region=` or `--region` gave it.
    pub(super) fn region(&self) -> String {
        let given = self.options.parameters.get("AWS::Region").or(self.options.region.as_ref());
        given.cloned().unwrap_or_else(|| self.assume("AWS::Region", REGION))
    }

    /// Evaluates an operand that a condition compares.
    pub(super) fn comparing<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        let outer = self.comparing.replace(true);
        let outcome = evaluate();
        self.comparing.set(outer);
        outcome
    }

    fn stack_id(&self) -> String {
        let (region, account) = (self.region(), self.pseudo_text("AWS::AccountId"));
        let stack = self.pseudo_text("AWS::StackName");
        let partition = partition(&region);
        format!(
            "arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/00000000-0000-0000-0000-000000000000"
        )
    }

    fn pseudo_text(&self, name: &str) -> String {
        match self.pseudo_parameter(name, Place::default()) {
            Some(ValueKind::Text(text)) => text.to_string(),
            Some(
                ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_),
            )
            | None => String::new(),
        }
    }

    /// Records the assumed value of something that the template leaves open.
    pub(super) fn assume(&self, what: &'static str, taken: &str) -> String {
        self.assumed.borrow_mut().insert(what, taken.to_owned());
        taken.to_owned()
    }

    /// Returns the value that another stack exports under a name, as `--parameter` gave it.
    pub(super) fn import(&self, name: &str, place: Place) -> Value {
        if let Some(value) = self.options.parameters.get(name) {
            self.imported.borrow_mut().insert(name.to_owned());
            return Value::text(place, value);
        }
        Value::unknown(
            place,
            format!("another stack exports {name}"),
            format!("give its value with --parameter {name}=VALUE"),
        )
    }

    /// Evaluates an expression that no verdict depends on: the user need not give a value for it.
    pub(super) fn aside<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        let before = (self.missing.borrow().clone(), self.assumed.borrow().clone());
        let outcome = evaluate();
        (*self.missing.borrow_mut(), *self.assumed.borrow_mut()) = before;
        outcome
    }

    /// Returns the faults of parameters that an expression needed, with the places.
    pub(super) fn missing(&self) -> Vec<Fault> {
        let missing = self.missing.borrow();
        let fault = |(name, place): (&String, &Place)| {
            Fault::new(
                *place,
                format!("the parameter {name} has no default and was not given"),
                format!("give it with --parameter {name}=VALUE"),
            )
        };
        missing.iter().map(fault).collect()
    }

    /// Returns the faults of names in `--parameter` that neither a parameter nor an import of the
    /// template has.
    pub(super) fn misnamed(&self) -> Vec<Fault> {
        let parameters = self.template.section("Parameters");
        let declared: Vec<&str> = parameters.iter().map(|entry| &*entry.key).collect();
        let imported = self.imported.borrow();
        // Names of exports may have colons and hyphens, and an import that no verdict depends on is
        // not looked up.
        let is_one = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let unknown =
            |name: &&String| !declared.contains(&name.as_str()) && !imported.contains(*name);
        let names = self.options.parameters.keys().filter(is_one).filter(unknown);
        let fault = |name: &String| {
            let help = match declared.is_empty() {
                true => "the template has no parameters".to_owned(),
                false => names::suggestion(name, &declared),
            };
            let message = format!("--parameter {name}: the template has no such parameter");
            Fault::new(Place::default(), message, help)
        };
        names.map(fault).collect()
    }

    pub(super) fn assumed(&self) -> BTreeMap<&'static str, String> {
        self.assumed.borrow().clone()
    }

    pub(super) fn known_condition(&self, name: &str) -> Option<State> {
        self.conditions.borrow().get(name).cloned()
    }

    pub(super) fn remember_condition(&self, name: &'t str, state: State) {
        self.conditions.borrow_mut().insert(name, state);
    }

    /// Runs the evaluation of a named part, which must not lead back to itself.
    pub(super) fn within<T>(
        &self,
        name: String,
        place: Place,
        evaluate: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.spend(NAMED, place)?;
        if !self.within.borrow_mut().1.insert(name.clone()) {
            let path = self.within.borrow();
            let circle: Vec<&str> =
                path.0.iter().map(String::as_str).skip_while(|outer| *outer != name).collect();
            return Err(Fault::new(
                place,
                format!("{name} depends on itself: {} -> {name}", circle.join(" -> ")),
                "break the circle: one of them must not name the next",
            ));
        }
        self.within.borrow_mut().0.push(name.clone());
        let outcome = evaluate();
        let mut path = self.within.borrow_mut();
        path.0.pop();
        path.1.remove(&name);
        drop(path);
        outcome
    }

    /// Goes one level deeper, until the result is dropped.
    pub(super) fn deeper(&self, place: Place) -> Result<Deeper<'_>, Fault> {
        self.spend(1, place)?;
        let depth = self.depth.get();
        if depth >= DEEPEST {
            return Err(Fault::new(
                place,
                format!(
                    "the expression goes through more than {DEEPEST} values that are nested or name each other"
                ),
                "write the value in its place, or split the expression",
            ));
        }
        self.depth.set(depth + 1);
        Ok(Deeper(&self.depth))
    }

    /// Counts work, so that expressions which repeat each other's results come to an end.
    pub(super) fn spend(&self, work: usize, place: Place) -> Result<(), Fault> {
        let sum = self.work.get().saturating_add(work);
        self.work.set(sum);
        match sum > MOST_WORK {
            true => Err(Fault::new(
                place,
                "the template's expressions are too large together",
                "some of them repeat each other's results many times over: write those out",
            )),
            false => Ok(()),
        }
    }
}

/// A level of [`Scope::deeper`].
pub(super) struct Deeper<'s>(&'s Cell<usize>);

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Returns `AWS::Partition` of a region.
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Returns `AWS::URLSuffix` of a region.
fn url_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
