//! One fact stated in flags, in place of a file.

use std::path::{Path, PathBuf};

use clap::Args;

/// A file of facts, or one fact in flags.
#[derive(Args)]
pub struct SpecArg {
    /// A spec (.toml), a table of facts (.csv, .tsv), or records of CounterFact, MQuAKE, zsRE,
    /// KnowEdit or RippleEdits (.json, .jsonl)
    #[arg(required_unless_present = "subject")]
    pub spec: Option<PathBuf>,
    #[command(flatten)]
    pub fact: FactFlags,
}

/// The flags of one fact.
#[derive(Args)]
#[command(next_help_heading = "One fact without a file")]
pub struct FactFlags {
    /// What the fact is about
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "spec",
        requires = "prompt",
        requires = "target"
    )]
    pub subject: Option<String>,
    /// The sentence up to the target, with the subject or {} in its place
    #[arg(long, value_name = "TEXT", requires = "subject")]
    pub prompt: Option<String>,
    /// What the model should say after the prompt; with --erase, what it should no longer say
    #[arg(long, value_name = "TEXT", requires = "subject")]
    pub target: Option<String>,
    /// What it says now, to be measured
    #[arg(long, value_name = "TEXT", requires = "subject")]
    pub target_true: Option<String>,
}

impl SpecArg {
    /// The file, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.spec.as_deref()
    }

    /// The input in words, without what a fact is about.
    pub fn name(&self) -> String {
        self.file().map_or_else(|| "one fact".to_owned(), |file| file.display().to_string())
    }
}
