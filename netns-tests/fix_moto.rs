//! The commands that `egret explain --from` proposes are run with the AWS CLI against another EC2
//! endpoint (moto): once the VPC is collected and imported again, the packets pass.

use super::support::aws;
use super::support::moto::{Moto, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// The most rounds of changes until all packets pass.
const MOST_ROUNDS: usize = 4;

/// A VPC in moto's account with a service. moto has no App Runner, so the connectors are given on
/// the command line.
struct Account<'m> {
    moto: &'m Moto,
    ids: HashMap<String, String>,
}

impl Account<'_> {
    fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// Collects the VPC into a new folder, which it returns.
    fn collected(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let output = self.moto.snapshot(self.id("vpc"), folder.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "all but App Runner is collected: {said}");
        folder
    }

    /// Returns the answer of `explain --json`.
    fn explained(&self, folder: &Path, (service, to): (&str, &str)) -> Value {
        let connectors = [
            format!("app={},{}:app", self.id("private_a"), self.id("private_b")),
            format!("data={}:app", self.id("data")),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(["explain", service, to, "--json", "--from"]).arg(folder);
        connectors.iter().for_each(|connector| {
            command.args(["--connector", connector]);
        });
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
    }

    /// Runs proposed commands unchanged, in a shell.
    fn run(&self, commands: &str) {
        let mut shell = self.moto.command("bash");
        shell.args(["-euc", commands]).env("AWS_ENDPOINT_URL", &self.moto.endpoint);
        let output = shell.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}\n{errors}");
    }
}

/// The packets that fail, and for each the first words of the commands that are proposed for it, in
/// order.
const QUESTIONS: [((&str, &str), &[&str]); 5] = [
    // A rule of a group, and an entry of a network ACL before the one that denies zone b.
    (("app", "orders-db:6379"), &["authorize-security-group-ingress"]),
    (("app", "orders-db:5432"), &["create-network-acl-entry"]),
    // An entry of the prefix list that the group's rule names, by the list's current version.
    (("app", "203.0.113.99:443"), &["modify-managed-prefix-list"]),
    // The endpoint's own prefix list, whose id only AWS knows.
    (("app", "s3:443"), &["authorize-security-group-egress"]),
    // The network ACL, the main route table, which the account lists, and the ACL again, for
    // replies from the internet.
    (
        ("data", "203.0.113.9:443"),
        &["create-network-acl-entry", "create-route", "create-network-acl-entry"],
    ),
];

#[test]
fn the_commands_of_a_fix_let_the_packets_pass_in_the_account() {
    let Some(venv) = aws::venv() else { return };
    let moto = Moto::start(venv);
    let ids = moto.build();
    let account = Account { moto: &moto, ids };
    let mut run: Vec<Vec<String>> = vec![Vec::new(); QUESTIONS.len()];
    for round in 0.. {
        let folder = account.collected();
        let mut open = 0;
        for ((question, _), run) in QUESTIONS.iter().zip(&mut run) {
            let explained = account.explained(folder.path(), *question);
            if explained["verdict"] == "forward" {
                continue;
            }
            open += 1;
            let fix = &explained["fix"];
            assert_eq!(fix["form"], "aws-cli", "{question:?}: {explained:#}");
            let commands = fix["rule"].as_str().unwrap();
            assert!(round < MOST_ROUNDS, "{question:?} does not pass: {commands}");
            account.run(commands);
            run.push(commands.to_owned());
        }
        if open == 0 {
            break;
        }
    }
    for ((question, expected), run) in QUESTIONS.iter().zip(&run) {
        let verbs: Vec<&str> = run.iter().map(|commands| verb(commands)).collect();
        assert_eq!(verbs, *expected, "{question:?}: {run:#?}");
    }
}

/// Returns the call that the last of some commands makes.
fn verb(commands: &str) -> &str {
    let last = commands.rsplit("aws ec2 ").next().unwrap();
    let first = commands.split("aws ec2 ").nth(1).unwrap();
    // Substitutions within a command only describe, and the command itself precedes them.
    let is_asked = last.starts_with("describe-");
    (if is_asked { first } else { last }).split_whitespace().next().unwrap()
}

/// The routes exist already, in states that AWS shows, and an endpoint lacks a route table.
#[test]
fn a_route_is_replaced_and_a_table_is_added_in_the_account() {
    let Some(venv) = aws::venv() else { return };
    let moto = Moto::start(venv);
    let ids = moto.build();
    let account = Account { moto: &moto, ids };
    let (table, igw) = (account.id("rtb_private"), account.id("igw"));
    let everywhere = ["--destination-cidr-block", "0.0.0.0/0"];
    let to_gateway = ["replace-route", "--route-table-id", table, "--gateway-id", igw];
    moto.aws(&[&to_gateway[..], &everywhere].concat());
    let question = ("app", "203.0.113.9:443");
    let wrong = account.explained(account.collected().path(), question);
    assert_eq!(wrong["reason"], "igw-no-public-address", "{wrong:#}");
    let commands = wrong["fix"]["rule"].as_str().unwrap();
    assert!(commands.starts_with("aws ec2 replace-route"), "{commands}");
    account.run(commands);
    let right = account.explained(account.collected().path(), question);
    assert_eq!(right["verdict"], "forward", "{right:#}");

    let group = ["authorize-security-group-egress", "--group-id", account.id("sg_app")];
    let https = ["--protocol", "tcp", "--port", "443", "--cidr", "0.0.0.0/0"];
    moto.aws(&[&group[..], &https].concat());
    for (way, ports) in [("--egress", "From=443,To=443"), ("--ingress", "From=1024,To=65535")] {
        let entry = ["create-network-acl-entry", "--network-acl-id", account.id("acl"), way];
        let rule = ["--rule-number", "300", "--rule-action", "allow", "--protocol", "6"];
        let rest = ["--port-range", ports, "--cidr-block", "0.0.0.0/0"];
        moto.aws(&[&entry[..], &rule, &rest].concat());
    }
    let question = ("data", "s3:443");
    let missing = account.explained(account.collected().path(), question);
    assert_eq!(missing["reason"], "no-route", "{missing:#}");
    let commands = missing["fix"]["rule"].as_str().unwrap();
    assert!(commands.starts_with("aws ec2 modify-vpc-endpoint"), "{commands}");
    account.run(commands);
    let there = account.explained(account.collected().path(), question);
    assert_eq!(there["verdict"], "forward", "{there:#}");
}

/// Adds a failed endpoint to a folder, so that the source names its service.
fn add_failed_endpoint(folder: &Path, service: &str) {
    let file = folder.join("describe-vpc-endpoints.json");
    let mut answer: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let all = answer["VpcEndpoints"].as_array_mut().unwrap();
    let mut failed = all.first().unwrap().clone();
    failed["VpcEndpointId"] = json!("vpce-0000000000000fa11");
    failed["VpcEndpointType"] = json!("Interface");
    failed["ServiceName"] = json!(service);
    failed["State"] = json!("failed");
    all.push(failed);
    std::fs::write(&file, answer.to_string()).unwrap();
}

/// The VPC has no path to the internet, no other interface endpoint, and no hostnames.
#[test]
fn an_interface_endpoint_with_a_group_is_created_in_the_account() {
    let Some(venv) = aws::venv() else { return };
    let moto = Moto::start(venv);
    let ids = moto.build();
    let account = Account { moto: &moto, ids };
    for table in ["rtb_private", "rtb_public"] {
        let everywhere = ["--destination-cidr-block", "0.0.0.0/0"];
        let route = ["delete-route", "--route-table-id", account.id(table)];
        moto.aws(&[&route[..], &everywhere].concat());
    }
    moto.aws(&["delete-vpc-endpoints", "--vpc-endpoint-ids", account.id("secrets")]);
    moto.aws(&["modify-vpc-attribute", "--vpc-id", account.id("vpc"), "--no-enable-dns-hostnames"]);
    let folder = account.collected();
    add_failed_endpoint(folder.path(), "com.amazonaws.us-east-1.sqs");
    let question = ("app", "sqs.us-east-1.amazonaws.com:443");
    let missing = account.explained(folder.path(), question);
    let commands = missing["fix"]["rule"].as_str().unwrap_or_else(|| panic!("{missing:#}"));
    let verbs: Vec<&str> = commands
        .split("aws ec2 ")
        .skip(1)
        .map(|command| command.split_whitespace().next().unwrap())
        .collect();
    let expected = [
        "modify-vpc-attribute",
        "create-security-group",
        "authorize-security-group-ingress",
        "create-vpc-endpoint",
    ];
    assert_eq!(verbs, expected, "{commands}");
    account.run(commands);
    let there = account.explained(account.collected().path(), question);
    assert_eq!(there["verdict"], "forward", "{there:#}");
}

/// Serves a number of calls of App Runner, which moto does not have, with one answer. Returns the
/// endpoint, and the thread that returns the requests.
fn app_runner(calls: usize) -> (String, std::thread::JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let streams = listener.incoming().take(calls).map(Result::unwrap);
        streams.map(|stream| answered(&stream)).collect()
    };
    (endpoint, std::thread::spawn(serve))
}

fn answered(mut stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("{{\"VpcConnector\":{{\"VpcConnectorArn\":\"{NEW_CONNECTOR}\"}}}}");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

const NEW_CONNECTOR: &str =
    "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/2/9f2b6c0e4d6a4f0c9d7e1a2b3c4d5e6f";
const PUBLIC_SUBNET: &str = "subnet-0985884d6f2d9dc63";

#[test]
fn a_connector_is_replaced_and_its_service_uses_the_new_one() {
    let Some(venv) = aws::venv() else { return };
    let moto = Moto::start(venv);
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vpc");
    for file in std::fs::read_dir(example).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let connectors = folder.path().join("list-vpc-connectors.json");
    let answer = std::fs::read_to_string(&connectors).unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    answer["VpcConnectors"][0]["Subnets"] = json!([PUBLIC_SUBNET]);
    std::fs::write(&connectors, answer.to_string()).unwrap();
    let mut egret = Command::new(env!("CARGO_BIN_EXE_egret"));
    egret.args(["explain", "web", "example:443", "--json", "--from"]).arg(folder.path());
    let explained: Value = serde_json::from_slice(&egret.output().unwrap().stdout).unwrap();
    let commands = explained["fix"]["rule"].as_str().unwrap();

    let (endpoint, calls) = app_runner(2);
    let mut shell = moto.command("bash");
    shell.args(["-euc", commands]).env("AWS_ENDPOINT_URL", endpoint);
    text(&shell.output().unwrap());
    let [made, used]: [Value; 2] = calls.join().unwrap().try_into().unwrap();
    assert_eq!(made["VpcConnectorName"], "shop");
    assert_eq!(made["SecurityGroups"], json!(["sg-005e081784b117b65"]));
    // The answer names the private subnet of the same zone.
    assert_eq!(made["Subnets"], json!(["subnet-0a0803cf8ee70aa5f"]));
    assert_eq!(used["ServiceArn"], described_service());
    let egress = json!({ "EgressType": "VPC", "VpcConnectorArn": NEW_CONNECTOR });
    assert_eq!(used["NetworkConfiguration"]["EgressConfiguration"], egress);
}

fn described_service() -> Value {
    let service = include_str!("../examples/vpc/describe-service-web.json");
    let service: Value = serde_json::from_str(service).unwrap();
    service["Service"]["ServiceArn"].clone()
}
