//! What is shown: plain data, and pure functions that render it.

mod batch;
mod compare;
mod knowledge;
mod leaks;
mod passages;
mod patches;
mod terminal;
mod tofu;

use serde::Serialize;

use crate::probe::{Drift, Leak, Measured, ProbeScores};

pub use batch::{BatchPoint, BatchReport, Collapse, Health, batch_sentence, batch_table, collapse};
pub use compare::{CompareReport, MethodRun, compare_sentences, compare_table};
pub use knowledge::{
    KnowledgeReport, KnowledgeRow, MeasuredModel, Spread, knowledge_lines, knowledge_markdown,
    knowledge_table,
};
pub use leaks::{ChannelSummary, EraseReport, erase_sentence, erase_table, summarise};
pub use passages::{
    PassageReport, ReferenceReport, SetsMemory, SpecReport, passage_sentences, passage_table,
};
pub use patches::{
    ChangeDescription, Growth, GrowthStep, PatchDescription, describe_patch, growth, growth_lines,
    patch_lines, short,
};
pub use terminal::{probe_table, record_table, sentence};
pub use tofu::{TofuReport, tofu_sentence, tofu_table};

/// One edit or probe run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct EditReport {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model.
    pub model: String,
    /// Facts or records.
    pub n: usize,
    /// The layer that was written; nothing for a probe.
    pub layer: Option<usize>,
    /// Before.
    pub before: ProbeScores,
    /// After; nothing where only one model was measured.
    pub after: Option<ProbeScores>,
    /// After, where the facts that follow from the edit were left out; nothing where none was
    /// written with it.
    pub without_ripples: Option<ProbeScores>,
    /// On retain texts.
    pub drift: Option<Drift>,
    /// What can still be got out about each erased fact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<Leak>,
    /// Free continuations.
    pub completions: Vec<Completion>,
    /// One entry a fact.
    pub edits: Vec<FactReport>,
    /// Median wall-clock seconds of one edit, without loading, second moment and scoring.
    pub seconds_per_edit: Option<f64>,
    /// Outcomes of each prompt, before.
    pub prompts_before: Vec<Measured>,
    /// After.
    pub prompts_after: Vec<Measured>,
}

/// A prompt continued by both models.
#[derive(Debug, Clone, Serialize)]
pub struct Completion {
    /// The prompt.
    pub prompt: String,
    /// Before.
    pub before: String,
    /// After.
    pub after: Option<String>,
}

/// How one fact was written.
#[derive(Debug, Clone, Serialize)]
pub struct FactReport {
    /// Record or subject.
    pub id: String,
    /// Evaluations of the loss.
    pub steps: usize,
    /// At the end.
    pub loss: f64,
    /// ‖δ‖/‖v0‖.
    pub value_change: f64,
    /// ‖ΔW‖/‖W‖.
    pub relative_norm: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
}
