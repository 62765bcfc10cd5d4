//! The time for a verdict over a set of packets: everything that one service reaches, in a large
//! lab and in the example.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

#[path = "support/large_lab.rs"]
mod large_lab;

use criterion::{Criterion, criterion_group, criterion_main};
use egret::config::Lab;
use egret::explain::{self, Reaching, Wanted};
use egret::packet::Protocol;
use egret::pipeline::reach::{self, Addresses, PortRange, Ports, Question, Ranges, Tasks};
use egret::vpc::{Generation, ServiceIx, Snapshot};
use std::hint::black_box;

/// The addresses of both labs' VPC.
const VPC: (u32, u32) = (0x0a00_0000, 0x0a00_ffff);

fn snapshot(text: &str) -> Snapshot {
    Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
}

fn question(
    snapshot: &Snapshot,
    service: &str,
    destinations: Ranges,
    ports: Ports,
) -> (Snapshot, Question) {
    let services = &snapshot.parts().services;
    let service = ServiceIx::from(services.iter().position(|s| s.name == service).unwrap());
    let (gateway_addresses, source_port) = (Addresses::Open, None);
    let (snapshot, attachments) =
        reach::attachments(snapshot, service, Tasks::Possible, gateway_addresses);
    let question =
        Question { service, attachments, gateway_addresses, destinations, ports, source_port };
    (snapshot, question)
}

fn internet() -> Ranges {
    let private =
        [(0x0a00_0000, 0x0aff_ffff), (0xac10_0000, 0xac1f_ffff), (0xc0a8_0000, 0xc0a8_ffff)];
    let others = [
        (0, 0x00ff_ffff),
        (0x6440_0000, 0x647f_ffff),
        (0x7f00_0000, 0x7fff_ffff),
        (0xa9fe_0000, 0xa9fe_ffff),
    ];
    let others = Ranges::new(private.into_iter().chain(others).chain([(0xe000_0000, u32::MAX)]));
    Ranges::of(0, u32::MAX).difference(&others)
}

fn bench(criterion: &mut Criterion, name: &str, lab: &str, destinations: Ranges, ports: Ports) {
    let (snapshot, question) = question(&snapshot(lab), "web", destinations, ports);
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| reach::ask(black_box(&snapshot), black_box(&question), &mut || true));
    });
}

/// Measures all that an explanation without a running lab does: from the lab file to the answer.
fn bench_from_file(criterion: &mut Criterion, name: &str, lab: &str, ports: &Ports) {
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let snapshot = snapshot(black_box(lab));
            let (snapshot, question) = question(&snapshot, "web", internet(), ports.clone());
            reach::ask(&snapshot, &question, &mut || true)
        });
    });
}

/// Measures what `egret reach` does for a service: everything that it reaches, as rows.
fn bench_rows(criterion: &mut Criterion, name: &str, lab: &str, wanted: Wanted<'_>) {
    let snapshot = snapshot(lab);
    let services = explain::services(&["web".to_owned()], &snapshot).unwrap();
    let addresses = Addresses::Open;
    let reaching = Reaching { services: &services, addresses, wanted };
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| explain::reach(black_box(&snapshot), black_box(&reaching), &mut |_| true));
    });
}

fn benches(criterion: &mut Criterion) {
    let large = large_lab::large_lab();
    let vpc = || Ranges::of(VPC.0, VPC.1);
    bench(criterion, "reach/large/internet", &large, internet(), Ports::all());
    bench(criterion, "reach/large/vpc", &large, vpc(), Ports::all());
    bench_rows(criterion, "reach/large/rows", &large, Wanted::Passing);
    bench_rows(criterion, "reach/large/rows-of-drops", &large, Wanted::Drops);
    let example = include_str!("../examples/three-az.toml");
    let https = Ports::new([PortRange::Of(Protocol::Tcp, 443, 443)]);
    bench(criterion, "reach/three-az/example", example, Ranges::one(0xcb00_710a), https);
    bench(criterion, "reach/three-az/internet", example, internet(), Ports::all());
    bench(criterion, "reach/three-az/vpc", example, vpc(), Ports::all());
    bench_from_file(criterion, "reach/three-az/from-file", example, &Ports::all());
}

criterion_group! {
    name = reach;
    config = Criterion::default().sample_size(10);
    targets = benches
}
criterion_main!(reach);
