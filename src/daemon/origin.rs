//! The origin of a task.

use serde::{Deserialize, Serialize};

/// The origin of a task: the lab file, the API or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The lab file counts it.
    File,
    /// Its service was created through the App Runner API.
    Api,
    /// A command made it.
    Command(Maker),
}

/// A command that makes tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// `egret task add`.
    #[default]
    TaskAdd,
    /// `egret exec`, which makes a task that does not exist.
    Exec,
    /// `egret bench`.
    Bench,
    /// `egret task add --netns` or `--pid`, a CNI plugin or a Docker network: the namespace is
    /// another program's.
    Attach,
}

impl Origin {
    /// Returns whether a command made the task, and neither lab file nor API asks for it.
    pub(super) fn is_by_hand(self) -> bool {
        match self {
            Self::File | Self::Api => false,
            Self::Command(_) => true,
        }
    }

    /// Returns the name that `egret ps` shows.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Command(Maker::TaskAdd) => "task add",
            Self::Command(Maker::Exec) => "exec",
            Self::Command(Maker::Bench) => "bench",
            Self::Command(Maker::Attach) => "attached",
        }
    }
}
