//! The arguments of `rescribe patch`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::count;
use super::{Edits, Flags, ModelArg};

/// `rescribe patch`.
#[derive(Args)]
pub struct PatchArgs {
    #[command(subcommand)]
    pub verb: PatchVerb,
}

/// The verbs of `rescribe patch`.
#[derive(Subcommand)]
pub enum PatchVerb {
    /// Show the facts that patches hold, what they change, for which base, and whether they go
    /// together
    List(PatchListArgs),
    /// Write a new file that holds several patches; applying it applies all of them
    Compose(PatchComposeArgs),
    /// Add patches to a patch file, in place: what compose would write, under the old name
    Add(PatchAddArgs),
    /// Take out of a patch file, in place, what its recipe says of erased and forgotten texts
    Redact(PatchRedactArgs),
    /// Write a new file without some of a composed patch's parts, as if they had never been added
    Subtract(PatchSubtractArgs),
    /// Take facts out of a patch and solve for the others again, as if they had never been written
    Remove(PatchRemoveArgs),
    /// Make a patch again from its recipe, and exit 1 unless the change is equal to the bit
    Verify(PatchVerifyArgs),
}

/// `rescribe patch list`.
#[derive(Args)]
pub struct PatchListArgs {
    /// Patch files, or folders with files that end in .patch.safetensors
    #[arg(default_value = ".")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArg,
}

/// `rescribe patch compose`.
#[derive(Args)]
pub struct PatchComposeArgs {
    /// Patches for one base, single or composed; their order does not matter
    #[arg(required = true)]
    pub patches: Vec<PathBuf>,
    /// File to write
    #[arg(long)]
    pub out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// `rescribe patch add`.
#[derive(Args)]
pub struct PatchAddArgs {
    /// The patch file that grows
    pub file: PathBuf,
    /// Patches to add to it
    #[arg(required = true)]
    pub patches: Vec<PathBuf>,
}

/// `rescribe patch redact`.
#[derive(Args)]
pub struct PatchRedactArgs {
    /// The patch file, single or composed
    pub file: PathBuf,
}

/// `rescribe patch subtract`.
#[derive(Args)]
pub struct PatchSubtractArgs {
    /// A composed patch
    pub file: PathBuf,
    /// Patches to leave out: files, or beginnings of digests that `patch list` shows
    #[arg(required = true)]
    pub parts: Vec<String>,
    /// File to write
    #[arg(long)]
    pub out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// `rescribe patch remove`.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub struct PatchRemoveArgs {
    /// A patch file
    pub file: PathBuf,
    /// Numbers of facts, as `patch list` shows them
    #[arg(long, value_name = "N", value_delimiter = ',', group = "what",
          value_parser = count::<1, 1_000_000_000>)]
    pub fact: Vec<usize>,
    /// All facts about a subject
    #[arg(long, group = "what")]
    pub subject: Vec<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// File to write
    #[arg(long)]
    pub out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// Keep the names, answers and passages that are erased or forgotten in what is written; by
    /// default, salted digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
    /// The spec as it was written, where the patch does not name what it removed; once for each edit
    /// that does not
    #[arg(long)]
    pub spec: Vec<PathBuf>,
    /// The flags that the patch was made with, in addition to --spec
    #[command(flatten)]
    pub settings: Flags<Edits>,
}

/// `rescribe patch verify`.
#[derive(Args)]
pub struct PatchVerifyArgs {
    /// A patch file that holds one patch
    pub file: PathBuf,
    #[command(flatten)]
    pub model: ModelArg,
    /// The spec as it was written, where the patch does not name what it removed; once for each edit
    /// that does not
    #[arg(long)]
    pub spec: Vec<PathBuf>,
    /// The flags that the patch was made with, in addition to --spec
    #[command(flatten)]
    pub settings: Flags<Edits>,
}
