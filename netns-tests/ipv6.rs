//! A task that tries IPv6 learns immediately that it has none, and the lab reports whose packet it
//! was.

use crate::support::frames;
use crate::support::lab::{Lab, for_both_kinds};
use egret::linux::{Mac, ipv6};
use egret::packet;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

for_both_kinds!(
    regression_ipv6_of_a_task_has_a_drop_row_with_its_task_and_fails_at_once,
    regression_ipv6_that_the_kernel_refuses_has_a_row_with_its_task_by_other_means,
    ipv6_is_refused_at_once_again_after_a_smaller_mtu,
);

const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const IPV6: u16 = 0x86dd;
/// Seconds that a refusal may take; a test reaches it only where no refusal comes.
const PATIENCE: f64 = 30.0;

/// A service of each kind.
const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"

[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[vpc_connector]]
name = "conn"
subnets = ["subnet-a"]
security_groups = ["sg-app"]

[[service]]
name = "web"
vpc_connector = "conn"
tasks = 2

[[service]]
name = "public"
egress = "default"

[[service]]
name = "resize"
kind = "lambda"
subnets = ["subnet-a"]
security_groups = ["sg-app"]

[[service]]
name = "job"
kind = "fargate"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
"#;

/// Returns whether the kernel has IPv6, and prints why a test does not run where it has none.
fn has_ipv6(lab: &Lab) -> bool {
    let missing = ipv6::refusal(&lab.netns("router"));
    if let Some(why) = &missing {
        println!("skipped: {why}");
    }
    missing.is_none()
}

fn ipv6_rows(lab: &Lab) -> usize {
    lab.drops().iter().filter(|row| row.reason == "ipv6").count()
}

/// Statement 35: IPv6 is refused.
fn regression_ipv6_of_a_task_has_a_drop_row_with_its_task_and_fails_at_once(device: &str) {
    let lab = Lab::up(device, LAB);
    if !has_ipv6(&lab) {
        return;
    }
    assert_eq!(ipv6_rows(&lab), 0, "{:#?}", lab.drops());
    for (service, number) in [("web", 1), ("web", 2), ("public", 1), ("resize", 1), ("job", 1)] {
        let mut task = lab.task(&format!("{service}/{number}"));
        let mut refused = |protocol: &str, port: u16, errno: &str| {
            let row = lab.drops_for("ipv6", "", || {
                let asked = json!(["refused6", protocol, HOST, port, PATIENCE]);
                assert_eq!(task.ask(&asked), errno, "{service}/{number} {protocol}");
            });
            assert_eq!((row.service.as_deref(), row.task), (Some(service), Some(number)));
            assert_eq!((row.destination, row.port), (Some(IpAddr::V6(HOST)), Some(port)));
            assert_eq!(row.protocol.as_deref(), Some(protocol));
            // On a busy machine a SYN may be sent again before the answer to the first arrives.
            assert!(row.packets == 1 || protocol == "tcp", "{row:?}");
        };
        refused("tcp", 443, "ENETUNREACH");
        refused("udp", 53, "EACCES");
        let row = lab.drops_for("ipv6", "", || {
            let (_, said) = lab.exec(
                &format!("{service}/{number}"),
                &format!("ping -6 -n -c 1 -W {PATIENCE} {HOST}"),
            );
            assert!(said.contains("Destination unreachable: No route"), "{said}");
        });
        assert_eq!((row.task, row.port, row.packets), (Some(number), None, 1));
    }
}

fn regression_ipv6_that_the_kernel_refuses_has_a_row_with_its_task_by_other_means(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web/2");
    let [own, other] = [2, 1].map(|last| Ipv4Addr::new(100, 64, 0, last));
    // The setting does not exist where the kernel has no IPv6.
    let _ = lab.exec("web/2", "sysctl -q net.ipv6.conf.all.disable_ipv6=1");
    assert_ne!(task.ask(&json!(["refused6", "tcp", HOST, 443, PATIENCE])), "timeout");
    for source in [
        packet::ipv6::of_task(own),
        packet::ipv6::of_task(other),
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        HOST,
    ] {
        let row = lab.drops_for("ipv6", "", || {
            let datagram = frames::frame(Mac::near(own), IPV6, &frames::udp6(source, HOST, 53));
            task.ok(&json!(["frames", "eth0", datagram]));
        });
        let whose = (row.service.as_deref(), row.task, row.packets);
        assert_eq!(whose, (Some("web"), Some(2), 1), "{source}: {row:#?}");
    }
}

/// A link with an MTU below 1280 bytes carries no IPv6, and the kernel removes what was configured.
fn ipv6_is_refused_at_once_again_after_a_smaller_mtu(device: &str) {
    let lab = Lab::up(device, &format!("mtu = 1500\n{LAB}"));
    if !has_ipv6(&lab) {
        return;
    }
    let text = std::fs::read_to_string(lab.file()).unwrap();
    for mtu in [1200, 1500] {
        std::fs::write(lab.file(), text.replace("mtu = 1500", &format!("mtu = {mtu}"))).unwrap();
        lab.egret_ok(&format!("apply {}", lab.file().display()));
    }
    let mut task = lab.task("web/1");
    let row = lab.drops_for("ipv6", "", || {
        let asked = json!(["refused6", "tcp", HOST, 443, PATIENCE]);
        assert_eq!(task.ask(&asked), "ENETUNREACH");
    });
    assert_eq!((row.service.as_deref(), row.task), (Some("web"), Some(1)));
}
