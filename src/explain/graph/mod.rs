//! Draws a configuration: services, connectors, ENIs, subnets, route tables, their targets and what
//! lies behind those, in fixed columns.
//!
//! A [`Graph`] is the picture as data, made from a snapshot. It knows no coordinates: the writers
//! [`svg`], [`mermaid`] and [`dot`] place and write it, and so can any other program from its JSON.

mod dot;
mod draw;
mod mermaid;
mod model;
mod onward;
mod placement;
mod routes;
mod sources;
mod svg;
mod words;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod picture_tests;

pub use dot::dot;
pub use draw::{Tasks, draw};
pub use mermaid::mermaid;
pub use model::{Area, Column, Edge, Graph, Kind, Node};
pub use svg::svg;
