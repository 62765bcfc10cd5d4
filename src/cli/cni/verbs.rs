//! What each verb does.

use super::added::added;
use super::check::require_same;
use super::config::Config;
use super::environment::{Attachment, Verb};
use super::error::{CniError, Code};
use super::lab::Lab;
use super::version;
use crate::daemon::attachments::{Holder, Which};
use serde_json::Value;

/// Does what a verb asks for, and returns the answer, if the verb has one.
///
/// # Errors
/// The reason why it is not done.
pub(super) async fn answer(
    verb: Verb,
    attachment: Attachment,
    config: &Config,
) -> Result<Option<Value>, CniError> {
    let lab = Lab::of(config);
    match verb {
        Verb::Add => {
            lab.attach(&attachment).await?;
            let row = lab.find(&attachment).await?;
            added(config, &attachment, &row).map(Some)
        }
        Verb::Del => {
            let Attachment { container, interface, .. } = attachment;
            lab.detach(Which::One(Holder { container, interface })).await.map(|()| None)
        }
        Verb::Check => {
            let earlier = config.prev_result.as_ref().ok_or_else(without_result)?;
            let row = lab.find(&attachment).await?;
            require_same(earlier, &attachment, &row).map(|()| None)
        }
        Verb::Gc => {
            let valid = config.valid.clone().ok_or_else(without_valid)?;
            lab.detach(Which::AllExcept(valid)).await.map(|()| None)
        }
        Verb::Status => lab.require_object().await.map(|()| None),
        Verb::Version => Ok(Some(version::answer(""))),
    }
}

fn without_result() -> CniError {
    CniError::new(Code::Config, "CHECK needs `prevResult`: what ADD has answered")
}

fn without_valid() -> CniError {
    let message = "GC needs `cni.dev/valid-attachments`: without it, nothing is known to be stale";
    CniError::new(Code::Config, message)
}
