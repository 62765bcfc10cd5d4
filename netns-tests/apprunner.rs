//! AWS's own tools get the answers that they know from App Runner, and packets take the paths that
//! the answers describe.

use crate::support::aws;
use crate::support::comes;
use crate::support::lab::{Lab, both_streams, can_run, finish, up_command};
use crate::support::terminal::Terminal;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MODEL_WALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/netns-tests/support/apprunner.py");
pub const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
pub const CHECKIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Three private subnets, and two security groups of which the database admits one; a NAT gateway;
/// an internet host; a second VPC, whose objects cannot be combined with the first one's; and a
/// connector and a service of the lab file, whose names the API must not give to others.
const SHOP: &str = r#"
apprunner_public_ip = "198.51.100.1"
[[vpc]]
id = "vpc-shop"
cidr = "10.0.0.0/16"
internet_gateway = "igw-shop"
[[vpc]]
id = "vpc-other"
cidr = "10.9.0.0/16"
[[route_table]]
id = "rtb-public"
vpc = "vpc-shop"
routes = [{ destination = "0.0.0.0/0", target = "igw-shop" }]
[[route_table]]
id = "rtb-private"
vpc = "vpc-shop"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]
[[subnet]]
id = "subnet-public"
vpc = "vpc-shop"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "subnet-a"
vpc = "vpc-shop"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-b"
vpc = "vpc-shop"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-c"
vpc = "vpc-shop"
availability_zone = "us-east-1c"
cidr = "10.0.3.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-other"
vpc = "vpc-other"
availability_zone = "us-east-1a"
cidr = "10.9.1.0/24"
[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"
[[security_group]]
id = "sg-app"
vpc = "vpc-shop"
[[security_group]]
id = "sg-db-client"
vpc = "vpc-shop"
[[security_group]]
id = "sg-db"
vpc = "vpc-shop"
ingress = [{ protocol = "tcp", ports = "5432", from = "sg-db-client" }]
[[security_group]]
id = "sg-other"
vpc = "vpc-other"
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]
[[internet_host]]
name = "checkip"
address = "203.0.113.10"
listen = ["443/tcp"]
[[vpc_connector]]
name = "of-file"
subnets = ["subnet-a"]
[[service]]
name = "of-file-service"
egress = "vpc"
vpc_connector = "of-file"
"#;

/// A lab with the API, and the tools that call it.
pub struct Shop {
    pub lab: Lab,
    venv: PathBuf,
}

impl Shop {
    /// Opens a lab with further keys of `[apprunner]`, and sections after it, in `keys`. Returns
    /// `None` where a tool is missing.
    pub fn open(keys: &str) -> Option<Self> {
        if !can_run() {
            return None;
        }
        let venv = aws::venv()?;
        Some(Self { lab: Lab::up("auto", &shop(keys)), venv })
    }

    /// Does as [`Shop::open`], in the home of another user.
    pub fn open_of_another_user() -> Option<Self> {
        if !can_run() {
            return None;
        }
        let venv = aws::venv()?;
        Some(Self { lab: Lab::up_of_another_user(&shop("")), venv })
    }

    /// Does as [`Shop::open`], and returns the terminal on which the lab prints its complaints.
    pub fn open_on_terminal(keys: &str) -> Option<(Self, Terminal)> {
        if !can_run() {
            return None;
        }
        let venv = aws::venv()?;
        let (lab, terminal) = Lab::up_on_terminal(&shop(keys));
        Some((Self { lab, venv }, terminal))
    }

    /// Runs `aws apprunner`.
    pub fn aws(&self, words: &[&str]) -> Output {
        self.aws_with_key("test", "test", words)
    }

    /// Runs `aws apprunner` for several calls at once.
    pub fn aws_at_once(&self, calls: &[&[&str]]) -> Vec<Output> {
        std::thread::scope(|scope| {
            let begun: Vec<_> = calls.iter().map(|words| scope.spawn(|| self.aws(words))).collect();
            begun.into_iter().map(|call| call.join().unwrap()).collect()
        })
    }

    fn aws_with_key(&self, id: &str, secret: &str, words: &[&str]) -> Output {
        self.aws_of_any(id, secret, &[&["apprunner"], words].concat())
    }

    /// Runs `aws` for any service.
    fn aws_of_any(&self, id: &str, secret: &str, words: &[&str]) -> Output {
        self.aws_with_config(Path::new("/dev/null"), (id, secret), words)
    }

    /// Runs `aws apprunner` without the CLI's own checks, so that the API has to answer.
    fn aws_unchecked(&self, words: &[&str]) -> Output {
        let mut config = tempfile::NamedTempFile::new().unwrap();
        config.write_all(b"[default]\nparameter_validation = false\n").unwrap();
        self.aws_with_config(config.path(), ("test", "test"), &[&["apprunner"], words].concat())
    }

    fn aws_with_config(&self, config: &Path, (id, secret): (&str, &str), words: &[&str]) -> Output {
        let mut command = Command::new(self.venv.join("bin/aws"));
        command.args(["--endpoint-url", self.lab.api(), "--region", "us-east-1"]);
        command.args(words).env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        // No configuration of the user who runs the tests is read.
        command.env("AWS_CONFIG_FILE", config).env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_MAX_ATTEMPTS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    pub fn ok(&self, words: &[&str]) -> Value {
        let output = self.aws(words);
        assert!(output.status.success(), "{words:?}: {}", both_streams(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a call that must fail, with `part` in what the CLI prints.
    pub fn refused(&self, words: &[&str], part: &str) {
        let output = self.aws(words);
        let said = both_streams(&output);
        assert!(!output.status.success() && said.contains(part), "{words:?}: {said}");
    }

    /// Creates a connector with these subnets and security groups, and returns its ARN.
    pub fn connector(&self, name: &str, subnets: &[&str], groups: &[&str]) -> String {
        let mut input = tempfile::NamedTempFile::new().unwrap();
        let request =
            json!({"VpcConnectorName": name, "Subnets": subnets, "SecurityGroups": groups});
        write!(input, "{request}").unwrap();
        let file = format!("file://{}", input.path().display());
        let made = self.ok(&["create-vpc-connector", "--cli-input-json", &file]);
        assert_eq!(made["VpcConnector"]["Status"], "ACTIVE");
        made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap().to_owned()
    }

    /// Begins to create a service, and returns its ARN.
    pub fn create(&self, name: &str, connector: &str) -> String {
        self.create_with(name, &["--network-configuration", &through(connector)])
    }

    /// Does as [`Shop::create`], with further arguments.
    pub fn create_with(&self, name: &str, words: &[&str]) -> String {
        let source = image();
        let least = ["create-service", "--service-name", name, "--source-configuration", &source];
        let made = self.ok(&[&least[..], words].concat());
        assert_eq!(made["Service"]["Status"], "OPERATION_IN_PROGRESS");
        made["Service"]["ServiceArn"].as_str().unwrap().to_owned()
    }

    pub fn service(&self, arn: &str) -> Value {
        self.ok(&["describe-service", "--service-arn", arn])["Service"].clone()
    }

    /// Waits until no operation on the service is in progress, and returns the service.
    pub fn settled(&self, arn: &str) -> Value {
        loop {
            let service = self.service(arn);
            if service["Status"] != "OPERATION_IN_PROGRESS" {
                return service;
            }
        }
    }

    /// Asks for another network configuration, and waits until it is applied.
    pub fn update(&self, arn: &str, network: &str) -> Value {
        self.ok(&["update-service", "--service-arn", arn, "--network-configuration", network]);
        self.settled(arn)
    }

    /// Returns the type and the status of the last operation on a service.
    pub fn last_operation(&self, arn: &str) -> (Value, Value) {
        let list = self.ok(&["list-operations", "--service-arn", arn]);
        let last = &list["OperationSummaryList"][0];
        (last["Type"].clone(), last["Status"].clone())
    }

    /// Returns the source address that a host on the internet sees when the service opens a
    /// connection.
    pub fn seen_as(&self, task: &str) -> Ipv4Addr {
        let mut host = Lab::agent(&self.lab.netns("internet"));
        host.ok(&json!(["serve", CHECKIP, 4443]));
        self.lab.task(task).tcp(CHECKIP, 4443);
        host.peers()[0].0
    }
}

fn shop(keys: &str) -> String {
    format!("{SHOP}[apprunner]\napi = \"127.0.0.1:0\"\n{keys}")
}

/// Returns a `SourceConfiguration` that needs no role.
pub fn image() -> String {
    let image = json!({"ImageRepository": {
        "ImageIdentifier": "public.ecr.aws/aws-containers/hello-app-runner:latest",
        "ImageRepositoryType": "ECR_PUBLIC"}});
    image.to_string()
}

pub fn through(connector: &str) -> String {
    format!("EgressConfiguration={{EgressType=VPC,VpcConnectorArn={connector}}}")
}

pub const DEFAULT: &str = "EgressConfiguration={EgressType=DEFAULT}";
pub const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const APP_RUNNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Statement 10: an update can give the connector, too. Statement 14: ENIs exist once a service
/// uses the connector. Statement 32: the destination's security groups must admit the connector's.
/// Statement 38: `EgressConfiguration` says so.
#[test]
fn the_cli_takes_a_service_into_a_vpc_and_out_again() {
    let Some(shop) = Shop::open("") else { return };
    let enis = || shop.lab.rows::<Value>("enis").len();
    let before = enis();
    let subnets = ["subnet-a", "subnet-b", "subnet-c"];
    let connector = shop.connector("my-connector", &subnets, &["sg-app", "sg-db-client"]);
    assert_eq!(enis(), before, "a connector that nobody uses has no ENI");
    let service = shop.create("web-1", &connector);
    assert_eq!(shop.settled(&service)["Status"], "RUNNING");
    assert_eq!(enis(), before + 3);
    shop.lab.task("web-1").tcp(DB, 5432);
    assert_eq!(shop.seen_as("web-1"), NAT);

    // The service leaves the VPC and returns.
    let public = shop.update(&service, DEFAULT);
    assert_eq!(
        public["NetworkConfiguration"]["EgressConfiguration"],
        json!({"EgressType": "DEFAULT"})
    );
    shop.lab.task("web-1").tcp_times_out(DB, 5432);
    assert_eq!(shop.seen_as("web-1"), APP_RUNNER);
    shop.update(&service, &through(&connector));
    shop.lab.task("web-1").tcp(DB, 5432);
    assert_eq!(shop.seen_as("web-1"), NAT);

    // Without the group that the database admits, the database's group drops the packets.
    let other = shop.connector("other-connector", &subnets, &["sg-app"]);
    shop.update(&service, &through(&other));
    shop.lab.drops_for("sg-ingress-implicit-deny", "sg-db", || {
        shop.lab.task("web-1").tcp_times_out(DB, 5432);
    });
    assert_eq!(shop.seen_as("web-1"), NAT);

    // A paused service has no task that could send, and none can be made.
    shop.lab.egret_ok("task add web-1");
    shop.ok(&["pause-service", "--service-arn", &service]);
    assert_eq!(shop.settled(&service)["Status"], "PAUSED");
    assert!(shop.lab.ps().iter().all(|task| task.service != "web-1"));
    for command in ["exec web-1 -- true", "exec web-1/2 -- true", "task add web-1"] {
        let refused = shop.lab.egret(command);
        assert!(both_streams(&refused).contains("is paused or still starting"), "{refused:?}");
        assert!(!refused.status.success());
    }
    shop.ok(&["resume-service", "--service-arn", &service]);
    assert_eq!(shop.settled(&service)["Status"], "RUNNING");
    assert_eq!(shop.seen_as("web-1"), NAT);

    let delete = ["delete-vpc-connector", "--vpc-connector-arn", other.as_str()];
    shop.refused(&delete, "An error occurred (InvalidRequestException) when calling the DeleteVpcConnector operation: Provided VPC connector arn is being used by other services. ARN: ");
    shop.ok(&["delete-service", "--service-arn", &service]);
    assert_eq!(shop.settled(&service)["Status"], "DELETED");
    assert!(!shop.lab.egret("exec web-1 -- true").status.success());
    assert_eq!(shop.ok(&delete)["VpcConnector"]["Status"], "INACTIVE");
    assert_eq!(enis(), before);
}

/// Surprise 3: the body has an error's type.
#[test]
fn boto3_finds_the_model_kept_and_every_error() {
    let quotas = "service_quota = 3\nvpc_connector_quota = 3\n";
    let strict = "source = \"require\"\naccess_role = \"require\"\n";
    let Some(shop) = Shop::open(&format!("{quotas}{strict}")) else { return };
    let mut command = Command::new(shop.venv.join("bin/python"));
    command.arg(MODEL_WALK).arg(shop.lab.api());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    assert!(output.status.success(), "{}", both_streams(&output));
    println!("{}", both_streams(&output));
}

#[test]
fn answered_calls_are_there_after_a_restart() {
    let Some(mut shop) = Shop::open("") else { return };
    let connector = shop.connector("my-connector", &["subnet-a"], &["sg-db-client"]);
    let service = shop.create("web-1", &connector);
    let service = shop.settled(&service);
    let arn = service["ServiceArn"].as_str().unwrap().to_owned();
    let tag = ["tag-resource", "--resource-arn", &arn, "--tags", "Key=team,Value=net"];
    assert!(shop.aws(&tag).status.success());

    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        shop.lab.end_by(signal);
        shop.lab.up_again();
        assert_eq!(shop.service(&arn), service);
        let tags = shop.ok(&["list-tags-for-resource", "--resource-arn", &arn]);
        assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "net"}]));
        shop.lab.task("web-1").tcp(DB, 5432);
    }

    // ARNs contain the region.
    let text = std::fs::read_to_string(shop.lab.file()).unwrap();
    std::fs::write(shop.lab.file(), format!("region = \"eu-central-1\"\n{text}")).unwrap();
    let moved = shop.lab.egret(&format!("apply {}", shop.lab.file().display()));
    assert!(
        both_streams(&moved).contains("`region` cannot change while the lab is up"),
        "{moved:?}"
    );
    std::fs::write(shop.lab.file(), &text).unwrap();

    // A store serves one lab at a time, whatever the lab's name is.
    let store = format!("[apprunner]\nstore = \"{}\"\n", shop.lab.store().display());
    let name = format!("lab = \"{}", shop.lab.name());
    let same_store = text.replace(&name, &format!("{name}-2")).replace("[apprunner]\n", &store);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), same_store).unwrap();
    let another = up_command(file.path()).output().unwrap();
    assert!(!state(&format!("{}-2", shop.lab.name())).exists());
    assert!(!another.status.success());
    assert!(both_streams(&another).contains("in use: another lab serves"), "{another:?}");

    // The lab file no longer has a group that the connector needs.
    shop.lab.end_by(Signal::SIGTERM);
    let text = std::fs::read_to_string(shop.lab.file()).unwrap();
    std::fs::write(shop.lab.file(), text.replace("\"sg-db-client\"", "\"sg-db-customer\""))
        .unwrap();
    let unfit = up_command(shop.lab.file()).output().unwrap();
    let said = both_streams(&unfit);
    assert_eq!(unfit.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no longer fits the lab file") && said.contains("sg-db-client"),
        "{said}"
    );

    // Another file is in the place of the store.
    std::fs::write(shop.lab.file(), text).unwrap();
    std::fs::write(shop.lab.store(), "not a database, whatever it is called".repeat(100)).unwrap();
    let foreign = up_command(shop.lab.file()).output().unwrap();
    assert!(both_streams(&foreign).contains("was not made by egret"), "{foreign:?}");
    std::fs::remove_file(shop.lab.store()).unwrap();
    shop.lab.up_again();
    assert_eq!(shop.ok(&["list-services"])["ServiceSummaryList"], json!([]));
}

#[test]
fn only_keys_of_the_lab_file_sign() {
    let key =
        "[[apprunner.access_key]]\nid = \"AKIAEXAMPLE\"\nsecret = \"wJalrXUtnFEMI/K7MDENG\"\n";
    let Some(shop) = Shop::open(key) else { return };
    let list = ["list-vpc-connectors"];
    let with = |id: &str, secret: &str| shop.aws_with_key(id, secret, &list);
    let right = with("AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG");
    assert!(right.status.success(), "{}", both_streams(&right));
    for (id, secret, words, error) in [
        ("AKIAEXAMPLE", "wrong", &list[..], "InvalidSignatureException"),
        ("AKIAOTHER", "wJalrXUtnFEMI/K7MDENG", &list[..], "UnrecognizedClientException"),
        (
            "AKIAEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG",
            &["list-vpc-connectors", "--no-sign-request"][..],
            "MissingAuthenticationTokenException",
        ),
    ] {
        let output = shop.aws_with_key(id, secret, words);
        let said = both_streams(&output);
        assert!(!output.status.success() && said.contains(error), "{said}");
        assert!(!said.contains("wJalr"), "{said}");
    }
}

/// Statement 8: the first time, services take longer to start. Statement 9: until then they are not
/// RUNNING. Statement 11 and Statement 13: only where ENIs are new.
#[test]
fn the_first_use_of_subnets_and_groups_takes_its_time() {
    // Long enough for the calls below on a busy machine: 10 s.
    let keys = "startup_latency = \"500s\"\n[timeouts]\ntime_scale = 50\n";
    let Some(shop) = Shop::open(keys) else { return };
    let connector = shop.connector("my-connector", &["subnet-b"], &["sg-app"]);
    let first = shop.create("web-1", &connector);
    assert_eq!(shop.service(&first)["Status"], "OPERATION_IN_PROGRESS");
    let (kind, status) = shop.last_operation(&first);
    assert_eq!((kind, status), (json!("CREATE_SERVICE"), json!("IN_PROGRESS")));
    assert!(shop.lab.ps().iter().all(|task| task.service != "web-1"));
    assert!(!shop.lab.egret("exec web-1 -- true").status.success());
    shop.refused(&["delete-service", "--service-arn", &first], "InvalidStateException");
    assert_eq!(shop.settled(&first)["Status"], "RUNNING");
    assert_eq!(shop.seen_as("web-1"), NAT);

    // Another connector with the same subnets and groups does not wait: by the operation's own
    // clock it took no time.
    let same = shop.connector("same-connector", &["subnet-b"], &["sg-app"]);
    let second = shop.create("web-2", &same);
    assert_eq!(shop.settled(&second)["Status"], "RUNNING");
    let took = |arn: &str| {
        let list = shop.ok(&["list-operations", "--service-arn", arn]);
        let create = &list["OperationSummaryList"][0];
        create["EndedAt"].as_f64().unwrap() - create["StartedAt"].as_f64().unwrap()
    };
    assert!(took(&first) >= 10.0 && took(&second) < took(&first), "{}", took(&second));
}

/// Statement 36, and Statement 21 as the documentation says it.
#[test]
fn public_subnets_are_refused_as_the_documentation_has_it() {
    let Some(shop) = Shop::open("public_subnets = \"refuse\"\n") else { return };
    let private = shop.connector("private-connector", &["subnet-a"], &["sg-db-client"]);
    let public = shop.connector("public-connector", &["subnet-public"], &["sg-db-client"]);
    let failed = shop.create("web-1", &public);
    assert_eq!(shop.settled(&failed)["Status"], "CREATE_FAILED");
    assert_eq!(shop.last_operation(&failed), (json!("CREATE_SERVICE"), json!("FAILED")));
    let service = shop.create("web-2", &private);
    let before = shop.settled(&service);
    let after = shop.update(&service, &through(&public));
    assert_eq!(after["NetworkConfiguration"], before["NetworkConfiguration"]);
    assert_eq!(
        shop.last_operation(&service),
        (json!("UPDATE_SERVICE"), json!("ROLLBACK_SUCCEEDED"))
    );
    shop.lab.task("web-2").tcp(DB, 5432);
}

#[test]
fn it_listens_on_loopback_by_default() {
    if !can_run() {
        return;
    }
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    write!(file, "lab = \"loopback\"\n{SHOP}").unwrap();
    let output = up_command(file.path()).args(["--api", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(both_streams(&output).contains("--api-anywhere"), "{output:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = up_command(file.path()).args(["--api", &address]).output().unwrap();
    assert!(both_streams(&output).contains(&format!("cannot listen at {address}")), "{output:?}");
    assert!(both_streams(&output).contains("give another port"), "{output:?}");
    // Nothing was made for the refused lab.
    assert!(!state("loopback").exists());
    let store = format!("{}.apprunner.sqlite", file.path().display());
    assert!(!std::path::Path::new(&store).exists());
}

#[test]
fn regression_a_second_up_reports_that_the_lab_is_up_whatever_its_api_is() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &format!("{SHOP}[apprunner]\napi = \"127.0.0.1:0\"\n"));
    let address = lab.api().strip_prefix("http://").unwrap();
    for api in [address, "127.0.0.1:0", "0.0.0.0:0"] {
        let second = up_command(lab.file()).args(["--api", api]).output().unwrap();
        let said = both_streams(&second);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("lab `{}` is up already (process ", lab.name())), "{said}");
    }
    assert!(std::net::TcpStream::connect(address).is_ok());
    lab.task("of-file-service").tcp(CHECKIP, 443);
}

#[test]
fn regression_an_up_after_sigkill_waits_for_the_kernel_to_close_what_was_open() {
    if !can_run() {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut lab = Lab::up("auto", &format!("{SHOP}[apprunner]\napi = \"{free}\"\n"));
    for _ in 0..5 {
        lab.up_while_dying();
        assert_eq!(lab.api(), format!("http://{free}"));
    }
    lab.task("of-file-service").tcp(CHECKIP, 443);

    // A lab that fails to come up takes nothing from the next one.
    lab.end_by(Signal::SIGKILL);
    let taken = std::net::TcpListener::bind(free).unwrap();
    let failed = up_command(lab.file()).output().unwrap();
    assert!(both_streams(&failed).contains("give another port"), "{failed:?}");
    drop(taken);
    let down = lab.egret("down");
    assert!(both_streams(&down).contains("cleared"), "{down:?}");
    assert!(!state(lab.name()).exists());
}

/// Returns a lab's own folder in `/run`.
fn state(lab: &str) -> PathBuf {
    PathBuf::from("/run/egret").join(lab)
}

/// Statement 17: one zone is a warning.
#[test]
fn objects_of_the_api_are_checked_as_they_come_and_by_check_of_the_running_lab() {
    let Some((shop, mut terminal)) = Shop::open_on_terminal("") else { return };
    let trap = shop.connector("trap", &["subnet-public"], &["sg-app"]);
    let said = terminal.hears("(single-zone)");
    assert!(said.contains("(public-subnet-in-connector)"), "{said}");
    assert!(said.contains("warning: connector \"trap\" is in one Availability Zone"), "{said}");
    let service = shop.create("web-1", &trap);
    assert_eq!(shop.settled(&service)["Status"], "RUNNING");

    let name = shop.lab.name().to_owned();
    let check = |options: &str| shop.lab.egret(&format!("check --lab {name} --json{options}"));
    let rules = |output: &Output, level: &str| -> Vec<(String, u64)> {
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = found[level].as_array().unwrap().iter();
        let rule =
            |f: &Value| (f["rule"].as_str().unwrap().to_owned(), f["line"].as_u64().unwrap());
        all.map(rule).collect()
    };
    let found = check("");
    assert!(found.status.success(), "{}", both_streams(&found));
    for rule in ["public-subnet-in-connector", "single-zone"] {
        assert!(rules(&found, "warnings").contains(&(rule.to_owned(), 0)), "{rule}: {found:?}");
    }
    assert_eq!(check(" --strict").status.code(), Some(1));
    let of_file = shop.lab.egret(&format!("check {} --json", shop.lab.file().display()));
    assert!(!rules(&of_file, "warnings").iter().any(|(_, line)| *line == 0), "{of_file:?}");
}

/// Statement 45: the example of App Runner's documentation on VPC access works, with the files as
/// the documentation has them.
#[test]
fn statement_45_the_documented_example_works_as_it_is_written() {
    let Some((shop, mut terminal)) = Shop::open_on_terminal("") else { return };
    let file = |document: &Value| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{document:#}").unwrap();
        file
    };
    let input = |file: &tempfile::NamedTempFile| format!("file://{}", file.path().display());
    let connector = file(&json!({
        "VpcConnectorName": "my-vpc-connector",
        "Subnets": ["subnet-a", "subnet-b", "subnet-c"],
        "SecurityGroups": ["sg-app", "sg-db-client"]
    }));
    let made = shop.ok(&["create-vpc-connector", "--cli-input-json", &input(&connector)]);
    let arn = made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap();
    let service = file(&json!({
        "ServiceName": "my-vpc-service",
        "SourceConfiguration": {"ImageRepository": {
            "ImageIdentifier": "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-image:latest",
            "ImageConfiguration": {"Port": "8000"},
            "ImageRepositoryType": "ECR"
        }},
        "NetworkConfiguration": {"EgressConfiguration": {
            "EgressType": "VPC",
            "VpcConnectorArn": arn
        }}
    }));
    let made = shop.ok(&["create-service", "--cli-input-json", &input(&service)]);
    let arn = made["Service"]["ServiceArn"].as_str().unwrap();
    assert_eq!(shop.settled(arn)["Status"], "RUNNING");
    terminal.hears("needs the AccessRoleArn");
    shop.lab.task("my-vpc-service").tcp(DB, 5432);
    assert_eq!(shop.seen_as("my-vpc-service"), NAT);
}

/// A parameter that concerns only image, code, role or size is accepted by default, and the
/// operation's log names App Runner's requirement; packets still take the connector.
#[test]
fn regression_what_egret_does_not_run_keeps_no_service_from_its_vpc() {
    let Some(shop) = Shop::open("") else { return };
    let connector = shop.connector("my-connector", &["subnet-a"], &["sg-db-client"]);
    let role = "arn:aws:iam::1:role/x";
    let other = "arn:aws:apprunner:eu-west-1:999999999999:";
    let image = |identifier: &str, kind: &str| json!({"ImageRepository": {"ImageIdentifier": identifier, "ImageRepositoryType": kind}});
    let public = image("public.ecr.aws/aws-containers/hello-app-runner:latest", "ECR_PUBLIC");
    let with = |mut source: Value, authentication: Value| {
        source["AuthenticationConfiguration"] = authentication;
        json!({ "SourceConfiguration": source })
    };
    let code = json!({"CodeRepository": {"RepositoryUrl": "https://github.com/a/b",
        "SourceCodeVersion": {"Type": "BRANCH", "Value": "main"},
        "CodeConfiguration": {"ConfigurationSource": "API",
            "CodeConfigurationValues": {"Runtime": "PYTHON_3", "Port": "http"}}}});
    let secrets = json!({"ImageRepository": {"ImageRepositoryType": "ECR",
        "ImageIdentifier": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1",
        "ImageConfiguration": {"RuntimeEnvironmentSecrets": {"KEY": "a".repeat(2049)}}}});
    let more = |extra: Value| {
        let mut request = json!({"SourceConfiguration": public.clone()});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        request
    };
    let cases = [
        (with(image("1234.dkr.ecr.mars-1.amazonaws.com/a:1", "ECR"), json!({})), "imageIdentifier"),
        (with(image("docker.io/library/nginx", "ECR_PUBLIC"), json!({})), "not of the Image"),
        (with(public.clone(), json!({ "AccessRoleArn": role })), "accessRoleArn"),
        (with(code.clone(), json!({ "ConnectionArn": "arn:aws:codestar:a:b" })), "connectionArn"),
        (with(code, json!({})), "Port \\\"http\\\""),
        (json!({ "SourceConfiguration": secrets }), "runtimeEnvironmentSecrets"),
        (more(json!({"InstanceConfiguration": {"InstanceRoleArn": role}})), "instanceRoleArn"),
        (more(json!({"InstanceConfiguration": {"Cpu": "256", "Memory": "4 GB"}})), "together"),
        (more(json!({"EncryptionConfiguration": {"KmsKey": "alias/mine"}})), "kmsKey"),
        (
            more(json!({"AutoScalingConfigurationArn":
                format!("{other}autoscalingconfiguration/a/1/2")})),
            "autoscalingconfiguration",
        ),
        (
            more(json!({"ObservabilityConfiguration": {"ObservabilityEnabled": true,
                "ObservabilityConfigurationArn": format!("{other}observabilityconfiguration/a/1/2")}})),
            "observabilityconfiguration",
        ),
        (more(json!({"HealthCheckConfiguration": {"Interval": 60}})), "interval"),
    ];
    for (number, (mut request, part)) in cases.into_iter().enumerate() {
        let name = format!("odd-{number}");
        request["ServiceName"] = json!(name);
        request["NetworkConfiguration"] = json!({"EgressConfiguration":
            {"EgressType": "VPC", "VpcConnectorArn": connector}});
        let output =
            shop.aws_unchecked(&["create-service", "--cli-input-json", &request.to_string()]);
        assert!(output.status.success(), "{name}: {}", both_streams(&output));
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let arn = made["Service"]["ServiceArn"].as_str().unwrap();
        assert_eq!(shop.settled(arn)["Status"], "RUNNING", "{name}");
        let shown = shop.lab.egret_ok(&format!("services {name} --json"));
        assert!(shown.contains(part) && shown.contains("= \\\"require\\\""), "{part}: {shown}");
    }
    shop.lab.task("odd-0").tcp(DB, 5432);
}

#[test]
fn regression_connector_names_are_as_aws_has_them() {
    let Some(shop) = Shop::open("") else { return };
    let (longest, too_long) = ("a".repeat(40), "a".repeat(41));
    let create = |name: &str| {
        let name = format!("--vpc-connector-name={name}");
        shop.aws_unchecked(&["create-vpc-connector", &name, "--subnets", "subnet-a"])
    };
    for name in ["abc", &too_long, "-abc", "_abc", "a.bc", "a bc", "äbcd"] {
        let said = both_streams(&create(name));
        assert!(said.contains("InvalidRequestException"), "{name}: {said}");
        assert!(said.contains("'vpcConnectorName' failed to satisfy"), "{name}: {said}");
    }
    for name in ["abcd", "1-a_", &longest] {
        assert!(create(name).status.success(), "{name}");
    }
}

#[test]
fn calls_for_other_services_are_answered_in_their_own_protocols() {
    let Some(shop) = Shop::open("") else { return };
    for words in [
        &["sts", "get-caller-identity"][..],
        &["ec2", "describe-vpcs"],
        &["s3api", "list-buckets"],
        &["logs", "describe-log-groups"],
        &["lambda", "list-functions"],
    ] {
        let output = shop.aws_of_any("test", "test", words);
        let said = both_streams(&output);
        assert!(!output.status.success(), "{words:?}");
        assert!(said.contains("set AWS_ENDPOINT_URL_APPRUNNER"), "{words:?}: {said}");
    }
}

/// Statement 11: the latency of a new ENI survives a restart.
#[test]
fn statement_11_the_latency_of_an_eni_survives_a_restart() {
    // Long enough for the calls below on a busy machine: 60 s.
    let keys = "startup_latency = \"3000s\"\n[timeouts]\ntime_scale = 50\n";
    let Some(mut shop) = Shop::open(keys) else { return };
    let connector = shop.connector("my-connector", &["subnet-b"], &["sg-app"]);
    let first = shop.create("web-1", &connector);
    assert_eq!(shop.service(&first)["Status"], "OPERATION_IN_PROGRESS");
    shop.lab.end_by(Signal::SIGTERM);
    shop.lab.up_again();
    assert_eq!(shop.service(&first)["Status"], "OPERATION_IN_PROGRESS");
    // The ENI is still coming up: another service with the same subnets and groups waits for it
    // too.
    let same = shop.connector("same-connector", &["subnet-b"], &["sg-app"]);
    let second = shop.create("web-2", &same);
    assert_eq!(shop.settled(&first)["Status"], "RUNNING");
    assert_eq!(shop.settled(&second)["Status"], "RUNNING");
    let ended = |arn: &str| {
        let list = shop.ok(&["list-operations", "--service-arn", arn]);
        let create = &list["OperationSummaryList"][0];
        (create["StartedAt"].as_f64().unwrap(), create["EndedAt"].as_f64().unwrap())
    };
    let (begun, up) = (ended(&first).0, ended(&second).1);
    assert!(up - begun >= 60.0, "the second was RUNNING {} s after the ENI was begun", up - begun);
}

#[test]
fn why_a_service_does_not_run_is_shown_afterwards() {
    let Some(shop) = Shop::open("public_subnets = \"refuse\"\n") else { return };
    let trap = shop.connector("trap", &["subnet-public"], &["sg-app"]);
    let failed = shop.create("web-1", &trap);
    assert_eq!(shop.settled(&failed)["Status"], "CREATE_FAILED");
    let rows: Vec<Value> = shop.lab.rows("services");
    let row = rows.iter().find(|row| row["service"] == "web-1").unwrap();
    assert_eq!((&row["status"], &row["origin"]), (&json!("CREATE_FAILED"), &json!("api")));
    let why = row["operations"][0]["log"][0].as_str().unwrap().to_owned();
    assert!(why.contains("subnet-public"), "{why}");
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = shop.lab.egret_ok("services web-1");
    assert!(one_line(&shown).contains(&one_line(&why)), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    for command in ["exec web-1 -- true", "task add web-1", "explain web-1 10.0.1.10:5432"] {
        let refused = shop.lab.egret(command);
        let said = both_streams(&refused);
        assert!(!refused.status.success(), "{command}: {said}");
        assert!(said.contains("CREATE_FAILED") && said.contains(&why), "{command}: {said}");
    }
    let unknown = shop.lab.egret("services web-9");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(both_streams(&unknown).contains("web-1"), "{unknown:?}");
}

#[test]
fn check_of_a_running_lab_counts_the_services_of_the_api_and_names_those_it_has_not() {
    let Some(shop) = Shop::open("public_subnets = \"refuse\"\n") else { return };
    let name = shop.lab.name().to_owned();
    let last = |output: &Output| both_streams(output).lines().last().unwrap().to_owned();
    let sound = shop.connector("sound", &["subnet-a", "subnet-b"], &["sg-app"]);
    for name in ["web-1", "web-2"] {
        assert_eq!(shop.settled(&shop.create(name, &sound))["Status"], "RUNNING");
    }
    let all = shop.lab.egret(&format!("check --lab {name}"));
    assert!(last(&all).contains(", 3 services, "), "{}", both_streams(&all));
    let trap = shop.connector("trap", &["subnet-public"], &["sg-app"]);
    for name in ["bad-1", "bad-2"] {
        assert_eq!(shop.settled(&shop.create(name, &trap))["Status"], "CREATE_FAILED");
    }
    let some = shop.lab.egret(&format!("check --lab {name}"));
    let said = both_streams(&some);
    assert!(last(&some).contains(", 3 of 5 services, "), "{said}");
    for name in ["bad-1", "bad-2"] {
        assert!(
            said.contains(&format!("not checked: service \"{name}\" is CREATE_FAILED")),
            "{said}"
        );
    }
    let json = shop.lab.egret(&format!("check --lab {name} --json"));
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    let missing = json!([{"service": "bad-1", "status": "CREATE_FAILED"}, {"service": "bad-2", "status": "CREATE_FAILED"}]);
    assert_eq!((&answer["services"], &answer["not_checked"]), (&json!(3), &missing));
}

#[test]
fn graph_of_a_running_lab_has_the_services_of_the_api_and_names_those_it_has_not() {
    let Some(shop) = Shop::open("public_subnets = \"refuse\"\n") else { return };
    let name = shop.lab.name().to_owned();
    let sound = shop.connector("sound", &["subnet-a", "subnet-b"], &["sg-app"]);
    assert_eq!(shop.settled(&shop.create("web-1", &sound))["Status"], "RUNNING");
    let trap = shop.connector("trap", &["subnet-public"], &["sg-app"]);
    assert_eq!(shop.settled(&shop.create("bad-1", &trap))["Status"], "CREATE_FAILED");
    let output = shop.lab.egret(&format!("graph --lab {name} --json"));
    assert_eq!(output.status.code(), Some(0), "{}", both_streams(&output));
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = graph["nodes"].as_array().unwrap();
    let has = |key: &str| nodes.iter().any(|node| node["key"] == key);
    assert!(has("service/web-1") && !has("service/bad-1"), "{graph:#}");
    let enis: Vec<Value> = shop.lab.rows("enis");
    let own = enis.iter().filter(|row| row["services"] == json!(["web-1"]));
    let keys: Vec<String> = own.map(|row| format!("eni/{}", row["id"].as_str().unwrap())).collect();
    assert!(keys.len() == 2 && keys.iter().all(|key| has(key)), "{keys:?}: {graph:#}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not drawn: service \"bad-1\" is CREATE_FAILED"), "{said}");
}

/// The pending configuration of a service is listed beside the present one, and does not count as
/// another service.
#[test]
fn service_that_is_being_updated_is_counted_once_by_check() {
    let keys = "startup_latency = \"50m\"\n";
    let Some(shop) = Shop::open(keys) else { return };
    let service = shop.create_with("web-1", &["--network-configuration", DEFAULT]);
    assert_eq!(shop.settled(&service)["Status"], "RUNNING");
    let slow = shop.connector("slow", &["subnet-b"], &["sg-app"]);
    let update =
        ["update-service", "--service-arn", &service, "--network-configuration", &through(&slow)];
    shop.ok(&update);
    let pending = |rows: Vec<Value>| rows.iter().any(|row| row["enis"][0]["state"] == "pending");
    assert!(comes(|| pending(shop.lab.rows("services"))));
    let said = shop.lab.egret_ok(&format!("check --lab {}", shop.lab.name()));
    assert!(said.lines().last().unwrap().contains(", 2 services, "), "{said}");
}

#[test]
fn enis_that_come_up_are_pending() {
    // Long enough for the calls below on a busy machine: 60 s.
    let keys = "startup_latency = \"3000s\"\n[timeouts]\ntime_scale = 50\n";
    let Some(shop) = Shop::open(keys) else { return };
    let connector = shop.connector("slow", &["subnet-b"], &["sg-app"]);
    let service = shop.create("web-1", &connector);
    let rows: Vec<Value> = shop.lab.rows("services");
    let row = rows.iter().find(|row| row["service"] == "web-1").unwrap();
    let eni = &row["enis"][0];
    assert_eq!((&eni["state"], &eni["subnet"]), (&json!("pending"), &json!("subnet-b")));
    let enis: Vec<Value> = shop.lab.rows("enis");
    let own = enis.iter().find(|row| row["id"] == eni["id"]).unwrap();
    assert_eq!(own["state"], "pending");
    let refused = shop.lab.egret("exec web-1 -- true");
    assert!(both_streams(&refused).contains("OPERATION_IN_PROGRESS"), "{refused:?}");
    assert_eq!(shop.settled(&service)["Status"], "RUNNING");
    let rows: Vec<Value> = shop.lab.rows("services");
    let row = rows.iter().find(|row| row["service"] == "web-1").unwrap();
    assert_eq!(row["enis"][0]["state"], "up");
}
