//! Walks over the spanned TOML tree, reports what is wrong, and continues.

use super::diagnostic::{At, Report, Span};
use super::key::{MOST_TABLES, Table, Type};
use super::names::{Names, ObjectKind, suggestion};
use super::text::Fault;
use crate::edge::is_hidden;
use crate::vpc::Line;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The data that every part of the walk needs.
pub(super) struct Reader<'a> {
    pub(super) report: &'a Report,
    pub(super) names: &'a Names,
}

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    table: &'static Table,
    values: &'a DeTable<'a>,
    pub(super) span: Span,
}

/// A value under a key.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    reader: &'a Reader<'a>,
    key: &'static str,
    /// The type that the table of keys gives it.
    of: &'static Type,
    value: &'a DeValue<'a>,
    pub(super) span: Span,
}

impl<'a> Reader<'a> {
    pub(super) fn section(
        &'a self,
        table: &'static Table,
        values: &'a DeTable<'a>,
        span: Span,
    ) -> Section<'a> {
        for key in values.keys().filter(|key| table.key(key.get_ref()).is_none()) {
            let keys: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
            self.report.error(
                key.span().into(),
                "unknown-key",
                format!("{} has no key {:?}", table.name, key.get_ref()),
                suggestion(key.get_ref(), &keys),
            );
        }
        Section { reader: self, table, values, span }
    }
}

impl<'a> Section<'a> {
    pub(super) fn line(&self) -> Line {
        self.reader.report.line(self.span)
    }

    /// Reads each element of a list that may be absent; broken ones are left out.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Value<'a>) -> Option<At<T>>,
    ) -> Vec<At<T>> {
        let elements = self.get(key).map(|value| value.elements()).unwrap_or_default();
        elements.iter().filter_map(read).collect()
    }

    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let declared = self.table.key(key);
        debug_assert!(declared.is_some(), "the table of {} has no {key}", self.table.name);
        let (of, value) = (&declared?.value, self.values.get(key)?);
        let span = value.span().into();
        Some(Value { reader: self.reader, key, of, value: value.get_ref(), span })
    }

    /// Returns the value of a key that must exist.
    pub(super) fn required(&self, key: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.table.may_require(key), "{} does not require {key}", self.table.name);
        let value = self.get(key);
        if value.is_none() {
            self.reader.report.error(
                self.span,
                "missing-key",
                format!("{} needs the key `{key}`", self.table.name),
                example(self.table.name, key),
            );
        }
        value
    }

    /// Reads a declared id or name: a word that can be part of a namespace's name.
    pub(super) fn word(&self, key: &'static str) -> Option<At<String>> {
        self.required(key)?.parse(super::text::word)
    }

    pub(super) fn reference(&self, key: &'static str, kinds: &[ObjectKind]) -> Option<At<String>> {
        self.required(key)?.reference(kinds)
    }

    pub(super) fn optional_reference(
        &self,
        key: &'static str,
        kinds: &[ObjectKind],
    ) -> Option<At<String>> {
        self.get(key)?.reference(kinds)
    }

    /// Reads every element of a list of references; none if the key is absent.
    pub(super) fn references(&self, key: &'static str, kinds: &[ObjectKind]) -> Vec<At<String>> {
        let elements = self.get(key).map(|value| value.elements()).unwrap_or_default();
        let references: Vec<_> = elements.iter().filter_map(|e| e.reference(kinds)).collect();
        self.reader.report_repeated(&references);
        references
    }
}

impl<'a> Value<'a> {
    pub(super) fn error(
        &self,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reader.report.error(self.span, rule, message, help);
    }

    /// Reads a string that a terminal, a file of one line for each entry and another lab file all
    /// show unchanged.
    pub(super) fn string(&self) -> Option<At<String>> {
        self.without(&is_hidden)
    }

    /// Returns a string, without a report of what is wrong with the value.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Reads a string of several lines.
    pub(super) fn lines(&self) -> Option<At<String>> {
        self.without(&|c| is_hidden(c) && !matches!(c, '\n' | '\t'))
    }

    /// Reads a string that may hold anything, and that is never shown.
    pub(super) fn secret<T>(&self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<At<T>> {
        self.understand(self.without(&|_| false)?, parse)
    }

    fn without(&self, is_refused: &dyn Fn(char) -> bool) -> Option<At<String>> {
        let Some(value) = self.value.as_str() else { return self.wrong_type("a string") };
        if let Some(c) = value.chars().find(|c| is_refused(*c)) {
            self.error(
                "hidden-character",
                format!(
                    "`{}` has the character U+{:04X}, which is not visible",
                    self.key,
                    u32::from(c)
                ),
                "remove it: only visible characters are allowed here",
            );
            return None;
        }
        Some(At { value: value.to_owned(), span: self.span })
    }

    /// Reads a string, or an integer as the string that it would be.
    pub(super) fn string_or_integer(&self) -> Option<At<String>> {
        match self.value {
            DeValue::Integer(_) => self.any_integer().map(|at| at.map(|number| number.to_string())),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.string(),
        }
    }

    pub(super) fn boolean(&self) -> Option<At<bool>> {
        debug_assert!(matches!(self.of, Type::Boolean), "`{}` is no boolean", self.key);
        match self.value.as_bool() {
            Some(value) => Some(At { value, span: self.span }),
            None => self.wrong_type("true or false"),
        }
    }

    fn any_integer(&self) -> Option<At<i64>> {
        let Some(integer) = self.value.as_integer() else { return self.wrong_type("an integer") };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Some(At { value, span: self.span }),
            Err(_) => {
                self.error("out-of-range", "this number is too large", "give a smaller number");
                None
            }
        }
    }

    /// Reads an integer within its bounds.
    pub(super) fn integer(&self) -> Option<At<i64>> {
        let bounds =
            if let Type::Integer(low, high) = self.of { Some((*low, *high)) } else { None };
        debug_assert!(bounds.is_some(), "`{}` is no integer", self.key);
        let ((low, high), integer) = (bounds?, self.any_integer()?);
        if (low..=high).contains(&integer) {
            return Some(integer);
        }
        self.error(
            "out-of-range",
            format!("`{}` cannot be {}", self.key, *integer),
            format!("give a number from {low} to {high}"),
        );
        None
    }

    pub(super) fn number(&self) -> Option<At<f64>> {
        debug_assert!(matches!(self.of, Type::Number(..)), "`{}` is no number", self.key);
        let number = match self.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        match number {
            Some(value) => Some(At { value, span: self.span }),
            None => self.wrong_type("a number"),
        }
    }

    /// Reads a string with a meaning.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<At<T>> {
        self.understand(self.string()?, parse)
    }

    /// Reads a string or integer with a meaning.
    pub(super) fn parse_number_too<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<At<T>> {
        self.understand(self.string_or_integer()?, parse)
    }

    fn understand<T>(
        &self,
        text: At<String>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<At<T>> {
        match parse(&text) {
            Ok(value) => Some(At { value, span: self.span }),
            Err(Fault { rule, message, help }) => {
                self.error(rule, message, help);
                None
            }
        }
    }

    /// Reads a CIDR block in AWS's canonical form (spec 3.4), with a warning if that changed it.
    pub(super) fn cidr(&self) -> Option<At<ipnetwork::Ipv4Network>> {
        let given = self.parse(super::text::cidr)?;
        let canonical = crate::vpc::route_table::canonical(*given);
        if canonical.ip() != given.ip() {
            self.reader.report.warning(
                self.span,
                "host-bits",
                format!("AWS reads {} as {canonical}", *given),
                format!("write {canonical}"),
            );
        }
        Some(given.map(|_| canonical))
    }

    /// Reads one of a few words, which the table of keys has too.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<At<T>> {
        debug_assert!(
            matches!(self.of, Type::Words(of) if of.iter().eq(words.iter().map(|(word, _)| word))),
            "`{}` has other words",
            self.key
        );
        let word = self.string()?;
        let found = words.iter().find(|(name, _)| *name == *word).map(|(_, value)| *value);
        if found.is_none() {
            let valid: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            self.error(
                "unknown-word",
                format!("`{}` cannot be {:?}", self.key, *word),
                suggestion(&word, &valid),
            );
        }
        found.map(|value| At { value, span: self.span })
    }

    /// Reads an id that one of these kinds declares. A dangling one is reported, and still
    /// returned.
    pub(super) fn reference(&self, kinds: &[ObjectKind]) -> Option<At<String>> {
        let id = self.string()?;
        if self.reader.names.kind_of(kinds, &id).is_none() {
            self.reader.names.report_dangling(self.reader.report, &id, kinds);
        }
        Some(id)
    }

    /// Returns the elements of an array; a value that is not an array is its own only element.
    pub(super) fn elements(&self) -> Vec<Value<'a>> {
        let of = if let Type::List(list) = self.of { list.of } else { self.of };
        match self.value.as_array() {
            None => vec![Value { of, ..*self }],
            Some(array) => {
                let element = |e: &'a toml::Spanned<DeValue<'a>>| Value {
                    of,
                    value: e.get_ref(),
                    span: e.span().into(),
                    ..*self
                };
                array.iter().map(element).collect()
            }
        }
    }

    /// Returns the tables of an array of tables, such as `[[subnet]]` or the rules of a group.
    pub(super) fn tables(&self) -> Vec<Section<'a>> {
        let Some(name) = self.table_of().map(|table| table.name) else { return Vec::new() };
        if !self.value.is_array() {
            let shape = format!("{name} must be a list of tables");
            let help = if name.starts_with('[') {
                format!("write {name}, with two brackets")
            } else {
                format!("write `{} = [{{ … }}, {{ … }}]`", self.key)
            };
            self.error("wrong-type", shape, help);
            return Vec::new();
        }
        if self.elements().len() > MOST_TABLES {
            self.error(
                "too-many",
                format!("{} of {name} are more than a lab can hold", self.elements().len()),
                "a lab can hold 65,535 of each",
            );
            return Vec::new();
        }
        self.elements().iter().filter_map(|element| element.table()).collect()
    }

    /// Returns whether the value is a table, without a report if it is not.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn table(&self) -> Option<Section<'a>> {
        let table = self.table_of()?;
        match self.value.as_table() {
            Some(values) => Some(self.reader.section(table, values, self.span)),
            None => self.wrong_type("a table"),
        }
    }

    fn table_of(&self) -> Option<&'static Table> {
        let of = if let Type::Table(table) | Type::Tables(table) | Type::TextOrTable(_, table) =
            self.of
        {
            Some(*table)
        } else {
            None
        };
        debug_assert!(of.is_some(), "`{}` is no table", self.key);
        of
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.error(
            "wrong-type",
            format!("`{}`: expected {expected}, got {article} {found}", self.key),
            format!("give {expected}"),
        );
        None
    }
}

impl Reader<'_> {
    /// Reports references that a list has twice.
    fn report_repeated(&self, references: &[At<String>]) {
        let mut seen = BTreeMap::new();
        for reference in references {
            if seen.insert(reference.value.as_str(), ()).is_some() {
                self.report.error(
                    reference.span,
                    "repeated",
                    format!("{:?} is in this list already", reference.value),
                    "name it once",
                );
            }
        }
    }
}

/// Returns a line that would add a missing key.
fn example(section: &str, key: &str) -> String {
    let (value, note) = match key {
        "id" | "name" => ("\"a-name-of-your-choice\"", ""),
        "cidr" if section == "[[vpc]]" => ("\"10.0.0.0/16\"", ""),
        "cidr" => ("\"10.0.1.0/24\"", ""),
        "vpc" | "requester_vpc" | "accepter_vpc" => ("\"…\"", " with the id of a [[vpc]]"),
        "subnet" => ("\"…\"", " with the id of a [[subnet]]"),
        "subnets" => ("[\"…\"]", " with ids of [[subnet]] sections"),
        "availability_zone" => ("\"us-east-1a\"", ""),
        "address" => ("\"10.0.1.10\"", ""),
        "destination" => ("\"0.0.0.0/0\"", ""),
        "target" => {
            ("\"…\"", " with the id of a NAT gateway, internet gateway, endpoint or peering")
        }
        "protocol" => ("\"tcp\"", ", or \"udp\", \"icmp\", \"all\", or a protocol number"),
        "ports" => ("\"443\"", ", a range such as \"1024-65535\", or \"all\""),
        "from" if section == "[[expect]]" => {
            ("\"web\"", ", the name of a service, or \"*\" for each of them")
        }
        "to" if section == "[[expect]]" => {
            ("\"db:5432\"", ", a destination as `egret explain` takes it")
        }
        "is" => ("\"reachable\"", ", or \"blocked\""),
        "to" | "from" => ("\"10.0.0.0/16\"", ", or the id of a security group or prefix list"),
        "rule" => ("100", ""),
        "action" => ("\"allow\"", ", or \"deny\""),
        "kind" => ("\"gateway\"", ", or \"interface\""),
        "service" => ("\"com.amazonaws.us-east-1.s3\"", ""),
        "entries" => ("[\"203.0.113.0/24\"]", ""),
        "vpcs" => ("[\"…\"]", " with ids of [[vpc]] sections"),
        "type" => ("\"A\"", ", or \"CNAME\", \"TXT\""),
        "values" => ("[\"10.0.1.10\"]", ""),
        _ => ("…", ""),
    };
    format!("add `{key} = {value}`{note}")
}
