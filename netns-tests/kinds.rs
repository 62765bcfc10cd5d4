//! Lambda functions and Fargate tasks leave by ENIs of their own, which are shown as AWS would show
//! them.

use crate::support::lab::{Agent, Lab, both_streams, can_run, for_both_kinds};
use crate::support::offloaded::until_offloaded;
use egret::explain::{EniRow, FlowChange, Reload};
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    functions_share_and_each_fargate_task_is_seen_by_its_own_address,
    a_public_address_leads_out_and_a_public_subnet_without_one_nowhere,
    an_untracked_flow_ends_with_its_rule_though_the_kernel_carries_it,
);

const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const LAB: &str = r#"
offload = "on"

[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-far"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]

[[resource]]
name = "far"
subnet = "subnet-a"
address = "10.0.1.20"
security_groups = ["sg-far"]

[[internet_host]]
name = "another"
address = "203.0.113.20"

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[vpc_connector]]
name = "app"
subnets = ["subnet-a"]
security_groups = ["sg-app"]

[[service]]
name = "web"
vpc_connector = "app"

[[service]]
name = "resize"
kind = "lambda"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
tasks = 2

[[service]]
name = "notify"
kind = "lambda"
vpc_connector = "app"

[[service]]
name = "job"
kind = "fargate"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
tasks = 2

[[service]]
name = "edge"
kind = "fargate"
subnets = ["subnet-public"]
security_groups = ["sg-app"]
assign_public_ip = true

[[service]]
name = "trap"
kind = "fargate"
subnets = ["subnet-public"]
security_groups = ["sg-app"]
"#;

fn eni(lab: &Lab, service: &str, task: u16) -> EniRow {
    let tasks = lab.ps();
    let own = tasks.iter().find(|row| row.service == service && row.task == task).unwrap();
    let enis: Vec<EniRow> = lab.rows("enis");
    enis.into_iter().find(|row| Some(&row.id) == own.eni.as_ref()).unwrap()
}

fn functions_share_and_each_fargate_task_is_seen_by_its_own_address(device: &str) {
    let lab = Lab::up(device, LAB);
    let [web, resize, other, notify] = [("web", 1), ("resize", 1), ("resize", 2), ("notify", 1)]
        .map(|(service, task)| eni(&lab, service, task));
    assert_eq!((&resize.id, &resize.id), (&other.id, &notify.id));
    assert_ne!(resize.id, web.id);
    // Only App Runner's own ENI has its tag, and only App Runner does a part of its work outside
    // the VPC.
    let wide = lab.egret_ok("enis -o wide");
    for row in [&web, &resize, &eni(&lab, "job", 1)] {
        let line = wide.lines().find(|line| line.starts_with(&row.id)).unwrap();
        let is_app_runners = row.id == web.id;
        let interface = row.interface_type.as_deref().unwrap();
        let tag = if is_app_runners { "AWSAppRunnerManaged=true" } else { "-" };
        let end: Vec<&str> = line.split_whitespace().rev().take(3).collect();
        assert_eq!(end, [tag, "yes", interface], "{line}");
    }
    for (service, bypasses) in [("web", true), ("resize", false), ("job", false)] {
        let said = lab.egret_ok(&format!("services {service}"));
        assert_eq!(said.contains("not through the VPC: image and code pulls, logs"), bypasses);
    }
    assert_eq!((resize.tasks, resize.services.len()), (3, 2));
    assert_eq!(resize.interface_type.as_deref(), Some("lambda"));
    assert!(resize.tags.is_empty() && web.tags.contains_key("AWSAppRunnerManaged"));

    let mut server = Lab::agent(&lab.netns("vpc-a"));
    server.ok(&json!(["serve", FAR, 7000]));
    lab.task("resize/2").tcp(FAR, 7000);
    assert_eq!(server.peers()[0].0, resize.address.unwrap());
    // Two tasks use one port for one destination, and differ by their addresses.
    let [mut one, mut two] = ["job/1", "job/2"].map(|task| lab.task(task));
    let own = [1, 2].map(|number| eni(&lab, "job", number));
    assert_eq!((own[0].kind.as_str(), own[0].tasks), ("task", 1));
    for task in [&mut one, &mut two] {
        assert_eq!(task.ask(&json!(["open", "kept", FAR, 7000, 4444, 10.0])), 4444);
    }
    let seen = server.peers();
    assert_eq!(seen, own.map(|eni| (eni.address.unwrap(), 4444)));
    assert_eq!(
        until_offloaded(&lab, &mut one, "kept", 4444).outside,
        format!("{}:4444", seen[0].0)
    );

    // Another task has another ENI, for as long as the task exists.
    let enis = || lab.rows::<EniRow>("enis").len();
    let before = enis();
    lab.egret_ok("task add job");
    assert_eq!(enis(), before + 1);
    let third = eni(&lab, "job", 3);
    lab.task("job/3").tcp_from(4444, FAR, 7000);
    assert_eq!(server.peers(), [(third.address.unwrap(), 4444)]);
    let file = std::fs::read_to_string(lab.file()).unwrap();
    let fewer = file.replacen(
        "tasks = 2\n\n[[service]]\nname = \"edge\"",
        "tasks = 1\n\n[[service]]\nname = \"edge\"",
        1,
    );
    assert_ne!(fewer, file);
    std::fs::write(lab.file(), fewer).unwrap();
    drop(two);
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert_eq!(enis(), before, "the ENI of the file is removed, the one by hand stays");
    assert_eq!(eni(&lab, "job", 3).address, third.address);
    lab.egret_ok("task remove job/3");
    assert_eq!(enis(), before - 1);
    one.ok(&json!(["say", "kept"]));
    assert!(lab.egret_ok("explain job far:7000/tcp --source-port 53").contains(":53"));
}

fn a_public_address_leads_out_and_a_public_subnet_without_one_nowhere(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let far = lab.far("internet", "net0", &[HOST]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let public = eni(&lab, "edge", 1).public_address.unwrap();
    let mut edge = lab.task("edge");
    assert_eq!(edge.ask(&json!(["open", "kept", HOST, 443, 443, 10.0])), 443);
    assert_eq!(server.peers(), [(public, 443)]);
    assert_eq!(until_offloaded(&lab, &mut edge, "kept", 443).outside, format!("{public}:443"));
    assert!(lab.pings("edge", &HOST.to_string()));
    // The host's own error reaches the task: nothing listens there.
    assert_eq!(edge.ask(&json!(["udp", HOST, 9, 0, 5, 10.0])), "ECONNREFUSED");

    let row = lab.drops_for("igw-no-public-address", "igw-a", || {
        lab.task("trap").tcp_times_out(HOST, 443);
    });
    assert_eq!(row.service.as_deref(), Some("trap"));
    let (passes, said) = {
        let output = lab.egret("explain trap host:443/tcp");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(!passes && said.contains("assign_public_ip = true"), "{said}");
}

/// Services and tasks that were created through the API and by hand are restored too, in the order
/// of their creation, which the lab file does not have.
#[test]
fn another_process_goes_on_with_what_no_lab_file_has() {
    if !can_run() {
        return;
    }
    let api = "offload_grace = \"30s\"\n[apprunner]\napi = \"127.0.0.1:0\"\n";
    let mut lab = Lab::up("auto", &LAB.replace("[[vpc]]", &format!("{api}[[vpc]]")));
    let call = |lab: &Lab, operation: &str, body: &serde_json::Value| {
        let target = format!("X-Amz-Target: AppRunner.{operation}");
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sf", "-H", &target, "-H", "Content-Type: application/x-amz-json-1.0"]);
        let said = curl.args(["-d", &body.to_string()]).arg(lab.api()).output().unwrap();
        assert!(said.status.success(), "{operation}: {said:?}");
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    let connectors: Vec<String> = ["sg-far", "sg-app"]
        .iter()
        .map(|group| {
            let name = format!("by-{group}");
            let asked = json!({"VpcConnectorName": name, "Subnets": ["subnet-public"], "SecurityGroups": [group]});
            let made = call(&lab, "CreateVpcConnector", &asked);
            made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap().to_owned()
        })
        .collect();
    let services: Vec<String> = [("first", 0), ("orders", 1)]
        .iter()
        .map(|(name, by)| {
            let image = json!({"ImageRepository": {"ImageIdentifier": "public.ecr.aws/x/y:1", "ImageRepositoryType": "ECR_PUBLIC"}});
            let egress = json!({"EgressType": "VPC", "VpcConnectorArn": connectors[*by]});
            let asked = json!({"ServiceName": name, "SourceConfiguration": image, "NetworkConfiguration": {"EgressConfiguration": egress}});
            let made = call(&lab, "CreateService", &asked);
            made["Service"]["ServiceArn"].as_str().unwrap().to_owned()
        })
        .collect();
    let settled = |lab: &Lab, arn: &str, status: &str| {
        let begun = std::time::Instant::now();
        while call(lab, "DescribeService", &json!({"ServiceArn": arn}))["Service"]["Status"]
            != status
        {
            assert!(begun.elapsed() < crate::support::PATIENCE);
            std::thread::yield_now();
        }
    };
    services.iter().for_each(|arn| settled(&lab, arn, "RUNNING"));
    // Without the service before it, the ENI of `orders` would have another address.
    let address = eni(&lab, "orders", 1).address;
    call(&lab, "DeleteService", &json!({"ServiceArn": services[0]}));
    settled(&lab, &services[0], "DELETED");
    assert_eq!(eni(&lab, "orders", 1).address, address);
    lab.egret_ok("task add job");

    let mut server = Lab::agent(&lab.netns("vpc-a"));
    server.ok(&json!(["serve", FAR, 7000]));
    let mut tasks = ["orders", "job/3"].map(|task| lab.task(task));
    let ports = tasks.each_mut().map(|task| task.open("kept", FAR, 7000).as_u64().unwrap());
    for (task, port) in tasks.iter_mut().zip(ports) {
        until_offloaded(&lab, task, "kept", u16::try_from(port).unwrap());
    }
    let before = (lab.egret_ok("ps"), eni(&lab, "job", 3).id);
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    lab.up_again();
    assert_eq!((lab.egret_ok("ps"), eni(&lab, "job", 3).id), before);
    for task in &mut tasks {
        task.ok(&json!(["say", "kept", 10.0]));
    }
    assert_eq!(server.peers().len(), 2, "no connection is a new one");
    // What was restored can be removed as before.
    let removed = lab.egret("task remove job/3");
    assert_eq!(removed.status.code(), Some(3), "its agent still runs: {}", both_streams(&removed));
    call(&lab, "DeleteService", &json!({"ServiceArn": services[1]}));
    settled(&lab, &services[1], "DELETED");
    lab.task("job/1").tcp(FAR, 7000);
}

/// The group of all tasks is open both ways: a Fargate task's ENI does not track its flows, a
/// connector's does.
fn an_untracked_flow_ends_with_its_rule_though_the_kernel_carries_it(device: &str) {
    let group = "id = \"sg-app\"\nvpc = \"vpc-a\"\n";
    let open = format!("{group}ingress = [{{ protocol = \"all\", from = \"0.0.0.0/0\" }}]\n");
    let lab = Lab::up(device, &LAB.replacen(group, &open, 1));
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let mut server = Lab::agent(&lab.netns("vpc-a"));
    server.ok(&json!(["serve", FAR, 7000]));
    let [mut job, mut web] = ["job", "web"].map(|name| lab.task(name));
    let open_kept = |task: &mut Agent, port: u16| {
        assert_eq!(task.ask(&json!(["open", "kept", FAR, 7000, port, 10.0])), port);
        assert_eq!(until_offloaded(&lab, task, "kept", port).destination, format!("{FAR}:7000"));
    };
    open_kept(&mut web, 5555);
    let apply = |text: &str, options: &str| -> Reload {
        std::fs::write(lab.file(), text).unwrap();
        let said = lab.egret_ok(&format!("apply {} --json {options}", lab.file().display()));
        serde_json::from_str(&said).unwrap()
    };
    let without_out = text.replacen(&open, &format!("{open}egress = []\n"), 1);
    let without_in = text.replacen(&open, group, 1);
    for (port, shut, outcome, rule) in [
        (4444, &without_out, FlowChange::Dropped, "no egress rule of sg-app"),
        (4445, &without_in, FlowChange::RepliesDropped, "no ingress rule of sg-app"),
    ] {
        open_kept(&mut job, port);
        let own = format!(":{port}");
        let forecast = apply(shut, "--dry-run");
        job.ok(&json!(["say", "kept", 10.0]));
        for reload in [forecast, apply(shut, "")] {
            // A flow that was closed may be listed too.
            let affected = reload.flows.affected.iter().filter(|f| f.inside.ends_with(&own));
            let affected = affected.map(|f| (&*f.task, f.outcome, &*f.reason));
            assert_eq!(affected.collect::<Vec<_>>(), [("job/1", outcome, "sg-untracked-flow")]);
        }
        let drop = lab.drops_for("sg-untracked-flow", rule, || {
            assert_ne!(job.ask(&json!(["say", "kept", 0.6])), "ok");
        });
        assert_eq!(drop.service.as_deref(), Some("job"));
        web.ok(&json!(["say", "kept", 10.0]));
        // The connection continues with the rule: TCP retransmits what was lost.
        apply(&text, "");
        job.ok(&json!(["say", "kept", 10.0]));
        job.ok(&json!(["close", "kept"]));
    }
}
