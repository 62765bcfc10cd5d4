//! A patch that `egret explain --fix` prints for a running lab makes real connections pass.

use crate::support::lab::{Lab, both_streams, for_both_kinds};
use egret::daemon::Client;
use egret::daemon::reload::Request;
use egret::explain::Reload;
use std::net::Ipv4Addr;
use std::path::PathBuf;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

/// The group lets nothing out, and the table has no route out.
const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[subnet]]
id = "public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private" # leads nowhere
vpc = "vpc-a"

[[nat_gateway]]
id = "nat-a"
subnet = "public"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [] # nothing

[[resource]]
name = "db"
subnet = "private"
address = "10.0.1.10"
listen = ["5432/tcp"]

[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/tcp"]

[[vpc_connector]]
name = "main"
subnets = ["private"]
security_groups = ["sg-app"]

[[service]]
name = "web"
vpc_connector = "main"
"#;

for_both_kinds!(
    a_patch_of_a_running_lab_makes_connections_pass,
    a_patch_that_does_not_fit_changes_nothing,
    a_text_made_from_one_that_is_not_in_force_any_more_is_refused,
);

/// Writes the patch for a question to a file beside the lab file, and returns its path.
fn patch(lab: &Lab, destination: &str) -> PathBuf {
    let printed = lab.egret_ok(&format!("explain web {destination} --fix"));
    let file = lab.file().with_file_name(format!("{}.patch", destination.replace(':', "-")));
    std::fs::write(&file, printed).unwrap();
    file
}

fn a_patch_of_a_running_lab_makes_connections_pass(device: &str) {
    let lab = Lab::up(device, LAB);
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let mut web = lab.task("web");
    for (destination, address, port) in [("example", HOST, 443), ("db", DB, 5432)] {
        web.tcp_times_out(address, port);
        let patch = patch(&lab, destination);
        let apply = format!("apply --lab {} {}", lab.name(), patch.display());
        let forecast = lab.egret_ok(&format!("{apply} --dry-run"));
        assert!(forecast.contains("sg-app"), "{forecast}");
        web.tcp_times_out(address, port);
        let applied = lab.egret(&apply);
        let said = both_streams(&applied);
        assert!(applied.status.success(), "{said}");
        assert!(said.contains("itself is unchanged"), "{said}");
        assert!(said.contains(&format!("patch {} < ", lab.file().display())), "{said}");
        lab.egret_ok(&format!("explain web {destination}"));
        web.tcp(address, port);
    }
    assert_eq!(std::fs::read_to_string(lab.file()).unwrap(), text, "the lab file stays");
    let nothing = lab.egret("explain web example --fix");
    assert_eq!((nothing.status.code(), nothing.stdout.as_slice()), (Some(0), &b""[..]));
}

/// Returns the number of the committed configuration.
fn generation(lab: &Lab) -> u32 {
    let forecast = lab.egret_ok(&format!("apply {} --dry-run --json", lab.file().display()));
    serde_json::from_str::<Reload>(&forecast).unwrap().generation
}

fn a_patch_that_does_not_fit_changes_nothing(device: &str) {
    let lab = Lab::up(device, LAB);
    let own = patch(&lab, "example");
    let text = std::fs::read_to_string(&own).unwrap();
    let before = generation(&lab);
    let name = lab.file().display().to_string();
    let broken = text.replace("egress = [] # nothing", "egress = [] # something");
    let other = text.replace(&name, "/srv/other.toml");
    let two = format!("{text}{other}");
    for (patch, why) in [
        (broken, "the patch does not fit"),
        (other, "the patch is for /srv/other.toml, and the lab file is"),
        (two, "the patch changes 2 files"),
    ] {
        std::fs::write(&own, &patch).unwrap();
        let refused = lab.egret(&format!("apply --lab {} {}", lab.name(), own.display()));
        let said = both_streams(&refused);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("egret: not applied: {why}")), "{said}");
    }
    assert_eq!(generation(&lab), before);
    let still = lab.egret("explain web example");
    assert_eq!(still.status.code(), Some(1), "{}", both_streams(&still));
}

/// Another configuration may be committed between reading the previous one and applying the patch.
fn a_text_made_from_one_that_is_not_in_force_any_more_is_refused(device: &str) {
    let lab = Lab::up(device, LAB);
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let apply = |before: String| {
        let (file, time_scale, dry_run) = (lab.file().display().to_string(), None, false);
        let open = text.replace("egress = [] # nothing", "");
        let before = Some(before);
        let request = Request { file, text: open, time_scale, dry_run, before, keeps_name: false };
        let client = Client::new(lab.name());
        runtime.block_on(client.post::<Reload>("/v1/apply", &request))
    };
    let refused = apply(text.replace("# nothing", "# something else")).unwrap_err();
    let said = "the lab's configuration has changed in the meantime: try again";
    assert_eq!(refused.to_string(), said);
    let before = generation(&lab);
    let applied = apply(text.clone()).unwrap();
    assert_eq!(applied.generation, before + 1);
}
