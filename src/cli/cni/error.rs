//! The errors of the plugin: an object with a code on standard output. Codes up to 99 are the
//! specification's, codes from 100 egret's own.

use crate::daemon::{ClientError, StateError};
use serde_json::{Value, json};

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The configuration has a version that egret does not know.
    IncompatibleVersion,
    /// The configuration has a key that egret does not know.
    UnsupportedField,
    /// The container is not attached.
    UnknownContainer,
    /// An environment variable is missing or wrong.
    Environment,
    /// A file, or the kernel.
    Io,
    /// The configuration cannot be read.
    Decode,
    /// A value of the configuration is wrong.
    Config,
    /// The lab starts, ends or is busy.
    TryAgain,
    /// The lab does not run, or has no such object.
    NotAvailable,
    /// The lab does not run, and containers that it had have no network.
    LimitedConnectivity,
    /// The lab refuses.
    Refused,
    /// The lab tried and failed.
    Failed,
    /// The attachment is not as the engine remembers it.
    Differs,
}

impl Code {
    fn number(self) -> u16 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::Environment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::Config => 7,
            Self::TryAgain => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::Refused => 100,
            Self::Failed => 101,
            Self::Differs => 102,
        }
    }

    /// Returns what the code stands for, if that says more than the error itself.
    fn details(self) -> &'static str {
        match self {
            Self::IncompatibleVersion
            | Self::UnsupportedField
            | Self::Environment
            | Self::Io
            | Self::Decode
            | Self::Config => "",
            Self::UnknownContainer => "the container needs no DEL",
            Self::TryAgain => "the same call may succeed in a moment",
            Self::NotAvailable => "no container can be attached",
            Self::LimitedConnectivity => {
                "no container can be attached, and those that are attached have no network"
            }
            Self::Refused => "the lab refused the request",
            Self::Failed => "the lab tried, and a step failed",
            Self::Differs => "the attachment is not as prevResult describes it",
        }
    }
}

/// The error of a verb.
#[derive(Debug)]
pub(super) struct CniError {
    code: Code,
    message: String,
}

impl CniError {
    pub(super) fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Returns the error with another code.
    pub(super) fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// Returns the object that the engine reads.
    pub(super) fn object(&self, version: &str) -> Value {
        let Self { code, message } = self;
        json!({
            "cniVersion": version,
            "code": code.number(),
            "msg": message,
            "details": code.details(),
        })
    }
}

impl From<ClientError> for CniError {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { starting: None, .. } => Code::NotAvailable,
            ClientError::NotRunning { starting: Some(_), .. }
            | ClientError::Silent(_)
            | ClientError::WentDown { .. }
            | ClientError::Broken { .. } => Code::TryAgain,
            ClientError::NotRoot { .. } => Code::Io,
            ClientError::Refused(_) => Code::Refused,
            ClientError::Failed(_) => Code::Failed,
        };
        Self::new(code, error)
    }
}

impl From<StateError> for CniError {
    fn from(error: StateError) -> Self {
        let code = match &error {
            StateError::Busy { .. } | StateError::Stuck { .. } => Code::TryAgain,
            StateError::Io { .. }
            | StateError::Netns(_)
            | StateError::Pins(_)
            | StateError::Overlay { .. } => Code::Io,
        };
        Self::new(code, error)
    }
}
