//! Probes by the real ping and traceroute, and how programs are run inside a task.

use super::net::Seen;
use super::{DemoError, stage::Sender};
use crate::linux::Netns;
use crate::linux::exec::{ExecError, run_dressed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Where programs for root are, which a user's `PATH` may leave out.
const ROOTS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
/// Longer than any of these programs takes with the arguments given here.
const PATIENCE: Duration = Duration::from_secs(12);
/// How many echo requests.
pub(super) const PINGS: u16 = 3;

/// A program that the demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The program.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

const PING: Tool = Tool { program: "ping", package: "iputils-ping" };
const TRACEROUTE: Tool = Tool { program: "traceroute", package: "traceroute" };
const IPERF: Tool = Tool { program: "iperf3", package: "iperf3" };
const TIMEOUT: Tool = Tool { program: "timeout", package: "coreutils" };

/// Sees that everything is installed.
pub(super) fn require(throughput: bool) -> Result<(), DemoError> {
    let path = search_path();
    let installed = |tool: &Tool| {
        std::env::split_paths(&path)
            .any(|directory| Path::new(&directory).join(tool.program).is_file())
    };
    let needed =
        [PING, TRACEROUTE].into_iter().chain([IPERF, TIMEOUT].into_iter().filter(|_| throughput));
    let missing: Vec<Tool> = needed.filter(|tool| !installed(tool)).collect();
    if missing.is_empty() { Ok(()) } else { Err(DemoError::Missing(missing)) }
}

/// `3 of 3 replies`.
pub(super) async fn ping(from: &Sender, to: Ipv4Addr) -> Seen {
    let arguments = ["-n", "-c", &PINGS.to_string(), "-i", "0.2", "-W", "2", &to.to_string()]
        .map(str::to_owned);
    match run(&from.netns, PING.program, &arguments).await {
        Err(seen) => seen,
        Ok(output) => match replies(&String::from_utf8_lossy(&output.stdout)) {
            Some(0) => Seen::Silence,
            Some(replies) => Seen::Answer(format!("{replies} of {PINGS} replies")),
            None => Seen::Fault(last_words(&output)),
        },
    }
}

/// The hops, as `10.0.0.4 > 203.0.113.10`, found with TCP SYNs to `port`.
pub(super) async fn traceroute(from: &Sender, to: Ipv4Addr, port: u16) -> Seen {
    let arguments =
        ["-n", "-T", "-p", &port.to_string(), "-q", "1", "-w", "2", "-m", "5", &to.to_string()]
            .map(str::to_owned);
    match run(&from.netns, TRACEROUTE.program, &arguments).await {
        Err(seen) => seen,
        Ok(output) => {
            let hops = hops(&String::from_utf8_lossy(&output.stdout));
            if hops.is_empty() {
                Seen::Fault(last_words(&output))
            } else if hops.iter().all(|hop| hop == "*") {
                Seen::Silence
            } else {
                Seen::Answer(hops.join(" > "))
            }
        }
    }
}

/// Starts a program inside a namespace that ends after `limit` even if nobody is left to end it. Dropping the leash ends
/// it at once.
pub(super) fn start_limited(
    netns: &Netns,
    limit: Duration,
    program: &str,
    arguments: &[&str],
) -> Result<(Child, Leash), ExecError> {
    let limit = limit.as_secs().to_string();
    let words: Vec<&str> =
        ["-k", "2", &limit, program].into_iter().chain(arguments.iter().copied()).collect();
    let child = spawn(netns, TIMEOUT.program, &words, false)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok((child, Leash(pid)))
}

/// Holds a program that `timeout` runs, which passes SIGTERM on to it, and could not pass on SIGKILL.
pub(super) struct Leash(Option<Pid>);

impl Leash {
    /// The program has ended.
    pub(super) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may just have ended.
            let _ = kill(pid, Signal::SIGTERM);
        }
    }
}

/// Starts a program inside a namespace, its output piped. It is killed when the child is dropped.
pub(super) fn start<S: AsRef<OsStr> + Sync>(
    netns: &Netns,
    program: &str,
    arguments: &[S],
) -> Result<Child, ExecError> {
    spawn(netns, program, arguments, true)
}

fn spawn<S: AsRef<OsStr> + Sync>(
    netns: &Netns,
    program: &str,
    arguments: &[S],
    kill_on_drop: bool,
) -> Result<Child, ExecError> {
    let runtime = Handle::current();
    let started = run_dressed(netns, || {
        let _runtime = runtime.enter();
        Command::new(program)
            .args(arguments)
            .env("PATH", search_path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(kill_on_drop)
            .spawn()
    })?;
    started.map_err(|source| ExecError::Start { program: program.to_owned(), source })
}

/// The last line that a program wrote.
pub(super) fn last_words(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).join("\n");
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| format!("ended with {}, silently", output.status), ToOwned::to_owned)
}

async fn run(netns: &Netns, program: &str, arguments: &[String]) -> Result<Output, Seen> {
    let child = start(netns, program, arguments).map_err(|error| Seen::Fault(error.to_string()))?;
    match timeout(PATIENCE, child.wait_with_output()).await {
        Err(_) => Err(Seen::Fault(format!("{program} did not end within {PATIENCE:?}"))),
        Ok(Err(error)) => Err(Seen::Fault(format!("{program}: {error}"))),
        Ok(Ok(output)) => Ok(output),
    }
}

fn search_path() -> std::ffi::OsString {
    match std::env::var_os("PATH") {
        Some(mut path) if !path.is_empty() => {
            path.push(":");
            path.push(ROOTS);
            path
        }
        Some(_) | None => ROOTS.into(),
    }
}

/// From `3 packets transmitted, 3 received, 0% packet loss`.
fn replies(text: &str) -> Option<u16> {
    let summary = text.lines().find(|line| line.contains(" packets transmitted"))?;
    let received = summary.split(", ").find_map(|part| part.strip_suffix(" received"))?;
    received.parse().ok()
}

/// From lines such as ` 1  10.0.0.4  0.312 ms`: each hop's address, or `*`.
fn hops(text: &str) -> Vec<String> {
    let hop = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<u8>().ok()?;
        words.next().map(str::to_owned)
    };
    text.lines().filter_map(hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_from_the_summary() {
        let text = "64 bytes from 10.0.48.10: icmp_seq=1 ttl=64 time=0.1 ms\n\n--- 10.0.48.10 ping statistics ---\n\
                    3 packets transmitted, 2 received, 33.3333% packet loss, time 403ms\n";
        assert_eq!(replies(text), Some(2));
        assert_eq!(replies("ping: connect: Network is unreachable\n"), None);
    }

    #[test]
    fn hops_are_read_in_order_and_silence_is_a_star() {
        let text = "traceroute to 203.0.113.10 (203.0.113.10), 5 hops max, 60 byte packets\n \
                    1  10.0.0.4  0.312 ms\n 2  *\n 3  203.0.113.10  0.4 ms\n";
        assert_eq!(hops(text), ["10.0.0.4", "*", "203.0.113.10"]);
    }
}
