//! Waits for a server that is busy (429, 503), for as long as it asks, and makes the request again.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use super::HubErrorKind;
use crate::progress::{Interrupted, Progress};

/// The status of a server that gets too many requests.
const TOO_MANY: u16 = 429;
/// The status of a server that has too much to do.
const OVERLOADED: u16 = 503;
/// How often one request is made.
const ATTEMPTS: u32 = 5;
/// The first wait where the server does not say how long; each later one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// How often a wait looks whether the user wants to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// The time that is left to wait in, for all requests of a download together.
pub(super) struct Patience<'a> {
    left: Cell<Duration>,
    progress: &'a dyn Progress,
}

impl<'a> Patience<'a> {
    pub(super) fn new(left: Duration, progress: &'a dyn Progress) -> Self {
        Self { left: Cell::new(left), progress }
    }

    /// The outcome of `request`, made again while the server is busy and there is time to wait.
    /// `what` is what the request is for.
    pub(super) fn ask<T>(
        &self,
        what: &str,
        mut request: impl FnMut() -> Result<T, HubErrorKind>,
    ) -> Result<T, HubErrorKind> {
        let mut attempt = 1;
        loop {
            let outcome = request();
            let Err(HubErrorKind::Status { status, asked, .. }) = &outcome else { return outcome };
            let pause = asked.unwrap_or(FIRST * 2_u32.pow(attempt - 1));
            if !is_busy(*status) || attempt == ATTEMPTS || pause > self.left.get() {
                return outcome;
            }
            attempt += 1;
            self.left.set(self.left.get() - pause);
            self.progress.warn(&format!(
                "the Hub is busy (status {status}); {what} is asked for again in {:.1} s, attempt \
                 {attempt} of {ATTEMPTS}",
                pause.as_secs_f64()
            ));
            self.wait(pause)?;
        }
    }

    fn wait(&self, pause: Duration) -> Result<(), Interrupted> {
        let mut rest = pause;
        while !rest.is_zero() {
            self.progress.check()?;
            let glance = rest.min(GLANCE);
            std::thread::sleep(glance);
            rest -= glance;
        }
        self.progress.check()
    }
}

/// Whether a status means that the same request may succeed later.
pub(super) fn is_busy(status: u16) -> bool {
    matches!(status, TOO_MANY | OVERLOADED)
}

/// How long a server asks to wait: `Retry-After` in seconds, or as a date relative to the `Date` of
/// its answer, whose clock may differ from ours.
pub(super) fn asked(retry_after: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let text = retry_after?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Silent, StopFlag};

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let rows = [
            (Some("7"), Some(7)),
            (Some(" 0 "), Some(0)),
            (Some("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30)),
            (Some("Sunday, 06-Nov-94 08:49:47 GMT"), Some(10)),
            (Some("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0)),
            (Some("-3"), None),
            (Some("soon"), None),
            (None, None),
        ];
        for (text, expected) in rows {
            assert_eq!(asked(text, date), expected.map(Duration::from_secs), "{text:?}");
        }
    }

    fn busy(asked: Option<u64>) -> HubErrorKind {
        let asked = asked.map(Duration::from_secs);
        HubErrorKind::Status { status: TOO_MANY, message: String::new(), asked }
    }

    #[test]
    fn a_server_that_asks_for_too_much_is_not_waited_for() {
        let patience = Patience::new(Duration::from_secs(5), &Silent);
        let mut requests = 0;
        let outcome = patience.ask("a list", || -> Result<(), _> {
            requests += 1;
            Err(busy(Some(3600)))
        });
        let error = outcome.expect_err("refused").to_string();
        assert!(error.contains("429") && error.contains("to wait 3600 s"), "{error}");
        assert_eq!(requests, 1);
        let gone = patience.ask("a list", || -> Result<(), _> {
            requests += 1;
            Err(HubErrorKind::RepositoryNotFound)
        });
        assert!(matches!(gone, Err(HubErrorKind::RepositoryNotFound)) && requests == 2);
    }

    #[test]
    fn a_wait_ends_with_the_wish_to_stop() {
        let stop = StopFlag::default();
        stop.raise();
        let patience = Patience::new(Duration::from_secs(600), &stop);
        let outcome = patience.ask("a list", || -> Result<(), _> { Err(busy(Some(300))) });
        assert!(matches!(outcome, Err(HubErrorKind::Interrupted(_))), "{outcome:?}");
    }
}
