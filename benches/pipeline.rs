//! The cost of a packet: on the fast path, through the whole walk, and when it is dropped.

#![allow(clippy::print_stdout, reason = "a bench reports")]
#![allow(missing_docs, reason = "criterion's macros")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use egret::packet::{Inside, Protocol, TcpFlags, Tuple};
use std::hint::black_box;
use std::time::{Duration, Instant};
use support::{DATABASE, NOW, OUTSIDE, TASK, World, from_task, nth, nth_syn};

/// Measures parse, look-up and rewrite of a 40-byte TCP segment. The copy into the buffer is
/// included, as a worker's read would be.
fn fast_path(c: &mut Criterion) {
    let mut group = c.benchmark_group("fast path");
    group.throughput(Throughput::Elements(1));
    for (name, to) in [("nat", (OUTSIDE, 443)), ("local", (DATABASE, 443))] {
        let mut world = World::new();
        let (out, back, device) = world.connect(40_000, to);
        let (mut buffer, eni) = (out.clone(), world.eni);
        group.bench_function(format!("{name}, out"), |b| {
            b.iter(|| {
                buffer.copy_from_slice(black_box(&out));
                black_box(world.judge(eni, &mut buffer))
            })
        });
        group.bench_function(format!("{name}, back"), |b| {
            b.iter(|| {
                buffer.copy_from_slice(black_box(&back));
                black_box(world.judge(device, &mut buffer))
            })
        });
    }
    group.finish();
}

/// Measures the fast path with many live flows: with one of them in use, and with all of them in
/// turn.
fn live_flows(c: &mut Criterion) {
    let mut group = c.benchmark_group("fast path among live flows");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 1_000, 100_000, 1_000_000] {
        let mut world = World::new();
        world.fill(flows);
        let eni = world.eni;
        let hot = from_task(nth(0).0, (nth(0).1, 443), TcpFlags::ACK, 101, 0);
        let mut buffer = hot.clone();
        group.bench_function(format!("{flows}, one hot"), |b| {
            b.iter(|| {
                buffer.copy_from_slice(black_box(&hot));
                black_box(world.judge(eni, &mut buffer))
            })
        });
        // The packets are prepared, so that only the look-up differs; 64 Ki of them exceed the part
        // of the table that fits into the caches.
        let mut state = 1_u64;
        let random: Vec<Vec<u8>> = (0..65_536)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let (sport, to) = nth((state >> 33) as usize % flows);
                from_task(sport, (to, 443), TcpFlags::ACK, 101, 0)
            })
            .collect();
        let mut next = random.iter().cycle();
        group.bench_function(format!("{flows}, random"), |b| {
            b.iter(|| {
                buffer.copy_from_slice(next.next().map_or(&[][..], |p| p));
                black_box(world.judge(eni, &mut buffer))
            })
        });
    }
    group.finish();
}

/// Measures the walk with five groups of 60 rules, 500 routes, and ACLs of 20 rules each way; the
/// last rule of the last group matches.
fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(1));
    for (name, dst) in [("nat", OUTSIDE), ("local", DATABASE)] {
        let world = World::new();
        let inside = Tuple { protocol: Protocol::Tcp, src: TASK, dst, sport: 40_000, dport: 443 };
        group.bench_function(format!("{name}, dry"), |b| {
            b.iter(|| {
                black_box(world.engine.check(
                    NOW,
                    &world.snapshot,
                    &world.task,
                    black_box(Inside::new(inside)),
                    (0, 0),
                ))
            })
        });
        group.bench_function(format!("{name}, dry, with evidence"), |b| {
            b.iter(|| {
                black_box(world.engine.explain(
                    NOW,
                    &world.snapshot,
                    &world.task,
                    black_box(Inside::new(inside)),
                    (0, 0),
                ))
            })
        });
    }
    let mut world = World::new();
    let eni = world.eni;
    group.bench_function("nat, first packet of a flow", |b| {
        b.iter_custom(|packets| {
            let mut spent = Duration::ZERO;
            for chunk in 0..packets.div_ceil(1000) {
                world.engine.forget_task(NOW, &world.snapshot, TASK);
                let count = (packets - chunk * 1000).min(1000) as usize;
                let mut syns: Vec<_> = (0..count).map(nth_syn).collect();
                let start = Instant::now();
                for syn in &mut syns {
                    black_box(world.judge(eni, syn));
                }
                spent += start.elapsed();
            }
            spent
        })
    });
    group.finish();
}

/// Measures the drop of a packet that 300 rules do not match, which is counted in its row.
fn drops(c: &mut Criterion) {
    let mut group = c.benchmark_group("drop");
    group.throughput(Throughput::Elements(1));
    let mut world = World::new();
    let refused = from_task(1, (OUTSIDE, 80), TcpFlags::SYN, 1, 0);
    let (mut buffer, eni) = (refused.clone(), world.eni);
    group.bench_function("group's implicit deny", |b| {
        b.iter(|| {
            buffer.copy_from_slice(black_box(&refused));
            black_box(world.judge(eni, &mut buffer))
        })
    });
    group.finish();
}

criterion_group!(benches, fast_path, live_flows, walk, drops);
criterion_main!(benches);
