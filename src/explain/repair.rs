//! Changes a lab file, one change after the other, until all packets of a question pass.

use super::explained::Explained;
use super::fix::{Fix, Proposal};
use crate::config::edit::{EditError, edited};
use crate::pipeline::reach::SetVerdict;

/// The most changes that are made.
const MOST_CHANGES: usize = 16;

/// The changes that make all packets pass.
#[derive(Clone, Debug)]
pub enum Repair {
    /// Nothing has to change.
    Nothing,
    /// The lab file's text with these changes.
    Text {
        /// The text.
        text: String,
        /// The changes, in the order in which they were made.
        fixes: Vec<Fix>,
    },
    /// No known change helps; the reason.
    Unknown(String),
}

/// Makes one proposed change after the other in the text of a lab file, until all packets that
/// `ask` asks about pass. `read` reads the text, so the result is that of the changed file.
///
/// # Errors
/// The errors of `ask`, those of `read` for the unchanged text, and an object that is not in the
/// file.
pub fn repair<L, E: From<EditError>>(
    text: &str,
    read: &mut dyn FnMut(&str) -> Result<L, E>,
    ask: &mut dyn FnMut(&L) -> Result<Explained, E>,
) -> Result<Repair, E> {
    let mut lab = read(text)?;
    let mut text = text.to_owned();
    let mut fixes: Vec<Fix> = Vec::new();
    loop {
        let explained = ask(&lab)?;
        if explained.verdict() == SetVerdict::Forward {
            return Ok(match fixes.is_empty() {
                true => Repair::Nothing,
                false => Repair::Text { text, fixes },
            });
        }
        match explained.fix() {
            Some(fix) if !fixes.contains(fix) && fixes.len() < MOST_CHANGES => {
                text = edited(&text, &fix.edits)?;
                // The user never sees this text, so its errors would not help.
                let Ok(next) = read(&text) else { return Ok(Repair::Unknown(is_no_lab(fix))) };
                lab = next;
                fixes.push(fix.clone());
            }
            Some(_) | None => return Ok(Repair::Unknown(explained.why_not(&fixes))),
        }
    }
}

fn is_no_lab(fix: &Fix) -> String {
    format!(
        "with the change of {} the lab file is not valid, which is a bug in egret; `egret explain` without --fix \
         shows the change",
        fix.id
    )
}

impl Explained {
    /// Returns the reason why nothing is proposed.
    pub fn why_no_fix(&self) -> String {
        self.why_not(&[])
    }

    /// Returns the reason why nothing is proposed for the packets that fail after these changes.
    fn why_not(&self, fixes: &[Fix]) -> String {
        let verdict = self.verdict_in_short();
        let why = match &self.proposal {
            Proposal::Nothing(why) => (*why).to_owned(),
            Proposal::Change(_) | Proposal::Unknown => {
                "no change is proposed for that; `egret explain` without --fix shows what decides"
                    .to_owned()
            }
        };
        match fixes.len() {
            0 => format!("{verdict}: {why}"),
            1 => format!("still {verdict} with the change of {}: {why}", fixes[0].id),
            several => format!("still {verdict} with {several} changes: {why}"),
        }
    }
}
