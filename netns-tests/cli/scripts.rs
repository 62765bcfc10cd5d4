//! `scripts/test --changed`: which tests a file has.

use std::process::Command;

/// Sorts a file, and prints what that selects: unit tests, other targets, namespace tests, and files
/// without tests.
const SORTED: &str = r#"
set -euo pipefail
source <(sed '/^main "\$@"$/d' scripts/test)
units=() others=() namespaces=() untested=()
sort_file "$1"
echo "${units[*]}|${others[*]}|${namespaces[*]}|${untested[*]}"
"#;

fn sorted(file: &str) -> [String; 4] {
    let mut bash = Command::new("bash");
    bash.args(["-c", SORTED, "bash", file]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{file}: {}", super::stderr(&output));
    let printed = super::stdout(&output);
    let parts: Vec<String> = printed.trim_end().split('|').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

#[test]
fn each_kind_of_file_selects_its_tests_or_is_listed_as_one_without() {
    let expected = [
        ("src/explain/tables.rs", ["explain:: conformance::", "", "", ""]),
        ("src/explain/snapshots/a.snap", ["explain:: conformance::", "", "", ""]),
        ("src/explain/cases/public-endpoint.toml", ["explain:: conformance::", "", "", ""]),
        ("src/explain/graph/svg.rs", ["explain::graph:: conformance::", "", "", ""]),
        ("src/conformance.rs", ["conformance:: conformance::", "", "", ""]),
        ("src/steer/queue.bpf.c", ["linux::", "", "steer:: offload:: flow_cache::", ""]),
        ("src/main.rs", ["", "--test cli", "", ""]),
        ("src/lib.rs", ["::", "--test cli --test fuzz_seeds", "", ""]),
        ("build.rs", ["::", "--test cli --test fuzz_seeds", "", ""]),
        ("Cargo.lock", ["::", "--test cli --test fuzz_seeds", "", ""]),
        ("netns-tests/nat.rs", ["", "", "nat::", ""]),
        ("netns-tests/snapshots/netns__widths__ps.snap", ["", "", "widths::", ""]),
        ("netns-tests/widths/answers.rs", ["", "", "widths::", ""]),
        ("scripts/container", ["", "", "", "scripts/container"]),
    ];
    for (file, selected) in expected {
        assert_eq!(sorted(file), selected, "{file}");
    }
}
