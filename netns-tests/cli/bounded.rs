//! Input is bounded, and no message shows its secrets.

use super::{LAB, egret, given, stderr, stdout};
use nix::sys::stat::Mode;
use std::io::Write as _;

#[test]
fn endless_file_is_refused_by_each_command_that_reads_one() {
    for words in [
        &["check", "/dev/zero"][..],
        &["up", "/dev/zero"],
        &["apply", "/dev/zero"],
        &["explain", "web", "db", "--config", "/dev/zero"],
        &["test", "/dev/zero"],
        &["diff", LAB, "/dev/zero"],
        &["import", "/dev/zero"],
        &["check", "--from", "/dev/zero"],
        &["bench", "table", "/dev/zero"],
    ] {
        let output = egret(words);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{words:?}: {output:?}");
        assert!(stderr(&output).contains("MiB that egret reads"), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn many_megabytes_of_comments_are_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lab.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    let comments = "# comment\n".repeat(100_000);
    (0..120).for_each(|_| file.write_all(comments.as_bytes()).unwrap());
    let output = egret(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("longer than the 16 MiB that egret reads"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn fifo_without_a_writer_is_not_waited_for_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lab.toml");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    let output = egret(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("a FIFO without a writer"), "{}", stderr(&output));
}

#[test]
fn standard_input_and_pipes_are_read_like_files() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let checked = given(&["check", "-"], &text);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let explained = given(&["explain", "web", "orders-db", "--config", "-"], &text);
    assert!(stdout(&explained).starts_with("FORWARD\n"), "{}", stderr(&explained));
    let source = std::fs::read_to_string("examples/vpc-cloudformation.json").unwrap();
    let imported = given(&["import", "-"], &source);
    assert_eq!(imported.status.code(), Some(0), "{}", stderr(&imported));
    let again = given(&["check", "-"], &stdout(&imported));
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let from = given(&["check", "--from", "-"], &source);
    assert_eq!(from.status.code(), Some(0), "{}", stderr(&from));

    let long = given(&["check", "-"], &"# comment\n".repeat(2_000_000));
    assert_eq!(long.status.code(), Some(2));
    assert!(stderr(&long).contains("MiB that egret reads"), "{}", stderr(&long));

    let mut shell = std::process::Command::new("bash");
    let line = format!("{} check <(cat {LAB})", env!("CARGO_BIN_EXE_egret"));
    let output =
        shell.args(["-c", &line]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn of_many_errors_the_first_fifty_are_listed() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let wrong: String = (0..2000)
        .map(|n| format!("[[resource]]\nname = \"r{n}\"\nsubnet = \"subnet-a\"\naddress = \"x\"\n"))
        .collect();
    let output = given(&["check", "-"], &format!("{text}\n{wrong}"));
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output) + &stderr(&output);
    assert_eq!(said.matches("is not an IPv4 address").count(), 50);
    assert!(said.contains("… and 1,950 more errors"), "{}", &said[said.len() - 300..]);
    let output = given(&["check", "-", "--json"], &format!("{text}\n{wrong}"));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["errors"].as_array().unwrap().len(), 50);
    assert_eq!(answer["errors_left_out"], 1950);
    let output = given(&["explain", "web", "db", "--config", "-"], &format!("{text}\n{wrong}"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("… and 1,950 more errors"));
    assert!(stderr(&output).contains("egret: 2,000 errors in the lab file"), "{}", stderr(&output));

    let template: String = (0..2000)
        .map(|n| {
            format!("  V{n}:\n    Type: AWS::EC2::VPC\n    Properties: {{ CidrBlock: x{n} }}\n")
        })
        .collect();
    let output = given(&["import", "-"], &format!("Resources:\n{template}"));
    let said = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("is not a CIDR block").count(), 50);
    assert!(said.contains("… and 1,950 more"), "{}", &said[said.len() - 300..]);
}

#[test]
fn of_many_warnings_the_first_fifty_are_listed_and_all_are_counted() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let unused: String = (0..2000)
        .map(|n| format!("[[security_group]]\nid = \"sg-unused{n}\"\nvpc = \"vpc-demo\"\n"))
        .collect();
    let lab = format!("{text}\n{unused}");
    let output = given(&["check", "-"], &lab);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert_eq!(said.matches("unused-security-group").count(), 50, "{said}");
    assert!(said.contains("… and 1,950 more warnings"), "{}", &said[said.len() - 300..]);
    assert!(said.contains("2,000 warnings"), "{}", &said[said.len() - 300..]);
    let output = given(&["check", "-", "--json"], &lab);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 50);
    assert_eq!(answer["warnings_left_out"], 1950);
    assert_eq!(answer["notes_left_out"], 0);
}

#[test]
fn secrets_are_in_no_message_however_their_key_is_written() {
    const SECRET: &str = "hunter2-correct-horse";
    const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let lab = std::fs::read_to_string(LAB).unwrap();
    let keys = ["secret", "secret_acces_key", "sekret", "password", r#""secret\u005faccess_key""#];
    for key in keys {
        for value in [format!("\"{SECRET}\""), SECRET.to_owned()] {
            for text in [
                format!("{key} = {value}\n{lab}"),
                format!("{lab}\n[[apprunner.access_key]]\nid = \"AKIA\"\n{key} = {value}\n"),
            ] {
                for form in [&["check", "-"][..], &["check", "-", "--json"]] {
                    let output = given(form, &text);
                    let said = stdout(&output) + &stderr(&output);
                    assert!(!said.contains("hunter2"), "{key} = {value}: {said}");
                }
            }
        }
    }
    // The secret is in other places: exchanged with the id, under a key of another name, at the top
    // of the file.
    for text in [
        format!("{lab}\n[[apprunner.access_key]]\nid = \"{KEY}\"\nsecret = \"AKIA\"\n"),
        format!("{lab}\n[[apprunner.access_key]]\nid = \"AKIA\"\nmystery = \"{SECRET}\"\n"),
        format!("mystery = \"{KEY}\"\n{lab}"),
    ] {
        let output = given(&["check", "-"], &text);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("wJalr"), "{said}");
    }
}

/// Secret parameters stay hidden however a template splits them, and also in an import that
/// succeeds.
#[test]
fn secret_parameters_are_in_no_message_whatever_a_template_makes_of_them() {
    let parameters = "Parameters:\n  Quoted: {Type: String, NoEcho: true, Default: 'quo\"ted\\slash77'}\n  \
                      List: {Type: CommaDelimitedList, NoEcho: true, Default: 'lista1111, listb2222'}\n  \
                      Name: {Type: String, NoEcho: true, Default: hunter2hunter}\nResources:\n";
    let vpc =
        |block: &str| format!("  V: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: {block}}}}}\n");
    let database =
        "  D: {Type: AWS::RDS::DBInstance, Properties: {DBSubnetGroupName: !Ref Name}}\n";
    for resources in [
        vpc("!Ref Quoted"),
        vpc("!Select [1, !Ref List]"),
        vpc("!Select [0, !Split [ter2, !Ref Name]]"),
        vpc("!Sub 'x${Name}x'"),
        vpc("10.0.0.0/16") + database,
    ] {
        let output = given(&["import", "-", "--lenient"], &format!("{parameters}{resources}"));
        let said = stderr(&output);
        assert!(!said.is_empty(), "{resources}");
        for secret in ["slash77", "lista1111", "listb2222", "hunter2hunter"] {
            assert!(!said.contains(secret), "{resources}: {said}");
        }
    }
}

#[test]
fn folder_whose_files_are_too_long_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["describe-subnets.json", "describe-vpcs.json"] {
        std::fs::write(folder.path().join(name), " ".repeat(40 << 20)).unwrap();
    }
    let output = egret(&["import", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("its files are longer than 64 MiB together"), "{output:?}");
}

#[test]
fn passwords_of_a_source_are_in_no_message() {
    let template = "Parameters:\n  DbPassword:\n    Type: String\n    NoEcho: true\n    Default: hunter2\nResources:\n  \
                    V:\n    Type: AWS::EC2::VPC\n    Properties: { CidrBlock: !Ref DbPassword }\n  \
                    D:\n    Type: AWS::RDS::DBInstance\n    Properties: { MasterUserPassword: hunter2, X: [ }\n";
    let sound = template.replace(", X: [ }", " }");
    for text in [template, &sound] {
        let output = given(&["import", "-"], text);
        let said = stdout(&output) + &stderr(&output);
        assert!(output.status.code().is_some_and(|code| code > 0), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let state = r#"{"format_version": "1.0", "values": {"root_module": {"resources": [{"address": "aws_vpc.a", "mode":
        "managed", "type": "aws_vpc", "name": "a", "values": {"cidr_block": "x", "password": "hunter2"}}]}}"#;
    let marked = r#"{"format_version": "1.0", "values": {"root_module": {"resources": [{"address": "aws_vpc.a", "mode":
        "managed", "type": "aws_vpc", "name": "a", "values": {"cidr_block": "hunter2"},
        "sensitive_values": {"cidr_block": true}}]}}}"#;
    for state in [state, marked] {
        let output = given(&["import", "-"], state);
        let said = stdout(&output) + &stderr(&output);
        assert!(output.status.code().is_some_and(|code| code > 0), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
