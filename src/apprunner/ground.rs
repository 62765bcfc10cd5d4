//! The running lab under the API.

use crate::config::{Lab, Overlay};
use crate::daemon::reload::ReloadError;
use crate::daemon::shared::Shared;
use crate::explain::ApiService;
use async_trait::async_trait;
use std::time::Duration;

/// A lab to which an overlay of connectors and services can be applied.
#[async_trait]
pub trait Ground: Send + Sync + 'static {
    /// Returns the committed lab.
    async fn lab(&self) -> Lab;

    /// Applies this overlay to the lab in place of the earlier one.
    ///
    /// # Errors
    /// The reason why it cannot be applied; the earlier overlay stays committed then.
    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit>;

    /// Returns how long the ENIs of a connector that a service uses still take to come up (spec
    /// 1.12).
    async fn startup(&self, connector: &str) -> Duration;

    /// Lists the ENIs that were ever made for the API, each with how long it still takes to come
    /// up.
    async fn known_enis(&self) -> Vec<(String, Duration)>;

    /// Takes over the ENIs that an earlier process knew.
    async fn remember_enis(&self, enis: Vec<(String, Duration)>);

    /// Shows the account's services, for `egret services`.
    async fn show(&self, services: Vec<ApiService>);
}

/// The reason why an overlay cannot be applied to the lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The caller can fix it.
    Refused(String),
    /// The caller cannot fix it.
    Failed(String),
    /// The lab is ending.
    Ending,
}

impl From<ReloadError> for Unfit {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Config(found) => {
                let all: Vec<String> = found.0.iter().map(|d| d.message.clone()).collect();
                Self::Refused(all.join("; "))
            }
            ReloadError::Ending => Self::Ending,
            ReloadError::Fixed { .. } | ReloadError::Changed | ReloadError::Lab(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

#[async_trait]
impl Ground for Shared {
    async fn lab(&self) -> Lab {
        Self::lab(self).await
    }

    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit> {
        self.set_overlay(overlay).await?;
        Ok(())
    }

    async fn startup(&self, connector: &str) -> Duration {
        Self::startup(self, connector).await
    }

    async fn known_enis(&self) -> Vec<(String, Duration)> {
        Self::known_enis(self).await
    }

    async fn remember_enis(&self, enis: Vec<(String, Duration)>) {
        Self::remember_enis(self, enis).await;
    }

    async fn show(&self, services: Vec<ApiService>) {
        self.show_services(services);
    }
}
