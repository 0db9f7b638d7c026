//! `[[forget]]` and `[[learn]]`, and the passage files that they name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::de::DeValue;

use super::error::Problem;
use super::json::looks_like_json;
use super::read::{FileCheck, read_text};
use super::secrets;
use super::table::Fields;
use super::{SourceText, SpecError};

/// What is to happen with passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassageVerb {
    /// Make them probable.
    Learn,
    /// Make them as improbable as if they had never been seen.
    Forget,
}

/// One `[[forget]]` or `[[learn]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageOperation {
    /// Which of the two.
    pub verb: PassageVerb,
    /// The passages.
    pub passages: PassageSource,
    /// Passages that must stay as they are.
    pub retain: Option<PassageSource>,
    /// Passages of the same kind that the model never saw.
    pub holdout: Option<PassageSource>,
    /// Models, or patches of the edited one, that never saw the passages: files joined to the
    /// spec's folder, or names.
    pub references: Vec<String>,
    /// Texts in the passages that must not come out of the model afterwards, asked for by name.
    pub secrets: Vec<String>,
}

/// Where passages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassageSource {
    /// A file, joined to the spec's folder.
    File(PathBuf),
    /// Text in the spec.
    Text(String),
}

/// One passage: a text, or an answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// What is only read: the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What is learnt or forgotten.
    pub text: String,
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
            PassageVerb::Forget => secrets::read(&mut fields),
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
                secrets::check(&secrets, "text", &text, problems);
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

/// `reference`: one text, or a list of them.
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
    /// Its passages, at least one.
    pub fn read(&self) -> Result<Vec<Passage>, SpecError> {
        match self {
            Self::File(path) => parse_passages(&read_text(path)?),
            Self::Text(text) => parse_passages(&SourceText::new("text", text)),
        }
    }
}

/// Paragraphs between blank lines; or JSON, one object a line or in an array: `text`, or `question`
/// and `answer` as in TOFU, or `prompt` and `completion`.
pub fn parse_passages(source: &SourceText) -> Result<Vec<Passage>, SpecError> {
    let text = source.text().trim_start_matches('\u{feff}');
    let passages = match looks_like_json(text) {
        true => parse_json(source, text)?,
        false => paragraphs(text),
    };
    if passages.is_empty() {
        return Err(SpecError::of(source, vec![Problem::new("no passages in it")]));
    }
    Ok(passages)
}

fn paragraphs(text: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            lines.push(line.trim_end());
        } else if !lines.is_empty() {
            passages.push(Passage { question: None, text: lines.join("\n") });
            lines.clear();
        }
    }
    passages
}

fn parse_json(source: &SourceText, text: &str) -> Result<Vec<Passage>, SpecError> {
    let fail = |message: String| SpecError::of(source, vec![Problem::new(message)]);
    let mut passages = Vec::new();
    let stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut take = |value: &Value| {
        let index = passages.len() + 1;
        let passage = passage(value).ok_or_else(|| {
            fail(format!("passage {index} has neither `text` nor `question` and `answer`"))
        });
        passage.map(|passage| passages.push(passage))
    };
    for value in stream {
        let value = value.map_err(|error| fail(format!("not valid JSON: {error}")))?;
        match &value {
            Value::Array(items) => items.iter().try_for_each(&mut take)?,
            value => take(value)?,
        }
    }
    Ok(passages)
}

fn passage(value: &Value) -> Option<Passage> {
    let text = |key: &str| {
        let text = value.get(key)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let pair = |question, answer| Some((text(question)?, text(answer)?));
    match pair("question", "answer").or_else(|| pair("prompt", "completion")) {
        Some((question, text)) => Some(Passage { question: Some(question), text }),
        None => text("text").map(|text| Passage { question: None, text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Passage>, String> {
        parse_passages(&SourceText::new("p", text)).map_err(|error| error.to_string())
    }

    #[test]
    fn paragraphs_lines_and_pairs() {
        let plain = read("One\ntwo.\n\n \nThree.\n").expect("text");
        assert_eq!(
            plain.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(),
            ["One\ntwo.", "Three."]
        );
        let lines = "{\"question\": \"Who?\", \"answer\": \"She.\"}\n{\"text\": \"T\"}\n";
        let expected = [
            Passage { question: Some("Who?".into()), text: "She.".into() },
            Passage { question: None, text: "T".into() },
        ];
        assert_eq!(read(lines).expect("lines"), expected);
        let array = "[{\"prompt\": \"Who?\", \"completion\": \"She.\"}]";
        assert_eq!(read(array).expect("an array"), expected[..1]);
    }

    #[test]
    fn what_holds_no_passage_is_refused() {
        for (text, expected) in [
            ("\n \n", "no passages in it"),
            ("{\"text\": \" \"}", "passage 1 has neither `text`"),
            ("{\"text\": \"a\"}\n{\"answer\": \"a\"}", "passage 2 has neither `text`"),
            ("{\"text\": \"a\"", "not valid JSON"),
        ] {
            let error = read(text).expect_err("refused");
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
