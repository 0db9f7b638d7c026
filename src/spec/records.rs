//! One record of a published collection: facts to write together with their probes.
//!
//! | form | recognised by | target_new | target_true |
//! |---|---|---|---|
//! | CounterFact (arXiv 2202.05262) | `requested_rewrite` | `target_new.str` | `target_true.str` |
//! | MQuAKE (arXiv 2305.14795) | a list of `requested_rewrite` | of each | of each |
//! | zsRE in MEND's form (arXiv 2110.11309) | `src` and `alt` | `alt` | of `answers` |
//! | KnowEdit (arXiv 2401.01286) | `prompt` and `target_new` | `target_new` | of `ground_truth` |
//! | RippleEdits (arXiv 2307.12976) | `edit` | end of the sentence | end of `original_fact` |
//! | a table | its header | `target_new` | `target_true` |
//!
//! Of several true answers, the first that differs from the new target is taken. What should follow
//! from the edit becomes a ripple: `portability`, MQuAKE's `questions`, RippleEdits' tests of
//! logic, aliases and composition, and `ripple_prompts`, which CounterFact itself does not have.
//! What should stay becomes a neighbor. Keys that are not needed are ignored. Blanks around a subject or
//! target are cut, prompts are kept to the byte.

mod counterfact;
mod knowedit;
mod mquake;
mod ripple_edits;
mod row;
mod values;
mod zsre;

pub(super) use row::COLUMNS;

use serde::Serialize;
use serde_json::Value;

use super::Span;
use super::error::Problem;
use super::insert::{Insert, SLOT};
use super::json;
use super::prompts::{Comparison, PromptSet};
use super::sheet::Sheet;
use super::table::Problems;
use super::{SourceText, SpecError};
use values::{kind, text};

/// One record: facts that are written together, and their probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's own number where it has one; otherwise its index in the file, from 0, or the
    /// line of its row.
    pub id: String,
    /// The fact to write. Its two targets are equal where the file has a true one alone: such a fact can
    /// only be erased.
    pub insert: Insert,
    /// Facts that the record writes at the same time, as MQuAKE does.
    pub further: Vec<Insert>,
    /// The relation that the collection files it under.
    pub relation: Option<String>,
    /// The probes of the record; targets that they leave out are those of `insert`.
    pub prompts: PromptSet,
}

/// The records of a file, and those that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFile {
    /// The records that can be used; at least one.
    pub records: Vec<Record>,
    /// The records that were left out.
    pub left_out: Vec<LeftOut>,
    /// Notes for the user on how the file was read.
    pub notes: Vec<String>,
    /// Whether the file is a table of somebody's own facts, which belong into one model.
    pub is_table: bool,
}

/// A record that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The record's number, as in [`Record::id`].
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What becomes of records that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadRecords {
    /// The file is refused; the error names all of them.
    #[default]
    Refuse,
    /// They are left out, as long as a record remains.
    LeaveOut,
}

impl Record {
    /// All facts of the record.
    pub fn inserts(&self) -> impl Iterator<Item = &Insert> {
        std::iter::once(&self.insert).chain(&self.further)
    }

    /// Reads the record with this `index`; the problem names the record and the key.
    fn read(value: &Value, index: usize) -> Result<Self, Problem> {
        let id = id_of(value).unwrap_or_else(|| index.to_string());
        let has = |key: &str| value.get(key).is_some();
        let parts = if value.get("requested_rewrite").is_some_and(Value::is_array) {
            mquake::read(value)
        } else if has("requested_rewrite") {
            counterfact::read(value)
        } else if has("src") || has("alt") {
            zsre::read(value)
        } else if value.get("edit").is_some_and(Value::is_object) {
            ripple_edits::read(value)
        } else if has("prompt") && row::TARGETS.iter().any(|key| has(key)) {
            knowedit::read(value)
        } else {
            Err(unknown(value))
        };
        let parts = parts.map_err(|what| {
            Problem::new(format!("record {index} (id {id}) {what}")).of_record(&id)
        })?;
        let relation = text(value, "requested_rewrite.relation_id").ok().map(str::to_owned);
        Ok(Self::new(id, parts, relation))
    }

    /// The record of these facts, at least one, which are asked for by their own prompts, too.
    fn new(id: String, (mut inserts, mut prompts): Parts, relation: Option<String>) -> Self {
        let insert = inserts.remove(0);
        prompts.rewrite.push(Comparison::of_edit(insert.rendered()));
        prompts.rewrite.extend(inserts.iter().map(|further| Comparison {
            prompt: further.rendered(),
            target_new: Some(further.target_new.clone()),
            target_true: further.target_true.clone(),
        }));
        Self { id, insert, further: inserts, relation, prompts }
    }
}

/// The facts of a record, at least one, and its probes.
type Parts = (Vec<Insert>, PromptSet);

/// What is wrong with a record of no known form.
fn unknown(value: &Value) -> String {
    let has = |keys: [&str; 2]| keys.iter().all(|key| value.get(key).is_some());
    if has(["question", "answer"]) || has(["query", "answer"]) {
        return "is a question with its answer, as in TOFU, MUSE and RWKU, and not an edit: name \
                the file with `passages` in a spec"
            .to_owned();
    }
    let found = match value.as_object() {
        Some(map) if map.is_empty() => "an empty object".to_owned(),
        Some(map) => {
            let keys: Vec<String> = map.keys().take(8).map(|key| format!("`{key}`")).collect();
            format!("an object with {}", keys.join(", "))
        }
        None => kind(value).to_owned(),
    };
    format!(
        "has no known form, as {found}: expected `requested_rewrite` (CounterFact, MQuAKE), `src` \
         and `alt` (zsRE), `edit` (RippleEdits), or `subject`, `prompt` and `target_new` (KnowEdit)"
    )
}

fn id_of(value: &Value) -> Option<String> {
    let own = ["case_id", "known_id", "id"].iter().find_map(|key| value.get(key));
    match own? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The records of a JSON file.
pub(super) fn read_json(source: &SourceText, bad: BadRecords) -> Result<RecordFile, SpecError> {
    let mut reading = Reading::default();
    for (index, (place, item)) in json::items(source).enumerate() {
        let place = json::head(source, &place);
        let line = source.line_of(place.start);
        let record = match item {
            Ok(value) => Record::read(&value, index),
            Err(problem) => Err(problem.of_record(&format!("line {line}"))),
        };
        reading.take(record, &place);
    }
    reading.finish(source, bad)
}

/// The records of a table, one a row.
pub(super) fn read_sheet(source: &SourceText, bad: BadRecords) -> Result<RecordFile, SpecError> {
    let sheet = Sheet::read(source, &COLUMNS)?;
    let has_target = row::TARGETS.iter().any(|name| sheet.has(name));
    let required = if has_target { &row::REQUIRED[..2] } else { &row::REQUIRED[..] };
    sheet.require(source, required, row::HELP)?;
    let mut reading = Reading { notes: sheet.notes(), is_table: true, ..Reading::default() };
    for found in &sheet.rows {
        let line = found.line.to_string();
        let record = found.value().and_then(|value| {
            let id = id_of(&value).unwrap_or_else(|| line.clone());
            let parts = row::read(&value).map_err(|what| {
                Problem::new(format!("the row on line {line} {what}")).of_record(&id)
            })?;
            let relation = value.get("relation").and_then(Value::as_str).map(str::to_owned);
            Ok(Record::new(id, parts, relation))
        });
        reading.take(record, &json::head(source, &found.place));
    }
    reading.finish(source, bad)
}

/// Records are converted one at a time: the tree of a whole collection would be several times its
/// text.
#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    problems: Problems,
    notes: Vec<String>,
    is_table: bool,
}

impl Reading {
    fn take(&mut self, record: Result<Record, Problem>, place: &Span) {
        match record {
            Ok(record) => self.records.push(record),
            Err(problem) if problem.labels.is_empty() => {
                self.problems.push(problem.label(place, "this record"));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn finish(self, source: &SourceText, bad: BadRecords) -> Result<RecordFile, SpecError> {
        let Self { records, problems, notes, is_table } = self;
        let mut problems = problems.into_vec();
        if records.is_empty() && problems.is_empty() {
            return Err(SpecError::of(source, vec![Problem::new("the file has no records")]));
        }
        let is_kept = bad == BadRecords::LeaveOut && !records.is_empty();
        if !problems.is_empty() && !is_kept {
            if bad == BadRecords::LeaveOut {
                problems.push(Problem::new("without these records, none is left"));
            }
            return Err(SpecError::of(source, problems));
        }
        let left_out = problems.into_iter().map(|problem| LeftOut {
            id: problem.record.unwrap_or_default(),
            reason: problem.message,
        });
        Ok(RecordFile { records, left_out: left_out.collect(), notes, is_table })
    }
}
