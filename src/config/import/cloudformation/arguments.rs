//! Takes the arguments of a function.

use super::fault::Fault;
use super::tree::Node;

/// Returns the arguments of a function, as many as it takes.
pub(super) fn arguments<'n>(
    node: &'n Node,
    name: &str,
    count: std::ops::RangeInclusive<usize>,
) -> Result<&'n [Node], Fault> {
    let wanted = match (count.start(), count.end()) {
        (1, 1) => "a list of one argument".to_owned(),
        (least, most) if least == most => format!("a list of {least} arguments"),
        (least, most) => format!("a list of {least} to {most} arguments"),
    };
    match node.list() {
        Some(arguments) if count.contains(&arguments.len()) => Ok(arguments),
        Some(arguments) => Err(Fault::new(
            node.place,
            format!("{name} has {} here", counted(arguments.len())),
            format!("it takes {wanted}"),
        )),
        None => Err(Fault::new(
            node.place,
            format!("the argument of {name} is {}", node.noun()),
            format!("it takes {wanted}"),
        )),
    }
}

fn counted(arguments: usize) -> String {
    match arguments {
        1 => "1 argument".to_owned(),
        several => format!("{several} arguments"),
    }
}
