//! How far a download is and how fast, in the units that people know their connections by.

use std::time::Duration;

use crate::progress::Progress;

/// Bytes of a megabyte.
const MEGA: f64 = 1e6;
/// A speed over less time than this would be noise.
const SHORTEST: Duration = Duration::from_millis(200);

/// Measures one file on its way.
pub(super) struct Speed<'a> {
    progress: &'a dyn Progress,
    /// Bytes that were there before.
    kept: u64,
    begun: Duration,
}

impl<'a> Speed<'a> {
    /// Starts the clock, where `kept` bytes are there already.
    pub(super) fn from(kept: u64, progress: &'a dyn Progress) -> Self {
        Self { progress, kept, begun: progress.now() }
    }

    /// `12.3 of 269.0 MB, 5.4 MB/s`.
    pub(super) fn note(&self, done: u64, size: u64) -> String {
        let (done_mb, size) = (done as f64 / MEGA, size as f64 / MEGA);
        let rate = self.rate(done).map(|rate| format!(", {rate:.1} MB/s")).unwrap_or_default();
        format!("{done_mb:.1} of {size:.1} MB{rate}")
    }

    /// `model.safetensors (269.0 MB, 5.4 MB/s)`.
    pub(super) fn summary(&self, file: &str, size: u64) -> String {
        let rate = self.rate(size).map(|rate| format!(", {rate:.1} MB/s")).unwrap_or_default();
        format!("{file} ({:.1} MB{rate})", size as f64 / MEGA)
    }

    /// Megabytes a second since the clock started.
    fn rate(&self, done: u64) -> Option<f64> {
        let passed = self.progress.now().saturating_sub(self.begun);
        let arrived = done.saturating_sub(self.kept) as f64;
        (passed >= SHORTEST).then(|| arrived / MEGA / passed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that each look moves on by two seconds.
    struct Clock(AtomicU64);

    impl Progress for Clock {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(2, Ordering::Relaxed))
        }
    }

    #[test]
    fn what_was_kept_does_not_count_as_speed() {
        let clock = Clock(AtomicU64::new(0));
        let speed = Speed::from(4_000_000, &clock);
        assert_eq!(speed.note(9_000_000, 20_000_000), "9.0 of 20.0 MB, 2.5 MB/s");
        assert_eq!(speed.summary("a.safetensors", 20_000_000), "a.safetensors (20.0 MB, 4.0 MB/s)");
        let still = Speed::from(0, &crate::progress::Silent);
        assert_eq!(still.note(500_000, 1_000_000), "0.5 of 1.0 MB");
    }
}
