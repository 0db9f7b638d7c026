//! Stress: damaged files, runs that are killed, disks that fail, crowds, other threads and locales,
//! and hours of work.
//!
//! The short form of each part runs with all other tests. The long one is
//!
//! ```text
//! STRESS=1000 SOAK=3600 cargo test --release --locked --test stress -- \
//!     --include-ignored --nocapture --test-threads 1
//! ```
//!
//! which damages each file `STRESS` times, kills and fails every file-system call of each job by
//! `strace`, where that is installed, and works for `SOAK` seconds with memory watched. Both have the
//! values above where they are not set. `EVERY=5` disturbs one call in five.

#[cfg(target_os = "linux")]
#[path = "stress/calls.rs"]
mod calls;
#[path = "stress/crowd.rs"]
mod crowd;
#[path = "stress/inputs.rs"]
mod inputs;
#[path = "stress/kept.rs"]
mod kept;
#[path = "stress/kills.rs"]
mod kills;
#[path = "stress/mutation.rs"]
mod mutation;
#[path = "stress/room.rs"]
mod room;
#[cfg(target_os = "linux")]
#[path = "stress/soak.rs"]
mod soak;
#[expect(dead_code, reason = "the unit tests of the GGUF reader use all of it")]
#[path = "../src/gguf/tests/fixture.rs"]
mod tiny_gguf;
#[path = "stress/variants.rs"]
mod variants;

/// A number that the user asks for.
fn asked_for(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How often each file is damaged in the long form.
fn turns() -> usize {
    asked_for("STRESS", 1000)
}
