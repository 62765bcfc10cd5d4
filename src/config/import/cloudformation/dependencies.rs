//! Checks the names by which the parts of a template refer to each other: names that no part has,
//! and circles.

use super::evaluate::Evaluate;
use super::fault::Fault;
use super::scope::Scope;
use super::template::{Resource, Template};
use super::tree::{Node, NodeKind, Place};
use super::value::State;
use std::collections::{BTreeMap, BTreeSet};

/// The most faults of this kind: a mistyped name is rarely alone, and hundreds are of no use.
const MOST_FAULTS: usize = 50;

/// Finds names in resources and outputs that no parameter and no resource has.
pub(super) fn unknown_names(scope: &Scope<'_>) -> Vec<Fault> {
    let template = scope.template;
    if may_be_expanded(template) {
        return Vec::new();
    }
    let nodes = ["Resources", "Outputs"].iter().flat_map(|section| template.section(section));
    let mut named = Names { scope: None, found: Vec::new() };
    nodes.for_each(|entry| named.walk(&entry.value));
    let unknown = named.found.into_iter().filter(|(name, _)| !is_known(template, name));
    unknown.take(MOST_FAULTS).map(|(name, place)| scope.unknown_name(&name, place)).collect()
}

/// Decides whether resources may be added, removed or changed before CloudFormation checks their
/// references.
fn may_be_expanded(template: &Template) -> bool {
    let (resources, _) = template.resources();
    !template.transforms().is_empty()
        || template.macros().next().is_some()
        || resources.iter().any(|resource| resource.kind.ends_with("::MODULE"))
}

fn is_known(template: &Template, name: &str) -> bool {
    template.has_resource(name)
        || name.starts_with("AWS::")
        || template.member("Parameters", name).is_some()
}

/// Finds a circle of resources, if there is one: CloudFormation could create none of them first.
/// Parts that a condition leaves out do not count.
pub(super) fn circle(scope: &Scope<'_>, resources: &[Resource<'_>]) -> Option<Fault> {
    if may_be_expanded(scope.template) {
        return None;
    }
    let mut edges: BTreeMap<&str, BTreeMap<String, Place>> = BTreeMap::new();
    for resource in resources.iter().filter(|resource| is_made(scope, resource)) {
        let mut named = Names { scope: Some(scope), found: Vec::new() };
        resource.properties().into_iter().for_each(|node| named.walk(node));
        let depends_on = resource.depends_on().into_iter();
        let depends_on =
            depends_on.flat_map(|node| node.list().unwrap_or(std::slice::from_ref(node)));
        named
            .found
            .extend(depends_on.filter_map(|node| Some((node.scalar()?.to_owned(), node.place))));
        edges.insert(resource.id, named.found.into_iter().collect());
    }
    drop_leaves(&mut edges);
    let (first, _) = edges.first_key_value()?;
    Some(follow(first, &edges))
}

fn is_made(scope: &Scope<'_>, resource: &Resource<'_>) -> bool {
    let condition = resource.condition().and_then(|node| Some((node.scalar()?, node.place)));
    condition.is_none_or(|(name, place)| scope.condition(name, place) != Ok(State::Fails))
}

/// Removes resources that lead into no circle.
fn drop_leaves(edges: &mut BTreeMap<&str, BTreeMap<String, Place>>) {
    let mut named_by: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let ids: BTreeSet<&str> = edges.keys().copied().collect();
    for (id, names) in edges.iter_mut() {
        names.retain(|name, _| ids.contains(&**name));
        names.keys().for_each(|name| named_by.entry(name.clone()).or_default().push(id));
    }
    let mut leaves: Vec<&str> =
        edges.iter().filter(|(_, names)| names.is_empty()).map(|(id, _)| *id).collect();
    while let Some(leaf) = leaves.pop() {
        edges.remove(leaf);
        for id in named_by.remove(leaf).unwrap_or_default() {
            let Some(names) = edges.get_mut(id) else { continue };
            names.remove(leaf);
            if names.is_empty() {
                leaves.push(id);
            }
        }
    }
}

/// Follows names to a circle. Each remaining resource names a remaining one, so following from
/// anywhere ends in a circle.
fn follow(first: &str, edges: &BTreeMap<&str, BTreeMap<String, Place>>) -> Fault {
    let mut path: Vec<&str> = vec![first];
    let mut place = Place::default();
    while let Some((next, at)) = path.last().and_then(|id| edges.get(id)?.first_key_value()) {
        place = *at;
        if let Some(begin) = path.iter().position(|id| id == next) {
            path.drain(..begin);
            path.push(next);
            break;
        }
        path.push(next);
    }
    Fault::new(
        place,
        format!("resources depend on each other in a circle: {}", path.join(" -> ")),
        "CloudFormation refuses this too; rules of security groups that name each other are resources of their own: AWS::EC2::SecurityGroupIngress",
    )
}

/// Collects the names in `Ref`, `Fn::GetAtt` and `Fn::Sub`.
struct Names<'s, 't> {
    /// The scope; with one, only the branches that its conditions choose count.
    scope: Option<&'s Scope<'t>>,
    found: Vec<(String, Place)>,
}

impl Names<'_, '_> {
    fn walk(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Null | NodeKind::Scalar(_) => {}
            NodeKind::List(items) => items.iter().for_each(|item| self.walk(item)),
            NodeKind::Map(entries) => {
                for entry in entries {
                    self.member(&entry.key, &entry.value);
                }
            }
        }
    }

    fn member(&mut self, key: &str, value: &Node) {
        match (key, value.scalar()) {
            ("Ref", Some(name)) => self.found.push((name.to_owned(), value.place)),
            ("Fn::GetAtt", Some(text)) => self.attribute(text, value.place),
            ("Fn::GetAtt", None) => {
                if let Some([resource, attribute]) = value.list() {
                    resource
                        .scalar()
                        .into_iter()
                        .for_each(|name| self.found.push((name.to_owned(), resource.place)));
                    self.walk(attribute);
                }
            }
            ("Fn::Sub", Some(text)) => self.pattern(text, value.place, None),
            ("Fn::Sub", None) => {
                if let Some([pattern, variables]) = value.list() {
                    pattern
                        .scalar()
                        .into_iter()
                        .for_each(|text| self.pattern(text, pattern.place, Some(variables)));
                    self.walk(variables);
                }
            }
            ("Fn::If", None) => self.branches(value),
            _ => self.walk(value),
        }
    }

    fn attribute(&mut self, text: &str, place: Place) {
        let resource = text.split_once('.').map_or(text, |(resource, _)| resource);
        self.found.push((resource.to_owned(), place));
    }

    fn pattern(&mut self, text: &str, place: Place, variables: Option<&Node>) {
        for part in text.split("${").skip(1) {
            let Some((name, _)) = part.split_once('}') else { continue };
            let name = name.trim();
            let is_variable = variables.is_some_and(|variables| variables.get(name).is_some());
            if !name.starts_with('!') && !is_variable {
                self.attribute(name, place);
            }
        }
    }

    fn branches(&mut self, value: &Node) {
        let Some([condition, then, otherwise]) = value.list() else { return self.walk(value) };
        let state = self.scope.zip(condition.scalar());
        let state = state.map(|(scope, name)| scope.condition(name, condition.place));
        if state != Some(Ok(State::Fails)) {
            self.walk(then);
        }
        if state != Some(Ok(State::Holds)) {
            self.walk(otherwise);
        }
    }
}
