//! An object of a Terraform module that a change is for.

use super::hcl::{Item, block};
use super::objects::{Object, Objects};
use super::references::{Module, address};
use super::words::Words;
use crate::config::import::Address;

/// An object to change.
pub(super) struct Subject<'a> {
    pub(super) objects: Objects<'a>,
    pub(super) object: Object<'a>,
    /// The resource by which the source has it: for a default object its VPC.
    pub(super) address: Address,
    pub(super) module: Module,
}

impl<'a> Subject<'a> {
    pub(super) fn of(objects: Objects<'a>, object: Object<'a>) -> Result<Self, String> {
        let (Object::Own(own)
        | Object::Default { vpc: own, .. }
        | Object::ServiceList { endpoint: own, .. }) = object;
        let address = address(own)?;
        let module = Module::of(&address, objects);
        Ok(Self { objects, object, address, module })
    }

    /// Decides whether the source writes the parts of the object inside its block.
    pub(super) fn is_inline(&self) -> bool {
        let Object::Own(own) = self.object else { return false };
        let written = &self.objects.account().written;
        written.inline.contains(own.id) && !written.apart.contains_key(own.id)
    }

    /// Changes the object's own block.
    pub(super) fn changed(&self, mut parts: Vec<Item>) -> Words {
        let Address { kind, name, index, .. } = &self.address;
        let mut body = vec![Item::Comment("the rest stays as it is".to_owned())];
        if !index.is_empty() {
            let all = format!("the instances of {kind}.{name} all change, not {index} alone");
            body.push(Item::Comment(all));
        }
        body.append(&mut parts);
        let text = block(&format!("resource \"{kind}\" \"{name}\""), &body);
        let action = format!("change in {}", self.module.noun());
        Words { id: self.whole_address(), action, text }
    }

    /// Adds resources.
    pub(super) fn added(&self, blocks: Vec<String>) -> Words {
        let action = format!("add to {}", self.module.noun());
        Words { id: self.whole_address(), action, text: blocks.join("\n\n") }
    }

    pub(super) fn whole_address(&self) -> String {
        let dot = if self.module.address.is_empty() { "" } else { "." };
        let whole = format!("{}{dot}{}", self.module.address, self.address);
        match self.object {
            Object::Own(_) | Object::ServiceList { .. } => whole,
            Object::Default { what, .. } => format!("{} of {whole}", what.noun()),
        }
    }
}
