//! A connector or service that the App Runner API adds to a lab determines the path of its packets
//! immediately, and of no others.

use crate::lifecycle::LAB;
use crate::support::lab::{Agent, Lab as Processes, can_run};
use egret::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};
use egret::config::{Lab, Overlay};
use egret::daemon::reload::{ReloadError, Request};
use egret::daemon::{Running, shared::Shared};
use egret::explain::{EniRow, PsRow};
use egret::linux::{Netns, netns};
use serde_json::json;
use std::net::Ipv4Addr;
use std::slice;
use tokio::runtime::Runtime;

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

/// A lab of this process, whose overlay a test sets as the API would.
struct Driven {
    runtime: Runtime,
    shared: Shared,
    name: String,
}

impl Driven {
    fn up(text: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let name = format!("o{}", std::process::id());
        let lab = Lab::parse("lab.toml", &format!("lab = \"{name}\"\n{text}")).unwrap();
        let running = runtime.block_on(Running::start(lab, None, &mut |_| {})).unwrap();
        let (shared, _) = Shared::new(running);
        Self { runtime, shared, name }
    }

    fn set(
        &self,
        connectors: &[OverlayConnector],
        services: &[OverlayService],
    ) -> Result<(), ReloadError> {
        let overlay = Overlay {
            connectors: connectors.to_vec(),
            services: services.to_vec(),
            ..Overlay::default()
        };
        self.runtime.block_on(self.shared.set_overlay(overlay)).map(drop)
    }

    fn apply(&self, text: &str) -> Result<(), ReloadError> {
        let text = format!("lab = \"{}\"\n{text}", self.name);
        let (file, time_scale, dry_run, before) = ("lab.toml".into(), None, false, None);
        let request = Request { file, text, time_scale, dry_run, before, keeps_name: false };
        self.runtime.block_on(self.shared.reload(&request, &mut |_| {})).map(drop)
    }

    fn rows(&self) -> (Vec<EniRow>, Vec<PsRow>) {
        let facts = self.runtime.block_on(self.shared.facts());
        (facts.enis, facts.tasks)
    }

    fn task(&self, task: &str) -> Agent {
        Processes::agent(&Netns::open(&format!("{}-{task}", self.name)).unwrap())
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.shared.stop().unwrap();
    }
}

fn connector(name: &str, groups: &[&str]) -> OverlayConnector {
    let security_groups = groups.iter().map(ToString::to_string).collect();
    OverlayConnector { name: name.into(), subnets: vec!["subnet-a".into()], security_groups }
}

fn orders(egress: OverlayEgress) -> OverlayService {
    OverlayService { name: "orders".into(), egress, tasks: 1 }
}

fn by(connector: &str) -> OverlayEgress {
    OverlayEgress::Vpc { connector: connector.into() }
}

#[test]
fn services_of_the_api_come_switch_and_go_and_the_file_s_notice_nothing() {
    if !can_run() {
        return;
    }
    let lab = Driven::up(LAB);
    let mut web = lab.task("web-1");
    assert!(web.open("kept", DB, 5432).is_u64());
    let enis =
        |lab: &Driven| lab.rows().0.into_iter().filter(|row| row.kind == "hyperplane").count();
    assert_eq!(enis(&lab), 1);

    // A connector has no ENI of its own before a service uses it, and none afterwards where it
    // shares one.
    let (shared, own) = (connector("shared", &["sg-app"]), connector("own", &["sg-db"]));
    lab.set(&[shared.clone(), own.clone()], &[]).unwrap();
    assert_eq!(enis(&lab), 1);
    lab.set(&[shared.clone(), own.clone()], &[orders(by("shared"))]).unwrap();
    let (rows, tasks) = lab.rows();
    let eni = rows.iter().find(|row| row.kind == "hyperplane").unwrap();
    assert_eq!((enis(&lab), &*eni.connectors), (1, &["app".to_owned(), "shared".to_owned()][..]));
    assert!(eni.tags.contains_key("AWSAppRunnerManaged") && eni.requester_managed);
    assert_eq!(eni.interface_type.as_deref(), Some("interface"));
    let origins: Vec<_> = tasks.iter().map(|t| (t.service.as_str(), t.origin.as_str())).collect();
    assert!(origins.contains(&("orders", "api")) && origins.contains(&("web", "file")));

    // The connector of a service changes under a running task.
    let mut task = lab.task("orders-1");
    task.tcp(DB, 5432);
    lab.set(&[shared.clone(), own.clone()], &[orders(by("own"))]).unwrap();
    assert_eq!(enis(&lab), 2);
    // The database admits sg-app, and not sg-db.
    task.tcp_times_out(DB, 5432);
    lab.set(&[shared.clone(), own], &[orders(OverlayEgress::Default)]).unwrap();
    assert_eq!(enis(&lab), 1);
    task.tcp_times_out(DB, 5432);
    task.tcp(Ipv4Addr::new(203, 0, 113, 10), 443);
    lab.set(slice::from_ref(&shared), &[orders(by("shared"))]).unwrap();
    task.tcp(DB, 5432);

    // A change that is not possible leaves everything as it is.
    let refused = lab.set(slice::from_ref(&shared), &[orders(by("gone"))]).unwrap_err();
    assert!(matches!(refused, ReloadError::Config(_)), "{refused}");
    let refused = lab.apply(&LAB.replace("sg-app", "sg-other")).unwrap_err().to_string();
    assert!(refused.contains("VPC connector \"shared\" of the App Runner API"), "{refused}");
    task.tcp(DB, 5432);

    // Another file keeps what the API has created.
    lab.apply(&format!("# Another line\n{LAB}")).unwrap();
    task.tcp(DB, 5432);
    assert!(lab.rows().1.iter().any(|row| row.service == "orders" && row.origin == "api"));

    drop(task);
    lab.set(&[shared], &[]).unwrap();
    assert!(!netns::exists(&format!("{}-orders-1", lab.name)));
    web.ok(&json!(["say", "kept"]));
}
