//! The arguments of `rescribe locate`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::values::{count, noise};
use super::{ModelArg, ReportArg};

/// `rescribe locate`.
#[derive(Args)]
pub struct LocateArgs {
    /// A spec (.toml), a table of facts (.csv, .tsv) or records (.json, .jsonl)
    pub spec: PathBuf,
    #[command(flatten)]
    pub model: ModelArg,
    /// First facts only
    #[arg(long, default_value_t = 20, value_parser = count::<1, 1_000_000>)]
    pub limit: usize,
    /// Leave out records that cannot be used
    #[arg(long)]
    pub skip_bad: bool,
    /// Draws of the noise
    #[arg(long, default_value_t = 10, value_parser = count::<1, 1000>)]
    pub samples: usize,
    /// Width of the noise, as a multiple of the spread of the subjects' embeddings
    #[arg(long, default_value_t = 3., value_parser = noise, allow_negative_numbers = true)]
    pub noise: f64,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Layers that are restored together, of MLPs and attentions [default: a fifth of the model]
    #[arg(long, value_parser = count::<1, 1000>)]
    pub window: Option<usize>,
    /// Try every N-th layer, at every token [default: as many as take seconds]
    #[arg(long, value_name = "N", value_parser = count::<1, 1000>)]
    pub every: Option<usize>,
    /// Do not write the facts into one layer after another to see where that works best
    #[arg(long)]
    pub no_sweep: bool,
    #[command(flatten)]
    pub report: ReportArg,
    /// Overwrite an earlier report
    #[arg(long, requires = "report")]
    pub force: bool,
    /// Keep in --json and --report the names and answers that are erased; by default, salted digests
    /// stand for them
    #[arg(long)]
    pub keep_spec: bool,
}
