//! Do `shared.rs` and the compiled tc programs lay out the same things in the same way? The compiler says in the object's BTF
//! (the kernel's Documentation/bpf/btf.rst) where it has put each field.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::programs::CACHING;
use super::shared::{
    Direction, DropCounterKey, FlowEntry, FlowKey, LinkEntry, Owned, Prefix, Record, RecordCounted,
    RecordPort, RecordTuple, Slot, Task,
};
use super::sys::Plain;
use aya::maps::lpm_trie::Key;
use object::{Object as _, ObjectSection as _};
use std::collections::BTreeMap;
use zerocopy::FromZeros as _;

/// A field's name, and where it is.
type Field = (String, usize, usize);

/// Size, and fields in their order.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    size: usize,
    fields: Vec<Field>,
}

/// The layouts of structs, by the names that C has for them. A field that is not listed does not compile.
macro_rules! layouts {
    ($($name:literal = $rust:ident { $($field:ident),* $(,)? }),* $(,)?) => {
        BTreeMap::from([$(($name, {
            let $rust { $($field),* } = $rust::new_zeroed();
            let fields = vec![$((
                stringify!($field).to_owned(),
                std::mem::offset_of!($rust, $field),
                size_of_val(&$field),
            )),*];
            Layout { size: size_of::<$rust>(), fields }
        })),*])
    };
}

fn own_layouts() -> BTreeMap<&'static str, Layout> {
    let mut layouts = layouts! {
        "task" = Task { address, tun },
        "owned" = Owned { space, address },
        "prefix" = Prefix { tun, address },
        "link" = LinkEntry { ifindex, far, near },
        "drop_counter_key" = DropCounterKey { ifindex, reason },
        "flow_key" = FlowKey { link, source, destination, sport, dport, protocol, zero },
        "flow_entry" = FlowEntry {
            generation, out, far, near, source, destination, sport, dport, addresses, ports, mtu,
            hop, direction, slot, zero, idle,
        },
        "direction" = Direction { packets, segments, bytes, seen, end, ack, floor, ceiling, punted },
        "slot" = Slot { directions, claimed, zero },
        "record" = Record { egress, returned, eni, nat, began, counted },
        "record_tuple" = RecordTuple { space, protocol, zero, source, destination, sport, dport },
        "record_port" = RecordPort { holder, space, address, port },
        "record_counted" = RecordCounted { own, offloaded },
    };
    // `aya` puts the length in front of what is in a trie.
    let prefix = layouts.get_mut("prefix").unwrap();
    let length = size_of::<Key<Plain<Prefix>>>() - prefix.size;
    prefix.size += length;
    prefix.fields.iter_mut().for_each(|field| field.1 += length);
    prefix.fields.insert(0, ("length".to_owned(), 0, length));
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
    for name in &held {
        assert!(own.contains_key(name.as_str()), "struct {name} has no counterpart");
    }
}

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const VAR: u32 = 14;

/// As much of BTF as the maps of the programs need.
struct Btf {
    types: Vec<Type>,
    strings: Vec<u8>,
}

struct Type {
    name: usize,
    kind: u32,
    /// A size, or another type.
    size: u32,
    /// The words behind it: three for each field of a struct.
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
        // Nothing is the type of number 0.
        let mut found = vec![Type { name: 0, kind: 0, size: 0, more: Vec::new() }];
        while at < end {
            let [name, info, size] = [0, 4, 8].map(|offset| word(at + offset));
            let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
            let more = match kind {
                INT | VAR | 17 => 1,
                ARRAY => 3,
                STRUCT | 5 | 15 | 19 => 3 * count,
                6 | 13 => 2 * count,
                _ => 0,
            };
            let more = (0..more).map(|index| word(at + 12 + 4 * index)).collect::<Vec<_>>();
            at += 12 + 4 * more.len();
            found.push(Type { name: name as usize, kind, size, more });
        }
        Self { types: found, strings: data[head + strings..].to_vec() }
    }

    fn name(&self, at: usize) -> &str {
        let end = self.strings[at..].iter().position(|octet| *octet == 0).unwrap();
        std::str::from_utf8(&self.strings[at..at + end]).unwrap()
    }

    fn layout(&self, name: &str) -> Option<Layout> {
        let found = self.types.iter().find(|t| t.kind == STRUCT && self.name(t.name) == name)?;
        let fields = self.fields(found).map(|(name, of, bits)| {
            assert_eq!(bits % 8, 0, "{name}");
            (name.to_owned(), bits as usize / 8, self.size_of(of))
        });
        Some(Layout { size: found.size as usize, fields: fields.collect() })
    }

    /// Name, type and offset in bits of each field of a struct.
    fn fields(&self, of: &Type) -> impl Iterator<Item = (&str, u32, u32)> {
        of.more.chunks(3).map(|field| (self.name(field[0] as usize), field[1], field[2]))
    }

    fn size_of(&self, number: u32) -> usize {
        let found = &self.types[number as usize];
        match found.kind {
            INT | STRUCT => found.size as usize,
            ARRAY => self.size_of(found.more[0]) * found.more[2] as usize,
            // Names of types, and what qualifies them.
            8..=11 => self.size_of(found.size),
            other => panic!("{}: a kind of type that no map holds: {other}", self.name(found.name)),
        }
    }

    /// The structs that are the keys and values of maps. A map is a variable, a struct with fields `key` and `value` that
    /// point to what it holds.
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
