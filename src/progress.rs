//! Events that long work emits, and the flag that stops it.
//!
//! The library neither draws nor reads the clock: a caller passes in a
//! [`Progress`], which may show a bar, print a line a phase, or do nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The user asked to stop (Ctrl-C). Nothing that was begun is kept half-written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Receives the events of long work.
///
/// Phases do not nest: a phase ends where the next one starts.
pub trait Progress: Sync {
    /// A phase begins; `total` units of work are to be done, if that is known.
    fn phase(&self, _name: &str, _total: Option<u64>) {}
    /// `done` units of the current phase are finished; `note` is a short live reading such as a
    /// loss.
    fn advance(&self, _done: u64, _note: &str) {}
    /// The current phase ended; `summary` is the line that stays on the screen.
    fn finish(&self, _summary: &str) {}
    /// A line about finished work that stays on the screen, such as `delta  rank 1`.
    fn note(&self, _label: &str, _text: &str) {}
    /// Time since some fixed moment; the default has no clock and always returns zero.
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    /// Something the user should know and can act on, in one sentence with the flag that helps.
    fn warn(&self, _message: &str) {}
    /// An error once the user has asked to stop. Long loops call it once an iteration.
    fn check(&self) -> Result<(), Interrupted> {
        Ok(())
    }
}

/// `1 passage` or `2 passages`: a count in a line that a person reads.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `94 s`, `35 min` or `2.5 h`: a time that is estimated.
pub fn lasting(seconds: f64) -> String {
    match seconds {
        ..120. => format!("{:.0} s", seconds.max(1.)),
        ..7200. => format!("{:.0} min", seconds / 60.),
        _ => format!("{:.1} h", seconds / 3600.),
    }
}

/// Shows nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// Warnings, the clock and the wish to stop of another [`Progress`], but none of its phases and
/// lines: for work inside one step of a bar.
pub struct Inner<'a>(pub &'a dyn Progress);

impl Progress for Inner<'_> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.0.check()
    }
}

/// Another [`Progress`] for work that counts otherwise than its bar: it advances to what the function
/// makes of the number that is done. Phases stay the other's.
pub(crate) struct Recounted<'a, F>(pub &'a dyn Progress, pub F);

impl<F: Fn(u64) -> u64 + Send + Sync> Progress for Recounted<'_, F> {
    fn advance(&self, done: u64, note: &str) {
        self.0.advance(self.1(done), note);
    }

    fn note(&self, label: &str, text: &str) {
        self.0.note(label, text);
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.0.check()
    }
}

/// Silent, but stops once its flag is raised.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    /// Makes every later [`Progress::check`] fail.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Progress for StopFlag {
    fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_of_a_kind_has_no_plural() {
        let rows = [(0, "0 passages"), (1, "1 passage"), (2, "2 passages")];
        for (n, expected) in rows {
            assert_eq!(super::counted(n, "passage"), expected);
        }
    }
}
