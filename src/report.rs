//! Reports: a [`Report`] is plain data, and its renderers are pure functions of it.
//!
//! A report is sections over tables and figures, with a verdict, notes and a command to try next.
//! [`text::render`] writes it for a terminal, [`markdown::render`] for an issue or a README,
//! [`html::render`] as a page of its own, and its `serde` form is what `--json` prints.

mod attack;
mod audit;
mod compare;
mod details;
mod figure;
pub mod html;
mod knowledge;
mod leaks;
mod locate;
pub mod markdown;
mod origin;
mod outcome;
mod passages;
mod patches;
mod plain;
mod price;
mod prompts;
mod scores;
mod secrets;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
pub mod text;
mod tofu;
mod zoo;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::Completion;
use crate::ranks::RankWork;
use crate::verdict::Verdict;

pub use audit::audit_report;
pub use compare::comparison_report;
pub use figure::{Axis, Figure, FigureKind, Series};
pub use knowledge::{KnowledgeReport, KnowledgeRow, MeasuredModel, Spread};
pub use leaks::{ChannelSummary, leak_section, summarise};
pub use locate::locate_report;
pub use origin::{Made, Request};
pub use outcome::outcome_report;
pub use patches::{
    ChangeDescription, Growth, GrowthStep, PatchDescription, describe_patches, growth,
    growth_table, short,
};
pub use prompts::{PromptShift, Told};
pub use scores::Scores;
pub use sweep::sweep_section;
pub use table::{Cell, Column, Row, Side, Table, Unit};
pub use tofu::{TofuReport, tofu_sentence};
pub use zoo::zoo_report;

/// The result of a command, before it is rendered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this structure.
    pub schema: u32,
    /// The verb that made it, such as `edit` or `atlas measure`.
    pub command: String,
    /// Display name of the model.
    pub model: String,
    /// The verdict; nothing where nothing was attempted.
    pub verdict: Option<Verdict>,
    /// The facts and passages that were asked for, as far as a page lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// The sections with all measurements.
    pub sections: Vec<Section>,
    /// Files that were written, and the like.
    pub notes: Vec<Note>,
    /// A command to try next, which can be pasted into a shell.
    pub next: Option<String>,
    /// What each process did, where there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<RankWork>,
    /// How the report was made; nothing where only the program knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Everything that was measured, with its full precision.
    pub data: serde_json::Value,
}

/// Blocks under one title.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// Title of the section; nothing where its blocks need none.
    pub title: Option<String>,
    /// Where it is shown.
    #[serde(default, skip_serializing_if = "Place::is_body")]
    pub place: Place,
    /// The blocks of the section.
    pub blocks: Vec<Block>,
}

/// Where a section is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In its place, everywhere.
    #[default]
    Body,
    /// In its place in a terminal, at the head of a page.
    Verdict,
    /// In its place on a page; a terminal leaves it out.
    Detail,
}

impl Place {
    fn is_body(&self) -> bool {
        *self == Self::Body
    }
}

/// One thing that a section shows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Numbers.
    Table(Table),
    /// Curves.
    Figure(Figure),
    /// Prompts and how models continue them.
    Completions(Vec<Completion>),
    /// Prompts and how probable their targets are.
    Prompts(Vec<PromptShift>),
    /// Prose, a paragraph a line.
    Text(String),
    /// Lines that are shown as they are.
    Verbatim(String),
}

/// A labelled line below the verdict.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// One word, such as `patch`.
    pub label: String,
    /// Text of the note.
    pub text: String,
}

impl Report {
    /// Version of the structure that `--json` prints.
    pub const SCHEMA: u32 = 2;

    /// The JSON schema of a report, as [`SCHEMA`](Self::SCHEMA) numbers it. `data` is left open: it
    /// holds what the verb measured, and grows with it.
    pub fn json_schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// A report without sections; `data` is everything that was measured.
    pub fn new(command: &str, model: &str, data: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self {
            schema: Self::SCHEMA,
            command: command.to_owned(),
            model: model.to_owned(),
            verdict: None,
            requests: Vec::new(),
            sections: Vec::new(),
            notes: Vec::new(),
            next: None,
            ranks: Vec::new(),
            made: None,
            data: serde_json::to_value(data)?,
        })
    }

    /// Adds a section.
    pub fn section(mut self, section: impl Into<Section>) -> Self {
        self.sections.push(section.into());
        self
    }

    /// Adds a labelled line.
    pub fn note(mut self, label: &str, text: impl Into<String>) -> Self {
        self.notes.push(Note { label: label.to_owned(), text: text.into() });
        self
    }

    /// The value of the measure that a name means: nothing where the report has no such measure,
    /// and an inner nothing where it has but found no value.
    ///
    /// A name is the label of a row, in upper or lower case, with blanks, `-` and `_` alike. Where
    /// several tables have a row of this label, the head of the table goes before it.
    pub fn measure(&self, name: &str) -> Option<Option<f64>> {
        let name = normal(name);
        let named =
            |(known, value): (String, Option<f64>)| (normal(&known) == name).then_some(value);
        self.measures().into_iter().find_map(named)
    }

    /// Names that [`Report::measure`] knows, and their values.
    pub fn measures(&self) -> Vec<(String, Option<f64>)> {
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        let tables = blocks.filter_map(|block| match block {
            Block::Table(table) if table.has_measures => Some(table),
            _ => None,
        });
        let rows: Vec<(&Table, &Row)> =
            tables.flat_map(|table| table.rows.iter().map(move |row| (table, row))).collect();
        let name = |(table, row): &(&Table, &Row)| {
            let same = rows.iter().filter(|(_, other)| normal(&other.label) == normal(&row.label));
            let name = match same.count() {
                1 => row.label.clone(),
                _ => format!("{} {}", table.label_head, row.label).trim().to_owned(),
            };
            (name, row.value)
        };
        rows.iter().map(name).collect()
    }
}

/// Labels of the rows that are measures, in reports of verbs that take `--require`.
const MEASURES: [&str; 57] = [
    "said",
    "said, paraphrased",
    "said, ripples",
    "runs on",
    "P(target)",
    "still said",
    "earlier facts",
    "background",
    "near subjects",
    "drift",
    "predicted drift",
    "perplexity",
    "efficacy",
    "paraphrase",
    "neighborhood",
    "ripple",
    "score",
    "magnitude",
    "exact",
    "exact paraphrase",
    "prompt",
    "paraphrases",
    "answer frames",
    "logit lens",
    "samples",
    "recoverable",
    "conspicuous",
    "secrets",
    "secrets, decoded",
    "secrets, sampled",
    "secrets, Q8_0",
    "secrets, Q4_0",
    "secrets, relearnt",
    "relearn, before",
    "relearn, 5 steps",
    "relearn, 10 steps",
    "relearn, 20 steps",
    "relearn, 40 steps",
    "relearn share",
    "quantised NLL",
    "quantised extraction",
    "value NLL",
    "NLL",
    "extraction",
    "recital",
    "longest run",
    "answered",
    "own words",
    "never saw, NLL",
    "never saw, extraction",
    "model utility",
    "forget quality",
    "probability",
    "ROUGE-L",
    "truth ratio",
    "fluency",
    "seconds",
];

/// Whether a report may have a measure of this name: a label, or the head of a table and a label.
///
/// Only a report itself knows whether it has one; this tells a misspelt name before any work.
pub fn is_measure(name: &str) -> bool {
    let name = normal(name);
    let ends = |label: &&str| {
        let rest = name.strip_suffix(&normal(label));
        rest.is_some_and(|head| head.is_empty() || head.ends_with(' '))
    };
    MEASURES.iter().any(ends)
}

/// A name of a measure in the form in which names are compared.
fn normal(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || matches!(c, '-' | '_'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

impl Section {
    /// A section with a title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..Self::default() }
    }

    /// A section that a page shows and a terminal leaves out.
    pub fn detail(title: impl Into<String>) -> Self {
        Self { place: Place::Detail, ..Self::titled(title) }
    }

    /// Adds a block.
    pub fn block(mut self, block: impl Into<Block>) -> Self {
        self.blocks.push(block.into());
        self
    }
}

impl<B: Into<Block>> From<B> for Section {
    fn from(block: B) -> Self {
        Self::default().block(block)
    }
}

impl From<Table> for Block {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl From<Figure> for Block {
    fn from(figure: Figure) -> Self {
        Self::Figure(figure)
    }
}

impl From<Vec<Completion>> for Block {
    fn from(completions: Vec<Completion>) -> Self {
        Self::Completions(completions)
    }
}

impl From<Vec<PromptShift>> for Block {
    fn from(prompts: Vec<PromptShift>) -> Self {
        Self::Prompts(prompts)
    }
}

impl From<String> for Block {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
