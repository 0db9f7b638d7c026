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
pub const MOST_LAYERS: usize = 10_000;

/// A member of the rank-one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// One exact rank-one write at one layer (arXiv 2202.05262).
    Rome,
    /// A batch, exact (arXiv 2403.14236), at one layer or spread over several.
    Emmet,
    /// A batch by least squares, spread over layers (arXiv 2210.07229).
    Memit,
    /// The same inside the null space of the second moment (arXiv 2410.02355).
    AlphaEdit,
}

/// The words of all methods.
const METHODS: [&str; 4] = ["rome", "emmet", "memit", "alphaedit"];

impl Method {
    /// The word in spec files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rome => "rome",
            Self::Emmet => "emmet",
            Self::Memit => "memit",
            Self::AlphaEdit => "alphaedit",
        }
    }

    /// The method that a word names.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "rome" => Self::Rome,
            "emmet" => Self::Emmet,
            "memit" => Self::Memit,
            "alphaedit" => Self::AlphaEdit,
            _ => return None,
        })
    }

    /// Whether all facts are written together; the others are written one after the other.
    pub fn is_batched(self) -> bool {
        self != Self::Rome
    }
}

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerChoice {
    /// `"auto"`: the plan chooses.
    Auto,
    /// These layers, from 0, ascending and without repeats; at least one.
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
    /// How much other names under the same prompts count beside the second moment.
    pub neighbor_weight: Option<f64>,
    /// The same for how the subject's key differs from context to context; of `rome`.
    pub scatter_weight: Option<f64>,
    /// Tokens behind the second moment.
    pub second_moment_tokens: Option<usize>,
    /// Ridge on the second moment, relative to the mean of its diagonal.
    pub ridge: Option<f64>,
    /// Text for the second moment, joined to the spec's folder.
    pub corpus: Option<PathBuf>,
    /// Largest ‖ΔW‖ / ‖W‖.
    pub max_delta: Option<f64>,
    /// λ of least squares, relative to the mean of kᵀMk.
    pub lambda: Option<f64>,
    /// Share of C's energy that the null space may hold.
    pub null_space: Option<f64>,
    /// Facts of a batch, where batches follow each other.
    pub sequential: Option<usize>,
    /// The factor of perplexity on held text at which a sequence stops.
    pub max_perplexity: Option<f64>,
}

impl RankOneOptions {
    pub(super) fn read(mut fields: Fields<'_>, folder: &Path, files: FileCheck) -> Self {
        let method = read_method(&mut fields);
        let layers = fields.value("layers");
        let options = Self {
            method,
            layers: layers.and_then(|value| read_layers(value, method, fields.problems())),
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
            neighbor_weight: fields.real("neighbor_weight", Sign::NotNegative),
            scatter_weight: fields.real("scatter_weight", Sign::NotNegative),
            second_moment_tokens: fields.count("second_moment_tokens", 1..=1_000_000_000),
            ridge: fields.real("ridge", Sign::NotNegative),
            corpus: fields
                .text("corpus")
                .map(|text| files.locate(&text, folder, fields.problems())),
            max_delta: fields.real("max_delta", Sign::Positive),
            lambda: fields.real("lambda", Sign::NotNegative),
            null_space: fields.real("null_space", Sign::Positive),
            sequential: fields.count("sequential", 1..=1_000_000),
            max_perplexity: fields.real("max_perplexity", Sign::Positive),
        };
        if options.null_space.is_some_and(|share| share > 1.) {
            let span = fields.value("null_space").expect("it was read").span();
            fields.problems().push(
                Problem::new("`null_space` is a share of the second moment's energy")
                    .label(&span, "expected at most 1"),
            );
        }
        fields.finish();
        options
    }
}

fn read_method(fields: &mut Fields<'_>) -> Option<Method> {
    let text = fields.text("method")?;
    let method = Method::of_name(&text.value);
    if method.is_none() {
        let near = nearest(&text.value, &METHODS);
        let label = near.map_or("not known".to_owned(), |near| format!("did you mean \"{near}\"?"));
        let problem = Problem::new(format!("unknown method \"{}\"", text.value));
        let help = format!("methods: {}", METHODS.join(", "));
        fields.problems().push(problem.label(&text.span, label).help(help));
    }
    method
}

fn read_layers(
    value: &Spanned<DeValue<'_>>,
    method: Option<Method>,
    problems: &Problems,
) -> Option<LayerChoice> {
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
        match whole(item).filter(|layer| *layer < MOST_LAYERS as u64) {
            Some(layer) => layers.push(layer as usize),
            None => {
                return wrong("a layer is a whole number, counted from 0", "for example: [3]");
            }
        }
    }
    match layers.len() {
        0 => wrong("`layers` is empty", "name a layer, or write layers = \"auto\""),
        n if n > 1 && layers.iter().enumerate().any(|(i, layer)| layers[..i].contains(layer)) => {
            wrong("`layers` names a layer twice", "each layer once, such as layers = [4, 5, 6]")
        }
        n if n == 1 || method.is_some_and(Method::is_batched) => {
            layers.sort_unstable();
            Some(LayerChoice::Given(layers))
        }
        n => wrong(
            &format!("`layers` names {n} layers, but method \"rome\" writes at one"),
            &format!("layers = [{}], or method = \"memit\"", layers[0]),
        ),
    }
}
