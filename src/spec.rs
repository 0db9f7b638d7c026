//! Reads what the user wrote: text to typed values with spans; no model, no hidden defaults.
//!
//! Two kinds of files are read here. A *spec* (`edits/*.toml`) states what to change
//! and how; a *prompt file* (`prompts/*.toml`) states what to measure. Published
//! record collections (CounterFact, MQuAKE, zsRE, KnowEdit, RippleEdits; JSON or JSON
//! lines) and tables of facts (CSV, TSV) are both at once and are read as they are.
//!
//! A file is checked as a whole: [`SpecError`] holds every problem found in it, each
//! with the places to underline and a fix. An option that the user did not write is
//! `None`; what it then means is decided by the plan, in one place.

mod conflict;
mod erase;
mod error;
mod fact;
mod form;
mod gradient;
mod hidden;
mod insert;
mod json;
mod options;
mod passage_file;
mod passages;
mod plain;
mod prompts;
mod read;
mod records;
mod resolved;
mod ripple;
mod secret_keys;
mod secrets;
mod settings;
mod sheet;
mod source;
mod table;
mod text_file;
mod tofu;
mod unused;
mod verdict;

use std::path::PathBuf;

pub use conflict::{Conflict, fact_conflicts, record_conflicts};
pub use erase::{Erase, EraseSpans, Toward};
pub use error::{Look, Problem, SpecError};
pub use fact::{Fact, spec_text};
pub use form::{Blank, Form, Template, beginning, without_blanks};
pub use gradient::{ForgetMethod, GradientOptions, RateChoice, RetainLoss, TrainChoice};
pub use hidden::{HiddenCharacter, hidden_characters};
pub(crate) use insert::SLOT;
pub use insert::{Insert, InsertSpans};
pub use options::{LayerChoice, Method, RankOneOptions};
pub use passage_file::{Passage, as_question, corpus_of_data, parse_passages};
pub use passages::{PassageOperation, PassageSource, PassageVerb, QuestionSources};
pub use plain::plain;
pub use prompts::{AboutSubject, Comparison, PromptSet};
pub use read::{
    parse_prompts, parse_spec, read_edit_input, read_probe_input, read_prompts, read_spec,
};
pub use records::{BadRecords, LeftOut, Record, RecordFile};
pub use resolved::spec_text_with;
pub use ripple::{Rippled, with_ripples};
pub use secrets::{AbsentSecret, SecretPlace, SecretsNotFound, find_secrets};
pub use settings::{Condition, Group, Kind, Options, Reals, Setting, Unused, Uses, Value};
pub use source::{SourceText, Span};
pub(crate) use table::quoted;
pub use tofu::{TofuInput, TofuItem, TofuLog, TofuScores, TofuSet, read_tofu};
pub use unused::{NO_FACTS, NO_PASSAGES};
pub use verdict::VerdictOptions;

/// One spec file: the operations and how to carry them out.
#[derive(Debug, Clone)]
pub struct EditSpec {
    /// The file's name and its text, verbatim.
    pub source: SourceText,
    /// The `model`, as written: a folder, a `.gguf` file or a Hub id; one that starts with `.` is
    /// already joined to the spec's folder.
    pub model: Option<String>,
    /// How prompts are put to the model.
    pub form: Form,
    /// The options of `[rank_one]`, only those that were written.
    pub rank_one: RankOneOptions,
    /// The `[[insert]]` tables, in the order of the file.
    pub inserts: Vec<Insert>,
    /// The `[[erase]]` tables, in the order of the file.
    pub erases: Vec<Erase>,
    /// The options of `[gradient]`, only those that were written.
    pub gradient: GradientOptions,
    /// The `[[learn]]` tables, then `[[forget]]`, in the order of the file; at least one if no
    /// fact.
    pub passages: Vec<PassageOperation>,
    /// The options of `[verdict]`, only those that were written.
    pub verdict: VerdictOptions,
    /// The file named by `prompts` in `[probe]`, joined to the spec's folder.
    pub probe: Option<PathBuf>,
}

/// The input of `rescribe edit` and `rescribe plan`.
#[derive(Debug, Clone)]
pub enum EditInput {
    /// A TOML spec.
    Spec(Box<EditSpec>),
    /// A record collection, to be edited record by record, or a table of facts.
    Records(RecordFile),
}

/// The input of `rescribe probe`.
#[derive(Debug, Clone)]
pub enum ProbeInput {
    /// A TOML spec: what an edit by it would measure.
    Spec(Box<EditSpec>),
    /// Prompts or records.
    Prompts(PromptFile),
}

/// What to measure, without a word of how to edit.
#[derive(Debug, Clone)]
pub enum PromptFile {
    /// A TOML prompt file.
    Prompts(Box<PromptSet>),
    /// A record collection, or a table of facts.
    Records(RecordFile),
}

#[cfg(test)]
mod tests;
