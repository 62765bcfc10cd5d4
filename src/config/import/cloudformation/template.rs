//! Finds the sections of a template by name.

use super::fault::Fault;
use super::tree::{MapMember, Node, Place};
use std::collections::HashMap;

/// A template whose sections have the right form.
#[derive(Debug)]
pub(super) struct Template {
    root: Node,
    resources: HashMap<String, usize>,
}

/// An entry of `Resources`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource<'t> {
    pub(super) id: &'t str,
    /// `Type`.
    pub(super) kind: &'t str,
    pub(super) place: Place,
    node: &'t Node,
}

const SECTIONS: [&str; 4] = ["Parameters", "Mappings", "Conditions", "Outputs"];

impl Template {
    pub(super) fn new(root: Node) -> Result<Self, Fault> {
        let not_one = "a CloudFormation template is a map with a section named Resources";
        if root.map().is_none_or(<[MapMember]>::is_empty) {
            return Err(Fault::new(
                root.place,
                format!("the template is {}", root.noun()),
                not_one,
            ));
        }
        let Some(resources) = root.get("Resources") else {
            return Err(Fault::new(root.place, "there is no Resources section", not_one));
        };
        let Some(resources) = resources.map() else {
            return Err(must_be_map(resources, "Resources"));
        };
        for section in SECTIONS {
            let node = root.get(section).filter(|node| node.map().is_none());
            if let Some(node) = node {
                return Err(must_be_map(node, section));
            }
        }
        let resources = resources.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at));
        Ok(Self { resources: resources.collect(), root })
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Returns the entries of a section; none if it does not exist.
    pub(super) fn section(&self, name: &str) -> &[MapMember] {
        self.root.get(name).and_then(Node::map).unwrap_or_default()
    }

    /// Returns a member of a section.
    pub(super) fn member(&self, section: &str, name: &str) -> Option<&Node> {
        self.root.get(section)?.get(name)
    }

    pub(super) fn resource(&self, id: &str) -> Option<Resource<'_>> {
        let entry = self.section("Resources").get(*self.resources.get(id)?)?;
        resource(entry).ok()
    }

    pub(super) fn has_resource(&self, id: &str) -> bool {
        self.resources.contains_key(id)
    }

    /// Returns every resource, and the faults of those that do not have the form of one.
    /// `Fn::ForEach` and `Fn::Transform` are not resources: [`Template::macros`] has them.
    pub(super) fn resources(&self) -> (Vec<Resource<'_>>, Vec<Fault>) {
        let mut resources = Vec::new();
        let mut faults = Vec::new();
        for entry in self.section("Resources").iter().filter(|entry| !is_macro(&entry.key)) {
            match resource(entry) {
                Ok(resource) => resources.push(resource),
                Err(fault) => faults.push(fault),
            }
        }
        (resources, faults)
    }

    /// Lists the keys of `Resources` that CloudFormation would expand to resources.
    pub(super) fn macros(&self) -> impl Iterator<Item = &MapMember> {
        self.section("Resources").iter().filter(|entry| is_macro(&entry.key))
    }

    /// Lists the macros that the whole template goes through, by name.
    pub(super) fn transforms(&self) -> Vec<(&str, Place)> {
        let Some(node) = self.root.get("Transform") else { return Vec::new() };
        match node.list() {
            Some(list) => list.iter().map(transform_name).collect(),
            None => vec![transform_name(node)],
        }
    }
}

impl<'t> Resource<'t> {
    /// Returns `Properties`, if there are any.
    pub(super) fn properties(&self) -> Option<&'t Node> {
        self.node.get("Properties")
    }

    pub(super) fn property(&self, name: &str) -> Option<&'t Node> {
        self.properties()?.get(name)
    }

    /// Returns `Condition`: the resource is created if it holds.
    pub(super) fn condition(&self) -> Option<&'t Node> {
        self.node.get("Condition")
    }

    pub(super) fn depends_on(&self) -> Option<&'t Node> {
        self.node.get("DependsOn")
    }
}

fn transform_name(node: &Node) -> (&str, Place) {
    let name = node.get("Name").unwrap_or(node);
    (name.scalar().unwrap_or("a macro without a name"), name.place)
}

fn is_macro(key: &str) -> bool {
    key.starts_with("Fn::")
}

fn resource(entry: &MapMember) -> Result<Resource<'_>, Fault> {
    let node = &entry.value;
    let id = &entry.key;
    if node.map().is_none() {
        return Err(Fault::new(
            node.place,
            format!("the resource {id} is {}", node.noun()),
            "a resource is a map with Type and Properties",
        ));
    }
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Fault::new(
            entry.place,
            format!("{id:?} is not a logical id"),
            "logical ids of resources consist of letters and digits",
        ));
    }
    let Some(kind) = node.get("Type").and_then(Node::scalar) else {
        return Err(Fault::new(
            entry.place,
            format!("the resource {id} has no Type"),
            "give it one, such as AWS::EC2::VPC",
        ));
    };
    if let Some(properties) = node.get("Properties").filter(|node| node.map().is_none()) {
        return Err(must_be_map(properties, "Properties"));
    }
    Ok(Resource { id, kind, place: entry.place, node })
}

fn must_be_map(node: &Node, name: &str) -> Fault {
    Fault::new(node.place, format!("{name} is {}", node.noun()), "a map is expected")
}
