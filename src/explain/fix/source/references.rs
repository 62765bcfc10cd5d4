//! Refers to the objects of a change from a Terraform module.

use super::hcl::{Item, identifier, quoted};
use super::objects::{DefaultObject, Hop, Named, Object, Objects};
use crate::config::import::Address;
use std::collections::BTreeSet;

/// An expression, with a comment for its reader.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: String,
    comment: Option<String>,
}

impl Expression {
    /// Refers to an attribute of a resource of the same module.
    pub(super) fn of_resource(kind: &str, name: &str, attribute: &str) -> Self {
        Self { text: format!("{kind}.{name}.{attribute}"), comment: None }
    }

    /// Makes a string literal.
    pub(super) fn text(text: &str) -> Self {
        Self { text: quoted(text), comment: None }
    }

    /// Adds the attribute with its comment.
    pub(super) fn set(self, key: &str, body: &mut Vec<Item>) {
        body.extend(self.comment.map(Item::Comment));
        body.push(Item::attribute(key, self.text));
    }
}

/// Adds an attribute that is a list.
pub(super) fn set_list(key: &str, elements: Vec<Expression>, body: &mut Vec<Item>) {
    let comments: BTreeSet<String> =
        elements.iter().filter_map(|element| element.comment.clone()).collect();
    body.extend(comments.into_iter().map(Item::Comment));
    let elements: Vec<String> = elements.into_iter().map(|element| element.text).collect();
    let line = elements.join(", ");
    let text = match line.len() <= LONGEST_LIST {
        true => format!("[{line}]"),
        false => {
            let lines = elements.iter().map(|element| format!("\n    {element},"));
            format!("[{}\n  ]", lines.collect::<String>())
        }
    };
    body.push(Item::attribute(key, text));
}

/// The most columns of a list on one line.
const LONGEST_LIST: usize = 60;

/// A module, to which blocks are added.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) address: String,
    taken: BTreeSet<String>,
}

impl Module {
    pub(super) fn of(address: &Address, objects: Objects<'_>) -> Self {
        let taken = objects.account().written.names.clone();
        Self { address: address.module.clone(), taken }
    }

    /// Returns the module's name for people.
    pub(super) fn noun(&self) -> &str {
        match self.address.as_str() {
            "" => "the root module",
            module => module,
        }
    }

    /// Returns the head of a further resource, by a name that is free.
    pub(super) fn head(&mut self, kind: &str, like: &str) -> String {
        let name = self.free_name(kind, like);
        format!("resource \"{kind}\" \"{name}\"")
    }

    /// Returns a name for a further resource.
    pub(super) fn free_name(&mut self, kind: &str, like: &str) -> String {
        let like = identifier(like);
        let names = (2..).map(|number| format!("{like}_{number}"));
        let mut names = std::iter::once(like.clone()).chain(names);
        let dot = if self.address.is_empty() { "" } else { "." };
        let address = &self.address;
        let is_free = |name: &String| self.taken.insert(format!("{address}{dot}{kind}.{name}"));
        names.find(is_free).unwrap_or(like)
    }

    /// Refers to an attribute of an object: by its address within its module, elsewhere by its
    /// value.
    pub(super) fn refer(&self, named: Named<'_>, attribute: &str) -> Result<Expression, String> {
        let address = address(named)?;
        self.refer_to(&address, attribute, is_known(named, &address).then_some(named.id))
    }

    fn refer_to(
        &self,
        address: &Address,
        attribute: &str,
        value: Option<&str>,
    ) -> Result<Expression, String> {
        if address.module == self.address {
            return Ok(Expression { text: format!("{address}.{attribute}"), comment: None });
        }
        let dot = if address.module.is_empty() { "" } else { "." };
        let whole = format!("{}{dot}{address}.{attribute}", address.module);
        Ok(match value {
            Some(value) => {
                Expression { text: quoted(value), comment: Some(format!("the value of {whole}")) }
            }
            None => {
                let variable =
                    identifier(&format!("{}{}_{attribute}", address.name, address.index));
                let comment = format!("{whole}: a variable of this module hands it in");
                Expression { text: format!("var.{variable}"), comment: Some(comment) }
            }
        })
    }

    /// Refers to the id of an object.
    pub(super) fn id(&self, object: Object<'_>) -> Result<Expression, String> {
        match object {
            Object::Own(own) => self.refer(own, id_attribute(&address(own)?.kind)),
            Object::Default { vpc, what, id } => {
                let address = address(vpc)?;
                let is_known = |id: &&str| !id.contains('.');
                self.refer_to(&address, default_attribute(&address, what)?, id.filter(is_known))
            }
            Object::ServiceList { endpoint, .. } => {
                self.refer_to(&address(endpoint)?, "prefix_list_id", None)
            }
        }
    }

    /// Returns the argument of a route for its target, and the target.
    pub(super) fn target(&self, hop: Hop<'_>) -> Result<(&'static str, Expression), String> {
        Ok(match hop {
            Hop::InternetGateway(own) => ("gateway_id", self.refer(own, "id")?),
            Hop::NatGateway(own) => ("nat_gateway_id", self.refer(own, "id")?),
            Hop::Peering(own) => ("vpc_peering_connection_id", self.refer(own, "id")?),
            Hop::Endpoint(own) => ("vpc_endpoint_id", self.refer(own, "id")?),
            Hop::Interface(own) => {
                let attribute = match address(own)?.kind.as_str() {
                    "aws_instance" => "primary_network_interface_id",
                    _ => "id",
                };
                ("network_interface_id", self.refer(own, attribute)?)
            }
        })
    }
}

/// Returns the address of the resource by which the source has an object.
pub(super) fn address(named: Named<'_>) -> Result<Address, String> {
    let address = Address::parse(&named.origin.path);
    address.ok_or_else(|| format!("the source has no address of {}", named.id))
}

/// Decides whether the source has an object's id: a plan has a placeholder instead.
pub(super) fn is_known(named: Named<'_>, address: &Address) -> bool {
    !named.id.contains(&address.to_string())
}

/// Returns the attribute with the id: for an endpoint, that of its service's prefix list.
fn id_attribute(kind: &str) -> &'static str {
    if kind == "aws_vpc_endpoint" { "prefix_list_id" } else { "id" }
}

fn default_attribute(vpc: &Address, what: DefaultObject) -> Result<&'static str, String> {
    match what {
        DefaultObject::NetworkAcl | DefaultObject::SecurityGroup if vpc.is_data => {
            Err(format!("{vpc} has no attribute for its {}", what.noun()))
        }
        DefaultObject::RouteTable | DefaultObject::NetworkAcl | DefaultObject::SecurityGroup => {
            Ok(what.attribute())
        }
    }
}
