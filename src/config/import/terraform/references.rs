//! Resolves unknown values of a plan. The plan has `null` for such a value, and its `configuration`
//! lists the objects that the expression refers to. If that leaves one answer, it is the answer.
//!
//! An object that is to be created has no id; its address replaces it. The configuration lists the
//! references of an expression, and not its result, so one of several candidates is taken only for
//! a reason: the same `count.index` or `each.key`.

use super::address::{Index, ModulePath, Step, steps};
use super::document::{Document, Resource};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The most modules through which a value is passed on.
const MAX_DEPTH: usize = 32;

/// The most references that are followed for one value; a configuration with more of them is not
/// understood.
const MAX_STEPS: u32 = 10_000;

/// Finds the objects of references.
pub(super) struct References<'a> {
    instances: HashMap<(&'a ModulePath, bool, &'a str, &'a str), Vec<&'a Resource>>,
    modules: BTreeSet<&'a ModulePath>,
    configuration: &'a Value,
    configured: HashMap<Configured<'a>, &'a Value>,
    steps_left: Cell<u32>,
}

/// A configured resource: the calls that lead to its module, true for a data source, its type and
/// its name.
type Configured<'a> = (Vec<&'a str>, bool, &'a str, &'a str);

/// The possible values of an expression.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The ids that were found, each once, in the expression's order.
    pub(super) found: Vec<Candidate>,
    /// A reference that leads to no object of the plan, such as `local.subnets`.
    pub(super) lost: Option<String>,
    /// A known value that the expression has beside the ids, such as `var.public`: it may choose,
    /// or add to them.
    pub(super) known: Option<String>,
    /// Says that the expression is that of several blocks, so that each block's own part is
    /// unknown.
    pub(super) shared: bool,
    /// Says that several instances were taken together or one of them by its index: the expression
    /// may do otherwise.
    pub(super) guessed: bool,
}

/// An id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The id, or the address that replaces it.
    pub(super) id: String,
    /// `type` of the object, if it is in the plan.
    pub(super) kind: Option<String>,
    /// The resource that it is of, without an index.
    pub(super) source: String,
}

/// The scope of references: a module, and the instance of a resource or a module there.
struct ModuleScope<'s> {
    module: &'s ModulePath,
    index: Option<&'s Index>,
    /// `for_each` or `count` of that instance.
    each: &'s Value,
    depth: usize,
}

impl<'a> References<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        let mut instances: HashMap<_, Vec<&Resource>> = HashMap::new();
        for resource in &document.resources {
            instances
                .entry((
                    &resource.module,
                    resource.data,
                    resource.kind.as_str(),
                    resource.name.as_str(),
                ))
                .or_default()
                .push(resource);
        }
        let modules = instances.keys().map(|(module, ..)| *module).collect();
        let configuration = document.configuration.get("root_module").unwrap_or(&Value::Null);
        let mut configured = HashMap::new();
        index_configuration(configuration, &mut Vec::new(), &mut configured);
        Self { instances, modules, configuration, configured, steps_left: Cell::new(0) }
    }

    /// Returns the references of an attribute's expression; `path` leads to the attribute, through
    /// blocks. `None` if the configuration does not set it, so that AWS does.
    pub(super) fn of_attribute(&self, resource: &Resource, path: &[Step]) -> Option<Candidates> {
        self.steps_left.set(MAX_STEPS);
        self.attribute(resource, path, 0)
    }

    fn attribute(&self, resource: &Resource, path: &[Step], depth: usize) -> Option<Candidates> {
        let configured = self.configured(resource)?;
        let (references, shared) = references_at(configured.get("expressions")?, path)?;
        let each = configured
            .get("for_each_expression")
            .or_else(|| configured.get("count_expression"))
            .unwrap_or(&Value::Null);
        let scope =
            ModuleScope { module: &resource.module, index: resource.index.as_ref(), each, depth };
        let mut candidates = Candidates { shared, ..Candidates::default() };
        self.resolve(&references, &scope, &mut candidates);
        Some(candidates)
    }

    /// Returns the resource's entry in the configuration.
    fn configured(&self, resource: &Resource) -> Option<&'a Value> {
        let calls = resource.module.0.iter().map(|(name, _)| name.as_str()).collect();
        self.configured.get(&(calls, resource.data, &resource.kind, &resource.name)).copied()
    }

    fn module(&self, path: &ModulePath) -> Option<&'a Value> {
        let mut module = self.configuration;
        for (name, _) in &path.0 {
            module = module.get("module_calls")?.get(name)?.get("module")?;
        }
        Some(module)
    }

    fn resolve(&self, references: &[&str], scope: &ModuleScope<'_>, into: &mut Candidates) {
        let left = self.steps_left.get();
        if scope.depth > MAX_DEPTH || left == 0 {
            into.lost = references.first().map(|&first| first.to_owned());
            return;
        }
        // Each reference costs a step, even if it leads nowhere.
        let cost = u32::try_from(references.len()).unwrap_or(u32::MAX).max(1);
        self.steps_left.set(left.saturating_sub(cost));
        let indexed =
            references.iter().any(|one| one.starts_with("each.") || *one == "count.index");
        for reference in without_prefixes(references) {
            let path = steps(reference);
            let Some(Step::Name(first)) = path.first() else { continue };
            match first.as_str() {
                "count" | "path" | "terraform" | "self" => {}
                "each" => self.each_value(&path, scope, into),
                "local" => into.lost = Some(reference.to_owned()),
                "var" => self.variable(&path, scope, indexed, into),
                "module" => self.output(&path, scope, indexed, into),
                "data" => self.object(&path[1..], true, scope, indexed, into),
                _ => self.object(&path, false, scope, indexed, into),
            }
        }
    }

    /// Resolves `each.value`, if `for_each` is over resources: the one with the same key.
    fn each_value(&self, path: &[Step], scope: &ModuleScope<'_>, into: &mut Candidates) {
        if path.get(1) != Some(&Step::Name("value".to_owned())) {
            return;
        }
        let Some(over) = scope.each.get("references").and_then(strings) else { return };
        let within = ModuleScope { each: &Value::Null, depth: scope.depth + 1, ..*scope };
        let mut all = Candidates::default();
        for reference in without_prefixes(&over) {
            let mut over = steps(reference);
            if over.first() == Some(&Step::Name("local".to_owned())) {
                all.lost = Some(reference.to_owned());
                continue;
            }
            over.extend(path.iter().skip(2).cloned());
            let text = rendered(&over);
            self.resolve(&[&text, "each.key"], &within, &mut all);
        }
        into.guessed |= !all.found.is_empty();
        merge(all, into);
    }

    /// Resolves `var.x`: the value that the module's caller passes.
    fn variable(
        &self,
        path: &[Step],
        scope: &ModuleScope<'_>,
        indexed: bool,
        into: &mut Candidates,
    ) {
        let lost = rendered(path);
        let Some(Step::Name(name)) = path.get(1) else { return };
        let passed = scope.module.split().and_then(|(parent, call, index)| {
            let call = self.module(&parent)?.get("module_calls")?.get(call)?;
            let (references, _) =
                references_at(call.get("expressions")?, &[Step::Name(name.clone())])?;
            Some((parent, call, index, references))
        });
        let Some((parent, call, index, references)) = passed else {
            // A variable of the root, or a default: known, so not the unknown part of the
            // expression.
            into.known.get_or_insert(lost);
            return;
        };
        let each = call
            .get("for_each_expression")
            .or_else(|| call.get("count_expression"))
            .unwrap_or(&Value::Null);
        let outer = ModuleScope { module: &parent, index, each, depth: scope.depth + 1 };
        let mut all = Candidates::default();
        self.resolve(&references, &outer, &mut all);
        // `var.ids[0]` and `var.ids[count.index]` are one of a list.
        let position = match (path.get(2), scope.index) {
            (Some(Step::Index(Index::Count(number))), _) => Some(*number),
            (None, Some(Index::Count(number))) if indexed => Some(*number),
            (_, Some(_) | None) => None,
        };
        if let Some(position) = position.filter(|_| all.found.len() > 1) {
            let position = usize::try_from(position).unwrap_or(usize::MAX) % all.found.len();
            all.found = vec![all.found.swap_remove(position)];
            all.guessed = true;
        }
        if all.found.is_empty() && all.lost.is_none() {
            all.lost = Some(lost);
        }
        merge(all, into);
    }

    /// Resolves `module.net.subnets`: an output of a module.
    fn output(&self, path: &[Step], scope: &ModuleScope<'_>, indexed: bool, into: &mut Candidates) {
        let (Some(Step::Name(call)), rest) = (path.get(1), path.get(2..).unwrap_or_default())
        else {
            return;
        };
        let (wanted, rest) = match rest {
            [Step::Index(index), rest @ ..] => (Some(index), rest),
            rest => (None, rest),
        };
        let Some(Step::Name(output)) = rest.first() else { return };
        let mut all = Candidates::default();
        for index in self.calls(scope.module, call, wanted, scope.index.filter(|_| indexed)) {
            let child = scope.module.child(call, index);
            let references = self.module(&child).and_then(|module| {
                let output = module.get("outputs")?.get(output)?.get("expression")?;
                strings(output.get("references")?)
            });
            let within = ModuleScope {
                module: &child,
                index: None,
                each: &Value::Null,
                depth: scope.depth + 1,
            };
            self.resolve(&references.unwrap_or_default(), &within, &mut all);
        }
        let one = match rest.get(1) {
            Some(Step::Index(Index::Count(number))) => usize::try_from(*number).ok(),
            Some(Step::Index(Index::Key(_)) | Step::Name(_)) | None => None,
        };
        if let Some(position) = one.filter(|position| *position < all.found.len()) {
            all.guessed |= all.found.len() > 1;
            all.found = vec![all.found.swap_remove(position)];
        }
        if all.found.is_empty() && all.lost.is_none() {
            all.lost = Some(rendered(path));
        }
        merge(all, into);
    }

    /// Returns the instances of a module that have resources: the wanted one, the one with the same
    /// index, or all.
    fn calls(
        &self,
        parent: &ModulePath,
        call: &str,
        wanted: Option<&Index>,
        same: Option<&Index>,
    ) -> Vec<Option<Index>> {
        let all: BTreeSet<Option<Index>> = self
            .modules
            .iter()
            .filter(|module| module.0.starts_with(&parent.0))
            .filter_map(|module| module.0.get(parent.0.len()))
            .filter(|(name, _)| name == call)
            .map(|(_, index)| index.clone())
            .collect();
        for one in [wanted, same].into_iter().flatten() {
            let one = Some(one.clone());
            if all.contains(&one) {
                return vec![one];
            }
        }
        all.into_iter().collect()
    }

    /// Resolves `aws_subnet.a.id`, `aws_subnet.a[0].id`, or `aws_subnet.a` for an expression that
    /// takes all of them or one.
    fn object(
        &self,
        path: &[Step],
        data: bool,
        scope: &ModuleScope<'_>,
        indexed: bool,
        into: &mut Candidates,
    ) {
        let [Step::Name(kind), Step::Name(name), rest @ ..] = path else { return };
        let key = (scope.module, data, kind.as_str(), name.as_str());
        let all = self.instances.get(&key).map(Vec::as_slice).unwrap_or_default();
        let (wanted, rest) = match rest {
            [Step::Index(index), rest @ ..] => (Some(index), rest),
            rest => (None, rest),
        };
        let mut instances: Vec<&Resource> = all.to_vec();
        if let Some(index) = wanted {
            instances.retain(|one| one.index.as_ref() == Some(index));
        } else if all.len() > 1 {
            into.guessed = true;
            if let Some(index) = scope.index.filter(|_| indexed) {
                instances = vec![same_index(all, index)];
            }
        }
        if instances.is_empty() {
            into.lost.get_or_insert_with(|| rendered(path));
        }
        for instance in instances {
            self.member(instance, rest, scope.depth + 1, into);
        }
    }

    /// Adds an attribute of an object, if it is one that can be an id.
    fn member(&self, resource: &Resource, rest: &[Step], depth: usize, into: &mut Candidates) {
        let attribute = match rest.first() {
            Some(Step::Name(attribute)) => attribute.as_str(),
            Some(Step::Index(_)) | None => "id",
        };
        if !(attribute == "id"
            || attribute == "arn"
            || attribute.contains("_id")
            || attribute.ends_with("_arn"))
        {
            return;
        }
        let kind = Some(resource.kind.clone()).filter(|_| matches!(attribute, "id" | "arn"));
        let source = resource.source();
        match resource.values.get(attribute) {
            Some(Value::String(id)) if !id.is_empty() => {
                let id = resource.id_as(attribute, id);
                push(into, Candidate { id, kind, source });
            }
            Some(Value::Array(ids)) => {
                for id in ids.iter().filter_map(Value::as_str) {
                    let (id, source) = (id.to_owned(), source.clone());
                    push(into, Candidate { id, kind: None, source });
                }
            }
            _ if kind.is_some() => push(into, Candidate { id: resource.id(), kind, source }),
            _ => match self.attribute(resource, rest, depth) {
                Some(candidates) if !candidates.found.is_empty() => merge(candidates, into),
                Some(_) | None => {
                    let id = resource.computed(attribute);
                    push(into, Candidate { id, kind: None, source });
                }
            },
        }
    }
}

impl Resource {
    /// Returns the name by which others refer to it: its id, or a connector's ARN; if that is not
    /// known yet, its address.
    pub(super) fn id(&self) -> String {
        let attribute = if self.kind == "aws_apprunner_vpc_connector" { "arn" } else { "id" };
        match self.values.get(attribute) {
            Some(Value::String(id)) if !id.is_empty() => id.clone(),
            _ => self.address.clone(),
        }
    }

    /// Returns its address without its own index.
    fn source(&self) -> String {
        match self.index {
            Some(_) if self.address.ends_with(']') => {
                let steps = steps(&self.address);
                rendered(steps.split_last().map_or(&[], |(_, rest)| rest))
            }
            Some(_) | None => self.address.clone(),
        }
    }

    /// Returns `id`, which is the value of `attribute`, in the form of [`Self::id`].
    fn id_as(&self, attribute: &str, id: &str) -> String {
        if matches!(attribute, "id" | "arn") { self.id() } else { id.to_owned() }
    }

    /// Returns the substitute for an attribute that AWS computes, such as the main route table of a
    /// VPC.
    pub(super) fn computed(&self, attribute: &str) -> String {
        format!("{}.{attribute}", self.address)
    }
}

/// Returns the instance with the same index. Like `element()`, it starts again at the end of a
/// shorter list.
fn same_index<'r>(all: &[&'r Resource], index: &Index) -> &'r Resource {
    if let Some(same) = all.iter().find(|one| one.index.as_ref() == Some(index)) {
        return same;
    }
    let position = match index {
        Index::Count(number) => usize::try_from(*number).unwrap_or(0) % all.len(),
        Index::Key(_) => 0,
    };
    all[position]
}

fn index_configuration<'a>(
    module: &'a Value,
    calls: &mut Vec<&'a str>,
    into: &mut HashMap<Configured<'a>, &'a Value>,
) {
    let text = |entry: &'a Value, key: &str| entry.get(key).and_then(Value::as_str);
    for entry in module.get("resources").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(kind), Some(name)) = (text(entry, "type"), text(entry, "name")) {
            let data = text(entry, "mode") == Some("data");
            into.insert((calls.clone(), data, kind, name), entry);
        }
    }
    for (name, call) in module.get("module_calls").and_then(Value::as_object).into_iter().flatten()
    {
        if let Some(module) = call.get("module") {
            calls.push(name);
            index_configuration(module, calls, into);
            calls.pop();
        }
    }
}

/// Returns `references` of the expression at a path. An attribute within a block that has one
/// expression gets the block's, and the second value is true.
fn references_at<'v>(expressions: &'v Value, path: &[Step]) -> Option<(Vec<&'v str>, bool)> {
    let mut at = expressions;
    let mut shared = false;
    for step in path {
        if at.get("references").is_some_and(Value::is_array) {
            shared = true;
            break;
        }
        at = match (step, at) {
            (Step::Name(name), Value::Object(object)) => object.get(name)?,
            (Step::Index(Index::Count(number)), Value::Array(blocks)) => {
                blocks.get(usize::try_from(*number).ok()?)?
            }
            // A block that may exist once.
            (Step::Index(_), Value::Object(_)) => at,
            (Step::Name(_) | Step::Index(_), _) => return None,
        };
    }
    if at.get("constant_value").is_some() {
        return None;
    }
    Some((strings(at.get("references")?)?, shared))
}

fn strings(list: &Value) -> Option<Vec<&str>> {
    Some(list.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// Removes the prefixes: Terraform lists `aws_subnet.a.id` and, beside it, all of its prefixes.
fn without_prefixes<'r>(references: &[&'r str]) -> Vec<&'r str> {
    let beginnings: HashSet<&str> = references
        .iter()
        .flat_map(|long| long.match_indices(['.', '[']).map(|(end, _)| &long[..end]))
        .collect();
    references.iter().filter(|short| !beginnings.contains(*short)).copied().collect()
}

fn rendered(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        if matches!(step, Step::Name(_)) && !text.is_empty() {
            text.push('.');
        }
        text.push_str(&step.to_string());
    }
    text
}

fn merge(from: Candidates, into: &mut Candidates) {
    for candidate in from.found {
        push(into, candidate);
    }
    into.lost = into.lost.take().or(from.lost);
    into.known = into.known.take().or(from.known);
    into.guessed |= from.guessed;
}

fn push(into: &mut Candidates, candidate: Candidate) {
    if !into.found.contains(&candidate) {
        into.found.push(candidate);
    }
}
