//! Evaluates `Ref`, and finds the resources that expressions name.

use super::evaluate::Evaluate;
use super::fault::Fault;
use super::template::Resource;
use super::tree::Place;
use super::value::{State, Value};

impl<'t> dyn Evaluate<'t> + '_ {
    /// Returns the value of `Ref`.
    pub(super) fn reference(&self, name: &str, place: Place) -> Result<Value, Fault> {
        if let Some(parameter) = self.scope().parameters.get(name) {
            return Ok(self.scope().parameter(name, parameter, place));
        }
        if let Some(kind) = self.scope().pseudo_parameter(name, place) {
            return Ok(Value { place, kind });
        }
        self.resource(name, place)?;
        Ok(Value::reference(place, name, None))
    }

    /// Returns a resource that an expression names. A resource whose condition does not hold does
    /// not exist.
    pub(super) fn resource(&self, id: &str, place: Place) -> Result<Resource<'t>, Fault> {
        let Some(resource) = self.scope().template.resource(id) else {
            return Err(self.scope().unknown_name(id, place));
        };
        let condition = resource.condition().and_then(|node| Some((node.scalar()?, node.place)));
        if let Some((condition, at)) = condition
            && self.condition(condition, at)? == State::Fails
        {
            return Err(Fault::new(
                place,
                format!(
                    "{id} is named here, and is not created: its condition {condition} does not hold"
                ),
                "give the parameters that the stack has (--parameter), or guard this by Fn::If too",
            ));
        }
        Ok(resource)
    }
}
