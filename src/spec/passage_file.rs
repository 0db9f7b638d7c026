//! Passages and the files that hold them: paragraphs, or JSON with one object a passage.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Problem;
use super::json::looks_like_json;
use super::{SourceText, SpecError};

/// One passage: a text, or an answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The question, which is read and not learnt or forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The text that is learnt or forgotten.
    pub text: String,
}

/// Reads passages: paragraphs between blank lines; or JSON, one object a line or in an array:
/// `text`, or `question` and `answer` as in TOFU, or `prompt` and `completion`.
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
