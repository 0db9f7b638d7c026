//! The arguments of `rescribe new`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::ModelArg;

/// `rescribe new`.
#[derive(Args)]
pub struct NewArgs {
    /// Name of the files, NAME.toml and NAME.prompts.toml [default: after the subject]
    pub name: Option<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// What the fact is about
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// The sentence up to the target, with the subject or {} in its place
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// What the model should say after the prompt; with --erase, what it should no longer say
    #[arg(long, value_name = "TEXT")]
    pub target: Option<String>,
    /// What it says now; empty if unknown
    #[arg(long, value_name = "TEXT", conflicts_with = "erase")]
    pub target_true: Option<String>,
    /// The fact is to be erased
    #[arg(long)]
    pub erase: bool,
    /// Learn the passages of this file
    #[arg(long, value_name = "FILE", conflicts_with_all = FACT)]
    pub learn: Option<PathBuf>,
    /// Forget the passages of this file
    #[arg(long, value_name = "FILE", conflicts_with_all = FACT, conflicts_with = "learn")]
    pub forget: Option<PathBuf>,
    /// A text in the forgotten passages that must not come out of the model; may be repeated
    #[arg(long, value_name = "TEXT", requires = "forget")]
    pub secret: Vec<String>,
    /// Take the drafted wordings and neighbors as they are
    #[arg(long, short)]
    pub yes: bool,
    /// Overwrite what exists
    #[arg(long)]
    pub force: bool,
}

const FACT: [&str; 5] = ["subject", "prompt", "target", "target_true", "erase"];
