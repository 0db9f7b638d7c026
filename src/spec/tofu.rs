//! TOFU's files as published (arXiv 2401.06121): questions with perturbed answers, and the logs in
//! which its own evaluation writes losses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::SpecError;
use super::error::Problem;
use super::source::SourceText;
use super::text_file::read_text;

/// One of TOFU's four sets of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TofuSet {
    /// Invented authors that stay.
    Retain,
    /// Real authors.
    RealAuthors,
    /// Facts about the world.
    WorldFacts,
    /// Invented authors that are to be forgotten.
    Forget,
}

/// A question with its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct TofuItem {
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The answer in other words; real authors and world facts have none.
    pub paraphrase: Option<String>,
    /// Wrong answers of the same form, at least one.
    pub perturbed: Vec<String>,
}

/// Measurements of one item; losses are means over the answer's tokens, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct TofuScores {
    /// Loss of the answer.
    pub answer: f64,
    /// Loss of the answer in other words, or of the answer where there are none.
    pub paraphrase: f64,
    /// Loss of each wrong answer.
    pub perturbed: Vec<f64>,
    /// ROUGE-L recall of the greedy answer.
    pub rouge: f64,
}

/// Scores of each set, in the order of its file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TofuLog(pub BTreeMap<TofuSet, Vec<TofuScores>>);

/// The input of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum TofuInput {
    /// Questions, by set.
    Items(BTreeMap<TofuSet, Vec<TofuItem>>),
    /// Losses that were measured already.
    Log(TofuLog),
}

const LOGS: [(TofuSet, &str); 4] = [
    (TofuSet::Retain, "eval_log"),
    (TofuSet::RealAuthors, "eval_real_author_wo_options"),
    (TofuSet::WorldFacts, "eval_real_world_wo_options"),
    (TofuSet::Forget, "eval_log_forget"),
];

const ANSWER: &str = "avg_gt_loss";
const PARAPHRASE: &str = "avg_paraphrased_loss";
const PERTURBED: &str = "average_perturb_loss";
const ROUGE: &str = "rougeL_recall";

impl TofuSet {
    /// The name of the set in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retain => "retain",
            Self::RealAuthors => "real authors",
            Self::WorldFacts => "world facts",
            Self::Forget => "forget",
        }
    }

    fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.strip_suffix("_perturbed")?;
        match name {
            "retain" => Some(Self::Retain),
            "real_authors" => Some(Self::RealAuthors),
            "world_facts" => Some(Self::WorldFacts),
            name => name.starts_with("forget").then_some(Self::Forget),
        }
    }
}

/// Reads a folder with TOFU's `*_perturbed.json` files, one of them, or a log of its evaluation;
/// nothing where `path` is none of these. `forget` chooses among several forget sets of a folder.
pub fn read_tofu(path: &Path, forget: Option<&str>) -> Result<Option<TofuInput>, SpecError> {
    if path.is_dir() {
        return read_folder(path, forget).map(|items| Some(TofuInput::Items(items)));
    }
    if let Some(set) = TofuSet::of_file(path) {
        let items = read_items(&read_text(path)?)?;
        return Ok(Some(TofuInput::Items([(set, items)].into())));
    }
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if !is_json {
        return Ok(None);
    }
    read_log(&read_text(path)?).map(|log| log.map(TofuInput::Log))
}

fn read_folder(
    folder: &Path,
    forget: Option<&str>,
) -> Result<BTreeMap<TofuSet, Vec<TofuItem>>, SpecError> {
    let mut sets = BTreeMap::new();
    for path in tofu_files(folder)? {
        let set = TofuSet::of_file(&path).expect("only such files are listed");
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_wanted = |name: &str| stem.strip_suffix("_perturbed") == Some(name);
        if set == TofuSet::Forget && forget.is_some_and(|name| !is_wanted(name)) {
            continue;
        }
        if sets.contains_key(&set) {
            return Err(in_folder(folder, "several forget sets", "choose one: --forget forget05"));
        }
        sets.insert(set, read_items(&read_text(&path)?)?);
    }
    match (forget, sets.contains_key(&TofuSet::Forget)) {
        (Some(name), false) => {
            let help = format!("expected the file {name}_perturbed.json");
            Err(in_folder(folder, &format!("no forget set {name:?}"), &help))
        }
        _ => Ok(sets),
    }
}

fn in_folder(folder: &Path, message: &str, help: &str) -> SpecError {
    let source = SourceText::new(&folder.display().to_string(), "");
    SpecError::of(&source, vec![Problem::new(message).help(help)])
}

/// The files of a folder that hold a set, in the order of their names.
fn tofu_files(folder: &Path) -> Result<Vec<PathBuf>, SpecError> {
    let unreadable = |source| SpecError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "json")
            && TofuSet::of_file(&path).is_some()
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let help = "expected retain_perturbed.json, forget05_perturbed.json and the like";
        return Err(in_folder(folder, "no file of TOFU's evaluation in it", help));
    }
    Ok(files)
}

fn read_items(source: &SourceText) -> Result<Vec<TofuItem>, SpecError> {
    let fail = |message: String| SpecError::of(source, vec![Problem::new(message)]);
    let mut items = Vec::new();
    let text = source.text().trim_start_matches('\u{feff}');
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| fail(format!("not valid JSON: {error}")))?;
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let index = items.len() + 1;
            let missing =
                || fail(format!("item {index} has no question, answer or perturbed_answer"));
            items.push(item(&value).ok_or_else(missing)?);
        }
    }
    if items.is_empty() {
        return Err(fail("no questions in it".into()));
    }
    Ok(items)
}

fn item(value: &Value) -> Option<TofuItem> {
    let text = |value: &Value| {
        let text = value.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let perturbed = match value.get("perturbed_answer")? {
        Value::Array(answers) => answers.iter().map(text).collect::<Option<Vec<_>>>()?,
        answer => vec![text(answer)?],
    };
    (!perturbed.is_empty()).then_some(())?;
    Some(TofuItem {
        question: text(value.get("question")?)?,
        answer: text(value.get("answer")?)?,
        paraphrase: value.get("paraphrased_answer").and_then(text),
        perturbed,
    })
}

/// A log of TOFU's evaluation, with or without `.json` in the names of its parts.
fn read_log(source: &SourceText) -> Result<Option<TofuLog>, SpecError> {
    let fail = |message: String| SpecError::of(source, vec![Problem::new(message)]);
    let text = source.text().trim_start_matches('\u{feff}');
    if !text.contains(ANSWER) {
        return Ok(None);
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| fail(format!("not valid JSON: {error}")))?;
    // A report of this program holds the log of its model under this name.
    let data = value.get("data").unwrap_or(&value);
    let value = data.get("log").unwrap_or(data);
    let mut log = TofuLog::default();
    for (set, name) in LOGS {
        let part = value.get(name).or_else(|| value.get(format!("{name}.json")));
        if let Some(part) = part {
            let scores = scores(part).map_err(|what| fail(format!("`{name}`: {what}")))?;
            log.0.insert(set, scores);
        }
    }
    Ok((!log.0.is_empty()).then_some(log))
}

fn scores(part: &Value) -> Result<Vec<TofuScores>, String> {
    let column = |name: &str| {
        part.get(name).and_then(Value::as_object).ok_or_else(|| format!("no `{name}`"))
    };
    let (answers, paraphrases) = (column(ANSWER)?, column(PARAPHRASE)?);
    let (perturbed, rouge) = (column(PERTURBED)?, column(ROUGE)?);
    let mut items: Vec<(u64, TofuScores)> = Vec::new();
    for index in answers.keys() {
        let missing = |name: &str| format!("item {index:?} has no number in `{name}`");
        let number = |column: &Map<String, Value>, name: &str| {
            column.get(index).and_then(Value::as_f64).ok_or_else(|| missing(name))
        };
        let wrong = perturbed.get(index).and_then(Value::as_array);
        let wrong = wrong.and_then(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        let wrong = wrong.filter(|all| !all.is_empty()).ok_or_else(|| missing(PERTURBED))?;
        let scores = TofuScores {
            answer: number(answers, ANSWER)?,
            paraphrase: number(paraphrases, PARAPHRASE)?,
            perturbed: wrong,
            rouge: number(rouge, ROUGE)?,
        };
        let place = index.parse().map_err(|_| format!("item {index:?} is not numbered"))?;
        items.push((place, scores));
    }
    items.sort_by_key(|(place, _)| *place);
    Ok(items.into_iter().map(|(_, scores)| scores).collect())
}

impl Serialize for TofuLog {
    /// Serialises the log in TOFU's own form.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = Map::new();
        for (set, name) in LOGS {
            let Some(scores) = self.0.get(&set) else { continue };
            let column = |value: &dyn Fn(&TofuScores) -> Value| -> Value {
                let numbered = scores.iter().enumerate();
                numbered
                    .map(|(index, item)| (index.to_string(), value(item)))
                    .collect::<Map<_, _>>()
                    .into()
            };
            let part = json!({
                ANSWER: column(&|item| item.answer.into()),
                PARAPHRASE: column(&|item| item.paraphrase.into()),
                PERTURBED: column(&|item| item.perturbed.clone().into()),
                ROUGE: column(&|item| item.rouge.into()),
            });
            parts.insert(name.into(), part);
        }
        parts.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText::new("f", text)
    }

    #[test]
    fn items_of_both_kinds_of_files() {
        let text = r#"{"question":"Who?","answer":"Ada.","paraphrased_answer":"It is Ada.",
            "perturbed_answer":["Otto.","Ida."]}
            {"question":"Where?","answer":"Bremen","perturbed_answer":"Kiel"}"#;
        let items = read_items(&source(text)).expect("two items");
        assert_eq!(items[0].paraphrase.as_deref(), Some("It is Ada."));
        assert_eq!(items[0].perturbed, ["Otto.", "Ida."]);
        assert_eq!((items[1].paraphrase.clone(), items[1].perturbed.len()), (None, 1));
        for (text, expected) in [
            ("{\"question\": \"Who?\", \"answer\": \"Ada.\"}", "item 1 has no question"),
            ("{\"question\": \"Who?\", \"answer\": \"A\", \"perturbed_answer\": []}", "item 1"),
            ("[]", "no questions"),
            ("{", "not valid JSON"),
        ] {
            let error = read_items(&source(text)).expect_err("refused").to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_log_is_read_as_it_was_written_and_in_the_order_of_its_numbers() {
        let scores = |answer: f64| TofuScores {
            answer,
            paraphrase: 2. * answer,
            perturbed: vec![answer, 3.],
            rouge: 0.5,
        };
        let many: Vec<TofuScores> = (0..12).map(|i| scores(f64::from(i))).collect();
        let log = TofuLog([(TofuSet::Forget, many), (TofuSet::Retain, vec![scores(1.)])].into());
        let text = serde_json::to_string(&log).expect("plain data");
        assert_eq!(read_log(&source(&text)).expect("a log"), Some(log.clone()));
        let renamed = text.replace("eval_log_forget", "eval_log_forget.json");
        assert_eq!(read_log(&source(&renamed)).expect("a log"), Some(log.clone()));
        let inside = format!("{{\"schema\": 1, \"log\": {text}}}");
        assert_eq!(read_log(&source(&inside)).expect("a log"), Some(log));
        let report = format!("{{\"schema\": 2, \"data\": {{\"log\": {text}}}}}");
        assert!(read_log(&source(&report)).expect("a log").is_some());
        assert_eq!(read_log(&source("[{\"case_id\": 1}]")).expect("no log"), None);
        let broken = text.replace("\"rougeL_recall\"", "\"rouge\"");
        let error = read_log(&source(&broken)).expect_err("refused").to_string();
        assert!(error.contains("no `rougeL_recall`"), "{error}");
    }
}
