//! The arguments of `rescribe export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ModelArg;

/// `rescribe export`.
#[derive(Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub model: ModelArg,
    /// Patches to apply, each by its own --patch; their order does not matter
    #[arg(long)]
    pub patch: Vec<PathBuf>,
    /// What to write [default: gguf where --out ends in .gguf, else checkpoint]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Folder to write, or file (.gguf)
    #[arg(long)]
    pub out: PathBuf,
    /// How a GGUF file stores its edited matrices [default: as the others; f16 where they are
    /// quantised]
    #[arg(long, value_enum)]
    pub edited_type: Option<MatrixType>,
    /// How a GGUF file that is made from a folder stores its matrices [default: stored]
    #[arg(long = "type", value_enum)]
    pub matrices: Option<MatrixType>,
    /// How the edited tensors of a checkpoint are stored [default: stored]
    #[arg(long, value_enum)]
    pub dtype: Option<EditedDtype>,
    /// Overwrite an earlier export
    #[arg(long)]
    pub force: bool,
    /// Make unedited weight files hard links to the base's, which then change with them
    #[arg(long)]
    pub link: bool,
    /// Keep the names, answers and passages that a patch erased or forgot, if it still has them
    #[arg(long)]
    pub keep_spec: bool,
    /// Compare the folder with candle-transformers layer by layer, or logits of the GGUF file, read again
    #[arg(long)]
    pub check: bool,
    /// Upload the result and its patches to this repository of the Hub; needs the client `hf` (pip
    /// install huggingface_hub), signed in
    #[arg(long, value_name = "ORG/NAME")]
    pub push: Option<String>,
    /// Create the repository of --push as a private one, if it does not exist yet
    #[arg(long, requires = "push")]
    pub private: bool,
}

/// How a GGUF file stores matrices.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixType {
    /// In the types that they had before
    Stored,
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q80,
    #[value(name = "q4_0")]
    Q40,
    #[value(name = "q4_1")]
    Q41,
}

/// How an exported checkpoint stores the tensors that were edited.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EditedDtype {
    /// As the base stores them
    Stored,
    /// As f32, so that no part of a small change is rounded away
    F32,
}

/// The output of `rescribe export`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A whole model: base + patches
    Checkpoint,
    /// The patches alone as a PEFT adapter, if all their changes are low-rank
    Lora,
    /// A whole model as one GGUF file, for llama.cpp; from a GGUF file, all but the edits as it is
    Gguf,
    /// The patches alone as a GGUF adapter, which is applied next to quantised weights
    GgufLora,
    /// A folder with a Modelfile for `ollama create`, and the GGUF file that it names
    Ollama,
    /// As ollama, with the patches as a GGUF adapter on the unedited model
    OllamaLora,
}
