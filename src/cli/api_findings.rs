//! What a check finds in connectors and services that were made through the App Runner API: on standard error, as they come.

use super::output;
use crate::apprunner::{Ground, Unfit};
use crate::config::{Lab, Overlay};
use crate::daemon::shared::Shared;
use crate::explain::{ApiService, Warning, check_since};
use async_trait::async_trait;
use std::time::Duration;

/// Rules that are about objects of the file alone: a connector that goes may be their last user, which is no news.
const OF_FILE: [&str; 2] = ["unused-security-group", "group-without-members"];

/// A running lab that says what is doubtful in all that is laid over it.
pub(super) struct Checked(pub(super) Shared);

#[async_trait]
impl Ground for Checked {
    async fn lab(&self) -> Lab {
        self.0.lab().await
    }

    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit> {
        let before = self.0.lab().await;
        self.0.lay_over(overlay).await?;
        say_new(before, self.0.lab().await);
        Ok(())
    }

    async fn startup(&self, connector: &str) -> Duration {
        self.0.startup(connector).await
    }

    async fn known_enis(&self) -> Vec<(String, Duration)> {
        self.0.known_enis().await
    }

    async fn remember_enis(&self, enis: Vec<(String, Duration)>) {
        self.0.remember_enis(enis).await;
    }

    async fn show(&self, services: Vec<ApiService>) {
        self.0.show_services(services).await;
    }
}

/// Says what is doubtful in a lab and was not in the one before. Nobody waits for it. To be called within a runtime.
pub(super) fn say_new(before: Lab, lab: Lab) {
    let say = move || {
        let since = check_since(&lab, &before);
        let news = since.new.iter().filter(|finding| !OF_FILE.contains(&finding.rule));
        news.for_each(|finding| output::note(&Warning::from(finding).to_string()));
    };
    drop(tokio::task::spawn_blocking(say));
}
