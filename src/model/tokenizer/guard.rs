//! Runs the tokenizer library, which panics where a file asks for what it does not expect.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the tokenizer library returns.
pub(super) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread becomes an error about a file, so that a hook need not tell of it.
pub fn panics_are_errors() -> bool {
    IS_GUARDED.get()
}

/// The outcome of `work`; a panic is an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Outcome<T>) -> Result<T, String> {
    let outer = IS_GUARDED.replace(true);
    // After a panic the tokenizer is not used again: the error ends the run.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(outer);
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let text = text.unwrap_or("a rule that its library cannot follow");
            Err(format!("it is malformed ({})", text.lines().next().unwrap_or_default()))
        }
    }
}
