//! Compares the JSON Schema with the reader: what the reader takes, the schema takes, and broken
//! labs are refused by both.

use super::*;
use crate::config::expectations::Expectations;
use crate::config::form::{self, Form};
use crate::config::key::{Table, Type};
use crate::config::{read, text};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema::lab_file()).expect("a schema"));

/// Returns what the schema has against a text of TOML.
pub(super) fn faults(text: &str) -> Vec<String> {
    let value: toml::Value = toml::from_str(text).expect("TOML");
    let value = serde_json::to_value(value).expect("JSON");
    VALIDATOR.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of a folder and those below it.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs_entries(&folder) {
            match entry.is_dir() {
                true => folders.push(entry),
                false if entry.extension().is_some_and(|own| own == ending) => found.push(entry),
                false => {}
            }
        }
    }
    found.sort();
    found
}

fn fs_entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn schema_is_one_of_draft_7() {
    let schema = schema::lab_file();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    if let Err(error) = jsonschema::draft7::meta::validate(&schema) {
        panic!("{}: {error}", error.instance_path());
    }
}

#[test]
fn copy_beside_the_examples_is_up_to_date() {
    let path = root().join("examples/lab.schema.json");
    let wanted = serde_json::to_string_pretty(&schema::lab_file()).unwrap() + "\n";
    if std::env::var_os("EGRET_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let way_out = "run `EGRET_UPDATE_DOCS=1 cargo test --lib tests::json_schema`";
    assert!(std::fs::read_to_string(&path).is_ok_and(|found| found == wanted), "{way_out}");
}

#[test]
fn every_example_names_the_schema_and_is_taken_by_it() {
    let examples = files("examples", "toml");
    assert!(examples.len() >= 6, "{examples:?}");
    for example in examples {
        let text = text_of(&example);
        let first = text.lines().next().unwrap_or_default();
        let path = first.strip_prefix("#:schema ").map(|path| example.with_file_name(path));
        let named = path.unwrap_or_default().canonicalize().ok();
        assert_eq!(named, Some(root().join("examples/lab.schema.json")), "{example:?}: {first}");
        assert_eq!(faults(&text), [""; 0], "{example:?}");
    }
}

/// Labs with deliberate errors are among the files: the reader decides.
#[test]
fn every_lab_file_that_the_reader_takes_is_taken() {
    let folders = ["src", "netns-tests", "fuzz/seeds"];
    let files = folders.iter().flat_map(|folder| files(folder, "toml"));
    let texts: Vec<String> = files.map(|file| text_of(&file)).collect();
    let taken = texts.iter().filter(|text| Lab::parse("lab.toml", text).is_ok());
    assert!(taken.inspect(|text| assert_eq!(faults(text), [""; 0], "{text}")).count() >= 12);
}

#[test]
fn every_lab_of_the_docs_is_taken() {
    let mut taken = 0;
    for page in files("docs", "md").into_iter().chain([root().join("README.md")]) {
        let text = text_of(&page);
        let blocks = text.split("\n```toml").skip(1);
        for block in blocks.filter_map(|rest| rest.split_once('\n')?.1.split_once("\n```")) {
            if Expectations::parse("lab.toml", block.0).is_ok()
                || Lab::parse("lab.toml", block.0).is_ok()
            {
                assert_eq!(faults(block.0), [""; 0], "{page:?}: {}", block.0);
                taken += 1;
            }
        }
    }
    assert!(taken >= 5, "{taken}");
}

#[test]
fn imported_labs_are_taken() {
    for source in ["vpc", "vpc-terraform.json", "vpc-cloudformation.yaml"] {
        let source = root().join("examples").join(source);
        let order = import::Order { source, ..import::Order::default() };
        let imported = import::Imported::from_source(&order).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(faults(imported.text()), [""; 0], "{order:?}");
    }
}

/// A lab that has each kind of section and each nested table.
const SOUND: &str = r#"
lab = "sound"
region = "eu-west-1"
queues = 2
mtu = 9001
task_cidr = "100.64.0.0/16"
offload_grace = "30s"

[[vpc]]
id = "vpc-a"
cidr = ["10.0.0.0/16", "10.2.0.0/16"]
internet_gateway = "igw-a"
enable_dns_hostnames = true

[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"

[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "eu-west-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-a"
network_acl = "acl-a"

[[route_table]]
id = "rtb-a"
vpc = "vpc-a"
routes = [
    { destination = "0.0.0.0/0", target = "nat-a" },
    { destination = "10.1.0.0/16", target = "pcx-a" },
    { destination = "203.0.113.0/24", target = "tgw-1", state = "blackhole" },
]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-a"
secondary_private_ip_count = 2
state = "available"

[[prefix_list]]
id = "pl-s3"
entries = ["198.51.100.0/25"]

[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.eu-west-1.s3"
prefix_list = "pl-s3"
route_tables = ["rtb-a"]

[[vpc_peering_connection]]
id = "pcx-a"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"

[[security_group]]
id = "sg-a"
vpc = "vpc-a"
egress = [
    { protocol = "tcp", ports = "1024-65535", to = ["sg-a", "vpc-a/default", "pl-s3", "0.0.0.0/0"] },
    { protocol = "icmp", icmp_type = 8, icmp_code = 0, to = "10.0.0.0/16" },
    { protocol = 17, ports = 53, to = "10.0.0.0/16" },
]
ingress = [{ protocol = "all", from = "10.0.0.0/16" }]

[[network_acl]]
id = "acl-a"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "-1", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]

[[resource]]
name = "db"
aliases = "db.example.com"
public_dns_name = true
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = "sg-a"
listen = ["5432/tcp"]
network_interface = "eni-db"
source_dest_check = false

[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/https", "443/udp", { port = "80/http", mode = "delay", delay = "2s" }]

[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-a"]
records = [
    { name = "*", type = "A", values = ["10.0.1.10"], ttl = 60 },
    { name = "@", type = "TXT", values = "v=1" },
]

[[vpc_connector]]
name = "main"
subnets = ["subnet-a"]
security_groups = ["sg-a"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "main"
tasks = 2

[[service]]
name = "job"
kind = "fargate"
subnets = ["subnet-a"]
assign_public_ip = true

[[expect]]
from = ["web", "job"]
to = "db:5432"
is = "reachable"
via = "eni-db"
seen_as = ["10.0.0.0/16", "10.0.1.5"]

[apprunner]
startup_latency = "2m-5m"
public_subnets = "refuse"
api = "127.0.0.1:4566"
account = "123456789012"
access_key = [{ id = "AKIAEXAMPLE", secret = "s" }]

[limits]
eni_connections = 100

[timeouts]
tcp_idle = "350s"
time_scale = 100.0

[lint]
allow = ["single-zone"]
"#;

#[test]
fn sound_lab_is_taken_and_each_broken_one_is_refused_by_the_schema_and_the_reader() {
    lab(SOUND);
    for (sound, broken) in BROKEN {
        assert_eq!(SOUND.matches(sound).count(), 1, "{sound}");
        let text = SOUND.replace(sound, broken);
        assert!(!faults(&text).is_empty(), "the schema takes {broken}");
        assert!(Lab::parse("lab.toml", &text).is_err(), "the reader takes {broken}");
    }
}

/// What is replaced in the sound lab, and the fault in its place.
const BROKEN: &[(&str, &str)] = &[
    // Keys.
    ("queues = 2", "ques = 2"),
    ("[lint]", "[lints]"),
    ("tasks = 2", "task = 2"),
    ("public_subnets = \"refuse\"", "public_subnet = \"refuse\""),
    (
        "{ rule = 100, action = \"allow\", protocol = \"-1\",",
        "{ number = 1, rule = 100, action = \"allow\", protocol = \"-1\",",
    ),
    ("state = \"blackhole\" }", "status = \"blackhole\" }"),
    ("id = \"vpc-b\"\n", ""),
    ("cidr = \"10.1.0.0/16\"", ""),
    ("service = \"com.amazonaws.eu-west-1.s3\"", ""),
    ("is = \"reachable\"", ""),
    (", secret = \"s\"", ""),
    (", type = \"TXT\"", ""),
    ("{ rule = 100, action = \"allow\", protocol = \"-1\",", "{ rule = 100, protocol = \"-1\","),
    // Types.
    ("queues = 2", "queues = \"2\""),
    ("enable_dns_hostnames = true", "enable_dns_hostnames = \"yes\""),
    ("lab = \"sound\"", "lab = 1"),
    ("time_scale = 100.0", "time_scale = \"fast\""),
    ("[limits]", "[[limits]]"),
    ("[[prefix_list]]", "[prefix_list]"),
    (
        "ingress = [{ protocol = \"all\", from = \"10.0.0.0/16\" }]",
        "ingress = { protocol = \"all\", from = \"10.0.0.0/16\" }",
    ),
    ("route_tables = [\"rtb-a\"]", "route_tables = [1]"),
    // Words.
    ("state = \"available\"", "state = \"ready\""),
    ("kind = \"fargate\"", "kind = \"ecs\""),
    ("kind = \"gateway\"", "kind = \"Gateway\""),
    ("public_subnets = \"refuse\"", "public_subnets = \"deny\""),
    ("allow = [\"single-zone\"]", "allow = [\"one-zone\"]"),
    ("type = \"A\"", "type = \"AAAA\""),
    ("is = \"reachable\"", "is = \"open\""),
    // Ranges.
    ("queues = 2", "queues = 17"),
    ("mtu = 9001", "mtu = 9002"),
    ("tasks = 2", "tasks = -1"),
    ("eni_connections = 100", "eni_connections = 0"),
    ("time_scale = 100.0", "time_scale = 0.0001"),
    ("icmp_type = 8", "icmp_type = 256"),
    ("ttl = 60", "ttl = -1"),
    ("ports = 53", "ports = 65536"),
    ("protocol = 17", "protocol = 256"),
    // Forms.
    ("cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0\""),
    ("cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/29\""),
    ("cidr = \"10.1.0.0/16\"", "cidr = \"10.1.0.0/8\""),
    ("entries = [\"198.51.100.0/25\"]", "entries = [\"198.51.100.0/33\"]"),
    ("entries = [\"198.51.100.0/25\"]", "entries = [\"198.51.256.0/25\"]"),
    ("address = \"10.0.1.10\"", "address = \"10.0.1\""),
    ("id = \"vpc-b\"", "id = \"local\""),
    ("id = \"vpc-b\"", "id = \"vpc b\""),
    ("name = \"main\"", "name = \"ma.in\""),
    ("lab = \"sound\"", "lab = \"Sound\""),
    ("region = \"eu-west-1\"", "region = \"europe-1\""),
    ("listen = [\"5432/tcp\"]", "listen = [\"5432\"]"),
    ("mode = \"delay\", delay = \"2s\"", "mode = \"reject\""),
    ("mode = \"delay\", delay = \"2s\"", "mode = \"delay\""),
    ("mode = \"delay\", delay = \"2s\"", "mode = \"refuse\", delay = \"2s\""),
    ("mode = \"delay\", delay = \"2s\"", "mode = \"delay\", delay = \"2\""),
    ("ports = \"1024-65535\"", "ports = \"1024-65536\""),
    ("protocol = \"icmp\"", "protocol = \"ping\""),
    ("tcp_idle = \"350s\"", "tcp_idle = \"350\""),
    ("tcp_idle = \"350s\"", "tcp_idle = \"0s\""),
    ("offload_grace = \"30s\"", "offload_grace = \"30 s\""),
    ("startup_latency = \"2m-5m\"", "startup_latency = \"2m-\""),
    ("api = \"127.0.0.1:4566\"", "api = \"127.0.0.1\""),
    ("account = \"123456789012\"", "account = \"12345\""),
    ("id = \"AKIAEXAMPLE\"", "id = \"AKIA EXAMPLE\""),
    ("aliases = \"db.example.com\"", "aliases = \"-db.example.com\""),
    ("name = \"corp.internal\"", "name = \"corp..internal\""),
    ("seen_as = [\"10.0.0.0/16\", \"10.0.1.5\"]", "seen_as = [\"10.0.0\"]"),
    // Lists.
    ("subnets = [\"subnet-a\"]\nsecurity_groups", "subnets = []\nsecurity_groups"),
    (
        "subnets = [\"subnet-a\"]\nsecurity_groups",
        "subnets = [\"subnet-a\", \"subnet-a\"]\nsecurity_groups",
    ),
    ("values = \"v=1\"", "values = []"),
    ("from = [\"web\", \"job\"]", "from = []"),
    // Conditions.
    (", ports = \"1024-65535\"", ""),
    (", icmp_code = 0", ", ports = \"1\""),
    ("protocol = 17, ports = 53", "protocol = 17, ports = 53, icmp_type = 8"),
    ("prefix_list = \"pl-s3\"", ""),
    ("vpc_connector = \"main\"", ""),
    ("egress = \"vpc\"", "egress = \"default\""),
    ("assign_public_ip = true", "egress = \"vpc\""),
    ("kind = \"fargate\"\nsubnets = [\"subnet-a\"]", "kind = \"fargate\""),
    ("kind = \"fargate\"", "kind = \"lambda\""),
    ("kind = \"fargate\"", ""),
    ("network_interface = \"eni-db\"", ""),
    ("aliases = \"db.example.com\"", ""),
    ("secondary_private_ip_count = 2", "availability_mode = \"regional\""),
    ("secondary_private_ip_count = 2", "connectivity = \"private\"\npublic_ip = \"198.51.100.9\""),
    ("via = \"eni-db\"\nseen_as = [\"10.0.0.0/16\", \"10.0.1.5\"]\n", "via = []\n"),
    ("is = \"reachable\"", "is = \"blocked\""),
];

/// Returns the required keys that the reader misses in an empty table.
fn missed(text: &str, table: &Table) -> BTreeSet<String> {
    let start = format!("{} needs the key `", table.name);
    let errors = errors(text);
    let missing = errors.iter().filter(|error| error.rule == "missing-key");
    let keys = missing.filter_map(|error| error.message.strip_prefix(&start)?.strip_suffix('`'));
    keys.map(str::to_owned).collect()
}

fn required(table: &Table) -> BTreeSet<String> {
    table.keys.iter().filter(|key| key.is_required).map(|key| key.name.to_owned()).collect()
}

#[test]
fn keys_that_the_tables_require_are_those_that_the_reader_misses() {
    let mut compared = 0;
    for section in read::LAB_FILE.keys {
        let (Type::Table(table) | Type::Tables(table)) = section.value else { continue };
        assert_eq!(table.name.trim_matches(['[', ']']), section.name);
        let heading = format!("{}\n", table.name);
        if !required(table).is_empty() {
            assert_eq!(missed(&heading, table), required(table), "{heading}");
            compared += 1;
        }
        // The records of a zone are read once it has its other keys.
        let zone =
            if section.name == "private_zone" { "name = \"a.b\"\nvpcs = \"v\"\n" } else { "" };
        for key in table.keys {
            let Type::Tables(nested) = key.value else { continue };
            let text = format!("{heading}{zone}{} = [{{}}]\n", key.name);
            assert_eq!(missed(&text, nested), required(nested), "{text}");
            compared += 1;
        }
    }
    assert_eq!(compared, 23);
}

/// A form, its parser, and whether the form takes nothing that the parser refuses.
type Agreement = (&'static str, Form, fn(&str) -> bool, bool);

const FORMS: [Agreement; 20] = [
    ("id", form::ID, |s| text::word(s).is_ok(), true),
    ("App Runner name", form::APP_RUNNER_NAME, |s| text::apprunner_name(s).is_ok(), true),
    ("lab", form::LAB_NAME, |s| text::lab_name(s).is_ok(), true),
    ("group", form::GROUP_NAME, |s| text::group_name(s).is_ok(), true),
    ("region", form::REGION, |s| text::region(s).is_ok(), true),
    ("zone", form::ZONE, |s| text::zone(s).is_ok(), true),
    ("service", form::ENDPOINT_SERVICE, |s| text::endpoint_service(s).is_ok(), true),
    ("address", form::ADDRESS, |s| text::address(s).is_ok(), true),
    ("public address", form::PUBLIC_ADDRESS, |s| text::public_address(s).is_ok(), false),
    ("CIDR", form::CIDR, |s| text::cidr(s).is_ok(), true),
    ("protocol", form::PROTOCOL, |s| text::protocol(s).is_ok(), true),
    ("ports", form::PORTS, |s| text::ports(s).is_ok(), false),
    ("listen", form::LISTEN, |s| text::listen(s).is_ok(), false),
    ("duration", form::DURATION, |s| text::duration(s).is_ok(), false),
    ("timeout", form::TIMEOUT, |s| text::timeout(s).is_ok(), false),
    ("latency", form::LATENCY, |s| text::latency(s).is_ok(), false),
    ("DNS name", form::DNS_NAME, |s| text::dns_name(s).is_ok(), false),
    ("API", form::SOCKET_ADDRESS, |s| text::socket_address(s).is_ok(), false),
    ("account", form::ACCOUNT, |s| text::account(s).is_ok(), true),
    ("key", form::KEY_ID, |s| text::key_id(s).is_ok(), true),
];

fn takes(form: &Form, text: &str) -> bool {
    let pattern = regex::Regex::new(form.pattern.unwrap_or_default()).expect("an expression");
    pattern.is_match(text)
        && form.longest.is_none_or(|longest| text.chars().count() <= longest as usize)
        && !form.except.contains(&text)
}

/// Returns texts of a form, each with at most one character removed, added or replaced.
fn nearly(form: &Form) -> impl Strategy<Value = String> + use<> {
    let pattern = form.pattern.unwrap_or_default().trim_start_matches('^').trim_end_matches('$');
    let texts = proptest::string::string_regex(pattern).expect("an expression");
    let change = (0..4_u8, any::<proptest::sample::Index>(), "[ -~é\t]");
    (texts, change).prop_map(|(text, (kind, at, other))| {
        let mut letters: Vec<String> = text.chars().map(String::from).collect();
        let at = at.index(letters.len() + 1);
        match kind {
            0 => {}
            1 => letters.insert(at, other),
            _ if at == letters.len() => {}
            2 => letters[at] = other,
            _ => drop(letters.remove(at)),
        }
        letters.concat()
    })
}

#[test]
fn forms_take_what_the_parsers_take() {
    for (name, form, parses, is_exact) in FORMS {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let outcome = runner.run(&nearly(&form), |text| {
            let (taken, parsed) = (takes(&form, &text), parses(&text));
            prop_assert!(taken || !parsed, "the form of {name} refuses {text:?}");
            prop_assert!(!is_exact || parsed || !taken, "the form of {name} takes {text:?}");
            Ok(())
        });
        outcome.unwrap_or_else(|fault| panic!("{fault}"));
    }
}
