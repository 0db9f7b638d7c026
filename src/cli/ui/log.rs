//! Progress where nothing can be redrawn: a line a phase, and one a minute for as long as it lasts.

use std::time::Duration;

use rescribe::progress::lasting;
use rescribe::spec::plain;

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(60);
/// Units from which on a share says more than their number.
const MANY: u64 = 10_000;
/// Value optimisations are too short to be worth a line each.
const SHORT: &str = "value";

/// The phase that is under way.
#[derive(Default)]
pub(super) struct Log {
    name: String,
    total: Option<u64>,
    /// When the first units were done, and how many.
    first: Option<(Duration, u64)>,
    /// When the last line was written.
    told: Duration,
}

impl Log {
    /// The line that a phase begins with.
    pub(super) fn phase(
        &mut self,
        name: &str,
        total: Option<u64>,
        now: Duration,
    ) -> Option<String> {
        let name = plain(name);
        (self.name, self.total, self.first) = (name, total, None);
        if self.name == SHORT {
            return None;
        }
        self.told = now;
        Some(format!("{:>13}  …", self.name))
    }

    /// The line that says how far it is, if one is due.
    pub(super) fn advance(&mut self, done: u64, note: &str, now: Duration) -> Option<String> {
        let (began, before) = *self.first.get_or_insert((now, done));
        if self.name == SHORT || now.saturating_sub(self.told) < PAUSE {
            return None;
        }
        self.told = now;
        let far = match self.total {
            None => done.to_string(),
            Some(total @ ..MANY) => format!("{done} of {total}"),
            Some(total) => format!("{:.0} %", 100. * done as f64 / total as f64),
        };
        let left = self.total.filter(|total| done > before && *total >= done).map(|total| {
            let each = now.saturating_sub(began).as_secs_f64() / (done - before) as f64;
            format!(", {} left", lasting(each * (total - done) as f64))
        });
        let note = if note.is_empty() { String::new() } else { format!("  {}", plain(note)) };
        Some(format!("{:>13}  {far}{}{note}", self.name, left.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_phase_says_how_far_it_is_once_a_minute() {
        let at = Duration::from_secs;
        let mut log = Log::default();
        assert_eq!(log.phase("forget", Some(400), at(10)).as_deref(), Some("       forget  …"));
        assert_eq!(log.advance(1, "NLL 0.10", at(13)), None);
        let line = log.advance(21, "NLL 0.30", at(73));
        assert_eq!(line.as_deref(), Some("       forget  21 of 400, 19 min left  NLL 0.30"));
        assert_eq!(log.advance(40, "", at(130)), None, "a minute has not passed");
        assert!(log.advance(41, "", at(134)).is_some());
        log.phase("weights", Some(1_000_000), at(140));
        assert_eq!(log.advance(250_000, "", at(200)).as_deref(), Some("      weights  25 %"));
        assert_eq!(log.phase("value", Some(25), at(201)), None);
        assert_eq!(log.advance(20, "loss 0.1", at(900)), None, "one of many short ones");
    }
}
