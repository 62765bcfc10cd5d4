#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn section(list: &'static str, name: &str) -> SectionName {
    SectionName { list, name: name.to_owned() }
}

fn add(text: &str, key: &'static str, elements: &[&str]) -> String {
    let elements = elements.iter().map(|one| (*one).to_owned()).collect();
    let edit = Edit::Add { section: section("g", "a"), key, elements };
    edited(text, &[edit]).unwrap()
}

fn set(text: &str, key: &'static str, value: &str) -> String {
    let (section, value) = (section("g", "a"), value.to_owned());
    edited(text, &[Edit::Set { section, key, value }]).unwrap()
}

#[test]
fn elements_join_a_list_on_one_line() {
    for (before, after) in [
        ("[]", "[7, 8]"),
        ("[ ]", "[7, 8]"),
        ("[1]", "[1, 7, 8]"),
        ("[1, 2] # two, so far", "[1, 2, 7, 8] # two, so far"),
        ("[1, 2,]", "[1, 2, 7, 8,]"),
    ] {
        let text = |list: &str| format!("[[g]]\nid = \"a\"\nk = {list}\n\n[[g]]\nid = \"b\"\n");
        assert_eq!(add(&text(before), "k", &["7", "8"]), text(after));
    }
}

#[test]
fn elements_of_a_list_over_several_lines_get_lines_of_their_own() {
    for (before, after) in [
        ("[\n  1, # one, first\n  2, # two\n]", "[\n  1, # one, first\n  2, # two\n  7,\n  8,\n]"),
        ("[\n\t1,\n\t2 # two, last\n]", "[\n\t1,\n\t2, # two, last\n\t7,\n\t8\n]"),
        ("[1,\n     2]", "[1,\n     2,\n     7,\n     8]"),
        ("[\n  1,\n  2\n  # the end\n]", "[\n  1,\n  2,\n  7,\n  8\n  # the end\n]"),
        ("[\n    # none yet\n]", "[\n    # none yet\n    7,\n    8,\n]"),
    ] {
        let text = |list: &str| format!("[[g]]\nid = \"a\"\nk = {list}\nz = 1\n");
        assert_eq!(add(&text(before), "k", &["7", "8"]), text(after));
    }
}

#[test]
fn a_list_that_is_not_there_is_made_behind_the_last_key() {
    let text = "# head\n[[g]] # g\nid = \"a\" # a\n\n# next\n[[g]]\nid = \"b\"\n";
    let expected = "# head\n[[g]] # g\nid = \"a\" # a\nk = [7]\n\n# next\n[[g]]\nid = \"b\"\n";
    assert_eq!(add(text, "k", &["7"]), expected);
    let lines = "[[g]]\nid = \"a\"\nk = [\n    7,\n    8,\n]\n";
    assert_eq!(add("[[g]]\nid = \"a\"\n", "k", &["7", "8"]), lines);
}

#[test]
fn sections_may_be_inline_tables() {
    let text = "g = [{ id = \"a\", k = [1] }, { id = \"b\" }]\n";
    let expected = "g = [{ id = \"a\", k = [1, 7] }, { id = \"b\" }]\n";
    assert_eq!(add(text, "k", &["7"]), expected);
    let expected = "g = [{ id = \"a\", k = [1], z = true }, { id = \"b\" }]\n";
    assert_eq!(set(text, "z", "true"), expected);
}

#[test]
fn elements_that_are_sections_of_their_own_are_followed_by_such() {
    let text = "[[g]]\nid = \"a\"\n\n[[g.k]] # first\nd = 1 # one\n\n[[g]]\nid = \"b\"\n";
    let expected = "[[g]]\nid = \"a\"\n\n[[g.k]] # first\nd = 1 # one\n\n[[g.k]]\nd = \"x\"\nb = 2\n\n\
                    [[g]]\nid = \"b\"\n";
    assert_eq!(add(text, "k", &["{ d = \"x\", b = 2 }"]), expected);
    let expected =
        "[[g]]\nid = \"a\"\nz = 2\n\n[[g.k]] # first\nd = 1 # one\n\n[[g]]\nid = \"b\"\n";
    assert_eq!(set(text, "z", "2"), expected);
}

#[test]
fn a_value_takes_the_place_of_another() {
    let text = "[[g]]\n  id = \"a\"\n  k = 1 # one\n";
    assert_eq!(set(text, "k", "2"), "[[g]]\n  id = \"a\"\n  k = 2 # one\n");
    assert_eq!(set(text, "z", "2"), "[[g]]\n  id = \"a\"\n  k = 1 # one\n  z = 2\n");
    assert_eq!(set("[[g]]\nid = \"a\"", "z", "2"), "[[g]]\nid = \"a\"\nz = 2");
}

#[test]
fn keys_take_the_place_of_another() {
    let with = vec![("x", "[1]".to_owned()), ("y", "2".to_owned())];
    let edit = Edit::Replace { section: section("g", "a"), key: "k", with };
    let made = |text: &str| edited(text, std::slice::from_ref(&edit)).unwrap();
    assert_eq!(
        made("[[g]]\n  k = 1 # c\n  id = \"a\"\n"),
        "[[g]]\n  x = [1]\n  y = 2 # c\n  id = \"a\"\n"
    );
    assert_eq!(made("g = [{ k = 1, id = \"a\" }]\n"), "g = [{ x = [1], y = 2, id = \"a\" }]\n");
}

#[test]
fn a_route_is_led_elsewhere() {
    let edit = Edit::Redirect {
        table: "t".to_owned(),
        destination: "10.0.0.0/8".to_owned(),
        target: "nat".to_owned(),
    };
    let made = |text: &str| edited(text, std::slice::from_ref(&edit)).unwrap();
    let text = |route: &str| {
        format!(
            "[[route_table]]\nid = \"t\"\nroutes = [\n  {{ destination = \"pl\", target = \"x\" }},\n  {route}, # out\n]\n"
        )
    };
    for (before, after) in [
        (
            "{ target = 'x', destination = \"10.0.0.0/8\" }",
            "{ target = \"nat\", destination = \"10.0.0.0/8\" }",
        ),
        (
            "{ destination = \"10.0.0.0/8\", target = \"y\", state = \"blackhole\" }",
            "{ destination = \"10.0.0.0/8\", target = \"nat\", state = \"active\" }",
        ),
    ] {
        let before = text(before);
        assert_eq!(made(&before), text(after));
    }
}

#[test]
fn sections_are_added_at_the_end_behind_a_blank_line() {
    let append = |text: &str| edited(text, &[Edit::Append("[[g]]\nid = 1".to_owned())]).unwrap();
    assert_eq!(append("a = 1\n"), "a = 1\n\n[[g]]\nid = 1\n");
    assert_eq!(append("a = 1"), "a = 1\n\n[[g]]\nid = 1\n");
    assert_eq!(append(""), "[[g]]\nid = 1\n");
}

#[test]
fn sections_join_a_list_in_brackets() {
    let sections =
        "[[g]]\nid = 1\nk = [\n    { a = 1 },\n    2,\n]\n\n[[h]]\nid = 3\n\n[[g]]\nid = 2";
    let append = |text: &str| edited(text, &[Edit::Append(sections.to_owned())]).unwrap();
    let added = "{ id = 1, k = [{ a = 1 }, 2] }, { id = 2 }";
    for (before, after) in [
        ("g = []\n", format!("g = [{added}]\n\n[[h]]\nid = 3\n")),
        ("g = [{ id = 0 }]\n", format!("g = [{{ id = 0 }}, {added}]\n\n[[h]]\nid = 3\n")),
        (
            "h = [\n  { id = 0 }, # none\n]\n",
            format!(
                "h = [\n  {{ id = 0 }}, # none\n  {{ id = 3 }},\n]\n\n{}\n",
                without_h(sections)
            ),
        ),
    ] {
        assert_eq!(append(before), after);
    }
}

fn without_h(sections: &str) -> String {
    sections.replace("[[h]]\nid = 3\n\n", "")
}

#[test]
fn line_breaks_stay_as_the_file_has_them() {
    let text = "[[g]]\r\nid = \"a\"\r\nk = [\r\n  1, # one\r\n]\r\n";
    let expected = "[[g]]\r\nid = \"a\"\r\nk = [\r\n  1, # one\r\n  7,\r\n]\r\n";
    assert_eq!(add(text, "k", &["7"]), expected);
    assert_eq!(set(text, "z", "2"), format!("{text}z = 2\r\n"));
    let appended = edited(text, &[Edit::Append("[[g]]\nid = \"b\"".to_owned())]).unwrap();
    assert!(appended.ends_with("]\r\n\r\n[[g]]\r\nid = \"b\"\r\n"), "{appended:?}");
}

#[test]
fn an_edit_names_the_object_that_the_file_does_not_have() {
    let edit = |list, name: &str| {
        let (section, value) = (section(list, name), "1".to_owned());
        edited("[[g]]\nid = \"a\"\n", &[Edit::Set { section, key: "k", value }])
    };
    for (list, name) in [("g", "b"), ("h", "a")] {
        assert_eq!(edit(list, name), Err(EditError::NoSection(section(list, name))));
    }
    let elements = vec!["1".to_owned()];
    let edit = Edit::Add { section: section("g", "a"), key: "id", elements };
    let error = edited("[[g]]\nid = \"a\"\n", &[edit]).unwrap_err();
    assert_eq!(error.to_string(), "[[g]] \"a\" is not written as expected: see its key `id`");
}
