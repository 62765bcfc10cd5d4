"""What --self-test runs: trees that break one rule, and trees that must pass."""

from dataclasses import dataclass


@dataclass
class Case:
    """Files by name; each expected report as (file, line, a part of the message), none where all is well."""

    files: dict
    expected: list

    def is_as_expected(self, reported):
        return len(reported) == len(self.expected) and all(
            any(line.startswith(f"{file}:{number}: ") and part in line for line in reported)
            for file, number, part in self.expected
        )


# Each case: the file, its text, and the line that must be reported with a part of the message; None
# where nothing is to be reported.
ONE_FILE = [
    ("src/packet/a.rs", "use crate::vpc::Snapshot;\n", (1, "packet (layer 1) uses crate::vpc (layer 2)")),
    ("src/vpc/a.rs", "\nfn f() { crate::flow::g(); }\n", (2, "crate::flow (layer 3)")),
    ("src/flow/a.rs", "use crate::{\n    packet::Tuple,\n    pipeline::{Verdict, Reason},\n};\n", (3, "crate::pipeline")),
    ("src/pipeline/nat.rs", "use super::super::explain::Text;\n", (1, "crate::explain")),
    ("src/pipeline/mod.rs", "use super::linux;\n", (1, "crate::linux")),
    ("src/pipeline/a.rs", "mod inner {\n    use super::super::super::cli::Up;\n}\n", (2, "crate::cli")),
    ("src/config/a.rs", "type T = Vec<crate::daemon::Lab>;\n", (1, "crate::daemon (layer 7)")),
    ("src/explain/a.rs", "use crate::linux::tun;\n", (1, "crate::linux (layer 6)")),
    ("src/linux/a.rs", "use crate::apprunner::Api;\n", (1, "crate::apprunner")),
    ("src/daemon/a.rs", "use crate::cli;\n", (1, "crate::cli (layer 9)")),
    ("src/config/c.rs", "use crate::flow::Table;\n", (1, "config (layer 3) uses crate::flow (layer 3): they share a layer")),
    ("src/flow/i.rs", "use crate::config::Lab;\n", (1, "they share a layer")),
    ("src/apprunner/a.rs", "use crate::console::Page;\n", (1, "they share a layer")),
    ("src/config/d.rs", "use crate::explain::Text;\n", (1, "crate::explain (layer 5)")),
    ("src/daemon/b.rs", "use crate::apprunner::Api;\n", (1, "crate::apprunner (layer 8)")),
    ("src/flow/glob.rs", "use crate::*;\n", (1, "name them")),
    ("src/attic/a.rs", "\n", (1, "`attic` has no layer")),
    # Other names for the root, and names that the root has of its own.
    ("src/packet/mod.rs", "//! Layer 1: x\nuse crate::Lab;\n", (2, "crate::Lab is the module of no layer")),
    ("src/flow/macros.rs", "fn f() { crate::log!(); }\n", (1, "crate::log is the module of no layer")),
    ("src/vpc/k.rs", "use crate as root;\n", (1, "another name for the crate's root")),
    ("src/vpc/l.rs", "use crate::{self as root};\n", (1, "another name for the crate's root")),
    ("src/vpc/m.rs", "use super::super::{self as root};\n", (1, "another name for the crate's root")),
    ("src/vpc/n.rs", "use super::super as root;\n", (1, "another name for the crate's root")),
    ("src/vpc/o.rs", "use self::super::super::cli::Up;\n", (1, "crate::cli (layer 9)")),
    ("src/vpc/p.rs", "use {crate as root, std::fmt};\n", (1, "another name for the crate's root")),
    ("src/vpc/q.rs", "use egret::cli::Up;\n", (1, "crate::cli (layer 9)")),
    ("src/vpc/r.rs", "fn f() { ::egret::cli::up() }\n", (1, "crate::cli (layer 9)")),
    ("src/vpc/s.rs", "extern crate self as own;\n", (1, "extern crate gives")),
    ("src/vpc/t.rs", "#[path = \"../cli/up.rs\"]\nmod up;\n", (1, "#[path] puts a file into another module")),
    ("src/vpc/u.rs", "#[cfg_attr(unix, path = \"../cli/up.rs\")]\nmod up;\n", (1, "#[path] puts a file into another module")),
    ("src/vpc/v.rs", "include!(\"../cli/up.rs\");\n", (1, "include! puts code")),
    ("src/packet/b.rs", "use std::fs;\n", (1, "std::fs in packet, which is pure")),
    ("src/packet/c.rs", "fn f() -> Option<String> { std::env::var(\"A\").ok() }\n", (1, "std::env::var")),
    ("src/vpc/b.rs", "use std::{fmt, thread::sleep};\n", (1, "std::thread::sleep")),
    ("src/vpc/c.rs", "use std::net::{Ipv4Addr, UdpSocket};\n", (1, "std::net::UdpSocket")),
    ("src/vpc/d.rs", "fn f(s: std::net::TcpStream) {}\n", (1, "std::net::TcpStream")),
    ("src/vpc/e.rs", "use std::net::TcpListener;\n", (1, "std::net::TcpListener")),
    ("src/vpc/w.rs", "use std::net::ToSocketAddrs;\n", (1, "std::net::ToSocketAddrs")),
    ("src/flow/b.rs", "use std::time::{Duration, Instant};\n", (1, "std::time::Instant")),
    ("src/flow/c.rs", "let t = std::time::SystemTime::now();\n", (1, "std::time::SystemTime::now")),
    ("src/flow/d.rs", "use std::time;\n", (1, "by name")),
    ("src/flow/e.rs", "use std::net::{self, Ipv4Addr};\n", (1, "by name")),
    ("src/pipeline/b.rs", "fn f() {\n    println!(\"{}\", 1);\n}\n", (2, "println!")),
    ("src/pipeline/c.rs", "fn f() { eprintln!(); }\n", (1, "eprintln!")),
    ("src/pipeline/d.rs", "let x = rand::random::<u16>();\n", (1, "pass a seed")),
    ("src/flow/f.rs", "use tokio::sync::Mutex;\n", (1, "tokio in layer 3")),
    ("src/config/b.rs", "#[tokio::main]\nasync fn f() {}\n", (1, "tokio in layer 3")),
    ("src/linux/worker.rs", "async fn f() { tokio::task::yield_now().await }\n", (1, "tokio in layer 6")),
    ("src/linux/tun.rs", "fn f() { unsafe { g() } }\n", (1, "unsafe is for")),
    ("src/main.rs", "fn main() { unsafe { g() } }\n", (1, "unsafe is for")),
    ("src/flow/g.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nuse std::env;\n", (5, "std::env")),
    ("src/vpc/f.rs", "const Q: char = '\"';\nuse crate::cli;\n", (2, "crate::cli")),
    ("src/vpc/g.rs", "const R: &str = r#\"a \" b\"#; use crate::cli;\n", (1, "crate::cli")),
    ("src/vpc/h.rs", "fn f<'a>(x: &'a str) {}\nuse crate::cli;\n", (2, "crate::cli")),
    ("src/vpc/long.rs", "fn f() {}\n" * 601, (1, "601 lines without tests")),
    ("src/flow/h.rs", "struct S {\n    #[cfg(test)]\n    t: std::fs::File,\n    u: std::fs::File,\n}\n", (4, "std::fs::File")),
    # Files that must pass.
    ("src/pipeline/ok.rs", "use crate::{flow::Table, packet, vpc::{self, Snapshot}};\nuse super::reason;\n", None),
    ("src/pipeline/stage/ok.rs", "use super::super::verdict;\nuse super::linux;\n", None),
    ("src/config/ok.rs", "use crate::vpc::Snapshot;\nuse std::fs;\nuse std::io::Write;\n", None),
    ("src/explain/ok.rs", "use crate::config::Lab;\n", None),
    ("src/cli/ok.rs", "use crate::{daemon, linux, apprunner};\nfn f() { println!(); }\n", None),
    ("src/daemon/ok.rs", "use crate::linux::Tun;\nuse tokio::net::UnixStream;\n", None),
    ("src/linux/sys.rs", "pub fn f() { unsafe { g() } }\n", None),
    ("src/linux/netns.rs", "use tokio::runtime::Runtime;\n", None),
    ("src/linux/ok.rs", "#![deny(unsafe_code)]\nuse std::os::fd::OwnedFd;\n", None),
    ("src/packet/words.rs", "//! Unlike crate::cli, no unsafe, no std::fs; /* println!() */\nconst S: &str = \"use crate::cli; unsafe\";\n", None),
    ("src/packet/block.rs", "/* use crate::cli; /* unsafe */ std::fs */\nfn f() {}\n", None),
    ("src/packet/text.rs", "const T: &str = include_str!(\"a.txt\");\n#[doc = \"path\"]\npub(crate) struct S;\nuse super::{self as own};\n", None),
    ("src/flow/time.rs", "use std::time::Duration;\nuse crate::packet::time::Instant;\nuse std::net::{IpAddr, Ipv4Addr};\n", None),
    ("src/flow/tested.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::cli::x;\n    fn t() { println!(\"}\"); }\n}\n", None),
    ("src/flow/generic.rs", "#[cfg(test)]\npub fn f<A, B>(a: A) -> B {\n    std::env::var(\"A\")\n}\n", None),
    ("src/flow/apart.rs", "#[cfg(test)]\nmod tests;\n", None),
    ("src/flow/apart/tests.rs", "use std::fs;\nuse crate::cli;\n", None),
    ("src/vpc/long_tests.rs", "#[cfg(test)]\nmod tests {\n" + "    fn f() {}\n" * 700 + "}\n", None),
]

# Trees of several files: the files, and the reports that must come.
TREES = [
    # A cycle by imports: both files are named, each with what it uses.
    (
        {"src/vpc/mod.rs": "mod a;\nmod b;\n", "src/vpc/a.rs": "use super::b::B;\npub struct A(B);\n", "src/vpc/b.rs": "\nuse crate::vpc::a::A;\npub struct B(Box<A>);\n"},
        [("src/vpc/a.rs", 1, "uses src/vpc/b.rs (B:1), a cycle in src/vpc: a.rs, b.rs"), ("src/vpc/b.rs", 2, "uses src/vpc/a.rs (A:2)")],
    ),
    # A re-export is followed to the file that defines the item.
    (
        {
            "src/vpc/mod.rs": "mod a;\nmod b;\npub use a::A;\npub use b::{B, C};\n",
            "src/vpc/a.rs": "use super::B;\npub struct A(B);\n",
            "src/vpc/b.rs": "use super::A as Other;\npub struct B(Box<Other>);\npub struct C;\n",
        },
        [("src/vpc/a.rs", 1, "uses src/vpc/b.rs (B:1)"), ("src/vpc/b.rs", 1, "uses src/vpc/a.rs (A:1)")],
    ),
    # What mod.rs itself defines ties a child to it, and a re-export ties it to the child.
    (
        {"src/vpc/mod.rs": "mod a;\npub use a::A;\npub type Line = u32;\n", "src/vpc/a.rs": "use super::Line;\npub struct A(Line);\n"},
        [("src/vpc/a.rs", 1, "uses src/vpc/mod.rs (Line:1)"), ("src/vpc/mod.rs", 2, "uses src/vpc/a.rs (A:2)")],
    ),
    # So does a private import of mod.rs that a child reaches through `super`, or a path in the
    # code.
    (
        {
            "src/cli/mod.rs": "mod a;\nmod b;\nuse b::B;\n",
            "src/cli/a.rs": "pub fn a() { super::B::new(); }\n",
            "src/cli/b.rs": "pub struct B;\nimpl B {\n    pub fn new() { super::a::a() }\n}\n",
        },
        [("src/cli/a.rs", 1, "uses src/cli/b.rs (B:1"), ("src/cli/b.rs", 3, "uses src/cli/a.rs (a:3)")],
    ),
    # A glob hides no tie.
    (
        {"src/vpc/mod.rs": "mod a;\npub use a::*;\npub struct M;\n", "src/vpc/a.rs": "use super::*;\npub struct A(M);\n"},
        [("src/vpc/a.rs", 1, "uses src/vpc/mod.rs (*:1)"), ("src/vpc/mod.rs", 2, "uses src/vpc/a.rs (*:2)")],
    ),
    # `impl Engine` in two files that call each other's methods: by `self`, and by a value.
    (
        {
            "src/pipeline/engine.rs": "pub struct Engine;\nimpl Engine {\n    pub fn handle(&self) { self.admit() }\n    pub fn clock(&self) {}\n}\n",
            "src/pipeline/admission.rs": "use super::engine::Engine;\nimpl Engine {\n    pub fn admit(&self) { self.clock() }\n}\n",
        },
        [
            ("src/pipeline/admission.rs", 1, "uses src/pipeline/engine.rs (Engine:1, Engine::clock():3)"),
            ("src/pipeline/engine.rs", 3, "uses src/pipeline/admission.rs (Engine::admit():3)"),
        ],
    ),
    (
        {
            "src/flow/table.rs": "pub struct Table;\nfn f(t: &Table) {\n    t.expire_idle(\"a, b\");\n}\n",
            "src/flow/expiry.rs": "use super::table::Table;\nimpl<'a> Table {\n    fn expire_idle(&self, n: &str) {}\n}\n",
        },
        [("src/flow/expiry.rs", 1, "(Table:1)"), ("src/flow/table.rs", 3, "(Table::expire_idle():3)")],
    ),
    # An associated function whose impl is in another file, and Self.
    (
        {
            "src/flow/table.rs": "pub struct Table;\nimpl Table {\n    pub fn fresh() -> Self { Self::with_room() }\n}\n",
            "src/flow/room.rs": "use super::table::Table;\nimpl Table {\n    pub fn with_room() -> Self { Table }\n}\n",
        },
        [("src/flow/room.rs", 1, "(Table:1)"), ("src/flow/table.rs", 3, "(Table::with_room:3)")],
    ),
    # A method that is in another file than its type, with a name that another type or the standard
    # library has.
    (
        {
            "src/explain/a.rs": "pub trait Row { fn cells(&self); }\npub fn f(r: &dyn Row, x: &X) {\n    r.cells();\n    x.width();\n}\npub struct X;\n",
            "src/explain/b.rs": "use super::a::{Row, X};\nimpl Row for X {\n    fn cells(&self) {}\n}\nimpl X {\n    fn width(&self) {}\n}\n",
            "src/explain/c.rs": "pub struct Y;\nimpl Y {\n    fn width(&self) {}\n}\n",
        },
        [("src/explain/a.rs", 4, "(X::width():4)"), ("src/explain/b.rs", 1, "(Row:1, X:1)")],
    ),
    (
        {
            "src/flow/table.rs": "pub struct Table;\nfn f(t: &Table) {\n    t.get(|a, b| a, 1);\n}\n",
            "src/flow/lookup.rs": "use super::table::Table;\nimpl Table {\n    pub fn get<F: Fn(u8, u8) -> u8>(self: &Self, f: F, n: u8) {}\n}\n",
        },
        [("src/flow/lookup.rs", 1, "(Table:1)"), ("src/flow/table.rs", 3, "(Table::get():3)")],
    ),
    # Also with a name that a type of a lower layer has.
    (
        {
            "src/daemon/mod.rs": "mod a;\nmod b;\n",
            "src/daemon/a.rs": "use crate::linux::Cache;\npub struct A(Cache);\nimpl A {\n    fn f(&self) { self.0.commit(); }\n}\n",
            "src/daemon/b.rs": "use super::a::A;\nimpl A {\n    fn commit(&self) {}\n}\n",
            "src/linux/mod.rs": "pub struct Cache;\nimpl Cache {\n    pub fn commit(&self) {}\n}\n",
        },
        [("src/daemon/a.rs", 4, "(A::commit():4)"), ("src/daemon/b.rs", 1, "(A:1)")],
    ),
    # A type that a file holds only because one of its own calls returns it.
    (
        {
            "src/vpc/a.rs": "pub struct A;\npub fn f(a: &A) {\n    a.give(1).take_up();\n}\n",
            "src/vpc/b.rs": "use super::a::A;\nuse super::c::C;\nimpl A {\n    pub fn give(&self, n: u8) -> C { C }\n}\n",
            "src/vpc/c.rs": "pub struct C;\n",
            "src/vpc/d.rs": "use super::a::f;\nuse super::c::C;\nimpl C {\n    pub fn take_up(&self) { f() }\n}\n",
        },
        [
            ("src/vpc/a.rs", 3, "uses src/vpc/b.rs (A::give():3)"),
            ("src/vpc/a.rs", 3, "uses src/vpc/d.rs (C::take_up():3)"),
            ("src/vpc/b.rs", 1, "(A:1)"),
            ("src/vpc/d.rs", 1, "(f:1)"),
        ],
    ),
    # A macro that is in scope by its place in the text counts for the file that defines it.
    (
        {
            "src/daemon/mod.rs": "macro_rules! run {\n    () => { a::a() };\n}\nmod a;\n",
            "src/daemon/a.rs": "pub fn a() {\n    run!();\n}\n",
        },
        [("src/daemon/a.rs", 2, "uses src/daemon/mod.rs (run!:2)"), ("src/daemon/mod.rs", 2, "(a:2)")],
    ),
    # src/lib.rs names the modules and nothing else.
    (
        {"src/lib.rs": "//! | 2 | [`vpc`] | x |\npub mod vpc;\npub use vpc::Snapshot;\nmacro_rules! m { () => {} }\n", "src/vpc/mod.rs": "//! Layer 2: x\n"},
        [("src/lib.rs", 3, "imports belongs to no layer"), ("src/lib.rs", 4, "a macro of src/lib.rs")],
    ),
    # Three files in a ring, one of them in a folder.
    (
        {
            "src/daemon/mod.rs": "mod a;\nmod c;\nmod reload;\n",
            "src/daemon/a.rs": "use super::reload::go;\npub fn a() { go() }\n",
            "src/daemon/reload/mod.rs": "mod b;\npub use b::go;\n",
            "src/daemon/reload/b.rs": "use crate::daemon::c::c;\npub fn go() { c() }\n",
            "src/daemon/c.rs": "use super::a::a;\npub fn c() { a() }\n",
        },
        [
            ("src/daemon/a.rs", 1, "a cycle in src/daemon: a.rs, c.rs, reload/b.rs"),
            ("src/daemon/c.rs", 1, "(a:1)"),
            ("src/daemon/reload/b.rs", 1, "(c:1)"),
        ],
    ),
    # The tests' crate is one layer.
    (
        {
            "netns-tests/main.rs": "mod support;\nmod nat;\n",
            "netns-tests/nat.rs": "use crate::support::Lab;\n",
            "netns-tests/support/mod.rs": "pub mod lab;\npub use lab::Lab;\npub struct Names;\n",
            "netns-tests/support/lab.rs": "use super::Names;\npub struct Lab(Names);\n",
        },
        [("netns-tests/support/lab.rs", 1, "(Names:1)"), ("netns-tests/support/mod.rs", 2, "(Lab:2)")],
    ),
    # Trees that must pass: imports one way, `mod` declarations, siblings through mod.rs, tests that
    # look up, and methods of the standard library or of types that a file cannot hold.
    (
        {
            "src/vpc/mod.rs": "mod a;\nmod b;\npub use a::A;\npub use b::B;\n",
            "src/vpc/a.rs": "use super::B;\npub struct A(B);\nimpl A {\n    pub fn text(&self) {}\n    pub fn get(&self) {}\n}\n",
            "src/vpc/b.rs": "pub struct B;\nfn f(v: &[u8]) { v.get(0); v.text(); }\n#[cfg(test)]\nmod tests {\n    use super::super::A;\n}\n",
        },
        [],
    ),
    # Items of inner modules, of other layers, and the same name in two modules.
    (
        {
            "src/vpc/a.rs": "pub mod inner {\n    pub struct B;\n    fn f(x: super::A) {}\n}\npub struct A;\nuse crate::packet::Tuple;\n",
            "src/vpc/b.rs": "use super::a::{inner::B, A};\npub struct Tuple(A, B);\n",
            "src/packet/mod.rs": "pub struct Tuple;\n",
        },
        [],
    ),
    # A trait's methods belong to no file; a call does not mean a method in another file than its
    # type if the number of arguments differs.
    (
        {
            "src/explain/a.rs": "pub trait Row { fn cells(&self); }\npub fn f(r: &dyn Row, v: &[X]) { r.cells(); v.list(\"a, b\", g(1, 2)); v.one(); v.pair((1, 2)); }\npub struct X;\n",
            "src/explain/b.rs": "use super::a::{Row, X};\nimpl Row for X {\n    fn cells(&self) {}\n}\nimpl X {\n    fn list(&self, m: HashMap<u8, u8>) {}\n    fn one(&self, n: u8) {}\n    fn pair(&mut self, a: u8, b: u8,) {}\n}\n",
        },
        [],
    ),
    # The tables: src/lib.rs, a module's own docs, README.md and docs/.
    ({"src/lib.rs": "pub mod vpc;\n", "src/vpc/mod.rs": "//! Layer 2: x\n"}, [("src/lib.rs", 1, "no table of layers")]),
    (
        {"src/lib.rs": "//! | layer | module |\n//! |---|---|\n//! | 3 | [`vpc`] | x |\n", "src/vpc/mod.rs": "//! Layer 2: x\n"},
        [("src/lib.rs", 3, "`vpc` is in layer 3 here; scripts/layers/rules.py says 2")],
    ),
    (
        {"src/lib.rs": "//! | 3 | [`config`], [`flow`] | x |\n", "src/vpc/mod.rs": "//! Layer 2: x\n", "src/flow/mod.rs": "//! Layer 3: x\n", "src/config/mod.rs": "//! Layer 3: x\n"},
        [("src/lib.rs", 1, "the layers lack `vpc` (layer 2)")],
    ),
    (
        {"src/lib.rs": "//! | 1 | [`packet`] | x |\n//! | 2 | [`vpc`] | x |\n", "src/vpc/mod.rs": "//! Layer 2: x\n", "src/packet/mod.rs": "//! Layer 1: x\n"},
        [("src/lib.rs", 1, "not in their order")],
    ),
    (
        {"src/lib.rs": "//! | 2 | [`vpc`] | x |\n//! | 1 | [`packet`] | x |\n", "src/vpc/mod.rs": "//! Layer 2: x\n"},
        [("src/lib.rs", 2, "there is no module `packet`")],
    ),
    (
        {"src/lib.rs": "//! | 2 | [`vpc`] | x |\n", "src/vpc/mod.rs": "//! What the user configured.\n"},
        [("src/vpc/mod.rs", 1, "do not begin with `Layer 2:`")],
    ),
    ({"src/daemon/mod.rs": "//! A lab.\n//! Layer 6: a running lab.\n"}, [("src/daemon/mod.rs", 2, "`daemon` is in layer 6 here")]),
    (
        {
            "README.md": "\nLayers: `packet` (1), `vpc` (2), `flow` and\n`config` (3), `pipeline` (5).\n",
            **{f"src/{module}/mod.rs": "" for module in ("packet", "vpc", "flow", "config", "pipeline")},
        },
        [("README.md", 3, "`pipeline` is in layer 5 here")],
    ),
    (
        {
            "docs/development.md": "| layer | module |\n|---|---|\n| 4 | `pipeline` |\n| 3 | `config`, `flow` |\n| 2 | `vpc` |\n",
            **{f"src/{module}/mod.rs": "" for module in ("packet", "vpc", "flow", "config", "pipeline")},
        },
        [("docs/development.md", 3, "the layers lack `packet` (layer 1)")],
    ),
    (
        {
            "src/lib.rs": "//! | 3 | [`config`], [`flow`] | x |\n//! | 2 | [`vpc`] | x |\npub mod vpc;\n",
            "README.md": "Layers: `vpc` (2), `flow` and `config` (3). `acl` (4) is a group of `flow` (7).\n",
            "docs/a.md": "Ports: `tcp` (6), `udp` (17), `icmp` (1), `gre` (47).\n",
            "src/vpc/mod.rs": "//! Layer 2: what the user configured.\n",
            "src/flow/mod.rs": "//! Layer 3: x\n",
            "src/config/mod.rs": "//! Layer 3: the lab file.\n",
        },
        [],
    ),
]


def all_cases():
    for name, text, expected in ONE_FILE:
        # Only test files need their neighbour, which declares them.
        neighbours = {case[0]: case[1] for case in ONE_FILE if name.startswith(case[0].removesuffix(".rs") + "/")}
        yield Case({name: text, **neighbours}, [] if expected is None else [(name, *expected)])
    for files, expected in TREES:
        yield Case(files, expected)


ALL = list(all_cases())
