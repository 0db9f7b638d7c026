//! The argument of every verb whose work a journal can keep.

use std::path::PathBuf;

use clap::Args;

/// Where finished work is kept.
#[derive(Args)]
pub struct JournalArg {
    /// Keep finished parts of the work in this file, on the disk before the next begins, and go on
    /// from those that it holds
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}
