//! Namespaces, links, children and echo servers are what `ip netns` users expect, and are quick
//! enough for a lab of a thousand tasks.

use crate::support::{Namespaces, is_root, run_ok};
use egret::linux::exec::{ExecError, run_dressed};
use egret::linux::link::Far;
use egret::linux::listen::{Answers, Endpoint, ListenError, spawn};
use egret::linux::task_link::{lead_to_router, link_task};
use egret::linux::{Device, DeviceKind, Links, Netns, NetnsError, Steer, netns};
use egret::packet::Protocol;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn a_namespace_is_one_that_ip_netns_knows_and_forwards_nothing() {
    if !is_root("namespaces") {
        return;
    }
    let mut namespaces = Namespaces::new();
    let made = namespaces.create("made");
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains(made.name()));
    assert!(netns::list().unwrap().contains(&made.name().to_owned()));
    let inside = Command::new("ip")
        .args(["netns", "exec", made.name(), "cat", "/proc/sys/net/ipv4/ip_forward"])
        .output()
        .unwrap();
    assert_eq!(inside.stdout, b"0\n");
    assert!(run_ok(&made, "ip -br link show lo").contains("UP"));
    assert!(matches!(Netns::create(made.name()), Err(NetnsError::Exists(_))));
    netns::remove(made.name()).unwrap();
    assert!(!netns::exists(made.name()));
}

#[test]
fn a_child_sees_the_interfaces_of_its_namespace_and_the_host_keeps_its_own() {
    if !is_root("namespaces") {
        return;
    }
    let mut namespaces = Namespaces::new();
    let (router, task) = (namespaces.create("router"), namespaces.create("task"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = Ipv4Addr::new(100, 64, 0, 2);
    runtime.block_on(async {
        let links = Links::open(&router).unwrap();
        let far = Far { netns: &task, interface: "eth0" };
        let link = link_task(&links, far, address, 1400).await.unwrap();
        lead_to_router(far, link, address).await.unwrap();
        assert!(links.ifindex("nothing").await.unwrap_err().to_string().contains("`nothing`"));
    });
    assert_eq!(run_ok(&task, "ls /sys/class/net"), "eth0\nlo\n");
    let shown = run_ok(&task, "ip address show eth0");
    assert!(shown.contains("100.64.0.2/32") && shown.contains("mtu 1400"), "{shown}");
    let route = run_ok(&task, "ip route");
    assert!(route.contains("default via 169.254.1.1 dev eth0") && route.contains("onlink"));
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let there = run_dressed(&task, || std::fs::read_link("/proc/thread-self/ns/net")).unwrap();
    assert_ne!(there.unwrap(), here);
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), here);
    let missing = egret::linux::exec::exec_in("egret-no-such-namespace", &["true"], &[]);
    assert!(matches!(missing, Err(ExecError::Netns(NetnsError::Missing(_)))));
}

#[test]
fn bytes_sent_to_an_echo_come_back_after_the_sender_closed_its_half() {
    if !is_root("namespaces") {
        return;
    }
    let mut namespaces = Namespaces::new();
    let host = namespaces.create("host");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let endpoint = |protocol| Endpoint { address: HERE, protocol, port: 7 };
    let listen = |protocol| {
        runtime.block_on(async { spawn(&host, endpoint(protocol), Answers::Echo, Duration::ZERO) })
    };
    let _echoes = [Protocol::Tcp, Protocol::Udp].map(|protocol| listen(protocol).unwrap());
    let sent = vec![0x5a; 1 << 20];
    host.run(|| {
        let mut stream = TcpStream::connect((HERE, 7)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            assert!(received == sent, "{} bytes came back", received.len());
        });
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket.send_to(b"hello", (HERE, 7)).unwrap();
        let mut datagram = [0; 16];
        assert_eq!(socket.recv(&mut datagram).unwrap(), 5);
    })
    .unwrap();
    assert!(matches!(listen(Protocol::Tcp), Err(ListenError::Bind { .. })));
    assert!(matches!(listen(Protocol::Icmp), Err(ListenError::Protocol(_))));
}

/// Measures how long a lab takes: `cargo test --release --test netns thousand -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_thousand_tasks() {
    if !is_root("namespaces") {
        return;
    }
    let mut namespaces = Namespaces::new();
    let router = namespaces.create("router");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let links = runtime.block_on(async { Links::open(&router) }).unwrap();
    let device = Device::open(&router, "eni-0a1b2c3d", DeviceKind::Auto, 1500).unwrap();
    let mut steer = Steer::load(&router).unwrap();
    let tun = steer.attach_tun(device.name()).unwrap();
    let mut since = Instant::now();
    for count in 1..=1000 {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + count);
        let task = namespaces.create(&count.to_string());
        let link = runtime
            .block_on(link_task(&links, Far { netns: &task, interface: "eth0" }, address, 1500))
            .unwrap();
        let name = egret::linux::link::task_link_name(address);
        assert_eq!(steer.attach_task(&name, address, tun).unwrap(), link.ifindex);
        steer.deliver_task(address, link).unwrap();
        if count % 200 == 0 {
            println!("{count} tasks, the last 200 in {:?}", since.elapsed());
            since = Instant::now();
        }
    }
}
