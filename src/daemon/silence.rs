//! A lab that runs and does not answer its clients: the cause, and what to do about it.

use super::{process, state};
use std::fmt;

/// The error of a call that a lab has not answered, and that its client has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The lab.
    pub lab: String,
    /// Its process, `unknown` if the lab's directory does not say.
    pub pid: String,
    /// The cause.
    pub silence: Silence,
}

/// The cause of a lab's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A signal or a debugger has stopped it.
    Stopped,
    /// It answers nothing at all.
    Hangs,
    /// It answers others, and has worked on something else for this long, in seconds.
    IsBusy(u64),
}

impl Silent {
    /// Describes a lab that does not answer.
    pub(super) fn of(lab: &str, silence: Silence) -> Self {
        Self { lab: lab.to_owned(), pid: state::process(lab), silence }
    }
}

/// Returns whether a lab's process is stopped: then it answers nothing until it is continued.
pub(super) fn is_stopped(lab: &str) -> bool {
    process::is_stopped(&state::process(lab))
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lab, pid, silence } = self;
        let end = format!("`kill -KILL {pid}` and `egret down --lab {lab}` end it");
        let withdrawn = "what was asked of it is withdrawn, unless it has begun";
        match silence {
            Silence::Stopped => write!(
                f,
                "the lab `{lab}` (process {pid}) is stopped and does not answer; {withdrawn}: `kill -CONT {pid}` lets it go \
                 on, {end}"
            ),
            Silence::Hangs => write!(
                f,
                "the lab `{lab}` (process {pid}) does not answer any more; {withdrawn}: try again, or {end}"
            ),
            Silence::IsBusy(seconds) => write!(
                f,
                "the lab `{lab}` (process {pid}) is busy and has not answered for {seconds} s; {withdrawn}: try again when it \
                 has done its work, or {end}"
            ),
        }
    }
}

impl std::error::Error for Silent {}
