//! Names a lab that is made from a source, after the folder, the file or the stack.

use super::Options;
use std::fs;
use std::path::Path;

/// Characters of the longest name of a lab.
const LONGEST: usize = 32;
/// The name of a source whose own name has no letter and no digit.
const NAMELESS: &str = "egret";

/// Returns the name of the lab that is made from a source.
pub(super) fn lab_name(source: &Path, options: &Options) -> String {
    let stack = options.parameters.get("AWS::StackName").cloned();
    valid(&stack.unwrap_or_else(|| name_of(source)))
}

/// Returns the name of a folder, or of a file without its ending.
fn name_of(source: &Path) -> String {
    // A path that ends in `.` or `..` gets its real name.
    let whole = match source.file_name() {
        Some(_) => source.to_owned(),
        None => fs::canonicalize(source).unwrap_or_default(),
    };
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes a name that a lab can have: words of lower-case letters and digits with - between.
fn valid(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LONGEST);
    let name = name.trim_end_matches('-');
    if name.is_empty() { NAMELESS.to_owned() } else { name.to_owned() }
}
