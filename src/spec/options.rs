//! `[rank_one]`: how facts are to be written, as far as the user said so.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;

use super::error::Problem;
use super::number::{Sign, whole};
use super::read::FileCheck;
use super::table::{Fields, Problems, nearest};

/// No decoder in use has as many layers; a larger number is a slip.
const MOST_LAYERS: u64 = 10_000;

/// A member of the rank-one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// One exact rank-one write at one layer (arXiv 2202.05262).
    Rome,
}

impl Method {
    /// The word in spec files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rome => "rome",
        }
    }
}

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerChoice {
    /// `"auto"`: the plan chooses.
    Auto,
    /// These layers, from 0, without repeats; at least one.
    Given(Vec<usize>),
}

/// `[rank_one]` as written: `None` is an option that the user left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RankOneOptions {
    /// Member of the family.
    pub method: Option<Method>,
    /// Where to write.
    pub layers: Option<LayerChoice>,
    /// Seed of everything that is sampled.
    pub seed: Option<u64>,
    /// Reproduce the published objective to the letter.
    pub parity: Option<bool>,
    /// Number of sampled prefixes, beside the bare prompt.
    pub contexts: Option<usize>,
    /// Length of a sampled prefix, in tokens.
    pub context_tokens: Option<usize>,
    /// Most steps of the value optimisation.
    pub steps: Option<usize>,
    /// Of Adam.
    pub learning_rate: Option<f64>,
    /// Largest ‖δ‖ / ‖v0‖.
    pub clamp: Option<f64>,
    /// Factor of ‖δ‖/‖v0‖² in the loss.
    pub weight_decay: Option<f64>,
    /// Factor of the essence KL in the loss.
    pub kl_weight: Option<f64>,
    /// The loss at which the optimisation ends early.
    pub stop_loss: Option<f64>,
    /// Tokens behind the second moment.
    pub second_moment_tokens: Option<usize>,
    /// Ridge on the second moment, relative to the mean of its diagonal.
    pub ridge: Option<f64>,
    /// Text for the second moment, joined to the spec's folder.
    pub corpus: Option<PathBuf>,
    /// Largest ‖ΔW‖ / ‖W‖.
    pub max_delta: Option<f64>,
}

impl RankOneOptions {
    pub(super) fn read(mut fields: Fields<'_>, folder: &Path, files: FileCheck) -> Self {
        let options = Self {
            method: read_method(&mut fields),
            layers: fields.value("layers").and_then(|value| read_layers(value, fields.problems())),
            seed: fields.seed("seed"),
            parity: fields.flag("parity"),
            contexts: fields.count("contexts", 0..=1_000),
            context_tokens: fields.count("context_tokens", 1..=1_000),
            steps: fields.count("steps", 1..=10_000),
            learning_rate: fields.real("learning_rate", Sign::Positive),
            clamp: fields.real("clamp", Sign::Positive),
            weight_decay: fields.real("weight_decay", Sign::NotNegative),
            kl_weight: fields.real("kl_weight", Sign::NotNegative),
            stop_loss: fields.real("stop_loss", Sign::NotNegative),
            second_moment_tokens: fields.count("second_moment_tokens", 1..=1_000_000_000),
            ridge: fields.real("ridge", Sign::NotNegative),
            corpus: fields
                .text("corpus")
                .map(|text| files.locate(&text, folder, fields.problems())),
            max_delta: fields.real("max_delta", Sign::Positive),
        };
        fields.finish();
        options
    }
}

fn read_method(fields: &mut Fields<'_>) -> Option<Method> {
    let text = fields.text("method")?;
    let problem = match text.value.as_str() {
        "rome" => return Some(Method::Rome),
        word @ ("memit" | "emmet" | "alphaedit") => {
            Problem::new(format!("method \"{word}\" is not part of this version"))
                .label(&text.span, "not built yet")
        }
        word => Problem::new(format!("unknown method \"{word}\"")).label(
            &text.span,
            nearest(word, &["rome"])
                .map_or("not known".to_owned(), |near| format!("did you mean \"{near}\"?")),
        ),
    };
    fields.problems().push(problem.help("methods of this version: rome"));
    None
}

fn read_layers(value: &Spanned<DeValue<'_>>, problems: &Problems) -> Option<LayerChoice> {
    let wrong = |message: &str, help: &str| {
        problems.push(Problem::new(message).label(&value.span(), "this").help(help));
        None
    };
    let items = match value.get_ref() {
        DeValue::String(word) if word == "auto" => return Some(LayerChoice::Auto),
        DeValue::Array(items) => items,
        DeValue::Integer(number) => {
            return wrong("`layers` is a list", &format!("layers = [{number}]"));
        }
        _ => return wrong("`layers` is neither a list nor \"auto\"", "layers = \"auto\", or [3]"),
    };
    let mut layers = Vec::new();
    for item in items.iter() {
        match whole(item).filter(|layer| *layer < MOST_LAYERS) {
            Some(layer) => layers.push(layer as usize),
            None => {
                return wrong("a layer is a whole number, counted from 0", "for example: [3]");
            }
        }
    }
    match layers.len() {
        0 => wrong("`layers` is empty", "name a layer, or write layers = \"auto\""),
        1 => Some(LayerChoice::Given(layers)),
        n => wrong(
            &format!("`layers` names {n} layers, but method \"rome\" writes at one"),
            &format!("for example: layers = [{}]", layers[0]),
        ),
    }
}
