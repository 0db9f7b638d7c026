//! The arguments of `rescribe verify` and `rescribe verify-record`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::values::{count, duration};
use super::{ModelArg, ReportArg};

/// `rescribe verify`.
#[derive(Args)]
pub struct VerifyArgs {
    /// The spec that made the edit (.toml)
    pub spec: PathBuf,
    #[command(flatten)]
    pub model: ModelArg,
    /// The base that was edited; without it, neither damage, changed weights nor what it said in its own words
    /// can be measured
    #[arg(long, conflicts_with = "patch")]
    pub base: Option<String>,
    /// Audit --model as these patches change it; --model is then the base
    #[arg(long)]
    pub patch: Vec<PathBuf>,
    /// A model that never saw the passages; two or more have a spread to be compared with
    #[arg(long, value_name = "MODEL")]
    pub reference: Vec<String>,
    /// Also compare with so many models of the built-in world, trained for this without the people whom
    /// the forgotten passages name: minutes each, kept in the cache
    #[arg(long, value_name = "N", value_parser = count::<1, 100>)]
    pub retrain: Option<usize>,
    /// Most time for the checks, e.g. 90s, 10m or 2h; the cheapest evidence comes first
    #[arg(long, value_parser = duration)]
    pub budget: Option<std::time::Duration>,
    /// JSON or TOML file with thresholds of the verdicts
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,
    /// Folder to write the record to
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Private P-256 key (PEM) to sign the record with [default: a new one, next to the record]
    #[arg(long, value_name = "FILE", requires = "out")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub report: ReportArg,
    /// Replace an earlier record, whose requests stay in the ledger, and an earlier report
    #[arg(long)]
    pub force: bool,
    /// Keep in --json and --report the names, answers and passages that are erased or forgotten; by
    /// default, salted digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
}

/// `rescribe verify-record`.
#[derive(Args)]
pub struct VerifyRecordArgs {
    /// Folder that `rescribe verify --out` wrote
    pub record: PathBuf,
    /// Public P-256 key (PEM) that the signature must be of [default: the one in the record]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Model folder that the record should be of
    #[arg(long)]
    pub model: Option<PathBuf>,
}
