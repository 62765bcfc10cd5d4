//! A place in the code where a test makes something fail. Compiled for the tests of this crate
//! alone: no user, no task and no packet reaches one.

use std::sync::{Mutex, PoisonError};

/// A place where something may fail once.
#[derive(Default)]
pub(crate) struct FailPoint(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl FailPoint {
    /// Sets the fault for the next pass.
    pub(crate) fn arm(&self, fault: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(fault));
    }

    /// Runs the fault, if one is set.
    pub(crate) fn pass(&self) {
        let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fault) = fault {
            fault();
        }
    }
}

impl std::fmt::Debug for FailPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FailPoint")
    }
}
