//! Unified diffs of a lab file.

use diffy::patch_set::{FileOperation, ParseOptions, PatchKind, PatchSet};
use diffy::{DiffOptions, Patch, PatchFormatter};
use std::path::{Component, Path, PathBuf};

/// The reason why a patch does not change a lab file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The text is not a unified diff.
    #[error("the patch cannot be read: {0}")]
    Malformed(String),
    /// It changes several files.
    #[error(
        "the patch changes {} files ({}): give one that changes {file} only",
        .files.len(), .files.join(", ")
    )]
    SeveralFiles {
        /// The files that it changes.
        files: Vec<String>,
        /// The lab file.
        file: String,
    },
    /// It changes another file.
    #[error("the patch is for {other}, and the lab file is {file}")]
    OtherFile {
        /// The file that it changes.
        other: String,
        /// The lab file.
        file: String,
    },
    /// It creates, removes or renames files.
    #[error(
        "the patch does not only change lines of {file}: it creates, removes or renames a file"
    )]
    NotLines {
        /// The lab file.
        file: String,
    },
    /// The file has other lines where a hunk is to change some.
    #[error(
        "the patch does not fit {file}: {} (line {line}) finds other lines there; the change is \
         made already, or the patch is for another version of the file: make a new patch",
        hunk(*.number, *.of)
    )]
    DoesNotFit {
        /// The lab file.
        file: String,
        /// The hunk that does not fit, counted from 1.
        number: usize,
        /// The number of hunks.
        of: usize,
        /// The line at which the hunk begins.
        line: usize,
    },
}

fn hunk(number: usize, of: usize) -> String {
    match of {
        1 => "its only hunk".to_owned(),
        of => format!("hunk {number} of {of}"),
    }
}

/// Returns the unified diff of two texts of a file.
pub fn diff(file: &str, before: &str, after: &str) -> String {
    let mut options = DiffOptions::new();
    options.set_original_filename(file.to_owned()).set_modified_filename(file.to_owned());
    let patch = options.create_patch(before, after);
    let text = PatchFormatter::new().suppress_blank_empty(false).fmt_patch(&patch).to_string();
    if !file.contains(' ') {
        return text;
    }
    // Behind a name with blanks a tab marks its end, as GNU diff and git write it.
    let ended = |text: String, mark: &str| {
        text.replacen(&format!("{mark} {file}\n"), &format!("{mark} {file}\t\n"), 1)
    };
    ended(ended(text, "---"), "+++")
}

/// Decides whether a text is a unified diff: no lab file has a line that begins with `@@`, outside
/// of long strings.
pub fn is_patch(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| line.starts_with("--- ") || line.starts_with("diff --git "))
        && lines.any(|line| line.starts_with("@@ "))
}

/// Applies a unified diff to the text of a file.
///
/// # Errors
/// The patch is for another file, or for another text.
pub fn patched(file: &str, text: &str, patch: &str) -> Result<String, PatchError> {
    let files = files(patch);
    if files.len() > 1 {
        return Err(PatchError::SeveralFiles { files, file: file.to_owned() });
    }
    let options = match patch.lines().any(|line| line.starts_with("diff --git ")) {
        true => ParseOptions::gitdiff(),
        false => ParseOptions::unidiff(),
    };
    let parsed: Result<Vec<_>, _> = PatchSet::parse(patch, options).collect();
    let all = parsed.map_err(|error| PatchError::Malformed(error.to_string()))?;
    let Some(one) = all.first() else {
        return Err(PatchError::Malformed("it changes nothing".to_owned()));
    };
    let not_lines = || PatchError::NotLines { file: file.to_owned() };
    let PatchKind::Text(lines) = one.patch() else { return Err(not_lines()) };
    if !is_change(one.operation()) {
        return Err(not_lines());
    }
    let other = changed_file(one.operation());
    if !is_of(&other, file) {
        return Err(PatchError::OtherFile { other, file: file.to_owned() });
    }
    applied(file, text, lines)
}

/// Lists the files of a patch by the headers before their first hunks.
fn files(patch: &str) -> Vec<String> {
    let lines: Vec<&str> = patch.lines().collect();
    let named = lines.windows(3).filter_map(|lines| match lines {
        [before, after, hunk] if after.starts_with("+++ ") && hunk.starts_with("@@ ") => {
            before.strip_prefix("--- ")
        }
        _ => None,
    });
    named.map(|name| name.split('\t').next().unwrap_or(name).to_owned()).collect()
}

/// Applies all hunks.
fn applied(file: &str, text: &str, patch: &Patch<'_, str>) -> Result<String, PatchError> {
    diffy::apply(text, patch).map_err(|error| {
        // The error has the number of the hunk only in its text.
        let said = error.to_string();
        let number = said.rsplit('#').next().and_then(|number| number.parse().ok());
        let (number, hunks): (usize, _) = (number.unwrap_or(1), patch.hunks());
        let line = hunks.get(number.saturating_sub(1)).map_or(0, |hunk| hunk.old_range().start());
        PatchError::DoesNotFit { file: file.to_owned(), number, of: hunks.len(), line }
    })
}

fn is_change(operation: &FileOperation<'_, str>) -> bool {
    match operation {
        FileOperation::Modify { .. } => true,
        FileOperation::Rename { from, to } => without_side(from) == without_side(to),
        FileOperation::Create(_) | FileOperation::Delete(_) | FileOperation::Copy { .. } => false,
    }
}

fn changed_file(operation: &FileOperation<'_, str>) -> String {
    let file = match operation {
        FileOperation::Modify { original, .. } => original,
        FileOperation::Rename { from, .. } | FileOperation::Copy { from, .. } => from,
        FileOperation::Create(file) | FileOperation::Delete(file) => file,
    };
    file.to_string()
}

/// Removes the `a/` or `b/` that git puts before a name.
fn without_side(file: &str) -> &str {
    file.strip_prefix("a/").or_else(|| file.strip_prefix("b/")).unwrap_or(file)
}

/// Decides whether a patch's file is the lab file, seen from the same folder or from another one.
fn is_of(patch: &str, file: &str) -> bool {
    let parts = |path: &str| -> PathBuf {
        let own = Path::new(path).components();
        own.filter(|part| !matches!(part, Component::CurDir | Component::RootDir)).collect()
    };
    let file = parts(file);
    let is_it = |own: &str| {
        let own = parts(own);
        own.ends_with(&file) || file.ends_with(&own)
    };
    is_it(patch) || is_it(without_side(patch))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const BEFORE: &str = "a\nb\n\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl";
    const AFTER: &str = "A\nb\n\nc\nd\ne\nf\ng\nh\ni\nj\nk\nL\n";

    fn refused(file: &str, text: &str, patch: &str) -> String {
        patched(file, text, patch).unwrap_err().to_string()
    }

    #[test]
    fn a_patch_makes_one_text_of_the_other() {
        for name in ["lab.toml", "dir/lab.toml", "my lab.toml", "/srv/lab.toml"] {
            let patch = diff(name, BEFORE, AFTER);
            assert!(is_patch(&patch), "{patch}");
            assert_eq!(patched(name, BEFORE, &patch).as_deref(), Ok(AFTER), "{patch}");
        }
        insta::assert_snapshot!(diff("lab.toml", BEFORE, AFTER));
        assert!(!is_patch(BEFORE) && !is_patch(""));
    }

    #[test]
    fn hunks_fit_where_lines_were_added_above_and_line_breaks_stay() {
        let patch = diff("lab.toml", BEFORE, AFTER);
        let moved = |text: &str| format!("0\n0\n{text}");
        assert_eq!(patched("lab.toml", &moved(BEFORE), &patch), Ok(moved(AFTER)));
        let dos = |text: &str| text.replace('\n', "\r\n");
        let patch = diff("lab.toml", &dos(BEFORE), &dos(AFTER));
        assert_eq!(patched("lab.toml", &dos(BEFORE), &patch), Ok(dos(AFTER)));
    }

    #[test]
    fn the_file_may_be_seen_from_another_folder_and_as_git_writes_it() {
        let patch = diff("lab.toml", BEFORE, AFTER);
        let git = patch.replace(
            "--- lab",
            "diff --git a/x/lab.toml b/x/lab.toml\nindex 1..2 100644\n--- a/x/lab",
        );
        let git = git.replace("+++ lab", "+++ b/x/lab");
        for (file, patch) in [
            ("x/lab.toml", &patch),
            ("./lab.toml", &patch),
            ("/srv/x/lab.toml", &patch),
            ("x/lab.toml", &git),
            ("lab.toml", &git),
        ] {
            assert_eq!(patched(file, BEFORE, patch).as_deref(), Ok(AFTER), "{file}: {patch}");
        }
    }

    #[test]
    fn a_hunk_that_does_not_fit_is_named_with_its_line() {
        let patch = diff("lab.toml", BEFORE, AFTER);
        let said = refused("lab.toml", &BEFORE.replace('k', "K"), &patch);
        let expected = "the patch does not fit lab.toml: hunk 2 of 2 (line 10) finds other lines \
                        there; the change is made already, or the patch is for another version \
                        of the file: make a new patch";
        assert_eq!(said, expected);
        let said = refused("lab.toml", AFTER, &patch);
        assert!(said.contains("hunk 1 of 2 (line 1) finds"), "{said}");
        let patch = diff("lab.toml", "a\n", "b\n");
        let said = refused("lab.toml", "c\n", &patch);
        assert!(said.contains("its only hunk (line 1) finds"), "{said}");
    }

    #[test]
    fn patches_of_other_files_and_of_several_are_refused() {
        let one = diff("lab.toml", BEFORE, AFTER);
        let other = diff("other.toml", BEFORE, AFTER);
        assert_eq!(
            refused("lab.toml", BEFORE, &other),
            "the patch is for other.toml, and the lab file is lab.toml"
        );
        assert_eq!(
            refused("lab.toml", BEFORE, &format!("{one}{other}")),
            "the patch changes 2 files (lab.toml, other.toml): give one that changes lab.toml only"
        );
        let created = "--- /dev/null\n+++ b/lab.toml\n@@ -0,0 +1 @@\n+a\n";
        let said = refused("lab.toml", BEFORE, created);
        assert!(said.contains("creates, removes or renames a file"), "{said}");
        let broken = "--- lab.toml\n+++ lab.toml\n@@ -1,2 +1 @@\n-a\n";
        let said = refused("lab.toml", BEFORE, broken);
        assert!(said.starts_with("the patch cannot be read: "), "{said}");
    }
}
