//! App Runner's documentation on VPC access holds, statement by statement. Calls are made with the
//! AWS CLI, and packets are real.

use crate::apprunner::{APP_RUNNER, CHECKIP, DB, DEFAULT, NAT, Shop, image, through};
use crate::support::lab::{Lab, both_streams};
use egret::explain::EniRow;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const CACHE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 20);
/// The address of a host where nothing listens unless a test does.
const ORDERS: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 30);
const QUEUES: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
const QUEUES_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 4, 200);

/// A cache and a private service, each behind a group of its own, a subnet with no route out of it,
/// and an AWS API.
const MORE: &str = r#"
[[route_table]]
id = "rtb-isolated"
vpc = "vpc-shop"
[[subnet]]
id = "subnet-isolated"
vpc = "vpc-shop"
availability_zone = "us-east-1b"
cidr = "10.0.4.0/24"
route_table = "rtb-isolated"
[[security_group]]
id = "sg-private"
vpc = "vpc-shop"
ingress = [{ protocol = "tcp", ports = "6379-8080", from = "sg-db-client" }]
[[security_group]]
id = "sg-silent"
vpc = "vpc-shop"
egress = []
[[security_group]]
id = "sg-inviting"
vpc = "vpc-shop"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[resource]]
name = "cache"
subnet = "subnet-b"
address = "10.0.2.20"
security_groups = ["sg-private"]
listen = ["6379/tcp"]
[[resource]]
name = "orders"
subnet = "subnet-c"
address = "10.0.3.30"
security_groups = ["sg-private"]
[[internet_host]]
name = "queues"
aliases = ["sqs.us-east-1.amazonaws.com"]
address = "203.0.113.30"
listen = ["443/tcp"]
"#;

const ENDPOINT: &str = r#"
[[vpc_endpoint]]
id = "vpce-sqs"
vpc = "vpc-shop"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-isolated"]
addresses = ["10.0.4.200"]
security_groups = ["sg-inviting"]
listen = ["443/tcp"]
"#;

impl Shop {
    /// Returns the ENIs by which a service of the API leaves.
    fn enis_of(&self, service: &str) -> Vec<EniRow> {
        let mut enis: Vec<EniRow> = self.lab.rows("enis");
        enis.retain(|eni| eni.services.iter().any(|name| name == service));
        enis
    }

    /// Begins to create a service, waits until it runs, and returns its ARN.
    fn running(&self, name: &str, connector: &str) -> String {
        let arn = self.create(name, connector);
        assert_eq!(self.settled(&arn)["Status"], "RUNNING");
        arn
    }

    /// Rewrites the lab file and applies it.
    fn apply(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.lab.file()).unwrap();
        std::fs::write(self.lab.file(), change(text)).unwrap();
        self.lab.egret_ok(&format!("apply {}", self.lab.file().display()));
    }

    fn connectors(&self) -> Vec<Value> {
        let listed = self.ok(&["list-vpc-connectors"]);
        listed["VpcConnectors"].as_array().unwrap().clone()
    }
}

/// Statement 1: the default reaches public endpoints. Statement 3: a service that asks for nothing
/// has the default.
#[test]
fn statement_3_a_service_without_a_network_configuration_leaves_by_app_runners_own_vpc() {
    let Some(shop) = Shop::open("") else { return };
    let service = shop.create_with("web-1", &[]);
    let network = shop.settled(&service)["NetworkConfiguration"].clone();
    assert_eq!(network["EgressConfiguration"], json!({"EgressType": "DEFAULT"}));
    assert!(shop.enis_of("web-1").iter().all(|eni| eni.kind == "app-runner"));
    shop.lab.task("web-1").tcp(CHECKIP, 443);
    assert_eq!(shop.seen_as("web-1"), APP_RUNNER);
    shop.lab.drops_for("apprunner-private-destination", "app-runner", || {
        shop.lab.task("web-1").tcp_times_out(DB, 5432);
    });
}

#[test]
fn statement_4_a_database_a_cache_and_a_private_service_are_reached_through_a_connector() {
    let Some(shop) = Shop::open(MORE) else { return };
    let mut orders = Lab::agent(&shop.lab.netns("vpc-shop"));
    orders.ok(&json!(["serve", ORDERS, 8080]));
    let connector = shop.connector("private", &["subnet-a"], &["sg-db-client"]);
    shop.running("web-1", &connector);
    let mut task = shop.lab.task("web-1");
    for (address, port) in [(DB, 5432), (CACHE, 6379), (ORDERS, 8080)] {
        task.tcp(address, port);
    }
    let eni = shop.enis_of("web-1")[0].address.unwrap();
    assert_eq!(orders.peers().iter().map(|peer| peer.0).collect::<Vec<_>>(), [eni]);
}

/// Statement 5: a connector has a VPC, at least one subnet and, if wanted, groups. Statement 6: all
/// are of one VPC.
#[test]
fn statement_5_and_statement_6_a_connector_is_subnets_and_groups_of_one_vpc() {
    let Some(shop) = Shop::open("") else { return };
    for (words, part) in [
        (&["subnet-a", "subnet-other"][..], "Subnets are in different VPCs"),
        (&["subnet-a", "--security-groups", "sg-other"], "sg-other is in VPC vpc-other"),
        (&["subnet-q"], "there is no subnet subnet-q"),
    ] {
        let create = ["create-vpc-connector", "--vpc-connector-name", "wrong", "--subnets"];
        let said = both_streams(&shop.aws(&[&create, words].concat()));
        assert!(said.contains("(InvalidRequestException)") && said.contains(part), "{said}");
    }
    let none = json!({"VpcConnectorName": "wrong", "Subnets": []}).to_string();
    shop.refused(&["create-vpc-connector", "--cli-input-json", &none], "at least one");
    assert_eq!(shop.connectors(), Vec::<Value>::new());
    let one = shop.connector("one-subnet", &["subnet-b"], &["sg-app"]);
    let three = ["subnet-a", "subnet-b", "subnet-c"];
    let all = shop.connector("three-subnets", &three, &["sg-app", "sg-db-client"]);
    for (service, connector, subnets) in [("web-1", one, 1), ("web-2", all, 3)] {
        shop.running(service, &connector);
        assert_eq!(shop.enis_of(service).len(), subnets);
    }
}

/// Statement 7: one connector serves several services. Statement 12: subnets and groups are the
/// configuration. Statement 15: its ENIs are shared. Statement 16: the number of ENIs does not
/// depend on the number of tasks, which saves addresses.
#[test]
fn statement_15_services_with_equal_subnets_and_groups_share_their_enis() {
    let Some(shop) = Shop::open(MORE) else { return };
    let count = || shop.lab.rows::<Value>("enis").len();
    let before = count();
    let subnets = ["subnet-b", "subnet-c"];
    let first = shop.connector("first", &subnets, &["sg-db-client"]);
    let equal = shop.connector("equal", &subnets, &["sg-db-client"]);
    let other = shop.connector("other", &subnets, &["sg-db-client", "sg-app"]);
    for (service, connector) in [("web-1", &first), ("web-2", &first), ("web-3", &equal)] {
        shop.running(service, connector);
        assert_eq!(count(), before + 2, "{service}");
    }
    for eni in shop.enis_of("web-1") {
        assert_eq!(eni.services, ["web-1", "web-2", "web-3"]);
        assert_eq!(eni.connectors, ["first", "equal"]);
    }
    shop.running("web-4", &other);
    assert_eq!(count(), before + 4, "other groups have other ENIs");

    (0..4).for_each(|_| drop(shop.lab.egret_ok("task add web-1")));
    assert_eq!(count(), before + 4);
    let mut orders = Lab::agent(&shop.lab.netns("vpc-shop"));
    orders.ok(&json!(["serve", ORDERS, 8080]));
    for task in ["web-1/1", "web-1/2", "web-1/3", "web-1/4", "web-1/5", "web-2", "web-3"] {
        shop.lab.task(task).tcp(ORDERS, 8080);
    }
    let shared: BTreeSet<_> = shop.enis_of("web-1").iter().filter_map(|eni| eni.address).collect();
    let peers = orders.peers();
    assert_eq!(peers.len(), 7);
    assert!(peers.iter().all(|(address, _)| shared.contains(address)), "{peers:?} {shared:?}");
}

/// One zone is a warning, in
/// `objects_of_the_api_are_checked_as_they_come_and_by_check_of_the_running_lab`.
#[test]
fn statement_17_three_zones_are_advised_where_a_connector_is_made_and_by_check() {
    let Some((shop, mut terminal)) = Shop::open_on_terminal("") else { return };
    shop.connector("in-three", &["subnet-a", "subnet-b", "subnet-c"], &["sg-app"]);
    shop.connector("in-two", &["subnet-a", "subnet-b"], &["sg-app"]);
    let said = terminal.hears("(two-zones-only)");
    let note = "note: connector \"in-two\" is in two Availability Zones, us-east-1a and us-east-1b";
    assert!(said.contains(note), "{said}");
    assert!(!said.contains("in-three"), "{said}");
    let found = shop.lab.egret(&format!("check --lab {} --json", shop.lab.name()));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let found = found.to_string();
    assert!(found.contains("AWS advises three") && !found.contains("in-three"), "{found}");
}

/// Statement 18: each subnet has an ENI. Statement 19: the ENI has a private address only.
/// Statement 20: it has App Runner's tag.
#[test]
fn statement_18_each_subnet_of_a_connector_has_a_hyperplane_eni() {
    let Some(shop) = Shop::open("") else { return };
    let subnets = ["subnet-a", "subnet-b", "subnet-c"];
    let connector = shop.connector("my-connector", &subnets, &["sg-app"]);
    assert_eq!(shop.enis_of("web-1"), []);
    shop.running("web-1", &connector);
    let mut enis = shop.enis_of("web-1");
    enis.sort_by(|one, other| one.subnet.cmp(&other.subnet));
    let places: Vec<_> = enis.iter().map(|eni| eni.subnet.as_deref().unwrap()).collect();
    assert_eq!(places, subnets);
    for (third, eni) in (1..).zip(&enis) {
        assert_eq!((eni.kind.as_str(), eni.requester_managed), ("hyperplane", true));
        assert_eq!(eni.address.unwrap().octets()[..3], [10, 0, third]);
        assert_eq!(eni.public_address, None);
        assert_eq!(eni.tags.get("AWSAppRunnerManaged").map(String::as_str), Some("true"));
    }
}

/// Statement 22: there is no public internet. Statement 23: only the VPC's own paths exist, by its
/// rules. Statement 24: nor is an AWS API reached without a NAT gateway or an endpoint.
#[test]
fn statement_24_aws_apis_are_reached_through_a_nat_gateway_or_an_endpoint() {
    let Some(shop) = Shop::open(MORE) else { return };
    let isolated = shop.connector("isolated", &["subnet-isolated"], &["sg-db-client"]);
    let translated = shop.connector("translated", &["subnet-b"], &["sg-db-client"]);
    let service = shop.running("web-1", &isolated);
    shop.lab.task("web-1").tcp(DB, 5432);
    for address in [CHECKIP, QUEUES] {
        let dropped = shop.lab.drops_for("no-route", "rtb-isolated", || {
            shop.lab.task("web-1").tcp_times_out(address, 443);
        });
        assert_eq!(dropped.service.as_deref(), Some("web-1"));
    }
    shop.update(&service, &through(&translated));
    shop.lab.task("web-1").tcp(QUEUES, 443);
    assert_eq!(shop.seen_as("web-1"), NAT);

    shop.update(&service, &through(&isolated));
    shop.apply(|text| {
        let named = "id = \"vpc-shop\"\nenable_dns_hostnames = true";
        format!("{}{ENDPOINT}", text.replacen("id = \"vpc-shop\"", named, 1))
    });
    let found = shop.lab.exec_ok("web-1", "getent ahostsv4 sqs.us-east-1.amazonaws.com");
    assert!(found.starts_with(&QUEUES_INSIDE.to_string()), "{found}");
    shop.lab.task("web-1").tcp(QUEUES_INSIDE, 443);
    // Another port than above has its own row in `egret drops`.
    shop.lab.drops_for("no-route", "rtb-isolated", || {
        shop.lab.task("web-1").tcp_times_out(CHECKIP, 80);
    });
}

/// Statement 25: a create or an update fails. Statement 26: every place that reports the failure
/// names the subnets and zones that cause it. Statement 27: without them it succeeds.
#[test]
fn statement_26_subnets_in_unsupported_zones_are_named_with_their_zones_wherever_one_looks() {
    let keys = "unsupported_availability_zones = [\"us-east-1b\", \"us-east-1c\"]\n";
    let Some((shop, mut terminal)) = Shop::open_on_terminal(keys) else { return };
    let named = "subnet-b (us-east-1b), subnet-c (us-east-1c)";
    let all = shop.connector("all-zones", &["subnet-a", "subnet-b", "subnet-c"], &["sg-db-client"]);
    let warned = terminal.hears("unsupported-availability-zone");
    assert!(warned.contains("subnet-b (us-east-1b)"), "{warned}");

    let failed = shop.create("web-1", &all);
    assert_eq!(shop.settled(&failed)["Status"], "CREATE_FAILED");
    let why =
        "App Runner does not support the Availability Zones of these subnets of the VPC connector";
    terminal.hears(&format!("service web-1 failed to create: {why}: {named}"));
    let public = shop.create_with("web-2", &[]);
    shop.settled(&public);
    let after = shop.update(&public, &through(&all));
    assert_eq!(after["Status"], "RUNNING");
    assert_eq!(after["NetworkConfiguration"]["EgressConfiguration"]["EgressType"], "DEFAULT");
    terminal.hears(&format!("web-2 was rolled back to what it was before: {why}: {named}"));
    for (service, status) in [("web-1", "FAILED"), ("web-2", "ROLLBACK_SUCCEEDED")] {
        services_name_them(&shop, (service, status), named);
    }

    let fewer = shop.connector("fewer-zones", &["subnet-a"], &["sg-db-client"]);
    shop.update(&public, &through(&fewer));
    assert_eq!(shop.last_operation(&public), (json!("UPDATE_SERVICE"), json!("SUCCEEDED")));
    shop.ok(&["delete-service", "--service-arn", &failed]);
    assert_eq!(shop.settled(&failed)["Status"], "DELETED");
    shop.running("web-1", &fewer);
    for service in ["web-1", "web-2"] {
        shop.lab.task(service).tcp(DB, 5432);
    }
    the_request_names_them(&shop, (&all, named), &public);
}

/// Checks the log of the last operation on a service, which has this status, in `egret services`.
fn services_name_them(shop: &Shop, (service, status): (&str, &str), named: &str) {
    let rows: Vec<Value> = shop.lab.rows("services");
    let row = rows.iter().find(|row| row["service"] == service).unwrap();
    assert_eq!(row["operations"][0]["status"], status);
    assert!(row["operations"][0]["log"][0].as_str().unwrap().contains(named), "{row}");
    let shown = shop.lab.egret_ok(&format!("services {service}"));
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(named) && shown.contains("Remove the subnets"), "{shown}");
}

/// Checks the answers of CreateService and UpdateService themselves, if the lab file asks for that.
fn the_request_names_them(shop: &Shop, (connector, named): (&str, &str), service: &str) {
    shop.apply(|text| {
        text.replacen("[apprunner]\n", "[apprunner]\nrefuse_subnets = \"request\"\n", 1)
    });
    let (source, network) = (image(), through(connector));
    let create = ["create-service", "--service-name", "web-3", "--source-configuration", &source];
    let update = ["update-service", "--service-arn", service];
    for call in [&create[..], &update] {
        shop.refused(&[call, &["--network-configuration", &network]].concat(), named);
    }
    shop.lab.task("web-2").tcp(DB, 5432);
}

/// Statement 28: without groups, a connector has the VPC's default one. Statement 29: the default
/// group lets everything out.
#[test]
fn statement_28_and_statement_29_the_default_group_lets_everything_out() {
    let Some(shop) = Shop::open(MORE) else { return };
    let words = ["create-vpc-connector", "--vpc-connector-name", "plain", "--subnets", "subnet-b"];
    let made = shop.ok(&words)["VpcConnector"].clone();
    assert_eq!(made["SecurityGroups"], json!(["vpc-shop/default"]));
    shop.running("web-1", made["VpcConnectorArn"].as_str().unwrap());
    let mut task = shop.lab.task("web-1");
    task.tcp(CHECKIP, 443);
    assert!(shop.lab.pings("web-1", &CHECKIP.to_string()));
    // The group of the destination drops.
    shop.lab.drops_for("sg-ingress-implicit-deny", "sg-db", || task.tcp_times_out(DB, 5432));
    shop.lab.drops_for("sg-ingress-implicit-deny", "sg-private", || {
        task.udp_times_out(CACHE, 53);
    });
}

/// Statement 30: a connector is for outbound traffic only. Statement 33: inbound traffic is the
/// same with a connector and without one.
#[test]
fn statement_33_a_connector_changes_nothing_about_what_comes_in() {
    let acl = "[[network_acl]]\nid = \"acl-deny\"\nvpc = \"vpc-shop\"\n";
    let Some(shop) = Shop::open(&format!("{MORE}{acl}")) else { return };
    let service = shop.create_with("web-1", &[]);
    let before = shop.settled(&service);
    let mut server = shop.lab.task("web-1");
    let own = shop.lab.ps().into_iter().find(|task| task.service == "web-1").unwrap().address;
    server.ok(&json!(["serve", own, 8080]));
    server.ok(&json!(["serve", "127.0.0.1", 8081]));
    let comes_in = || {
        shop.lab.task("web-1").tcp(own, 8080);
        shop.lab.task("web-1").tcp(Ipv4Addr::LOCALHOST, 8081);
    };
    comes_in();
    let isolated = "cidr = \"10.0.4.0/24\"";
    let denied = format!("{isolated}\nnetwork_acl = \"acl-deny\"");
    shop.apply(|text| text.replacen(isolated, &denied, 1));
    // A group that admits everything admits nothing through the ENI; a group without rules blocks
    // nothing inbound.
    for (name, subnet, group) in
        [("inviting", "subnet-b", "sg-inviting"), ("silent", "subnet-isolated", "sg-silent")]
    {
        let connector = shop.connector(name, &[subnet], &[group]);
        let after = shop.update(&service, &through(&connector));
        for same in ["ServiceUrl", "ServiceArn", "Status"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        let ingress = |of: &Value| of["NetworkConfiguration"]["IngressConfiguration"].clone();
        assert_eq!(ingress(&after), json!({"IsPubliclyAccessible": true}));
        assert_eq!(ingress(&after), ingress(&before));
        comes_in();
        let eni = shop.enis_of("web-1")[0].address.unwrap();
        let mut vpc = Lab::agent(&shop.lab.netns("vpc-shop"));
        shop.lab.drops_for("unsolicited", "flow-table", || vpc.tcp_times_out(eni, 8080));
    }
    shop.update(&service, DEFAULT);
    comes_in();
}

/// egret pulls no image and ships no logs; what AWS does outside the VPC does not need the
/// connector and does not appear in it.
#[test]
fn statement_34_a_service_runs_although_nothing_leaves_its_vpc() {
    let Some(shop) = Shop::open(MORE) else { return };
    let connector = shop.connector("silent", &["subnet-isolated"], &["sg-silent"]);
    let source = json!({"ImageRepository": {
        "ImageIdentifier": "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1",
        "ImageRepositoryType": "ECR",
        "ImageConfiguration": {"RuntimeEnvironmentSecrets": {
            "PASSWORD": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-1"}}},
        "AuthenticationConfiguration": {
            "AccessRoleArn": "arn:aws:iam::123456789012:role/service-role/AppRunnerECRAccessRole"}});
    let made = shop.ok(&[
        "create-service",
        "--service-name",
        "web-1",
        "--source-configuration",
        &source.to_string(),
        "--network-configuration",
        &through(&connector),
    ]);
    let arn = made["Service"]["ServiceArn"].as_str().unwrap();
    assert_eq!(shop.settled(arn)["Status"], "RUNNING");
    assert_eq!(shop.lab.flows(), []);
    let seen = shop.lab.drops().into_iter().filter(|drop| drop.service.as_deref() == Some("web-1"));
    assert_eq!(seen.collect::<Vec<_>>(), []);
    shop.lab.drops_for("sg-egress-no-rules", "sg-silent", || {
        shop.lab.task("web-1").tcp_times_out(QUEUES, 443);
    });
}

/// Statement 37: tags with key and value can be given when a connector is created, and later.
#[test]
fn statement_37_connectors_have_tags() {
    let Some(shop) = Shop::open("") else { return };
    let made = shop.ok(&[
        "create-vpc-connector",
        "--vpc-connector-name",
        "tagged",
        "--subnets",
        "subnet-a",
        "--tags",
        "Key=team,Value=net",
        "Key=stage,Value=test",
    ]);
    let arn = made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap();
    let tags = || shop.ok(&["list-tags-for-resource", "--resource-arn", arn])["Tags"].clone();
    let (stage, team) =
        (json!({"Key": "stage", "Value": "test"}), json!({"Key": "team", "Value": "net"}));
    assert_eq!(tags(), json!([stage, team]));
    let untag = ["untag-resource", "--resource-arn", arn, "--tag-keys", "stage"];
    assert!(shop.aws(&untag).status.success());
    assert_eq!(tags(), json!([team]));
    let reserved = ["tag-resource", "--resource-arn", arn, "--tags", "Key=aws:a,Value=b"];
    shop.refused(&reserved, "InvalidRequestException");
}

/// Statement 39: CreateVpcConnector. Statement 40: ListVpcConnectors lists all of the account, in
/// full. Statement 41: DescribeVpcConnector. Statement 42: DeleteVpcConnector. Surprise 4: there
/// are no other members.
#[test]
fn statement_40_connectors_are_listed_and_described_in_full_until_they_are_deleted() {
    let Some(shop) = Shop::open("") else { return };
    let (first, second) = (
        shop.connector("first", &["subnet-a", "subnet-b"], &["sg-app"]),
        shop.connector("second", &["subnet-c"], &["sg-app", "sg-db-client"]),
    );
    let describe = |arn: &str| {
        let found = shop.ok(&["describe-vpc-connector", "--vpc-connector-arn", arn]);
        found["VpcConnector"].clone()
    };
    let described = describe(&second);
    let wanted = json!({
        "VpcConnectorName": "second",
        "VpcConnectorArn": second,
        "VpcConnectorRevision": 1,
        "Subnets": ["subnet-c"],
        "SecurityGroups": ["sg-app", "sg-db-client"],
        "Status": "ACTIVE",
        "CreatedAt": described["CreatedAt"],
    });
    assert_eq!(described, wanted);
    assert!(described["CreatedAt"].is_f64());
    assert_eq!(shop.connectors(), [describe(&first), described]);
    let deleted = shop.ok(&["delete-vpc-connector", "--vpc-connector-arn", &first]);
    assert_eq!(deleted["VpcConnector"]["Status"], "INACTIVE");
    assert_eq!(shop.connectors(), [describe(&second)]);
    assert_eq!(describe(&first), deleted["VpcConnector"]);
}

#[test]
fn statement_43_at_the_quota_an_unused_connector_makes_room() {
    let Some(shop) = Shop::open("vpc_connector_quota = 2\n") else { return };
    let first = shop.connector("first", &["subnet-a"], &["sg-app"]);
    shop.connector("second", &["subnet-b"], &["sg-app"]);
    let third = ["create-vpc-connector", "--vpc-connector-name", "third", "--subnets", "subnet-c"];
    shop.refused(&third, "(ServiceQuotaExceededException)");
    shop.ok(&["delete-vpc-connector", "--vpc-connector-arn", &first]);
    assert_eq!(shop.ok(&third)["VpcConnector"]["Status"], "ACTIVE");
}

#[test]
fn statement_44_a_name_has_one_revision_and_another_connector_after_it_was_deleted() {
    let Some(shop) = Shop::open("") else { return };
    let first = shop.connector("prod", &["subnet-a"], &["sg-app"]);
    let again = ["create-vpc-connector", "--vpc-connector-name", "prod", "--subnets", "subnet-b"];
    shop.refused(&again, "one revision per name is supported");
    shop.ok(&["delete-vpc-connector", "--vpc-connector-arn", &first]);
    let second = shop.ok(&again)["VpcConnector"].clone();
    assert_eq!(second["VpcConnectorRevision"], 1);
    let second = second["VpcConnectorArn"].as_str().unwrap();
    assert!(second.contains(":vpcconnector/prod/1/") && second != first, "{second}");
}

#[test]
fn statement_46_of_two_services_with_one_name_at_once_one_is_created() {
    let Some(shop) = Shop::open("") else { return };
    let source = image();
    let create =
        ["create-service", "--service-name", "web-1", "--source-configuration", source.as_str()];
    let answers = shop.aws_at_once(&[&create, &create]);
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status.success());
    assert_eq!((made.len(), refused.len()), (1, 1), "{answers:?}");
    let said = both_streams(refused[0]);
    assert!(said.contains("(InvalidRequestException)"), "{said}");
    assert!(said.contains("there is a service with the name web-1"), "{said}");
    let listed = shop.ok(&["list-services"]);
    assert_eq!(listed["ServiceSummaryList"].as_array().unwrap().len(), 1);
}
