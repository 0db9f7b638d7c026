//! Exit codes, and the errors that are made only here: wrong usage, and thresholds missed.

/// The command was done, but a threshold that the user set was missed, or a check differed.
pub const MISSED: u8 = 1;
/// The command line or a spec is wrong.
pub const USAGE: u8 = 2;
/// A model, data or other file cannot be used.
pub const DATA: u8 = 3;
/// A bug in this program.
pub const INTERNAL: u8 = 70;
/// The user pressed Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// A threshold was missed or a check differed; what was computed was kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missed(pub String);

/// The command line cannot be obeyed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
