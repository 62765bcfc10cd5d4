//! The commands of README.md, and of the first pages and guides in `docs/`, do what the pages show.
//!
//! A page runs in one shell, from a copy of the repository's top, with `egret` on PATH. Its form is
//! in `docs/development/tests.md`.

mod alike;
mod page;
mod shell;

use crate::support::is_root;
use page::{Page, Step};
use shell::Shell;
use std::path::{Path, PathBuf};

/// Declares a test for each page, and the list of all of them.
macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                if is_root(stringify!($test)) {
                    runs_as_written($page);
                }
            }
        )*
    };
}

pages! {
    readme_runs_as_written: "README.md",
    start_install_runs_as_written: "docs/start/install.md",
    start_first_drop_runs_as_written: "docs/start/first-drop.md",
    start_first_lab_runs_as_written: "docs/start/first-lab.md",
    start_my_vpc_runs_as_written: "docs/start/my-vpc.md",
    guide_lost_the_internet_runs_as_written: "docs/guides/lost-the-internet.md",
    guide_one_zone_only_runs_as_written: "docs/guides/one-zone-only.md",
    guide_half_of_the_connections_runs_as_written: "docs/guides/half-of-the-connections.md",
    guide_listeners_runs_as_written: "docs/guides/listeners.md",
    guide_database_unreachable_runs_as_written: "docs/guides/database-unreachable.md",
    guide_acl_forgets_the_reply_runs_as_written: "docs/guides/acl-forgets-the-reply.md",
    guide_nat_ports_run_out_runs_as_written: "docs/guides/nat-ports-run-out.md",
    guide_idle_connections_runs_as_written: "docs/guides/idle-connections.md",
    guide_s3_through_the_endpoint_runs_as_written: "docs/guides/s3-through-the-endpoint.md",
    guide_private_dns_runs_as_written: "docs/guides/private-dns.md",
    guide_peering_runs_as_written: "docs/guides/peering.md",
    guide_middleboxes_runs_as_written: "docs/guides/middleboxes.md",
    guide_public_endpoints_runs_as_written: "docs/guides/public-endpoints.md",
    guide_ipv6_runs_as_written: "docs/guides/ipv6.md",
    guide_what_reaches_what_runs_as_written: "docs/guides/what-reaches-what.md",
    guide_draw_runs_as_written: "docs/guides/draw.md",
    guide_change_runs_as_written: "docs/guides/change.md",
    guide_ci_runs_as_written: "docs/guides/ci.md",
    guide_capture_runs_as_written: "docs/guides/capture.md",
    guide_throughput_runs_as_written: "docs/guides/throughput.md",
    guide_attach_runs_as_written: "docs/guides/attach.md",
    guide_containers_runs_as_written: "docs/guides/containers.md",
    guide_cni_runs_as_written: "docs/guides/cni.md",
    guide_docker_runs_as_written: "docs/guides/docker.md",
    guide_broken_task_runs_as_written: "docs/guides/broken-task.md",
    guide_after_a_kill_runs_as_written: "docs/guides/after-a-kill.md",
    guide_background_runs_as_written: "docs/guides/background.md",
    guide_aws_cli_runs_as_written: "docs/guides/aws-cli.md",
    guide_terraform_runs_as_written: "docs/guides/terraform.md",
    guide_cloudformation_runs_as_written: "docs/guides/cloudformation.md",
}

/// The pages whose commands start containers.
const WITH_CONTAINERS: &[&str] = &["docs/guides/containers.md"];

#[test]
fn every_page_with_commands_to_follow_is_run() {
    let followed = |folder: &str| {
        let pages = std::fs::read_dir(root().join(folder)).into_iter().flatten();
        let names = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
        names.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    let mut there = [followed("docs/start"), followed("docs/guides")].concat();
    there.push("README.md".to_owned());
    there.sort();
    let mut run = PAGES.to_vec();
    run.sort_unstable();
    assert_eq!(there, run);
}

/// Runs a page's commands in order, and compares what each prints with what the page shows.
fn runs_as_written(name: &str) {
    if WITH_CONTAINERS.contains(&name) && std::env::var_os("EGRET_TEST_CONTAINERS").is_none() {
        println!("skipped: {name} starts containers: `scripts/test --containers` runs it");
        return;
    }
    let page = Page::read(&root().join(name));
    let mut shell = Shell::start(&root());
    let mut faults = Vec::new();
    for Step { line, action, shown } in &page.steps {
        let printed = shell.does(action);
        if let Some(shown) = shown
            && let Err(fault) = alike::compare(shown, &printed)
        {
            faults.push(format!("{name}:{line}: {action}\n{fault}\nprinted:\n{printed}"));
        }
    }
    shell.ends();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
