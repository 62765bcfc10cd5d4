//! The caller of a question, who may no longer want the answer.

use super::answer::Interrupted;

/// The number of small steps after which the caller is asked.
const STEPS: u32 = 64;

/// The caller of a question.
pub(super) struct Caller<'a> {
    goes_on: &'a mut dyn FnMut() -> bool,
    steps: u32,
}

impl<'a> Caller<'a> {
    pub(super) fn new(goes_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { goes_on, steps: 0 }
    }

    /// Stops if the answer is no longer wanted.
    pub(super) fn go_on(&mut self) -> Result<(), Interrupted> {
        self.steps = 0;
        if (self.goes_on)() { Ok(()) } else { Err(Interrupted) }
    }

    /// Counts a step that is too small for asking each time, and asks the caller from time to time.
    pub(super) fn step(&mut self) -> Result<(), Interrupted> {
        self.steps += 1;
        if self.steps < STEPS { Ok(()) } else { self.go_on() }
    }
}
