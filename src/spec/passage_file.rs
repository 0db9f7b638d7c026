//! Passages and the files that hold them: prose, JSON, or a table.

mod prose;
mod shape;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Problem;
use super::json;
use super::sheet::{Sheet, is_sheet};
use super::table::Problems;
use super::{SourceText, SpecError};

/// One passage: a text, or an answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The question, which is read and not learnt or forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Whether the question is the beginning of a text, which the answer goes on: it is read as it stands,
    /// and any other one as a question.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_beginning: bool,
    /// The text that is learnt or forgotten.
    pub text: String,
}

impl Passage {
    /// A text without a question.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self { question: None, is_beginning: false, text: text.into() }
    }

    /// A text that answers `question`.
    pub fn of_question(question: impl Into<String>, text: impl Into<String>) -> Self {
        Self { question: Some(question.into()), ..Self::of_text(text) }
    }

    /// What is read before the text, as a model reads it; nothing where it has no question.
    pub fn prompt(&self) -> Option<String> {
        let question = self.question.as_deref()?.trim_end();
        Some(if self.is_beginning { question.to_owned() } else { as_question(question) })
    }
}

/// How a question stands before its answer.
pub fn as_question(question: &str) -> String {
    format!("Question: {question}\nAnswer:")
}

/// Reads passages: paragraphs of prose or Markdown; the items of a JSON file, whether lines or a
/// list, each a text or an object of a known shape; or the rows of a table with such columns.
///
/// A file that is JSON by its name or its beginning is never read as prose.
///
/// # Errors
///
/// [`SpecError`] names every item that is no passage, and the shapes that are known.
pub fn parse_passages(source: &SourceText) -> Result<Vec<Passage>, SpecError> {
    let passages = match of_data(source)? {
        Some(passages) => passages,
        None => {
            refuse_markup(source)?;
            let text = source.text().trim_start_matches('\u{feff}');
            let passage = |text: String| Passage::of_text(text);
            prose::passages(text).into_iter().map(passage).collect()
        }
    };
    if passages.is_empty() {
        return Err(SpecError::of(source, vec![Problem::new("no passages in it")]));
    }
    Ok(passages)
}

/// The text of a corpus: that of the passages of a JSON file or a table, with blank lines between
/// them; nothing where the file is prose, which is a corpus as it is.
pub fn corpus_of_data(source: &SourceText) -> Result<Option<String>, SpecError> {
    let text = |it: Passage| it.question.into_iter().chain([it.text]).collect::<Vec<_>>().join(" ");
    let joined = |all: Vec<Passage>| all.into_iter().map(text).collect::<Vec<_>>().join("\n\n");
    Ok(of_data(source)?.map(joined))
}

/// The passages of a JSON file or a table; nothing where the file is prose.
fn of_data(source: &SourceText) -> Result<Option<Vec<Passage>>, SpecError> {
    if is_sheet(source, &shape::COLUMNS) {
        return of_sheet(source).map(Some);
    }
    match json::is_json(source) {
        true => of_json(source).map(Some),
        false => Ok(None),
    }
}

/// Refuses a file whose name says that its keys or tags would be read as prose.
fn refuse_markup(source: &SourceText) -> Result<(), SpecError> {
    const KINDS: [(&str, &str); 6] = [
        ("yaml", "YAML"),
        ("yml", "YAML"),
        ("toml", "TOML"),
        ("xml", "XML"),
        ("html", "HTML"),
        ("htm", "HTML"),
    ];
    let ending = Path::new(source.name()).extension().map(|it| it.to_ascii_lowercase());
    let kind = KINDS.iter().find(|(known, _)| ending.as_ref().is_some_and(|it| it == known));
    let Some((_, kind)) = kind else { return Ok(()) };
    let problem =
        Problem::new(format!("it is {kind}, by its name, and passages are not read from that"));
    let help =
        "save the texts as paragraphs (.txt, .md), as JSON (.json, .jsonl) or as a table (.csv)";
    Err(SpecError::of(source, vec![problem.help(help)]))
}

fn of_json(source: &SourceText) -> Result<Vec<Passage>, SpecError> {
    let (mut passages, problems) = (Vec::new(), Problems::default());
    for (index, (place, item)) in json::items(source).enumerate() {
        let passage = item.and_then(|value| {
            shape::passage(&value).map_err(|what| {
                let problem = Problem::new(format!("passage {} {what}", index + 1));
                problem.label(&json::head(source, &place), "this passage")
            })
        });
        match passage {
            Ok(passage) => passages.push(passage),
            Err(problem) => problems.push(problem),
        }
    }
    finished(source, passages, problems)
}

fn of_sheet(source: &SourceText) -> Result<Vec<Passage>, SpecError> {
    let sheet = Sheet::read(source, &shape::COLUMNS)?;
    if let Some(required) = shape::nearest(&|name| sheet.has(name)) {
        sheet.require(source, &required, &shape::columns_help())?;
    }
    let (mut passages, problems) = (Vec::new(), Problems::default());
    for row in &sheet.rows {
        let passage = row.value().and_then(|value| {
            shape::passage(&value).map_err(|what| {
                let problem = Problem::new(format!("the row on line {} {what}", row.line));
                problem.label(&json::head(source, &row.place), "this row")
            })
        });
        match passage {
            Ok(passage) => passages.push(passage),
            Err(problem) => problems.push(problem),
        }
    }
    finished(source, passages, problems)
}

/// The passages, or the error of all problems; the first one says which shapes are known.
fn finished(
    source: &SourceText,
    passages: Vec<Passage>,
    problems: Problems,
) -> Result<Vec<Passage>, SpecError> {
    let mut problems = problems.into_vec();
    problems.iter_mut().for_each(|problem| problem.record = None);
    match problems.first_mut() {
        None => Ok(passages),
        Some(first) => {
            if first.help.is_none() && !first.message.starts_with("not valid JSON") {
                first.help = Some(shape::help());
            }
            Err(SpecError::of(source, problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<Passage>, SpecError> {
        parse_passages(&SourceText::new(name, text))
    }

    fn texts(passages: &[Passage]) -> Vec<&str> {
        passages.iter().map(|passage| passage.text.as_str()).collect()
    }

    fn pair(question: &str, text: &str) -> Passage {
        Passage::of_question(question, text)
    }

    #[test]
    fn paragraphs_lines_and_pairs() {
        let plain = read("p", "One\ntwo.\n\n \nThree.\n").expect("text");
        assert_eq!(texts(&plain), ["One\ntwo.", "Three."]);
        let lines = "{\"question\": \"Who?\", \"answer\": \"She.\"}\n{\"text\": \"T\"}\n";
        let expected = [pair("Who?", "She."), Passage::of_text("T")];
        assert_eq!(read("p", lines).expect("lines"), expected);
        let array = "[{\"prompt\": \"Who?\", \"completion\": \"She.\"}]";
        assert_eq!(read("p", array).expect("an array"), expected[..1]);
    }

    #[test]
    fn every_list_of_texts_is_its_texts() {
        let rows = [
            "[\"Vell is old.\", \"Oss is new.\"]",
            "\"Vell is old.\"\n\"Oss is new.\"\n",
            "[{\"text\": \"Vell is old.\"}, {\"content\": \" Oss is new. \"}]",
            "{\"passage\": \"Vell is old.\"}\n{\"title\": \"O\", \"text\": \"Oss is new.\"}",
            "[[\"Vell is old.\"], [\"Oss is new.\"]]",
        ];
        for text in rows {
            let read = read("p.json", text).expect(text);
            assert_eq!(texts(&read), ["Vell is old.", "Oss is new."], "{text}");
        }
        let table = "Title;Text\nV;Vell is old.\nO;\"Oss is new.\"\n";
        assert_eq!(texts(&read("p.csv", table).expect("a table")), ["Vell is old.", "Oss is new."]);
    }

    #[test]
    fn every_pair_is_a_question_with_its_answer() {
        let rows = [
            "{\"prompt\": \"Who?\", \"response\": \"She.\"}",
            "{\"prompt\": \"Who?\", \"gt\": \"She.\", \"id\": 3}",
            "{\"instruction\": \"Who?\", \"input\": \"\", \"output\": \"She.\"}",
            "{\"query\": \"Who?\", \"answer\": \"She.\", \"type\": \"cloze\", \"subject\": \"X\"}",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Who?\"},
              {\"role\": \"assistant\", \"content\": \"She.\"}]}",
            "[[{\"role\": \"user\", \"content\": \"Who?\"},
              {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"She.\"}]}]]",
            "{\"conversations\": [{\"from\": \"human\", \"value\": \"Who?\"},
              {\"from\": \"gpt\", \"value\": \"She.\"}]}",
        ];
        for text in rows {
            assert_eq!(read("p.json", text).expect(text), [pair("Who?", "She.")], "{text}");
        }
        let table = "question,answer\r\nWho?,She.\r\n";
        assert_eq!(read("p", table).expect("a table"), [pair("Who?", "She.")]);
        let with_input = "{\"instruction\": \"Add.\", \"input\": \"1, 2\", \"output\": \"3\"}";
        assert_eq!(read("p", with_input).expect("a pair"), [pair("Add.\n\n1, 2", "3")]);
        let turns = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},
            {\"role\": \"user\", \"content\": \"Who?\"},
            {\"role\": \"assistant\", \"content\": \"She.\"},
            {\"role\": \"user\", \"content\": \"When?\"},
            {\"role\": \"assistant\", \"content\": \"Now.\"}]}";
        let expected = pair("Be brief.\n\nWho?", "She.\n\nQuestion: When?\nAnswer: Now.");
        assert_eq!(read("p", turns).expect("a chat"), [expected]);
    }

    #[test]
    fn a_corpus_is_the_text_of_its_passages() {
        let corpus = |text: &str| corpus_of_data(&SourceText::new("c", text)).expect("a corpus");
        let data = "{\"text\": \"One.\"}\n{\"question\": \"Who?\", \"answer\": \"She.\"}\n";
        assert_eq!(corpus(data).as_deref(), Some("One.\n\nWho? She."));
        assert_eq!(corpus("One.\n\nTwo."), None);
    }

    #[test]
    fn what_holds_no_passage_is_refused() {
        let rows = [
            ("p", "\n \n", "no passages in it"),
            ("p", "[]", "no passages in it"),
            ("p", "{\"text\": \" \"}", "passage 1 has nothing but blanks at `text`"),
            (
                "p",
                "{\"text\": \"a\"}\n{\"answer\": \"a\"}",
                "line 2: passage 2 has `answer` and no `question`",
            ),
            ("p", "{\"text\": \"a\"", "not valid JSON"),
            ("p.json", "[\"a\", 3]", "passage 2 is a number"),
            ("p.json", "Plain text.", "not valid JSON"),
            ("p", "[1, 2]", "has 2 problems"),
            ("p", "{\"data\": [\"a\"]}", "passage 1 is an object with `data`"),
            ("p", "{\"messages\": []}", "passage 1 has no message of an assistant"),
            ("p.yaml", "- text: a\n", "it is YAML, by its name"),
            ("p.HTM", "<p>a</p>", "it is HTML, by its name"),
            ("p.csv", "title,date\na,b\n", "no column `text` among \"title\", \"date\""),
            ("p.csv", "question,title\na,b\n", "no column `answer` among"),
            ("p.csv", "question,answer\na,\n", "the row on line 2 has `question` and no `answer`"),
        ];
        for (name, text, expected) in rows {
            let error = read(name, text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let error = read("p", "{\"text\": \"a\"}\n{\"a\": 1}\n{\"text\": 2}\n{\"text\"}\n");
        let error = error.expect_err("three bad lines");
        let messages: Vec<&str> = error.problems().iter().map(|it| it.message.as_str()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[1].contains("has a number at `text`"), "{messages:?}");
        assert!(error.problems()[0].help.as_ref().is_some_and(|it| it.contains("`messages`")));
    }
}
