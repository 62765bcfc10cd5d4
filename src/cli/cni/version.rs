//! The versions of the specification that the plugin knows.

use super::error::{CniError, Code};
use serde_json::{Value, json};

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// 0.4.0, the first with CHECK.
    V0_4,
    /// 1.0.0.
    V1_0,
    /// 1.1.0, the first with GC and STATUS.
    V1_1,
}

impl Version {
    const ALL: [Self; 3] = [Self::V0_4, Self::V1_0, Self::V1_1];
    /// The version of an answer to a configuration that names none.
    pub(super) const NEWEST: Self = Self::V1_1;

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V0_4 => "0.4.0",
            Self::V1_0 => "1.0.0",
            Self::V1_1 => "1.1.0",
        }
    }

    /// Parses the `cniVersion` of a configuration. Without one it is of version 0.1.0.
    ///
    /// # Errors
    /// egret does not know the version.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, CniError> {
        let text = text.unwrap_or("0.1.0");
        Self::find(text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            let message = format!("cniVersion is {text}: egret knows {known}");
            CniError::new(Code::IncompatibleVersion, message)
        })
    }

    /// Returns the version of a text that may be no configuration.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        Self::find(value.get("cniVersion")?.as_str()?)
    }

    fn find(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }
}

/// Answers VERSION. The answer has the version of the question.
pub(super) fn answer(text: &str) -> Value {
    let version = Version::of_text(text).unwrap_or(Version::NEWEST);
    let all = Version::ALL.map(Version::as_str);
    json!({ "cniVersion": version.as_str(), "supportedVersions": all })
}
