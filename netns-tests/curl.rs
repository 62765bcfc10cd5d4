//! A program that knows nothing of egret gets its page, and learns which rule blocked another one.

use crate::support::Background;
use crate::support::lab::{Lab, for_both_kinds};
use egret::linux::exec::spawn_in;
use egret::linux::{Netns, ipv6};
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

for_both_kinds!(curl_gets_its_page_through_the_nat_gateway_and_times_out_where_a_rule_says_no);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const PUBLIC: &str = "198.51.100.7";

const LAB: &str = r#"
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
id = "subnet-private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = "80", to = "0.0.0.0/0" }]

[[internet_host]]
name = "site"
address = "203.0.113.10"

[[internet_host]]
name = "stays"
address = "203.0.113.20"

[[vpc_connector]]
name = "app"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

fn curl_gets_its_page_through_the_nat_gateway_and_times_out_where_a_rule_says_no(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let far = lab.far("internet", "net0", &[HOST]);
    let directory = tempfile::tempdir().unwrap();
    // The page is large enough for many segments, and differs everywhere.
    let page: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
    std::fs::write(directory.path().join("page"), &page).unwrap();
    let mut site = http_server(&far, directory.path(), 80);
    let _silent = http_server(&far, directory.path(), 8080);

    // By its name, which is in the task's hosts file.
    let got = curl(&lab, "http://site/page");
    assert_eq!(got.status.code(), Some(0), "{}", String::from_utf8_lossy(&got.stderr));
    let (body, code) = got.stdout.split_at(got.stdout.len() - 3);
    assert_eq!(code, b"200");
    assert!(body == page.as_bytes(), "{} bytes of {}", body.len(), page.len());

    // A name that has an IPv6 address too, which comes first: the refusal leaves time for the other
    // address.
    if ipv6::refusal(&lab.netns("router")).is_none() {
        let both = format!("both:80:[2001:db8::10],{HOST}");
        let drop = lab.drops_for("ipv6", "", || {
            let got = curl_with(&lab, &["--resolve", &both], "http://both/page?both");
            assert_eq!(got.status.code(), Some(0), "{}", String::from_utf8_lossy(&got.stderr));
            assert!(got.stdout.ends_with(b"200"));
        });
        assert_eq!((drop.service.as_deref(), drop.port), (Some("web"), Some(80)));
    }

    let drop = lab.drops_for("sg-egress-implicit-deny", "sg-app", || {
        assert_eq!(curl(&lab, &format!("http://{HOST}:8080/page")).status.code(), Some(28));
    });
    assert_eq!((drop.destination, drop.port), (Some(HOST.into()), Some(8080)));
    assert_eq!((drop.service.as_deref(), drop.task), (Some("web"), Some(1)));
    assert!(lab.line(drop.line).contains("sg-app") || lab.line(drop.line).contains("[[security"));

    // The site saw only the NAT gateway's address.
    site.0.kill().unwrap();
    let mut log = String::new();
    site.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let visits: Vec<_> = log.lines().filter(|line| line.contains("GET /page ")).collect();
    assert!(visits.len() == 1 && visits[0].starts_with(PUBLIC), "{log}");
}

fn curl(lab: &Lab, url: &str) -> std::process::Output {
    curl_with(lab, &[], url)
}

fn curl_with(lab: &Lab, options: &[&str], url: &str) -> std::process::Output {
    let words = "exec web -- curl -sS --noproxy * -m 2 -w %{http_code}".split(' ');
    let words = words.chain(options.iter().copied()).chain([url]);
    lab.egret_words(&words.collect::<Vec<_>>())
}

/// Starts a web server, which listens when this returns.
fn http_server(netns: &Netns, directory: &Path, port: u16) -> Background {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "--bind", &HOST.to_string(), "--directory"]);
    command.arg(directory).arg(port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Background(spawn_in(netns, &mut command).unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Serving HTTP"), "{line:?}");
    server
}
