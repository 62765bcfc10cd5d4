//! Tests that every text gets an answer.

use super::*;
use proptest::prelude::*;

/// Checks that the file has no errors and lowers, or has some.
fn survives(text: &str) {
    match Lab::parse("lab.toml", text) {
        Ok(lab) => {
            lab.lint();
            lab.lower(Generation(1));
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(!errors.to_string().is_empty());
        }
    }
}

fn on_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_toml_like_text(text in "([\\[\\]{}=\"',.#a-z0-9/:\\- \n]|vpc|subnet|route_table|routes|id|cidr|é){0,60}") {
        survives(&text);
    }

    #[test]
    fn the_demo_lab_with_a_piece_replaced(
        start in 0..THREE_AZ.len(),
        length in 0usize..40,
        replacement in "(\"|\\[|\\]|=|\n|[a-z0-9./-]{1,8}|0|-1|é)?",
    ) {
        let start = on_boundary(THREE_AZ, start);
        let end = on_boundary(THREE_AZ, (start + length).min(THREE_AZ.len())).max(start);
        survives(&format!("{}{replacement}{}", &THREE_AZ[..start], &THREE_AZ[end..]));
    }

    #[test]
    fn the_demo_lab_without_a_line(line in 0..THREE_AZ.lines().count()) {
        let kept = THREE_AZ.lines().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| l);
        survives(&kept.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn the_demo_lab_with_a_value_replaced(
        nth in 0..THREE_AZ.matches(" = ").count(),
        value in prop_oneof![
            Just("1"), Just("-1"), Just("1.5"), Just("true"), Just("[]"), Just("{}"), Just("[[]]"),
            Just("\"\""), Just("\"local\""), Just("\"0.0.0.0/0\""), Just("\"10.0.0.0/28\""),
            Just("\"nat-a\""), Just("\"sg-app\""), Just("\"subnet-public-a\""), Just("1979-05-27"),
            Just("99999999999999999999"), Just("\"::1\""), Just("nan"),
        ],
    ) {
        let (at, _) = THREE_AZ.match_indices(" = ").nth(nth).unwrap();
        let rest = &THREE_AZ[at + 3..];
        let end = rest.find(['\n', ',', '}']).unwrap_or(rest.len());
        survives(&format!("{} = {value}{}", &THREE_AZ[..at], &rest[end..]));
    }
}
