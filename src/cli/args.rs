//! The arguments of the command line, as typed.

mod atlas;
mod cache;
mod export;
mod fact;
mod journal;
mod locate;
mod new;
mod patch;
mod report;
mod settings;
mod values;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use rescribe::spec::ForgetMethod;

pub use atlas::{
    AtlasArgs, AtlasDataArgs, AtlasMeasureArgs, AtlasTrainArgs, AtlasVerb, AtlasZooArgs,
};
pub use cache::{CacheArgs, CacheVerb};
pub use export::{EditedDtype, ExportArgs, Format, MatrixType};
pub use fact::SpecArg;
pub use journal::JournalArg;
pub use locate::LocateArgs;
pub use new::NewArgs;
pub use patch::{
    PatchAddArgs, PatchArgs, PatchComposeArgs, PatchListArgs, PatchRedactArgs, PatchRemoveArgs,
    PatchSubtractArgs, PatchVerb, PatchVerifyArgs,
};
pub use report::ReportArg;
pub use settings::{Edits, Flags, Groups, Passages, Verdict};
use values::{bytes, count, forget_method, seconds, temperature};
pub use verify::{VerifyArgs, VerifyRecordArgs};

/// Rewrite what a language model knows, and prove what changed.
#[derive(Parser)]
#[command(
    name = "rescribe",
    version,
    after_help = "Exit codes: 0 done; 1 a threshold was missed or a check differed; 2 usage or spec \
                  error; 3 model, data or file error; 70 internal error; 130 interrupted."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub color: When,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_parser = count::<1, 1024>)]
    pub threads: Option<usize>,
    /// Where to compute
    #[arg(long, global = true, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
    /// Read config.json as if it had no such key; for keys that do not change the computation
    #[arg(long, global = true, value_name = "KEY")]
    pub ignore_config_key: Vec<String>,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// Where to compute.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    Cpu,
    Cuda,
    Metal,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Command {
    /// Write a first spec and its prompts from a few answers
    New(NewArgs),
    /// Apply a spec or one fact; write a patch and print what changed
    Edit(EditArgs),
    /// Show what an edit would do, token by token
    Plan(PlanArgs),
    /// Trace where a model holds the facts of a spec, and sweep the layers to write them in
    Locate(LocateArgs),
    /// Measure a model, or two against each other, on prompts, records or a spec
    Probe(ProbeArgs),
    /// Compare ways to forget passages, with several seeds each; writes nothing
    Compare(CompareArgs),
    /// Audit an edit: what can still be found, attacks, damage, verdicts
    Verify(VerifyArgs),
    /// Check a record of an audit: bytes, signatures, chain of requests
    VerifyRecord(VerifyRecordArgs),
    /// Complete a prompt, or hold a conversation, before and after
    Ask(AskArgs),
    /// Write base model + patches as a folder or a GGUF file, or the patches as an adapter
    Export(ExportArgs),
    /// Describe a model folder, a patch, a GGUF file or a report
    Inspect(InspectArgs),
    /// List, compose, redact, verify and take apart patch files, and remove facts
    Patch(PatchArgs),
    /// Second moment of a layer's keys, cached
    Stats(StatsArgs),
    /// Turn a GGUF file into a Hugging Face folder
    Import(ImportArgs),
    /// The built-in world: train its model, measure models of it, write its data
    Atlas(AtlasArgs),
    /// What the cache folder holds, and removing it
    Cache(CacheArgs),
    /// What this machine offers, and which models fit it
    Doctor(DoctorArgs),
    /// Print the JSON schema of the reports that --json prints
    Schema,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands into a folder
    #[command(hide = true)]
    Man(ManArgs),
}

/// Which model.
#[derive(Args)]
pub struct ModelArg {
    /// atlas, a folder, a .gguf file, or a Hub id org/name[@revision] [default: atlas]
    #[arg(long)]
    pub model: Option<String>,
}

/// `rescribe edit`.
#[derive(Args)]
pub struct EditArgs {
    #[command(flatten)]
    pub input: SpecArg,
    #[command(flatten)]
    pub model: ModelArg,
    /// Patch to write [default: the name of the spec or the subject, in this folder]
    #[arg(long)]
    pub patch: Option<PathBuf>,
    /// Start from the base as this patch changes it; the patch that is written holds both, and keeps
    /// the facts of this one
    #[arg(long, value_name = "PATCH")]
    pub from: Vec<PathBuf>,
    /// Also export the edited model to this folder
    #[arg(long)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub report: ReportArg,
    /// How --out stores the edited tensors [default: stored]
    #[arg(long, value_enum, requires = "out")]
    pub dtype: Option<EditedDtype>,
    /// Overwrite what exists
    #[arg(long)]
    pub force: bool,
    /// Keep the names, answers and passages that are erased or forgotten in what is written; by
    /// default, salted digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
    /// First records only
    #[arg(long, value_parser = count::<1, 1_000_000_000>)]
    pub limit: Option<usize>,
    /// Erase what records say is true, each separately, or the fact of --subject: toward "unknown", "minimise" or a text
    #[arg(
        long,
        value_name = "TOWARD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "unknown"
    )]
    pub erase: Option<String>,
    /// Leave out records that contradict or repeat an earlier one
    #[arg(long)]
    pub skip_conflicts: bool,
    /// Leave out records that cannot be used, and name them in the result
    #[arg(long)]
    pub skip_bad: bool,
    /// Exit 1 unless a metric holds, such as 'neighborhood>=0.95'
    #[arg(long)]
    pub require: Vec<String>,
    /// Save the training on passages here while it runs, and resume from it if it exists
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Memory limit for training on passages, e.g. 2G; uses smaller micro-batches, then computes
    /// activations again
    #[arg(long, value_parser = bytes)]
    pub memory: Option<u64>,
    /// Steps between two savings
    #[arg(long, default_value_t = 20, value_parser = count::<1, 1_000_000>, requires = "checkpoint")]
    pub checkpoint_every: usize,
    #[command(flatten)]
    pub journal: JournalArg,
    #[command(flatten)]
    pub settings: Flags<Edits>,
    #[command(flatten)]
    pub verdict: Flags<Verdict>,
}

/// `rescribe plan`.
#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub input: SpecArg,
    #[command(flatten)]
    pub model: ModelArg,
    /// First records only
    #[arg(long, value_parser = count::<1, 1_000_000_000>)]
    pub limit: Option<usize>,
    /// Leave out records that contradict or repeat an earlier one
    #[arg(long)]
    pub skip_conflicts: bool,
    /// Leave out records that cannot be used
    #[arg(long)]
    pub skip_bad: bool,
    /// Keep in --json the names, answers and passages that are erased or forgotten; by default, salted
    /// digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
    #[command(flatten)]
    pub settings: Flags<Edits>,
}

/// `rescribe probe`.
#[derive(Args)]
pub struct ProbeArgs {
    /// A prompt file or a spec (.toml), records (.json, .jsonl), a table of facts (.csv, .tsv), or
    /// a folder with TOFU's files
    pub prompts: PathBuf,
    #[command(flatten)]
    pub model: ModelArg,
    /// Compare with the model as these patches change it
    #[arg(long)]
    pub patch: Vec<PathBuf>,
    /// Compare with another model
    #[arg(long, conflicts_with = "patch")]
    pub against: Option<String>,
    /// First records only; of TOFU, the first questions of each set
    #[arg(long, value_parser = count::<1, 1_000_000_000>)]
    pub limit: Option<usize>,
    /// Leave out records that cannot be used, and name them in the result
    #[arg(long)]
    pub skip_bad: bool,
    /// Which forget set of TOFU's folder, such as forget05
    #[arg(long)]
    pub forget: Option<String>,
    /// Reference that never saw TOFU's forget set: a model, a patch of this one, or a log
    #[arg(long, conflicts_with = "against")]
    pub reference: Option<String>,
    /// Exit 1 unless a metric holds, such as 'efficacy>=0.9'
    #[arg(long)]
    pub require: Vec<String>,
    #[command(flatten)]
    pub report: ReportArg,
    /// Overwrite an earlier report
    #[arg(long, requires = "report")]
    pub force: bool,
    /// Of a spec: learn half of the forgotten passages again and see whether the other half comes
    /// back; also quantise [default: with --patch or --against, where that takes seconds]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub attack: Option<bool>,
    #[command(flatten)]
    pub journal: JournalArg,
    /// Keep in --json and --report the names, answers and passages that are erased or forgotten; by
    /// default, salted digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
    #[command(flatten)]
    pub verdict: Flags<Verdict>,
}

/// `rescribe compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// A spec with [[forget]] and no other operation
    pub spec: PathBuf,
    #[command(flatten)]
    pub model: ModelArg,
    /// Methods to compare [default: the spec's own, gradient-difference, npo and simnpo]
    #[arg(long, value_delimiter = ',', value_parser = forget_method)]
    pub methods: Vec<ForgetMethod>,
    /// Seeds of each method
    #[arg(long, default_value_t = 1, value_parser = count::<1, 1000>)]
    pub seeds: usize,
    /// Seconds that training a model without the passages took, to compare with forgetting
    #[arg(long, value_parser = seconds)]
    pub retraining_seconds: Option<f64>,
    /// Memory limit for each training, e.g. 2G
    #[arg(long, value_parser = bytes)]
    pub memory: Option<u64>,
    #[command(flatten)]
    pub journal: JournalArg,
    #[command(flatten)]
    pub report: ReportArg,
    /// Overwrite an earlier report
    #[arg(long, requires = "report")]
    pub force: bool,
    /// Keep in --json and --report the names, answers and passages that are erased or forgotten; by
    /// default, salted digests stand for them
    #[arg(long)]
    pub keep_spec: bool,
    #[command(flatten)]
    pub settings: Flags<Passages>,
}

/// `rescribe ask`.
#[derive(Args)]
pub struct AskArgs {
    /// The text to continue; without it, a conversation: lines and commands, of which /help tells
    pub prompt: Option<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// Patches for the "after" side
    #[arg(long)]
    pub patch: Vec<PathBuf>,
    /// Put the prompt as a user's message into the model's chat template
    #[arg(long)]
    pub chat: bool,
    /// Tokens to write
    #[arg(long, default_value_t = 24, value_parser = count::<1, 1_000_000>)]
    pub tokens: usize,
    /// Sample at this temperature instead of taking the most probable token
    #[arg(long, value_parser = temperature, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// `rescribe inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// A patch file, a model folder, a GGUF file, or a page that --report wrote
    pub file: PathBuf,
}

/// `rescribe stats`.
#[derive(Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub model: ModelArg,
    /// Layer, from 0 [default: the family's]
    #[arg(long, value_parser = count::<0, 9999>)]
    pub layer: Option<usize>,
    /// Tokens [default: eight times the width of a key, fewer where that takes minutes]
    #[arg(long, value_parser = count::<1, 1_000_000_000>)]
    pub tokens: Option<usize>,
    /// Text, blank lines between paragraphs, instead of the model's own samples
    #[arg(long)]
    pub corpus: Option<PathBuf>,
    /// Seed of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// `rescribe import`.
#[derive(Args)]
pub struct ImportArgs {
    /// The GGUF file
    pub gguf: PathBuf,
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Type of the written numbers
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// Overwrite an earlier import
    #[arg(long)]
    pub force: bool,
}

/// Type of the written numbers.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
}

/// `rescribe completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

/// `rescribe doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Also say what this model needs: atlas, a folder, a .gguf file, or a Hub id
    #[arg(long)]
    pub model: Option<String>,
}

/// `rescribe man`.
#[derive(Args)]
pub struct ManArgs {
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Write into a folder that is not empty
    #[arg(long)]
    pub force: bool,
}
