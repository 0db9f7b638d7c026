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
    /// Questions about them, which nothing is trained on.
    pub questions: QuestionSources,
    /// Models, or patches of the edited one, that never saw the passages: files joined to the
    /// spec's folder, or names.
    pub references: Vec<String>,
    /// Texts in the passages that must not be recoverable from the edited model.
    pub secrets: Vec<String>,
}

/// The sources of questions with their answers, as far as a table names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuestionSources {
    /// About the passages.
    pub passages: Option<PassageSource>,
    /// About what must stay.
    pub retain: Option<PassageSource>,
    /// About what the model never saw.
    pub holdout: Option<PassageSource>,
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
        let mut asked = |key| source(&mut fields, key, folder, files);
        let questions = QuestionSources {
            passages: asked("questions"),
            retain: asked("retain_questions"),
            holdout: match verb {
                PassageVerb::Forget => asked("holdout_questions"),
                PassageVerb::Learn => None,
            },
        };
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
        Some(Self { verb, passages: passages?, retain, holdout, questions, references, secrets })
    }

    /// Everything that is read for it, each with what it is for.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &PassageSource)> {
        let Self { passages, retain, holdout, questions, .. } = self;
        let all = [
            ("passages", Some(passages)),
            ("retain", retain.as_ref()),
            ("holdout", holdout.as_ref()),
            ("questions", questions.passages.as_ref()),
            ("retain_questions", questions.retain.as_ref()),
            ("holdout_questions", questions.holdout.as_ref()),
        ];
        all.into_iter().filter_map(|(role, source)| Some((role, source?)))
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
        parse_passages(&self.open()?)
    }

    /// Reads passages each of which is a question with its answer.
    pub fn read_questions(&self) -> Result<Vec<Passage>, SpecError> {
        let source = self.open()?;
        let questions = parse_passages(&source)?;
        let Some(at) = questions.iter().position(|it| it.question.is_none()) else {
            return Ok(questions);
        };
        let what = format!("passage {} is a text, and no question with its answer", at + 1);
        let help = "questions are objects with `question` and `answer`, or `prompt` and \
                    `completion`, in a JSON file, or the rows of a table with such columns";
        Err(SpecError::of(&source, vec![Problem::new(what).help(help)]))
    }

    fn open(&self) -> Result<SourceText, SpecError> {
        match self {
            Self::File(path) => read_text(path),
            Self::Text(text) => Ok(SourceText::new("text", text)),
        }
    }
}
