//! The arguments of `rescribe atlas`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::journal::JournalArg;
use super::values::count;

/// `rescribe atlas`.
#[derive(Args)]
pub struct AtlasArgs {
    #[command(subcommand)]
    pub verb: AtlasVerb,
}

/// The verbs of `rescribe atlas`.
#[derive(Subcommand)]
pub enum AtlasVerb {
    /// Train the world's model, or a reference without some people
    Train(AtlasTrainArgs),
    /// Measure what models know of the world, one or a table of several
    Measure(AtlasMeasureArgs),
    /// Write the world's records and passages as files
    Data(AtlasDataArgs),
    /// Audit models whose truth is known, and show the verdicts
    Zoo(AtlasZooArgs),
}

/// `rescribe atlas train`.
#[derive(Args)]
pub struct AtlasTrainArgs {
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Seed of the first weights and of the order of the corpus
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Leave people out: forget, for the whole forget set, or names separated by commas
    #[arg(long)]
    pub without: Option<String>,
    /// JSON file with keys of the recipe to change, as atlas.json of a trained folder shows them
    #[arg(long)]
    pub recipe: Option<PathBuf>,
    /// Save the training here while it runs, and resume from it if it exists
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Steps between two savings
    #[arg(long, default_value_t = 100, value_parser = count::<1, 1_000_000>, requires = "checkpoint")]
    pub checkpoint_every: usize,
    /// Overwrite an earlier training
    #[arg(long)]
    pub force: bool,
}

/// `rescribe atlas measure`.
#[derive(Args)]
pub struct AtlasMeasureArgs {
    /// Models of the world: folders that `atlas train` wrote, or edited ones [default: atlas]
    pub models: Vec<String>,
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// `rescribe atlas data`.
#[derive(Args)]
pub struct AtlasDataArgs {
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Counterfactual records to draw
    #[arg(long, default_value_t = 50, value_parser = count::<1, 1_000_000>)]
    pub records: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Overwrite what exists
    #[arg(long)]
    pub force: bool,
}

/// `rescribe atlas zoo`.
#[derive(Args)]
pub struct AtlasZooArgs {
    /// Seeds of people and trainings; the built-in thresholds were set on 0, 1 and 2
    #[arg(long, value_delimiter = ',', default_value = "3,4,5")]
    pub seeds: Vec<u64>,
    /// JSON or TOML file with thresholds of the verdicts
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,
    #[command(flatten)]
    pub journal: JournalArg,
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}
