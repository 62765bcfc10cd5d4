//! The cost of a flow: to find, to create, to end, to keep.

#![allow(clippy::print_stdout, reason = "a bench reports")]
#![allow(missing_docs, reason = "criterion's macros")]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use egret::flow::{EgressTotals, Flow, FlowKey, FlowStart, FlowTable, Instant, Space};
use egret::packet::{Protocol, Tuple};
use egret::vpc::{Generation, RuleRef, ServiceIx, Timeouts};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use support::{TASK, World, nth, nth_syn, resident};

fn key(n: usize) -> FlowKey {
    let (sport, dst) = nth(n);
    FlowKey::new(Space::TASKS, Tuple { protocol: Protocol::Tcp, src: TASK, dst, sport, dport: 443 })
}

fn flow(n: usize, totals: &Arc<EgressTotals>) -> Arc<Flow> {
    let (sport, dst) = nth(n);
    let nat = Ipv4Addr::new(198, 51, 100, 1);
    let back = Tuple { protocol: Protocol::Tcp, src: dst, dst: nat, sport: 443, dport: sport };
    let start = FlowStart {
        egress: key(n),
        returned: FlowKey::new(Space::nth_vpc(0), back),
        service: ServiceIx(0),
        eni: None,
        nat: None,
        endpoint: None,
        admitted_by: RuleRef::Packet,
        untracked: false,
        admitted_under: Generation(1),
        totals: Arc::clone(totals),
    };
    Arc::new(Flow::new(Instant::ZERO, start))
}

fn filled(flows: usize) -> FlowTable<u64> {
    let (table, totals) = (FlowTable::new(7), Arc::default());
    (0..flows).for_each(|n| table.put(&flow(n, &totals), Generation(1), 1, 2));
    table
}

fn table(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow table");
    group.throughput(Throughput::Elements(1));
    for flows in [1_000, 100_000, 1_000_000] {
        let table = filled(flows);
        let mut n = 0;
        group.bench_function(format!("look-up among {flows}"), |b| {
            b.iter(|| {
                n = (n + 7919) % flows;
                black_box(table.get(&key(n)).map(|entry| entry.outcome))
            })
        });
    }
    let totals = Arc::default();
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("insert 10,000", |b| {
        b.iter_batched(
            || (0..10_000).map(|n| flow(n, &totals)).collect::<Vec<_>>(),
            |flows| {
                let table = FlowTable::new(7);
                flows.iter().for_each(|flow| table.put(flow, Generation(1), 1_u64, 2));
                table
            },
            BatchSize::LargeInput,
        )
    });
    group.bench_function("expire 10,000", |b| {
        let late = Instant(u64::MAX / 2);
        b.iter_batched(
            || filled(10_000),
            |table| {
                assert_eq!(table.sweep(late, &Timeouts::default(), |_| {}), 10_000);
                table
            },
            BatchSize::LargeInput,
        )
    });
    group.finish();
}

/// Measures the memory of a flow: the flow, both entries, both leases, and the tables' spare room.
fn memory(_: &mut Criterion) {
    let mut world = World::new();
    world.fill(10_000);
    let before = resident();
    let flows = 1_000_000;
    let engine_flows = world.engine.flows().len();
    for n in engine_flows..engine_flows + flows {
        black_box(world.judge(world.eni, &mut nth_syn(n)));
    }
    let made = world.engine.flows().len() - engine_flows;
    println!(
        "bytes per flow: {} (over {made} flows through a NAT gateway)",
        (resident() - before) / made as u64
    );
    assert!(resident() < 1 << 30, "a million flows live within 1 GiB of process memory");
}

criterion_group!(benches, memory, table);
criterion_main!(benches);
