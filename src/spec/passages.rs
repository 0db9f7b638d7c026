//! `[[forget]]`, `[[learn]]` and `[gradient]`, and the passage files that they name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::de::DeValue;

use super::error::Problem;
use super::json::looks_like_json;
use super::number::{Sign, whole};
use super::read::{FileCheck, read_text};
use super::table::{Fields, nearest};
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

/// How passages are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgetMethod {
    /// Ascent on the passages and descent on the retain set.
    GradientDifference,
    /// Ascent alone.
    GradientAscent,
    /// Ascent with weights p^β.
    Wga,
    /// Negative preference optimisation.
    Npo,
    /// The same without a reference.
    Simnpo,
    /// Descent on refusals.
    Idk,
}

const METHODS: [(&str, ForgetMethod); 6] = [
    ("gradient-difference", ForgetMethod::GradientDifference),
    ("gradient-ascent", ForgetMethod::GradientAscent),
    ("wga", ForgetMethod::Wga),
    ("npo", ForgetMethod::Npo),
    ("simnpo", ForgetMethod::Simnpo),
    ("idk", ForgetMethod::Idk),
];

impl ForgetMethod {
    /// The word in spec files.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

/// What holds the retain set where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetainLoss {
    /// Its NLL.
    Nll,
    /// Its divergence from the start model.
    Kl,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainChoice {
    /// All.
    All,
    /// The MLPs.
    Mlp,
}

/// A learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateChoice {
    /// The best of three, found on one half of the passages.
    Auto,
    /// This one.
    Given(f64),
}

/// `[gradient]` as written: `None` is an option that the user left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradientOptions {
    /// How passages are forgotten.
    pub method: Option<ForgetMethod>,
    /// Which weights are trained.
    pub train: Option<TrainChoice>,
    /// Only these layers.
    pub layers: Option<Vec<usize>>,
    /// Low-rank changes of this rank instead of dense ones.
    pub rank: Option<usize>,
    /// Of AdamW.
    pub learning_rate: Option<RateChoice>,
    /// Most steps.
    pub steps: Option<usize>,
    /// Passages of each kind in a step.
    pub batch: Option<usize>,
    /// What holds the retain set.
    pub retain_loss: Option<RetainLoss>,
    /// Weight of the forget loss, γ.
    pub forget_weight: Option<f64>,
    /// Weight of the retain loss, α.
    pub retain_weight: Option<f64>,
    /// β of wga, npo and simnpo.
    pub beta: Option<f64>,
    /// δ of simnpo.
    pub delta: Option<f64>,
    /// Tokens of a chunk.
    pub chunk: Option<usize>,
    /// The rise of the retain NLL, nats a token, at which forgetting ends.
    pub max_damage: Option<f64>,
    /// The NLL, nats a token, at which learning ends.
    pub stop_loss: Option<f64>,
    /// Of AdamW.
    pub weight_decay: Option<f64>,
    /// Take the part of the forget gradient that hurts the retain set out of it.
    pub project: Option<bool>,
    /// Run layers twice instead of keeping their activations.
    pub recompute: Option<bool>,
    /// Seed of draws and first factors.
    pub seed: Option<u64>,
}

impl GradientOptions {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let options = Self {
            method: word(&mut fields, "method", &METHODS),
            train: word(
                &mut fields,
                "train",
                &[("all", TrainChoice::All), ("mlp", TrainChoice::Mlp)],
            ),
            layers: layers(&mut fields),
            rank: fields.count("rank", 1..=4_096),
            learning_rate: rate(&mut fields),
            steps: fields.count("steps", 1..=1_000_000),
            batch: fields.count("batch", 1..=4_096),
            retain_loss: word(
                &mut fields,
                "retain_loss",
                &[("nll", RetainLoss::Nll), ("kl", RetainLoss::Kl)],
            ),
            forget_weight: fields.real("forget_weight", Sign::Positive),
            retain_weight: fields.real("retain_weight", Sign::NotNegative),
            beta: fields.real("beta", Sign::Positive),
            delta: fields.real("delta", Sign::NotNegative),
            chunk: fields.count("chunk", 8..=1_000_000),
            max_damage: fields.real("max_damage", Sign::Positive),
            stop_loss: fields.real("stop_loss", Sign::NotNegative),
            weight_decay: fields.real("weight_decay", Sign::NotNegative),
            project: fields.flag("project"),
            recompute: fields.flag("recompute"),
            seed: fields.seed("seed"),
        };
        fields.finish();
        options
    }
}

fn word<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let text = fields.text(key)?;
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == text.value) {
        return Some(*value);
    }
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let label = match nearest(&text.value, &names) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "not known".into(),
    };
    fields.problems().push(
        Problem::new(format!("unknown {key} \"{}\"", text.value))
            .label(&text.span, label)
            .help(format!("known: {}", names.join(", "))),
    );
    None
}

fn layers(fields: &mut Fields<'_>) -> Option<Vec<usize>> {
    let value = fields.value("layers")?;
    let expected = "a list of layers, counted from 0, such as [3, 4]";
    let Some(items) = value.get_ref().as_array() else {
        return fields.wrong_type("layers", value, expected);
    };
    let mut layers: Vec<usize> = Vec::new();
    for item in items.iter() {
        match whole(item).and_then(|layer| usize::try_from(layer).ok()) {
            Some(layer) => layers.push(layer),
            None => return fields.wrong_type("layers", item, expected),
        }
    }
    layers.sort_unstable();
    layers.dedup();
    (!layers.is_empty()).then_some(layers)
}

fn rate(fields: &mut Fields<'_>) -> Option<RateChoice> {
    let value = fields.value("learning_rate")?;
    match value.get_ref() {
        DeValue::String(word) if word == "auto" => Some(RateChoice::Auto),
        DeValue::String(_) => {
            fields.wrong_type("learning_rate", value, "a number above 0 or \"auto\"")
        }
        _ => fields.real("learning_rate", Sign::Positive).map(RateChoice::Given),
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
        let problems = fields.finish();
        let passages = match (file, text) {
            (Some(file), None) => Some(PassageSource::File(files.locate(&file, folder, problems))),
            (None, Some(text)) if text.value.trim().is_empty() => {
                problems.push(Problem::new("`text` is empty").label(&text.span, "no text here"));
                None
            }
            (None, Some(text)) => Some(PassageSource::Text(text.value)),
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
        Some(Self { verb, passages: passages?, retain, holdout })
    }
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
/// and `answer` as TOFU has them, or `prompt` and `completion`.
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
