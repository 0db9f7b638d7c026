//! Counts the steps of several trainings on one progress bar.

use std::cell::Cell;

use crate::progress::Progress;

/// Steps done of all that an attack takes.
pub(super) struct Ticks<'a> {
    pub(super) progress: &'a dyn Progress,
    done: Cell<u64>,
}

impl<'a> Ticks<'a> {
    /// Begins a phase of `total` steps.
    pub(super) fn new(progress: &'a dyn Progress, phase: &str, total: u64) -> Self {
        progress.phase(phase, Some(total));
        Self { progress, done: Cell::new(0) }
    }

    /// One more step is done; `note` says of what.
    pub(super) fn tick(&self, note: &str) {
        self.done.set(self.done.get() + 1);
        self.progress.advance(self.done.get(), note);
    }
}
