//! Compares what a page shows with what was printed, apart from what differs from run to run.

use regex::Regex;
use std::sync::LazyLock;

/// Stands on a line of its own for lines that are left out.
const LEFT_OUT: &str = "…";

/// The patterns that differ from run to run, each with its placeholder. Each sees what those before
/// it left.
static VARYING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "<date>"),
        (r"\b\d\d:\d\d:\d\d\.\d+", "<clock>"),
        (r"\b\d[\d.,]*\s?[KMGT]?(bits?|Bytes)/s(ec)?\b", "<rate>"),
        // A duration may have several parts: 2m 3s.
        (r"\b(\d+(\.\d+)?\s?(ns|µs|us|ms|s|m|h)\s?)+\b( ago)?", "<time> "),
        // Listeners have fixed ports, which are compared.
        (r"\b(\d+\.\d+\.\d+\.\d+)[:.](4566|5201|5432|6379)\b", "$1:<$2>"),
        (r"\b(\d+\.\d+\.\d+\.\d+)[:.](6553[0-5]|\d{4,5})\b", "$1:<port>"),
        // Packets and bytes, as flows and ENIs show them.
        (r"\b[\d.]+[KMGT]?/[\d.]+[KMGT]?i?B\b", "<count>"),
        // The count before a drop reason.
        (r"^\d+ +([a-z0-9]+(-[a-z0-9]+)+ )", "<count> $1"),
        (r"[ \t─-]{2,}", " "),
        (r"\s+$", ""),
    ]
    .map(|(varying, constant)| (Regex::new(varying).unwrap(), constant))
    .into()
});

/// Compares, and says which line of the page is not there.
pub fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let printed: Vec<String> = lines(printed);
    let shown = lines(shown);
    let mut at = 0;
    let parts: Vec<&[String]> = shown.split(|line| line.trim() == LEFT_OUT).collect();
    for (number, part) in parts.iter().enumerate() {
        let rest = &printed[at..];
        let found = if number == 0 {
            rest.starts_with(part).then_some(0)
        } else if number + 1 == parts.len() && !part.is_empty() {
            // What follows the last gap is the end.
            rest.ends_with(part).then(|| rest.len() - part.len())
        } else {
            (0..=rest.len()).find(|from| rest[*from..].starts_with(part))
        };
        let Some(found) = found else { return Err(fault(part, rest)) };
        at += found + part.len();
    }
    let ends_open = parts.last().is_some_and(|part| part.is_empty()) && parts.len() > 1;
    match printed.get(at) {
        Some(more) if !ends_open => Err(format!("the page lacks the line: {more}")),
        _ => Ok(()),
    }
}

/// Names the first line of the part that does not follow on the lines before it.
fn fault(part: &[String], printed: &[String]) -> String {
    let agree = |from: usize| {
        part.iter().zip(&printed[from..]).take_while(|(shown, printed)| shown == printed).count()
    };
    let best = (0..printed.len()).max_by_key(|from| agree(*from)).unwrap_or(0);
    let count = agree(best.min(printed.len()));
    let wanted = part.get(count).map_or("(the end)", String::as_str);
    let got = printed.get(best + count).map_or("(the end)", String::as_str);
    format!("shown:   {wanted}\nprinted: {got}")
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.trim_end().lines().map(constant).collect::<Vec<_>>();
    // Blank lines are for the eye.
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

/// A line without what differs from run to run.
fn constant(line: &str) -> String {
    VARYING.iter().fold(line.to_owned(), |line, (varying, constant)| {
        varying.replace_all(&line, *constant).into_owned()
    })
}

#[test]
fn output_is_alike_apart_from_times_ports_and_counts() {
    let shown = "3        sg-deny  web/1  100.64.0.1:40001  3.0s ago  973ms ago";
    let printed = "2   sg-deny  web/1  100.64.0.1:50002  12.1s ago  3ms ago\n";
    assert_eq!(compare(shown, printed), Ok(()));
    assert!(compare(shown, &printed.replace("web/1", "web/2")).is_err());
    assert!(compare(shown, &printed.replace("sg-deny", "sg-allow")).is_err());
    assert!(compare("10.0.1.10:5432", "10.0.1.10:6379").is_err());
    assert!(compare("20.26 Gbit/s", "1.2 Mbit/s").is_ok());
}

#[test]
fn left_out_lines_stand_for_any_but_what_is_shown_is_in_order() {
    let printed = "a\nb\nc\nd\ne\n";
    for shown in ["a\nb\nc\nd\ne", "a\n…\ne", "…\nc\n…", "a\n…", "…\nd\ne", "…\nb\n…\nd\n…"]
    {
        assert_eq!(compare(shown, printed), Ok(()), "{shown}");
    }
    for shown in ["a", "b\n…", "…\nd", "a\n…\nc\nb\n…", "a\nb\nc\nd\ne\nf", "", "x\n…"] {
        assert!(compare(shown, printed).is_err(), "{shown}");
    }
}
