//! A user's first lab file: the schema for an editor, and a file to begin with.

use super::{VPC, command, egret, stderr, stdout};
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn schema_is_printed_as_the_copy_beside_the_examples() {
    let printed = egret(&["schema"]);
    assert_eq!((printed.status.code(), stderr(&printed).as_str()), (Some(0), ""));
    assert_eq!(stdout(&printed), std::fs::read_to_string("examples/lab.schema.json").unwrap());
    assert_eq!(egret(&["schema", "lab.toml"]).status.code(), Some(2));
}

/// Runs `egret init` in a folder.
fn init(folder: &Path, words: &[&str]) -> Output {
    let mut command = command(&["init"]);
    command.args(words).current_dir(folder).output().unwrap()
}

/// Returns the commands that `egret init` says can follow, without those that need root.
fn next(output: &Output) -> Vec<String> {
    let said = stdout(output);
    let (_, next) = said.split_once("\nnext:\n").unwrap();
    let lines = next.lines().filter_map(|line| line.strip_prefix("  egret "));
    lines.map(str::to_owned).collect()
}

/// Returns the first words of command lines.
fn verbs(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.split(' ').next()).collect()
}

/// Runs a command line of egret in a shell.
fn in_shell(folder: &Path, line: &str) -> Output {
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_egret"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(folder).env_remove("EGRET_LAB").output().unwrap()
}

#[test]
fn starter_is_sound_and_the_commands_that_init_prints_answer_yes() {
    for words in [&[][..], &["my lab.toml", "--lab", "shop"], &["--schema"]] {
        let folder = tempfile::tempdir().unwrap();
        let written = init(folder.path(), words);
        assert_eq!((written.status.code(), stderr(&written).as_str()), (Some(0), ""));
        let file = if words.len() > 1 { "my lab.toml" } else { "lab.toml" };
        assert!(stdout(&written).starts_with(&format!("wrote {file}")), "{}", stdout(&written));
        let strict = command(&["check", file, "--strict"]).current_dir(folder.path()).output();
        let strict = strict.unwrap();
        assert_eq!(strict.status.code(), Some(0), "{}", stdout(&strict));
        assert!(stdout(&strict).contains("no errors, no warnings"), "{}", stdout(&strict));
        let next = next(&written);
        assert_eq!(verbs(&next), ["check", "explain", "reach", "test"]);
        for line in next {
            let answer = in_shell(folder.path(), &line);
            assert_eq!(answer.status.code(), Some(0), "{line}: {}", stderr(&answer));
        }
    }
}

#[test]
fn starter_has_a_name_only_if_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(init(folder.path(), &[]).status.code(), Some(0));
    assert_eq!(init(folder.path(), &["named.toml", "--lab", "shop"]).status.code(), Some(0));
    assert!(!file("lab.toml").contains("\nlab = "));
    assert!(file("named.toml").contains("\nlab = \"shop\"\n"));
    assert!(!folder.path().join("lab.schema.json").exists());
}

#[test]
fn init_with_schema_writes_the_schema_that_the_first_line_names() {
    let folder = tempfile::tempdir().unwrap();
    let written = init(folder.path(), &["--schema"]);
    assert!(stdout(&written).starts_with("wrote lab.toml, and lab.schema.json for an editor\n"));
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(file("lab.toml").starts_with("#:schema ./lab.schema.json\n"));
    assert_eq!(file("lab.schema.json"), stdout(&egret(&["schema"])));

    let same = init(folder.path(), &["second.toml", "--schema"]);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    std::fs::write(folder.path().join("lab.schema.json"), "precious").unwrap();
    let refused = init(folder.path(), &["third.toml", "--schema"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("lab.schema.json is there already: --force"));
    assert_eq!(file("lab.schema.json"), "precious");
    assert!(!folder.path().join("third.toml").exists());
    let own = init(folder.path(), &["lab.schema.json", "--schema", "--force"]);
    assert_eq!((own.status.code(), file("lab.schema.json").as_str()), (Some(2), "precious"));
    let forced = init(folder.path(), &["third.toml", "--schema", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", stderr(&forced));
    assert_eq!(file("lab.schema.json"), stdout(&egret(&["schema"])));
}

#[test]
fn init_overwrites_a_file_with_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, "precious").unwrap();
    for words in [&[][..], &["--schema"]] {
        let refused = init(folder.path(), words);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""));
        let said = "egret: lab.toml is there already: --force overwrites it";
        assert!(stderr(&refused).starts_with(said), "{}", stderr(&refused));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
    // What cannot be written, not even with --force, leaves no schema.
    std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let refused = init(folder.path(), &["socket", "--schema", "--force"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(!folder.path().join("lab.schema.json").exists());
    assert_eq!(init(folder.path(), &["--force"]).status.code(), Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# A lab to begin with"));

    for words in [&["."][..], &[".", "--schema"]] {
        let of_folder = init(folder.path(), words);
        assert_eq!(of_folder.status.code(), Some(2));
        assert!(stderr(&of_folder).contains(". is a directory: give a file in it"));
    }
    let nowhere = init(folder.path(), &["no-such-folder/lab.toml"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(stderr(&nowhere).contains("cannot write no-such-folder/lab.toml"));
}

#[test]
fn init_from_a_source_writes_what_import_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let options = ["--lab", "shop", "--connector", "jobs=app-a,app-b:web-egress"];
    let (by_import, by_init) = (path("import.toml"), path("init.toml"));
    let imported = egret(&[&["import", VPC, "--output", &by_import], &options[..]].concat());
    let written = egret(&[&["init", &by_init, "--from", VPC], &options[..]].concat());
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let text = |name: &str| std::fs::read_to_string(name).unwrap();
    assert_eq!(text(&by_init), text(&by_import));
    assert_eq!(stderr(&written), stderr(&imported));
    let next = next(&written);
    assert_eq!(verbs(&next), ["check", "explain", "reach"]);
    for line in next {
        let answer = in_shell(folder.path(), &line);
        assert_eq!(answer.status.code(), Some(0), "{line}: {}", stderr(&answer));
    }

    let with_schema = path("schema.toml");
    let words = [&["init", &with_schema, "--from", VPC, "--schema"], &options[..]].concat();
    assert_eq!(egret(&words).status.code(), Some(0));
    let expected = format!("#:schema ./lab.schema.json\n{}", text(&by_import));
    assert_eq!(text(&with_schema), expected);

    let none = path("none.toml");
    let missing = egret(&["init", &none, "--from", "examples/no-such-vpc"]);
    assert_eq!((missing.status.code(), stdout(&missing).as_str()), (Some(2), ""));
    let unknown = egret(&["init", &none, "--from", VPC, "--connector", "jobs=nowhere"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
    let of_none = egret(&["init", &none, "--lenient"]);
    assert_eq!(of_none.status.code(), Some(2));
    assert!(stderr(&of_none).contains("--from"), "{}", stderr(&of_none));
    assert!(!Path::new(&none).exists());
}
