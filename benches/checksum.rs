//! The cost of the packet layer: parse, rewrite, checksum, in nanoseconds per packet.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use egret::packet::{Packet, Rewrite, TcpFlags, VnetHeader, builder, checksum};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};

const TASK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
const HOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);
const OUTSIDE: Rewrite = Rewrite {
    src: Ipv4Addr::new(198, 51, 100, 7),
    dst: *HOST.ip(),
    sport: 1024,
    dport: 443,
    decrement_ttl: false,
};

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let flags = TcpFlags::ACK;
    let mut tcp = builder::tcp(TASK, HOST, flags, 1, 2, &[7; 1460]);
    let mut udp = builder::udp(TASK, HOST, &[7; 64]);
    let mut echo = builder::icmp_echo_request(*TASK.ip(), *HOST.ip(), 1, 1, &[7; 56]);
    let mut large = builder::tcp(TASK, HOST, flags, 1, 2, &[7; 64_000]);
    let super_packet = builder::to_super_packet(&mut large, 1460);
    for (name, bytes, vnet) in [
        ("tcp 1500", &mut tcp, VnetHeader::default()),
        ("udp 92", &mut udp, VnetHeader::default()),
        ("echo 84", &mut echo, VnetHeader::default()),
        ("tcp super-packet", &mut large, super_packet),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| Packet::parse(black_box(&mut *bytes), vnet).map(|packet| packet.tuple()));
        });
    }
    group.finish();
}

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse and rewrite");
    let tcp = builder::tcp(TASK, HOST, TcpFlags::ACK, 1, 2, &[7; 1460]);
    let mut partial = tcp.clone();
    let needs_checksum = builder::to_partial(&mut partial);
    for (name, bytes, vnet) in
        [("full", tcp, VnetHeader::default()), ("partial", partial, needs_checksum)]
    {
        // Rewriting back and forth keeps the packet valid without a copy inside the measurement.
        let inside = Rewrite { src: *TASK.ip(), sport: TASK.port(), ..OUTSIDE };
        let mut bytes = bytes;
        let mut out = false;
        group.bench_function(name, |b| {
            b.iter(|| {
                out = !out;
                let rewrite = if out { OUTSIDE } else { inside };
                Packet::parse(black_box(&mut bytes), vnet).map(|mut packet| {
                    black_box(rewrite).apply(&mut packet);
                    packet.tuple()
                })
            });
        });
    }
    group.finish();
}

fn sum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(1500));
    group.bench_function("1500 bytes", |b| {
        b.iter_batched_ref(
            || vec![7; 1500],
            |bytes| checksum::checksum(black_box(bytes)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, parse, rewrite, sum);
criterion_main!(benches);
