//! How long the steps of a training take.

use std::sync::Mutex;
use std::time::Instant;

use crate::cli::ui::Ui;
use rescribe::progress::{Interrupted, Progress};

/// The terminal, and when each step of a training was done.
pub struct Timed<'a> {
    ui: &'a Ui,
    started: Instant,
    steps: Mutex<Vec<Instant>>,
}

impl<'a> Timed<'a> {
    pub fn new(ui: &'a Ui) -> Self {
        Self { ui, started: Instant::now(), steps: Mutex::default() }
    }

    /// (all, median of a step).
    pub fn seconds(&self) -> (f64, f64) {
        let steps = self.steps.lock().expect("no holder of the lock panics");
        let all = self.started.elapsed().as_secs_f64();
        let mut between: Vec<f64> =
            steps.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        between.sort_by(f64::total_cmp);
        (all, between.get(between.len() / 2).copied().unwrap_or(all))
    }
}

impl Progress for Timed<'_> {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.ui.phase(name, total);
    }

    fn advance(&self, done: u64, note: &str) {
        self.steps.lock().expect("no holder of the lock panics").push(Instant::now());
        self.ui.advance(done, note);
    }

    fn finish(&self, summary: &str) {
        self.ui.finish(summary);
    }

    fn warn(&self, message: &str) {
        self.ui.warn(message);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.ui.check()
    }
}
