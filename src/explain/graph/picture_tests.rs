//! Tests the written pictures: those of the examples, and that nothing in an SVG file overlaps.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::draw::{Tasks, draw};
use super::model::{Column, Edge, Graph, Kind, Node};
use super::{dot, svg};
use crate::config::Lab;
use crate::config::import::{Imported, Options, Order};
use crate::vpc::Generation;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn of_lab(lab: &Lab) -> Graph {
    draw(&lab.lower(Generation(1)), Tasks::Planned)
}

fn example(name: &str) -> Graph {
    of_lab(&Lab::load(root().join(format!("examples/{name}.toml"))).unwrap())
}

fn source() -> Graph {
    let order = Order {
        source: root().join("examples/vpc"),
        text: None,
        format: None,
        options: Options::default(),
        connectors: Vec::new(),
        lab: None,
        lenient: false,
    };
    of_lab(&Imported::from_source(&order).unwrap().lab)
}

fn mermaid(w: &mut dyn io::Write, graph: &Graph) -> io::Result<()> {
    super::mermaid(w, graph, false)
}

fn written(write: fn(&mut dyn io::Write, &Graph) -> io::Result<()>, graph: &Graph) -> String {
    let mut text = Vec::new();
    write(&mut text, graph).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn pictures_of_the_smallest_example() {
    let graph = example("minimal");
    insta::assert_snapshot!("minimal_svg", written(svg, &graph));
    insta::assert_snapshot!("minimal_mermaid", written(mermaid, &graph));
    insta::assert_snapshot!("minimal_dot", written(dot, &graph));
}

#[test]
fn pictures_of_three_zones() {
    let graph = example("three-az");
    insta::assert_snapshot!("three_az_mermaid", written(mermaid, &graph));
    insta::assert_snapshot!("three_az_dot", written(dot, &graph));
}

#[test]
fn picture_of_a_source() {
    let graph = source();
    insta::assert_snapshot!("source_mermaid", written(mermaid, &graph));
    insta::assert_snapshot!("source_json", serde_json::to_string_pretty(&graph).unwrap());
}

/// `EGRET_UPDATE_DOCS=1 cargo test --lib picture_of_the_guide` writes it.
#[test]
fn picture_of_the_guide_is_that_of_its_lab() {
    let file = root().join("docs/three-az.svg");
    let wanted = written(svg, &example("three-az"));
    if std::env::var_os("EGRET_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let is_same = std::fs::read_to_string(&file).is_ok_and(|found| found == wanted);
    assert!(is_same, "run `EGRET_UPDATE_DOCS=1 cargo test --lib picture_of_the_guide`");
}

/// A rectangle of an SVG file.
#[derive(Clone, Copy, Debug)]
struct Rect {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Rect {
    fn of(node: roxmltree::Node<'_, '_>) -> Self {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(node, name));
        Self { left: x, top: y, right: x + width, bottom: y + height }
    }

    fn overlaps(self, other: Self) -> bool {
        let beside = self.right <= other.left || other.right <= self.left;
        let above = self.bottom <= other.top || other.bottom <= self.top;
        !beside && !above
    }

    fn has(self, inner: Self) -> bool {
        self.left <= inner.left
            && self.top <= inner.top
            && inner.right <= self.right
            && inner.bottom <= self.bottom
    }
}

fn number(node: roxmltree::Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or("0").parse().unwrap()
}

fn class<'a>(node: &roxmltree::Node<'a, '_>) -> &'a str {
    node.attribute("class").unwrap_or_default()
}

/// Checks that no two nodes overlap, that each text is inside its node, and that all is inside the
/// picture.
fn assert_is_tidy(svg: &str) {
    let document = roxmltree::Document::parse(svg).unwrap();
    let elements = || document.descendants().filter(roxmltree::Node::is_element);
    let boxes: Vec<_> = elements().filter(|node| class(node) == "box").collect();
    let paper = Rect::of(elements().find(|node| class(node) == "paper").unwrap());
    for (position, node) in boxes.iter().enumerate() {
        let own = Rect::of(*node);
        assert!(paper.has(own), "{own:?} is outside of {paper:?}");
        for other in &boxes[position + 1..] {
            assert!(!own.overlaps(Rect::of(*other)), "{own:?}, {:?}", Rect::of(*other));
        }
        let group = node.parent().unwrap();
        for text in group.children().filter(|node| node.has_tag_name("text")) {
            let characters = text.text().unwrap_or_default().chars().count();
            let (x, y) = (number(text, "x"), number(text, "y"));
            // 0.61 of 12 pixels is the widest that a monospaced character gets.
            let right = x + 0.61 * 12.0 * f64::from(u32::try_from(characters).unwrap());
            let text = Rect { left: x, top: y - 10.0, right, bottom: y + 3.0 };
            assert!(own.has(text), "{text:?} is outside of {own:?}");
        }
    }
    let areas: Vec<Rect> = elements().filter(|node| class(node) == "area").map(Rect::of).collect();
    for (position, area) in areas.iter().enumerate() {
        assert!(paper.has(*area));
        assert!(areas[position + 1..].iter().all(|other| !area.overlaps(*other)));
        for node in &boxes {
            let own = Rect::of(*node);
            assert!(area.has(own) || !area.overlaps(own), "{own:?} crosses {area:?}");
        }
    }
}

/// Returns a lab with many subnets and connectors, and with long names.
fn large(subnets: usize) -> String {
    let mut text = String::from(
        "[[vpc]]\nid = \"vpc-a\"\ncidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw-a\"\n\
         [[security_group]]\nid = \"sg-app\"\nvpc = \"vpc-a\"\n\
         [[route_table]]\nid = \"rtb-0\"\nvpc = \"vpc-a\"\n\
         routes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n\
         [[nat_gateway]]\nid = \"nat-a\"\nsubnet = \"subnet-of-a-team-with-a-long-name-0\"\n",
    );
    for table in 1..8 {
        let routes = (0..table * 4).map(|route| {
            format!("    {{ destination = \"172.{table}.{route}.0/24\", target = \"nat-a\" }},\n")
        });
        let routes: String = routes.collect();
        write!(
            text,
            "[[route_table]]\nid = \"rtb-{table}\"\nvpc = \"vpc-a\"\nroutes = [\n{routes}]\n"
        )
        .unwrap();
    }
    for subnet in 0..subnets {
        let zone = ["a", "b", "c"][subnet % 3];
        write!(
            text,
            "[[subnet]]\nid = \"subnet-of-a-team-with-a-long-name-{subnet}\"\nvpc = \"vpc-a\"\n\
             availability_zone = \"us-east-1{zone}\"\ncidr = \"10.0.{subnet}.0/24\"\n\
             route_table = \"rtb-{}\"\n",
            subnet * 5 % 8
        )
        .unwrap();
    }
    for connector in 0..subnets / 6 {
        let own =
            (0..3).map(|i| format!("\"subnet-of-a-team-with-a-long-name-{}\"", connector * 5 + i));
        let own: Vec<String> = own.collect();
        write!(
            text,
            "[[vpc_connector]]\nname = \"connector-{connector}\"\nsubnets = [{}]\n\
             security_groups = [\"sg-app\"]\n[[service]]\nname = \"service-{connector}\"\n\
             egress = \"vpc\"\nvpc_connector = \"connector-{connector}\"\n",
            own.join(", ")
        )
        .unwrap();
    }
    text
}

#[test]
fn nothing_overlaps_in_the_pictures_of_examples() {
    let folder = std::fs::read_dir(root().join("examples")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let labs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|own| own == "toml")).collect();
    assert!(labs.len() > 3, "{labs:?}");
    for file in labs {
        assert_is_tidy(&written(svg, &of_lab(&Lab::load(&file).unwrap())));
    }
    assert_is_tidy(&written(svg, &source()));
}

#[test]
fn nothing_overlaps_in_the_picture_of_a_large_lab() {
    let lab = Lab::parse("lab.toml", &large(60)).unwrap();
    let svg = written(svg, &of_lab(&lab));
    assert_is_tidy(&svg);
    assert!(svg.contains("subnet-of-a-t…-long-name-17"), "a long name keeps both ends");
    assert!(svg.contains("<title>subnet-of-a-team-with-a-long-name-17\nus-east-1c"), "{svg}");
    assert!(svg.contains(">+17 more</text>"), "a table with many routes says how many are missing");
}

/// Makes nodes in all columns, of three VPCs, with edges between neighbouring columns.
fn any_graph() -> impl Strategy<Value = Graph> {
    const KINDS: [Kind; 7] = [
        Kind::Service,
        Kind::Connector,
        Kind::Eni,
        Kind::Subnet,
        Kind::RouteTable,
        Kind::NatGateway,
        Kind::Vpc,
    ];
    let node = (0..KINDS.len(), 0..3usize, 0..16usize, 1..40usize);
    let nodes = prop::collection::vec(node, 1..40);
    let pairs =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60);
    (nodes, pairs).prop_map(|(nodes, pairs)| {
        let make = |(number, (kind, vpc, lines, width)): (usize, (usize, usize, usize, usize))| {
            let name = format!("{number}{}", "x".repeat(width));
            let vpc = format!("vpc-{vpc}");
            let kind = KINDS[kind];
            let is_inside = kind.column() != Column::Destination;
            Node::new(kind, &name, is_inside.then_some(&*vpc), vec![name.clone(); lines])
        };
        let nodes: Vec<Node> = nodes.into_iter().enumerate().map(make).collect();
        let edges = pairs.into_iter().filter_map(|(one, other)| {
            let (from, to) = (one.get(&nodes), other.get(&nodes));
            (from.column < to.column).then(|| Edge::new(from.key.clone(), to.key.clone()))
        });
        let edges = edges.collect();
        let areas =
            (0..3).map(|vpc| super::model::Area { vpc: format!("vpc-{vpc}"), cidrs: Vec::new() });
        Graph { lab: "any".to_owned(), areas: areas.collect(), nodes, edges }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_overlaps_in_any_picture(graph in any_graph()) {
        let text = written(svg, &graph);
        assert_is_tidy(&text);
        prop_assert_eq!(written(svg, &graph), text, "the same graph gives the same picture");
    }
}
