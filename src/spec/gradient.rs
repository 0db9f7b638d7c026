//! `[gradient]`: how passages are learnt and forgotten.

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::error::Problem;
use super::number::{Sign, whole};
use super::table::{Fields, nearest};

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
    /// The method of a word in spec files.
    pub fn of_name(name: &str) -> Option<Self> {
        METHODS.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }

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
    /// δ of simnpo; without it, the NLL at which forgetting is to end.
    pub delta: Option<f64>,
    /// Tokens of a chunk.
    pub chunk: Option<usize>,
    /// Steps over which the rate rises.
    pub warm_up: Option<usize>,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip: Option<f64>,
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
            warm_up: fields.count("warm_up", 0..=1_000_000),
            clip: fields.real("clip", Sign::Positive),
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
