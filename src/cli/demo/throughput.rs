//! iperf3 through each ENI: a server in the VPC, a client in a task, both directions, one and four
//! TCP streams.

use super::DemoError;
use super::report::ThroughputRow;
use super::stage::Stage;
use crate::cli::iperf::{self, Direction, PORT, Run};
use crate::cli::progress::Progress;

/// The runs for each ENI: the direction's name in the table, the direction, the streams.
const RUNS: [(&str, Direction, u8); 4] = [
    ("egress", Direction::Up, 1),
    ("egress", Direction::Up, 4),
    ("return", Direction::Down, 1),
    ("return", Direction::Down, 4),
];

/// Measures every ENI of service `web`, one run after the other. Results from before a failure are
/// in `rows`.
pub(super) async fn measure(
    stage: &Stage,
    seconds: u16,
    progress: &Progress,
    rows: &mut Vec<ThroughputRow>,
) -> Result<(), DemoError> {
    let place = stage.endpoint("tools", PORT)?;
    for task in stage.one_task_per_eni("web")? {
        for (name, direction, streams) in RUNS {
            let eni = task.row.eni.clone().unwrap_or_default();
            progress.say(&format!("iperf3 through {eni}: {name}, {streams} TCP"));
            let run = Run { direction, streams, seconds, congestion: None };
            let gbps = iperf::measure(&task.netns, &stage.vpc, place, run).await?.gbps;
            rows.push(ThroughputRow { eni, direction: name, streams, gbps });
        }
    }
    Ok(())
}
