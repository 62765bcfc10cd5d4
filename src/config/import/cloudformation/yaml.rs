//! Reads text to a tree. JSON is YAML's flow style, so both go through one parser and have the same
//! places. A fault in JSON is reported in JSON's words.
//!
//! CloudFormation's short tags (`!Ref Net`) become the long form (`Ref: Net`). Plain scalars are
//! read as YAML 1.1 has them, which is CloudFormation's version: `yes` is true, `010` is 8. Aliases
//! and merge keys are accepted, since `aws cloudformation package` resolves them before the service
//! sees a template. The parser bounds the nesting, and this file bounds the size that aliases may
//! grow to.

use super::fault::Fault;
use super::tree::{MapMember, Node, NodeKind, Place};
use super::value::without_marks;
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag, options};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Bytes of the longest template. CloudFormation takes templates of 1 MB.
const MOST_BYTES: usize = 8 << 20;
/// The most nodes: far more than a template of 1 MB has without aliases.
const MOST_NODES: usize = 500_000;
/// The most text, in bytes, that anchors keep and aliases repeat.
const MOST_REPEATED: usize = 64 << 20;
/// The most levels: each is a stack frame or two of the code that walks the tree.
const DEEPEST: usize = 100;
/// The names of the long form that have no `Fn::` in front.
const BARE: [&str; 2] = ["Ref", "Condition"];
const TAGS: [&str; 21] = [
    "Ref",
    "Condition",
    "And",
    "Base64",
    "Cidr",
    "Contains",
    "Equals",
    "FindInMap",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
];

/// Reads a template's text.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    if text.len() > MOST_BYTES {
        let message = format!("the template has {} bytes", text.len());
        return Err(Fault::new(
            Place::default(),
            message,
            "CloudFormation takes up to 1 MB: split it, or leave out the parts that do not concern the network",
        ));
    }
    let looks_like_json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    let root = Reader::new(text).document();
    match root {
        Err(fault) if looks_like_json => Err(json_fault(text).unwrap_or(fault)),
        root => root,
    }
}

/// Returns the fault of a text as JSON.
fn json_fault(text: &str) -> Option<Fault> {
    let error =
        serde_json::from_str::<serde::de::IgnoredAny>(text.trim_start_matches('\u{feff}')).err()?;
    let place = Place { line: error.line(), column: error.column(), ..Place::default() };
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let help = if error.is_eof() {
        "the file ends too early: was it cut off?"
    } else {
        "fix the JSON there"
    };
    Some(Fault::new(place, format!("this is not JSON: {message}"), help))
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// The nodes of anchors.
    anchors: HashMap<usize, (Size, Rc<Node>)>,
    nodes: usize,
    /// Bytes of text that were copied.
    repeated: usize,
}

/// The size of a node.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    levels: usize,
}

type Found<'t> = (Event<'t>, Span);

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let options = options! {
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
            // JSON's keys may be long.
            simple_key_max_lookahead: 1 << 16,
        };
        let events = Parser::new_from_str_with_options(text, options);
        Self { events, anchors: HashMap::new(), nodes: 0, repeated: 0 }
    }

    fn document(&mut self) -> Result<Node, Fault> {
        let empty = || {
            Fault::new(
                Place::default(),
                "the file is empty",
                "give a CloudFormation template, which has a Resources section",
            )
        };
        loop {
            let (event, span) = self.next()?.ok_or_else(empty)?;
            if event == Event::StreamEnd {
                return Err(empty());
            }
            if event.is_node() {
                let root = self.node((event, span), 0)?;
                self.nothing_more()?;
                return Ok(root);
            }
        }
    }

    fn nothing_more(&mut self) -> Result<(), Fault> {
        while let Some((event, span)) = self.next()? {
            if event.is_node() {
                return Err(Fault::new(
                    start(&span),
                    "a second YAML document begins here",
                    "a template is one document: give each its own file",
                ));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Found<'t>>, Fault> {
        let event = self.events.next_event().transpose();
        event.map_err(|error| {
            let mark = error.marker();
            let place = Place { line: mark.line(), column: mark.col() + 1, ..Place::default() };
            Fault::new(place, format!("this is not YAML: {}", error.info()), "fix the YAML there")
        })
    }

    /// Returns the node that begins with this event.
    fn node(&mut self, (event, span): Found<'t>, depth: usize) -> Result<Node, Fault> {
        let place = start(&span);
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Fault::new(
                place,
                format!("the template has more than {MOST_NODES} values"),
                "are its aliases nested? Write out the values that they repeat",
            ));
        }
        if depth > DEEPEST {
            return Err(Fault::new(
                place,
                format!("the template is nested deeper than {DEEPEST} levels"),
                "no CloudFormation template needs that many",
            ));
        }
        let (anchor, tag, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(&text, style, tag.as_deref());
                (anchor, tag, kind)
            }
            Event::SequenceStart(_, anchor, tag) => (anchor, tag, self.list(depth)?),
            Event::MappingStart(_, anchor, tag) => (anchor, tag, self.map(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | Event::SequenceEnd
            | Event::MappingEnd
            // Events that the parser's next versions may add.
            | _ => {
                return Err(Fault::new(place, "a value is missing here", "fix the YAML there"));
            }
        };
        let node = long_form(Node { place, kind }, tag)?;
        if anchor != 0 {
            let size = size(&node);
            self.repeat(size, place, depth)?;
            self.anchors.insert(anchor, (size, Rc::new(node.clone())));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<NodeKind, Fault> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node((event, span), depth + 1)?);
        }
        Ok(NodeKind::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<NodeKind, Fault> {
        let mut entries: Vec<MapMember> = Vec::new();
        let mut keys = HashSet::new();
        let mut merged = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node((event, span), depth + 1)?;
            let place = Place { is_key: true, ..key.place };
            let Some((event, span)) = self.next()? else { break };
            let value = self.node((event, span), depth + 1)?;
            if is_merge {
                merged.extend(merge(value)?);
                continue;
            }
            let NodeKind::Scalar(key) = key.kind else {
                return Err(Fault::new(
                    place,
                    format!("a key is {} here", key.noun()),
                    "keys are strings",
                ));
            };
            if !keys.insert(key.clone()) {
                return Err(Fault::new(
                    place,
                    format!("{key:?} is here a second time"),
                    "a map has each key once: remove one of them",
                ));
            }
            entries.push(MapMember { key, place, value });
        }
        // The map's own members win over merged ones, and of several merged maps the first wins.
        entries.extend(merged.into_iter().filter(|entry| keys.insert(entry.key.clone())));
        Ok(NodeKind::Map(entries))
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Result<Node, Fault> {
        let Some((size, node)) = self.anchors.get(&anchor).cloned() else {
            return Err(Fault::new(
                place,
                "an alias is within the value that it repeats",
                "write out the value that it should repeat",
            ));
        };
        self.repeat(size, place, depth)?;
        Ok(Node::clone(&node))
    }

    /// Counts a copy, before it is made.
    fn repeat(&mut self, size: Size, place: Place, depth: usize) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.repeated = self.repeated.saturating_add(size.bytes);
        let is_too_large = self.nodes > MOST_NODES
            || self.repeated > MOST_REPEATED
            || depth + size.levels > DEEPEST;
        if is_too_large {
            return Err(Fault::new(
                place,
                "the aliases of this template make it too large",
                format!(
                    "write out the values that they repeat: {MOST_NODES} values, {MOST_REPEATED} bytes and {DEEPEST} levels are the limits"
                ),
            ));
        }
        Ok(())
    }
}

fn size(node: &Node) -> Size {
    let add = |sum: Size, bytes: usize, child: &Node| {
        let child = size(child);
        Size {
            nodes: sum.nodes + child.nodes,
            bytes: sum.bytes + bytes + child.bytes,
            levels: sum.levels.max(child.levels + 1),
        }
    };
    let one = Size { nodes: 1, bytes: 0, levels: 1 };
    match &node.kind {
        NodeKind::Null => one,
        NodeKind::Scalar(text) => Size { bytes: text.len(), ..one },
        NodeKind::List(items) => items.iter().fold(one, |sum, item| add(sum, 0, item)),
        NodeKind::Map(entries) => {
            entries.iter().fold(one, |sum, entry| add(sum, entry.key.len(), &entry.value))
        }
    }
}

/// Returns the members that `<<` merges: of a map, or of the maps of a list.
fn merge(value: Node) -> Result<Vec<MapMember>, Fault> {
    let place = value.place;
    match value.kind {
        NodeKind::Map(entries) => Ok(entries),
        NodeKind::List(maps) => {
            let maps = maps.into_iter().map(merge).collect::<Result<Vec<_>, _>>()?;
            Ok(maps.into_iter().flatten().collect())
        }
        NodeKind::Null | NodeKind::Scalar(_) => Err(Fault::new(
            place,
            "<< merges maps, and this is not a map",
            "name a map, or a list of maps, by its alias",
        )),
    }
}

fn start(span: &Span) -> Place {
    let mark = span.tag_start.unwrap_or(span.start);
    Place {
        offset: mark.byte_offset().unwrap_or(usize::MAX),
        line: mark.line(),
        column: mark.col() + 1,
        is_key: false,
    }
}

/// Returns `!GetAtt x` as `{Fn::GetAtt: x}`.
fn long_form(node: Node, tag: Option<Cow<'_, Tag>>) -> Result<Node, Fault> {
    let Some(tag) = tag.filter(|tag| tag.is_custom() && tag.original() != "!") else {
        return Ok(node);
    };
    let place = node.place;
    let (handle, suffix) = tag.parts();
    if handle != "!" || !TAGS.contains(&suffix) {
        return Err(Fault::new(
            place,
            format!("the tag {:?} is not one of CloudFormation's", tag.original()),
            format!("its short forms are !{}", TAGS.join(", !")),
        ));
    }
    let key = if BARE.contains(&suffix) { suffix.to_owned() } else { format!("Fn::{suffix}") };
    let at_key = Place { is_key: true, ..place };
    let kind = NodeKind::Map(vec![MapMember { key, place: at_key, value: node }]);
    Ok(Node { place, kind })
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> NodeKind {
    let is_plain = style == ScalarStyle::Plain
        && tag.is_none_or(|tag| tag.is_custom() && tag.original() != "!");
    if !is_plain {
        return NodeKind::Scalar(without_marks(text.to_owned()));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            NodeKind::Scalar("true".to_owned())
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            NodeKind::Scalar("false".to_owned())
        }
        _ => {
            let own = || without_marks(text.to_owned());
            NodeKind::Scalar(integer(text).map_or_else(own, |number| number.to_string()))
        }
    }
}

/// Parses YAML 1.1's integers: decimal, `0x`, `0b`, octal with a leading zero, base 60 with colons,
/// underscores between.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let radix = |digits: &str, radix| {
        i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))
    };
    let value = if let Some(hexadecimal) = digits.strip_prefix("0x") {
        radix(hexadecimal, 16)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        radix(binary, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        radix(&digits, 8)
    } else if digits.contains(':') {
        sexagesimal(&digits)
    } else {
        radix(&digits, 10)
    };
    value?.checked_mul(sign)
}

fn sexagesimal(digits: &str) -> Option<i64> {
    let mut parts = digits.split(':');
    let first = parts.next()?.parse::<i64>().ok()?;
    parts.try_fold(first, |sum, part| {
        let is_part =
            (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let part = part.parse::<i64>().ok().filter(|part| is_part && *part < 60)?;
        sum.checked_mul(60)?.checked_add(part)
    })
}
