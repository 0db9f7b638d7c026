//! Passages to learn or to forget: `[[learn]]` and `[[forget]]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::error::Problem;
use super::passage_file::{Passage, parse_passages};
use super::secret_keys;
use super::table::Fields;
use super::text_file::{FileCheck, read_text};
use super::{SourceText, SpecError};

/// Whether passages are learnt or forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassageVerb {
    /// Make the passages probable.
    Learn,
    /// Make the passages as improbable as if they had never been seen.
    Forget,
}

/// One `[[forget]]` or `[[learn]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageOperation {
    /// Whether the passages are learnt or forgotten.
    pub verb: PassageVerb,
    /// The passages to learn or to forget.
    pub passages: PassageSource,
    /// Passages that must stay as they are.
    pub retain: Option<PassageSource>,
    /// Passages of the same kind that the model never saw.
    pub holdout: Option<PassageSource>,
    /// Models, or patches of the edited one, that never saw the passages: files joined to the
    /// spec's folder, or names.
    pub references: Vec<String>,
    /// Texts in the passages that must not be recoverable from the edited model.
    pub secrets: Vec<String>,
}

/// The source of passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassageSource {
    /// A file, joined to the spec's folder.
    File(PathBuf),
    /// Text in the spec.
    Text(String),
}

impl PassageVerb {
    /// The verb as a spec names its tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Learn => "learn",
            Self::Forget => "forget",
        }
    }
}

impl PassageOperation {
    /// Reads one `[[forget]]` or `[[learn]]` table; nothing where it has no passages.
    pub(super) fn read(
        mut fields: Fields<'_>,
        verb: PassageVerb,
        folder: &Path,
        files: FileCheck,
    ) -> Option<Self> {
        let file = fields.text("passages");
        let text = fields.text("text");
        let header = fields.header().clone();
        let retain = source(&mut fields, "retain", folder, files);
        let holdout = source(&mut fields, "holdout", folder, files);
        let references = match verb {
            PassageVerb::Forget => references(&mut fields, folder),
            PassageVerb::Learn => Vec::new(),
        };
        let secrets = match verb {
            PassageVerb::Forget => secret_keys::read(&mut fields),
            PassageVerb::Learn => Vec::new(),
        };
        let problems = fields.finish();
        let passages = match (file, text) {
            (Some(file), None) => Some(PassageSource::File(files.locate(&file, folder, problems))),
            (None, Some(text)) if text.value.trim().is_empty() => {
                problems.push(Problem::new("`text` is empty").label(&text.span, "no text here"));
                None
            }
            (None, Some(text)) => {
                // The passages of a file are searched where they are read.
                secret_keys::check(&secrets, "text", &text, problems);
                Some(PassageSource::Text(text.value))
            }
            (Some(_), Some(text)) => {
                problems.push(
                    Problem::new("both `passages` and `text`")
                        .label(&text.span, "this")
                        .help("name a file or write the text, in two tables if you mean both"),
                );
                None
            }
            (None, None) => {
                problems.push(
                    Problem::new("no passages")
                        .label(&header, "in this table")
                        .help("for example: passages = \"passages.txt\""),
                );
                None
            }
        };
        let secrets = secrets.into_iter().map(|secret| secret.value).collect();
        Some(Self { verb, passages: passages?, retain, holdout, references, secrets })
    }
}

/// Reads `reference`: one text, or a list of them.
fn references(fields: &mut Fields<'_>, folder: &Path) -> Vec<String> {
    let Some(value) = fields.value("reference") else { return Vec::new() };
    let expected = "a model or a patch, or a list of them, such as \"retrained\"";
    let items = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let mut references = Vec::new();
    for item in items {
        match item.get_ref().as_str().filter(|text| !text.trim().is_empty()) {
            Some(text) => {
                let path = folder.join(text);
                let is_file = path.exists() || text.starts_with('.');
                references.push(if is_file { path.display().to_string() } else { text.into() });
            }
            None => drop(fields.wrong_type::<()>("reference", item, expected)),
        }
    }
    references
}

fn source(
    fields: &mut Fields<'_>,
    key: &'static str,
    folder: &Path,
    files: FileCheck,
) -> Option<PassageSource> {
    let text = fields.text(key)?;
    Some(PassageSource::File(files.locate(&text, folder, fields.problems())))
}

impl PassageSource {
    /// The name of the source in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "the spec's `text`".to_owned(),
        }
    }

    /// Reads the passages of the source, at least one.
    pub fn read(&self) -> Result<Vec<Passage>, SpecError> {
        match self {
            Self::File(path) => parse_passages(&read_text(path)?),
            Self::Text(text) => parse_passages(&SourceText::new("text", text)),
        }
    }
}
