//! The machine: its description, and the time that its processors have spent.

use super::document::Machine;
use crate::linux::clock;
use nix::unistd::{SysconfVar, sysconf};
use std::fs::read_to_string;

/// Describes the machine, with its load in the last minute.
pub(super) fn machine(build: String) -> Machine {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cpu: cpu_name(&read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: kernel.trim().to_owned(),
        load_before: load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
        build,
        date: date(clock::wall() / 1_000_000_000),
    }
}

fn cpu_name(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Writes seconds since 1970 as `2026-11-22 19:30 UTC`.
fn date(seconds: u64) -> String {
    let rfc3339 = humantime::format_rfc3339_seconds(
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds),
    );
    let text = rfc3339.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or(time))
}

/// Returns the processor time that all processors together have spent on anything, in seconds;
/// `None` if the kernel does not report it.
pub(super) fn busy_seconds() -> Option<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
    let busy = busy_ticks(&read_to_string("/proc/stat").ok()?)?;
    Some(busy as f64 / ticks as f64)
}

/// Reads the line `cpu  user nice system idle iowait irq softirq steal guest guest_nice`: all but
/// idle, iowait and steal. The time of guests is within user and nice.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = *ticks.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_processors_cost_nothing() {
        let stat = "cpu  100 10 50 9000 300 5 20 7 1 2\ncpu0 50 5 25 4500 150 2 10 3 0 1\n";
        assert_eq!(busy_ticks(stat), Some(185));
        assert_eq!(busy_ticks("intr 1"), None);
    }

    #[test]
    fn the_processor_has_a_name_and_the_day_a_date() {
        assert_eq!(
            cpu_name("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(cpu_name(""), std::env::consts::ARCH);
        assert_eq!(date(1_795_375_800), "2026-11-22 19:30 UTC");
    }
}
