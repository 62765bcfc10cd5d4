//! Evaluates the expressions of a template.

use super::evaluate::Evaluate;
use super::fault::Fault;
use super::scope::Scope;
use super::tree::{Node, NodeKind, Place};
use super::value::{State, Value, ValueKind};

impl<'t> Evaluate<'t> for Scope<'t> {
    fn scope(&self) -> &Scope<'t> {
        self
    }

    fn value(&self, node: &Node) -> Result<Value, Fault> {
        let _deeper = self.scope().deeper(node.place)?;
        let place = node.place;
        match &node.kind {
            NodeKind::Null => Ok(Value::absent(place)),
            NodeKind::Scalar(text) => {
                self.scope().spend(text.len(), place)?;
                Ok(Value::text(place, text))
            }
            NodeKind::List(items) => {
                // Absent items stay, so that positions are those of the file.
                let items = items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?;
                Ok(Value { place, kind: ValueKind::List(items) })
            }
            NodeKind::Map(_) => map(self, node),
        }
    }

    fn condition(&self, name: &str, place: Place) -> Result<State, Fault> {
        let expression: &dyn Evaluate<'t> = self;
        expression.named_condition(name, place)
    }
}

fn map(scope: &Scope<'_>, node: &Node) -> Result<Value, Fault> {
    let entries = node.map().unwrap_or_default();
    if let Some(entry) =
        entries.iter().find(|entry| entry.key.starts_with("Fn::") || entry.key == "Ref")
    {
        if entry.key.starts_with("Fn::ForEach::") || entry.key == "Fn::Transform" {
            let what = format!("CloudFormation would expand {} here", entry.key);
            return Ok(Value::unknown(
                node.place,
                what,
                "import the processed template: aws cloudformation get-template --template-stage Processed",
            ));
        }
        if entries.len() == 1 {
            let expression: &dyn Evaluate<'_> = scope;
            return expression.function(&entry.key, &entry.value, node.place);
        }
        if entry.key != "Ref" {
            return Err(Fault::new(
                entry.place,
                format!("{} has other keys beside it", entry.key),
                "a function is the only key of its map",
            ));
        }
    }
    let mut members = Vec::new();
    for entry in entries {
        let value = scope.value(&entry.value)?;
        if !value.is_absent() {
            members.push((entry.key.clone(), value));
        }
    }
    Ok(Value { place: node.place, kind: ValueKind::Map(members) })
}
