//! Evaluates conditions: true, false, or unknown if they depend on an unknown value.

use super::arguments::arguments;
use super::evaluate::Evaluate;
use super::fault::Fault;
use super::tree::{Node, Place};
use super::value::{State, Unknown, Value, ValueKind, unknown_in};
use crate::config::names;

impl<'t> dyn Evaluate<'t> + '_ {
    /// Returns the state of a condition of the section, by name; each is evaluated once.
    pub(super) fn named_condition(&self, name: &str, place: Place) -> Result<State, Fault> {
        if let Some(state) = self.scope().known_condition(name) {
            return Ok(state);
        }
        let Some(entry) =
            self.scope().template.section("Conditions").iter().find(|entry| entry.key == name)
        else {
            let declared: Vec<&str> = self
                .scope()
                .template
                .section("Conditions")
                .iter()
                .map(|entry| &*entry.key)
                .collect();
            let help = match declared.is_empty() {
                true => "the template has no Conditions section".to_owned(),
                false => names::suggestion(name, &declared),
            };
            return Err(Fault::new(place, format!("there is no condition {name}"), help));
        };
        let state = self
            .scope()
            .within(format!("Conditions.{name}"), place, || self.state(&entry.value))?;
        self.scope().remember_condition(&entry.key, state.clone());
        Ok(state)
    }

    /// Returns the state of an expression of conditions.
    pub(super) fn state(&self, node: &Node) -> Result<State, Fault> {
        let _deeper = self.scope().deeper(node.place)?;
        match node.scalar() {
            Some("true") => return Ok(State::Holds),
            Some("false") => return Ok(State::Fails),
            Some(_) | None => {}
        }
        let Some(entry) = node.only() else { return Err(not_a_condition(node)) };
        let argument = &entry.value;
        match &*entry.key {
            "Condition" => match argument.scalar() {
                Some(name) => self.condition(name, argument.place),
                None => Err(not_a_condition(node)),
            },
            "Fn::Equals" => self.equals(argument),
            "Fn::And" => self.several(argument, "Fn::And", State::Fails, State::Holds),
            "Fn::Or" => self.several(argument, "Fn::Or", State::Holds, State::Fails),
            "Fn::Not" => self.not(argument),
            "Fn::Contains"
            | "Fn::EachMemberEquals"
            | "Fn::EachMemberIn"
            | "Fn::RefAll"
            | "Fn::ValueOf"
            | "Fn::ValueOfAll" => Ok(State::Unknown(Unknown {
                what: format!("it depends on {}, which is for Rules", entry.key),
                help: "write the condition by Fn::Equals, Fn::And, Fn::Or and Fn::Not".to_owned(),
            })),
            _ => Err(not_a_condition(node)),
        }
    }

    fn equals(&self, argument: &Node) -> Result<State, Fault> {
        let [left, right] = arguments(argument, "Fn::Equals", 2..=2)? else {
            return Ok(State::Fails);
        };
        let (left, right) =
            self.scope().comparing(|| Ok((self.value(left)?, self.value(right)?)))?;
        if let Some(unknown) = unknown_in(&left).or_else(|| unknown_in(&right)) {
            return Ok(State::Unknown(unknown));
        }
        Ok(same(&left, &right).into())
    }

    /// Evaluates several operands. If one decides, the others do not matter, even unknown ones.
    fn several(
        &self,
        argument: &Node,
        name: &str,
        decides: State,
        otherwise: State,
    ) -> Result<State, Fault> {
        let (mut decided, mut unknown) = (false, None);
        for operand in arguments(argument, name, 2..=10)? {
            match self.state(operand)? {
                State::Unknown(why) => unknown = unknown.or(Some(why)),
                state @ (State::Holds | State::Fails) => decided |= state == decides,
            }
        }
        Ok(match unknown {
            _ if decided => decides,
            Some(why) => State::Unknown(why),
            None => otherwise,
        })
    }

    fn not(&self, argument: &Node) -> Result<State, Fault> {
        let operand = match arguments(argument, "Fn::Not", 1..=1)? {
            [operand] => operand,
            _ => argument,
        };
        Ok(match self.state(operand)? {
            State::Holds => State::Fails,
            State::Fails => State::Holds,
            State::Unknown(unknown) => State::Unknown(unknown),
        })
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (&left.kind, &right.kind) {
        (ValueKind::List(left), ValueKind::List(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (ValueKind::Map(left), ValueKind::Map(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    right.iter().any(|(other, its)| key == other && same(value, its))
                })
        }
        (left, right) => left == right,
    }
}

fn not_a_condition(node: &Node) -> Fault {
    let what = match node.only() {
        Some(entry) => entry.key.clone(),
        None => node.noun().to_owned(),
    };
    Fault::new(
        node.place,
        format!("{what} is used where a condition is expected"),
        "conditions are Fn::Equals, Fn::And, Fn::Or, Fn::Not, and Condition with the name of another",
    )
}
