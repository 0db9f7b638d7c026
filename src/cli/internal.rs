//! A panic is a bug in this program: it becomes one line that reports it, and its own exit code.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Mutex;

use rescribe::model::panics_are_errors;

/// The place in the source where the last panic began.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics from printing: [`caught`] reports those that end the run. With `RUST_BACKTRACE` set
/// they also print what they would without this.
pub fn quieten() {
    let usual = take_hook();
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if panics_are_errors() {
            return;
        }
        if let Ok(mut place) = PLACE.lock() {
            *place = panic.location().map(ToString::to_string);
        }
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(panic);
        }
    }));
}

/// The result of `work`, or the line to report if it panics, on this thread or in its pool.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // Of everything that the closure touched, only the terminal is used after a panic.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let place = PLACE.lock().ok().and_then(|mut place| place.take());
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let text = message(&*panic).replace('\n', " ");
        format!(
            "rescribe stopped at an internal error: {text}{place}; please report this line with \
             the command"
        )
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_one_line_that_can_be_reported() {
        quieten();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        let line = caught(|| pool.install(|| panic!("pivot {} is\nnegative", 3)));
        let line = line.expect_err("it panics");
        assert!(line.contains("error: pivot 3 is negative (src"), "{line}");
        assert!(line.contains("internal.rs:") && line.contains("please report"), "{line}");
        assert_eq!(line.lines().count(), 1);
        assert_eq!(caught(|| 5), Ok(5));
        // The hook of other tests prints again.
        drop(take_hook());
    }
}
