//! The lab's report that it dropped the packet, so that a probe that is dropped need not wait for an
//! answer that does not come.

use super::super::CliError;
use super::super::lines::Lines;
use super::super::wire::{Key, key_of};
use crate::daemon::watch::TraceRequest;
use crate::daemon::{Answer, Client};
use crate::explain::{Selection, TraceRow};
use crate::pipeline::Reason;
use std::io;

/// Losses that say nothing about the packet: it is sent again.
const LOSSES: [Reason; 4] =
    [Reason::QueueFull, Reason::WriteFailed, Reason::ReadFailed, Reason::LinkDropped];

/// The drops of a running lab, from when this is made.
pub(super) struct Drops {
    answer: Answer,
    lines: Lines,
}

/// A drop of the packet, or of its reply.
#[derive(Debug)]
pub(super) struct Drop {
    pub(super) reason: String,
    pub(super) rule: Option<String>,
}

impl Drops {
    /// Begins to follow the drops.
    ///
    /// # Errors
    /// The lab does not answer.
    pub(super) async fn follow(client: &Client) -> Result<Self, CliError> {
        let selection = Selection { only: Some("drops".to_owned()), ..Selection::default() };
        let request = TraceRequest { selection, ..TraceRequest::default() };
        let answer = client.follow("/v1/trace", &request).await?;
        Ok(Self { answer, lines: Lines::default() })
    }

    /// Waits for the drop of a packet.
    ///
    /// # Errors
    /// The lab went down.
    pub(super) async fn of(&mut self, key: Key) -> Result<Drop, CliError> {
        loop {
            while let Some(line) = self.lines.next() {
                let row: TraceRow = serde_json::from_slice(&line).map_err(io::Error::other)?;
                if let Some(drop) = drop_of(&row, key) {
                    return Ok(drop);
                }
            }
            match self.answer.next().await? {
                Some(bytes) => self.lines.take(&bytes),
                None => return Err(self.answer.went_down().into()),
            }
        }
    }
}

fn drop_of(row: &TraceRow, key: Key) -> Option<Drop> {
    let reason = row.reason.as_deref().filter(|_| key_of(row) == Some(key))?;
    let is_loss = LOSSES.iter().any(|loss| loss.name() == reason);
    (!is_loss).then(|| Drop { reason: reason.to_owned(), rule: row.rule.clone() })
}
