//! Tests the attachments and addresses of a question: all that a configuration allows, or those of
//! a running lab.

use super::*;
use crate::pipeline::reach::Asked;
use crate::vpc::Task;

/// A Fargate service with two subnets, behind an internet gateway.
const FARGATE: &str = r#"
[[vpc]]
id = "vpc-0"
cidr = "10.0.0.0/16"
internet_gateway = "igw-0"
[[subnet]]
id = "subnet-a"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb"
[[subnet]]
id = "subnet-b"
vpc = "vpc-0"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb"
[[route_table]]
id = "rtb"
vpc = "vpc-0"
routes = [{ destination = "0.0.0.0/0", target = "igw-0" }]
[[security_group]]
id = "sg-app"
vpc = "vpc-0"
[[service]]
name = "job"
kind = "fargate"
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-app"]
assign_public_ip = true
tasks = 3
"#;

const SERVICE: ServiceIx = ServiceIx(0);

fn task(snapshot: &Snapshot, number: u16) -> Task {
    *snapshot.tasks().find(|task| task.number == number).unwrap()
}

fn without_task(snapshot: &Snapshot, number: u16) -> Snapshot {
    snapshot.without_task(task(snapshot, number).address)
}

/// Lists the attachments with the number of their task and the addresses that are considered.
fn asked(snapshot: &Snapshot, tasks: Tasks, addresses: Addresses) -> Vec<(u16, Addresses)> {
    let (_, asked) = reach::attachments(snapshot, SERVICE, tasks, addresses);
    asked.iter().map(|Asked { task, addresses, .. }| (task.number, *addresses)).collect()
}

#[test]
fn one_attachment_stands_for_each_subnet_without_a_running_lab() {
    let world = World::new(FARGATE);
    let planned = asked(&world.snapshot, Tasks::Possible, Addresses::Open);
    assert_eq!(planned, [(1, Addresses::Open), (2, Addresses::Open)]);
}

#[test]
fn each_fargate_task_and_a_further_one_per_subnet_are_asked_in_a_running_lab() {
    let world = World::new(FARGATE);
    let snapshot = without_task(&world.snapshot, 2);
    let possible = asked(&snapshot, Tasks::Possible, Addresses::Real);
    let (real, open) = (Addresses::Real, Addresses::Open);
    assert_eq!(possible, [(1, real), (3, real), (0, open), (0, open)]);
    assert_eq!(asked(&snapshot, Tasks::Running, real), [(1, real), (3, real)]);
}

/// The address of task 2 is free, as it does not run; those of the others are not.
#[test]
fn a_further_task_of_a_running_lab_gets_no_address_that_is_taken() {
    let world = World::new(FARGATE);
    let snapshot = without_task(&world.snapshot, 2);
    let of = (SERVICE, Tasks::Possible, Addresses::Real);
    let (snapshot, question) = question_about(&snapshot, of, only("203.0.113.10"), tcp_port(443));
    let answer = reach::ask(&snapshot, &question, &mut || true).unwrap();
    assert_eq!(answer.verdict, SetVerdict::Forward);
    let [all] = &answer.classes[..] else { panic!("{:#?}", answer.classes) };
    let addresses: Vec<Ranges> = all.eni_addresses.iter().map(|(_, own)| own.clone()).collect();
    let from_to =
        |from: &str, to: &str| Ranges::of(block_end(from).unwrap(), block_end(to).unwrap());
    let free = [from_to("10.0.1.6", "10.0.1.254"), from_to("10.0.2.4", "10.0.2.254")];
    assert_eq!(addresses[..2], [only("10.0.1.4"), only("10.0.1.5")]);
    assert_eq!(addresses[2..], free);
}

#[test]
fn only_attachments_with_a_task_are_asked_about_running_tasks() {
    let lab = with(FARGATE, "kind = \"fargate\"\n", "kind = \"lambda\"\n");
    let lab = with(&lab, "assign_public_ip = true\n", "");
    let world = World::new(&lab);
    let (real, running) = (Addresses::Real, Tasks::Running);
    assert_eq!(asked(&world.snapshot, running, real), [(1, real), (2, real)], "3 is with 1");
    let snapshot = without_task(&world.snapshot, 2);
    assert_eq!(asked(&snapshot, running, real), [(1, real)]);
    assert_eq!(asked(&snapshot, Tasks::Possible, real), [(1, real), (0, real)]);
    let none = snapshot.with_tasks([]);
    assert_eq!(asked(&none, running, real), []);
    assert_eq!(asked(&none, Tasks::Possible, real), [(0, real), (0, real)]);
}

#[test]
fn one_task_is_asked_at_its_attachment() {
    let world = World::new(FARGATE);
    let two = task(&world.snapshot, 2);
    for addresses in [Addresses::Open, Addresses::Real] {
        let (_, asked) = reach::attachments(&world.snapshot, SERVICE, Tasks::One(two), addresses);
        let [asked] = asked[..] else { panic!("{asked:?}") };
        assert_eq!((Some(asked.attachment), asked.task), (two.eni.map(Attachment::Eni), two));
        assert_eq!(asked.addresses, addresses);
    }
    let nowhere = Task { eni: None, ..two };
    assert_eq!(asked(&world.snapshot, Tasks::One(nowhere), Addresses::Real), []);
}

#[test]
fn tasks_of_a_shared_attachment_are_listed_by_number() {
    let lab = with(FARGATE, "kind = \"fargate\"\n", "kind = \"lambda\"\n");
    let world = World::new(&with(&lab, "assign_public_ip = true\n", ""));
    let snapshot = &world.snapshot;
    let numbers = |eni| -> Vec<u16> {
        let there = reach::tasks_at(snapshot, SERVICE, Attachment::Eni(eni));
        there.iter().map(|task| task.number).collect()
    };
    assert_eq!((numbers(EniIx(0)), numbers(EniIx(1))), (vec![1, 3], vec![2]));
}

/// No task has a public address yet, and each will get one.
#[test]
fn further_fargate_tasks_have_public_addresses_if_the_service_assigns_them() {
    let none = with(FARGATE, "tasks = 3", "tasks = 0");
    let answer = ask(&none, "job", only("203.0.113.10"), tcp_port(443));
    assert_eq!(answer.verdict, SetVerdict::Forward);
    let private = with(&none, "assign_public_ip = true", "assign_public_ip = false");
    let answer = ask(&private, "job", only("203.0.113.10"), tcp_port(443));
    assert_eq!(answer.verdict, SetVerdict::Drop);
    assert_eq!(reason(&answer.classes[0]), Some(Reason::IgwNoPublicAddress));
}
