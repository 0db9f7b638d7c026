//! The arguments of every verb that writes a report to files.

use std::path::PathBuf;

use clap::Args;

/// Where the report goes, in addition to the terminal.
#[derive(Args)]
pub struct ReportArg {
    /// Write the report to this file as well, as a page (.html) or as Markdown (.md); may be given
    /// several times
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
}
