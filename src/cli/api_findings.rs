//! Prints the findings in connectors and services that were made through the App Runner API: on
//! standard error, as they are made.

use super::output;
use crate::apprunner::{Ground, Unfit};
use crate::config::{Diagnostic, Lab, Overlay};
use crate::daemon::shared::Shared;
use crate::explain::{ApiService, Warning, check, since};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rules that are about objects of the file alone: a connector that is removed may be their last
/// user, which needs no finding.
const OF_FILE: [&str; 2] = ["unused-security-group", "group-without-members"];

/// A running lab that prints the findings in each overlay.
pub(super) struct Checked {
    pub(super) shared: Shared,
    pub(super) findings: Findings,
}

#[async_trait]
impl Ground for Checked {
    async fn lab(&self) -> Lab {
        self.shared.lab().await
    }

    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit> {
        for note in self.shared.set_overlay(overlay).await? {
            output::note(&format!("App Runner: {note}"));
        }
        self.findings.say_new(self.shared.lab().await);
        Ok(())
    }

    async fn startup(&self, connector: &str) -> Duration {
        self.shared.startup(connector).await
    }

    async fn known_enis(&self) -> Vec<(String, Duration)> {
        self.shared.known_enis().await
    }

    async fn remember_enis(&self, enis: Vec<(String, Duration)>) {
        self.shared.remember_enis(enis).await;
    }

    async fn show(&self, services: Vec<ApiService>) {
        self.shared.show_services(services);
    }
}

/// The findings that were printed. One check is at work at a time, on the newest lab.
#[derive(Clone)]
pub(super) struct Findings(Arc<Mutex<State>>);

struct State {
    known: Known,
    /// The newest lab, until it is checked.
    waiting: Option<Lab>,
    is_at_work: bool,
}

/// The findings that are known already.
enum Known {
    /// Those that a check makes in this lab.
    Of(Box<Lab>),
    Findings(Vec<Diagnostic>),
}

impl Findings {
    /// Begins with the findings in a lab file without what was made through the API.
    pub(super) fn after(file: &Lab) -> Self {
        let known = Known::Of(Box::new(file.clone()));
        Self(Arc::new(Mutex::new(State { known, waiting: None, is_at_work: false })))
    }

    /// Prints the findings in a lab that were not known before, and does not wait for them. Must be
    /// called within a runtime.
    pub(super) fn say_new(&self, lab: Lab) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = Some(lab);
        if !state.is_at_work {
            state.is_at_work = true;
            let findings = self.clone();
            drop(tokio::task::spawn_blocking(move || findings.work()));
        }
    }

    fn work(&self) {
        while let Some((lab, known)) = self.next() {
            let known = match known {
                Known::Of(lab) => check(&lab),
                Known::Findings(known) => known,
            };
            let found = check(&lab);
            let new = since(known, found.clone()).new;
            let news = new.iter().filter(|finding| !OF_FILE.contains(&finding.rule));
            news.for_each(|finding| output::note(&Warning::from(finding).to_string()));
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.known = Known::Findings(found);
        }
    }

    /// Takes the lab that waits, with the known findings; ends the work if there is none.
    fn next(&self) -> Option<(Lab, Known)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lab) = state.waiting.take() else {
            state.is_at_work = false;
            return None;
        };
        let known = std::mem::replace(&mut state.known, Known::Findings(Vec::new()));
        Some((lab, known))
    }
}
