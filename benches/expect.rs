//! The time for 10,000 expectations: with 10,000 different questions, with a few, and with fixes
//! for the first that fail.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use criterion::{Criterion, criterion_group, criterion_main};
use egret::config::Lab;
use egret::config::expectations::Expectations;
use egret::explain::{MOST_FIXES, Subject, propose_fixes, test};
use egret::pipeline::reach::Addresses;
use egret::vpc::Generation;
use std::fmt::Write as _;
use std::hint::black_box;

const LAB: &str = include_str!("../examples/three-az.toml");
const SERVICES: [&str; 5] = ["web", "api", "trap", "isolated", "public"];
const DESTINATIONS: [&str; 5] = ["10.0.48.10", "cache", "example", "203.0.113.77", "internet"];

/// Makes 10,000 expectations, over all pairs of service and destination and over `ports` different
/// ports.
fn expectations(is: &str, ports: usize) -> Expectations {
    let mut text = String::new();
    for at in 0..10_000 {
        let (from, to) = (SERVICES[at % 5], DESTINATIONS[at / 5 % 5]);
        let port = 1 + at / 25 % ports;
        writeln!(text, "[[expect]]\nfrom = \"{from}\"\nto = \"{to}:{port}\"\nis = \"{is}\"")
            .unwrap();
    }
    Expectations::parse("expectations.toml", &text).unwrap()
}

fn bench(criterion: &mut Criterion, name: &str, (is, ports): (&str, usize)) {
    let expectations = expectations(is, ports);
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let lab = Lab::parse("lab.toml", black_box(LAB)).unwrap();
            let snapshot = &lab.lower(Generation(1));
            let subject = Subject { snapshot, addresses: Addresses::Open, pool: lab.task_cidr };
            let mut tested = test(&subject, &expectations, &mut |_| true).unwrap();
            let mut left = MOST_FIXES;
            propose_fixes(&subject, None, (&mut tested, &mut left), &mut || true).unwrap();
            tested.len()
        });
    });
}

fn benches(criterion: &mut Criterion) {
    bench(criterion, "expect/10000/all-different", ("blocked", 400));
    bench(criterion, "expect/10000/250-different", ("blocked", 10));
    bench(criterion, "expect/10000/all-different-fixes", ("reachable", 400));
}

criterion_group! {
    name = expect;
    config = Criterion::default().sample_size(10);
    targets = benches
}
criterion_main!(expect);
