//! A user's first lab file: the schema for an editor, and a file to begin with.

use super::{egret, stderr, stdout};

#[test]
fn schema_is_printed_as_the_copy_beside_the_examples() {
    let printed = egret(&["schema"]);
    assert_eq!((printed.status.code(), stderr(&printed).as_str()), (Some(0), ""));
    assert_eq!(stdout(&printed), std::fs::read_to_string("examples/lab.schema.json").unwrap());
    assert_eq!(egret(&["schema", "lab.toml"]).status.code(), Some(2));
}
