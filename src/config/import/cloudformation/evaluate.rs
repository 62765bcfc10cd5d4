//! The evaluation that an expression is a part of.
//!
//! Functions contain conditions and values, conditions contain values, and values contain
//! functions. Each kind of expression has a file of its own, which evaluates its parts by this
//! trait; `expression` is above them and implements it.

use super::fault::Fault;
use super::scope::Scope;
use super::tree::{Node, Place};
use super::value::{State, Value};

/// Evaluates the parts of an expression.
pub(super) trait Evaluate<'t> {
    /// Returns the names that the expression can use, and the limits of its evaluation.
    fn scope(&self) -> &Scope<'t>;

    /// Returns the value of a part.
    fn value(&self, node: &Node) -> Result<Value, Fault>;

    /// Returns the state of a condition of the section, by name; each is evaluated once.
    fn condition(&self, name: &str, place: Place) -> Result<State, Fault>;
}
