//! Compares `shared.rs`, and numbers that both sides have, with the compiled tc programs. The
//! object's BTF (the kernel's Documentation/bpf/btf.rst) records the offset and the type of each
//! field as the compiler has chosen them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::flow_cache::{IN_SEQUENCE, MAX_FLOWS, OPEN};
use super::pinned_maps::LAYOUT;
use super::programs::CACHING;
use super::shared::{
    Address, Direction, DropCounterKey, FlowEntry, FlowKey, LinkEntry, Origin, Owned, Prefix,
    RecordCounted, RecordPort, RecordTuple, SharedRecord, Slot, Task,
};
use super::steer_reason::SteerReason;
use super::sys::Plain;
use crate::flow::MAX_FLIGHT;
use crate::vpc::Space;
use aya::maps::lpm_trie::Key;
use object::{Object as _, ObjectSection as _};
use std::collections::BTreeMap;
use zerocopy::{FromZeros as _, big_endian};

/// A field's name, offset and [`Shape`].
type Field = (String, usize, String);

/// A type as both languages can describe it: the size of an integer, an array of something, or a
/// struct.
trait Shape {
    fn shape() -> String;
}

macro_rules! shapes {
    ($($shape:expr => $rust:ty),* $(,)?) => {
        $(impl Shape for $rust {
            fn shape() -> String {
                $shape.to_owned()
            }
        })*
    };
}

shapes! {
    "1" => u8,
    "2" => u16,
    "2" => big_endian::U16,
    "4" => u32,
    "8" => u64,
    "struct direction" => Direction,
    "struct record_tuple" => RecordTuple,
    "struct record_port" => RecordPort,
    "struct record_counted" => RecordCounted,
}

impl<T: Shape, const N: usize> Shape for [T; N] {
    fn shape() -> String {
        format!("{}[{N}]", T::shape())
    }
}

fn shape_of<T: Shape>(_: &T) -> String {
    T::shape()
}

/// The size of a struct, and its fields in their order.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    size: usize,
    fields: Vec<Field>,
}

/// Makes the layouts of structs, by the names that C has for them. A missing field is a compile
/// error.
macro_rules! layouts {
    ($($name:literal = $rust:ident { $($field:ident),* $(,)? }),* $(,)?) => {
        BTreeMap::from([$(($name, {
            let $rust { $($field),* } = $rust::new_zeroed();
            let fields = vec![$((
                stringify!($field).to_owned(),
                std::mem::offset_of!($rust, $field),
                shape_of(&$field),
            )),*];
            Layout { size: size_of::<$rust>(), fields }
        })),*])
    };
}

fn own_layouts() -> BTreeMap<&'static str, Layout> {
    let mut layouts = layouts! {
        "task" = Task { address, tun },
        "owned" = Owned { space, address },
        "origin" = Origin { space, source },
        "prefix" = Prefix { tun, address },
        "link" = LinkEntry { ifindex, far, near, private },
        "drop_counter_key" = DropCounterKey { ifindex, reason },
        "flow_key" = FlowKey { link, source, destination, sport, dport, protocol, zero },
        "flow_entry" = FlowEntry {
            generation, out, far, near, source, destination, sport, dport, addresses, ports, mtu,
            hop, direction, slot, zero, idle,
        },
        "direction" = Direction { packets, segments, bytes, seen, end, ack, floor, ceiling, punted },
        "slot" = Slot { directions, claimed, number, zero },
        "record" = SharedRecord { egress, returned, eni, nat, endpoint, untracked, began, counted },
        "record_tuple" = RecordTuple { space, protocol, zero, source, destination, sport, dport },
        "record_port" = RecordPort { holder, space, address, port },
        "record_counted" = RecordCounted { own, offloaded },
    };
    // `aya` puts the length in front of the data of a trie.
    let prefix = layouts.get_mut("prefix").unwrap();
    let length = size_of::<Key<Plain<Prefix>>>() - prefix.size;
    prefix.size += length;
    prefix.fields.iter_mut().for_each(|field| field.1 += length);
    prefix.fields.insert(0, ("length".to_owned(), 0, length.to_string()));
    layouts
}

#[test]
fn every_field_is_where_the_programs_have_it() {
    let btf = Btf::of(CACHING);
    let own = own_layouts();
    for (name, layout) in &own {
        assert_eq!(btf.layout(name).as_ref(), Some(layout), "struct {name}");
    }
    // No map holds a struct that is not compared.
    let held = btf.structs_in_maps();
    assert!(held.len() >= 8, "{held:?}");
    let fields = own.values().flat_map(|layout| &layout.fields);
    let nested = fields.filter_map(|(_, _, shape)| shape.strip_prefix("struct "));
    let nested = nested.map(|shape| shape.split('[').next().unwrap());
    for name in held.iter().map(String::as_str).chain(nested) {
        assert!(own.contains_key(name), "struct {name} has no counterpart");
    }
}

/// Hashes the layouts of what is pinned. If they change, so must the number by which the next
/// process knows them.
#[test]
fn a_change_of_what_is_pinned_changes_the_number_of_the_layout() {
    const PINNED: [&str; 8] = [
        "flow_key",
        "flow_entry",
        "direction",
        "slot",
        "record",
        "record_tuple",
        "record_port",
        "record_counted",
    ];
    let own = own_layouts();
    let text: String = PINNED.iter().map(|name| format!("{name} {:?}\n", own[name])).collect();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let why = "write the hash here, and count LAYOUT up unless only names have changed";
    assert_eq!((LAYOUT, hash), (2, 0xc470_11a3_2f9c_6df1), "{why}:\n{text}");
}

#[test]
fn shared_numbers_are_those_of_the_programs() {
    let btf = Btf::of(CACHING);
    let bit = u64::trailing_zeros;
    let numbers = [
        ("IN_SEQUENCE_BIT", bit(IN_SEQUENCE)),
        ("MAX_FLIGHT", MAX_FLIGHT),
        ("MAX_FLOWS", MAX_FLOWS),
        ("OPEN_BIT", bit(OPEN)),
    ];
    assert_eq!(btf.numbers("shared_number"), numbers.map(|(name, n)| (name.to_owned(), n)).into());
    let internet = ("INTERNET".to_owned(), u32::from(Space::INTERNET.0));
    assert_eq!(btf.numbers("space"), [internet].into());
    let reasons = btf.numbers("reason").into_iter().map(|(name, number)| {
        let words = name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase());
        (words.collect::<String>(), number)
    });
    let reasons: BTreeMap<_, _> = reasons.collect();
    assert!(reasons.len() >= 10, "{reasons:?}");
    for (name, number) in &reasons {
        assert_eq!(format!("{:?}", SteerReason::from(*number)), *name);
    }
    let unknown = reasons.len() as u32 + 1;
    assert_eq!(SteerReason::from(unknown), SteerReason::Other(unknown), "each has its number");
}

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VAR: u32 = 14;

/// The part of BTF that the maps of the programs need.
struct Btf {
    types: Vec<Type>,
    strings: Vec<u8>,
}

struct Type {
    name: usize,
    kind: u32,
    /// A size, or the number of another type.
    size: u32,
    /// The words after the type's header: three for each field of a struct.
    more: Vec<u32>,
}

impl Btf {
    fn of(object: &[u8]) -> Self {
        let file = object::File::parse(object).unwrap();
        let data = file.section_by_name(".BTF").unwrap().data().unwrap();
        let word = |at: usize| u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) & 0xffff, 0xeb9f, "its magic number");
        let [head, types, length, strings] = [4, 8, 12, 16].map(|at| word(at) as usize);
        let (mut at, end) = (head + types, head + types + length);
        // Type 0 is `void`.
        let mut found = vec![Type { name: 0, kind: 0, size: 0, more: Vec::new() }];
        while at < end {
            let [name, info, size] = [0, 4, 8].map(|offset| word(at + offset));
            let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
            let more = match kind {
                INT | VAR | 17 => 1,
                ARRAY => 3,
                STRUCT | 5 | 15 | 19 => 3 * count,
                ENUM | 13 => 2 * count,
                _ => 0,
            };
            let more = (0..more).map(|index| word(at + 12 + 4 * index)).collect::<Vec<_>>();
            at += 12 + 4 * more.len();
            found.push(Type { name: name as usize, kind, size, more });
        }
        Self { types: found, strings: data[head + strings..].to_vec() }
    }

    fn name(&self, at: usize) -> &str {
        let end = self.strings[at..].iter().position(|byte| *byte == 0).unwrap();
        std::str::from_utf8(&self.strings[at..at + end]).unwrap()
    }

    fn layout(&self, name: &str) -> Option<Layout> {
        let found = self.types.iter().find(|t| t.kind == STRUCT && self.name(t.name) == name)?;
        let fields = self.fields(found).map(|(name, of, bits)| {
            assert_eq!(bits % 8, 0, "{name}");
            (name.to_owned(), bits as usize / 8, self.shape(of))
        });
        Some(Layout { size: found.size as usize, fields: fields.collect() })
    }

    /// Returns the names and values of an enum.
    fn numbers(&self, name: &str) -> BTreeMap<String, u32> {
        let found = self.types.iter().find(|t| t.kind == ENUM && self.name(t.name) == name);
        let pairs = found.unwrap_or_else(|| panic!("enum {name}")).more.chunks(2);
        pairs.map(|pair| (self.name(pair[0] as usize).to_owned(), pair[1])).collect()
    }

    /// Returns name, type and offset in bits of each field of a struct.
    fn fields(&self, of: &Type) -> impl Iterator<Item = (&str, u32, u32)> {
        of.more.chunks(3).map(|field| (self.name(field[0] as usize), field[1], field[2]))
    }

    fn shape(&self, number: u32) -> String {
        let found = &self.types[number as usize];
        match found.kind {
            INT | ENUM => found.size.to_string(),
            STRUCT => format!("struct {}", self.name(found.name)),
            ARRAY => format!("{}[{}]", self.shape(found.more[0]), found.more[2]),
            // In `shared.rs` an address is an array.
            TYPEDEF if self.name(found.name) == "__be32" => Address::shape(),
            // Names of types, and qualifiers.
            TYPEDEF..=11 => self.shape(found.size),
            other => panic!("{}: a kind of type that no map holds: {other}", self.name(found.name)),
        }
    }

    /// Returns the structs that are the keys and values of maps. A map is a variable, a struct with
    /// fields `key` and `value` that point to its contents.
    fn structs_in_maps(&self) -> Vec<String> {
        let maps =
            self.types.iter().filter(|t| t.kind == VAR).map(|t| &self.types[t.size as usize]);
        let fields = maps.filter(|map| map.kind == STRUCT).flat_map(|map| self.fields(map));
        let held =
            fields.filter(|(name, ..)| matches!(*name, "key" | "value")).map(|(_, of, _)| {
                let pointer = &self.types[of as usize];
                assert_eq!(pointer.kind, POINTER);
                &self.types[pointer.size as usize]
            });
        held.filter(|held| held.kind == STRUCT)
            .map(|held| self.name(held.name).to_owned())
            .collect()
    }
}
