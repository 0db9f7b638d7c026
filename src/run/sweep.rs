//! A sweep of layers: the facts of a job are written into one layer after another, and measured, so
//! as to find the layer at which this model takes them best.
//!
//! A family's layer is a share of its depth, which suits some sizes less than others. The writes are
//! single ones by ROME, which show one layer at a time. Every layer is judged by four shares: targets
//! said, targets said after paraphrases, other subjects that keep their answer, and exp(−drift). The
//! best layer has the largest harmonic mean of them, in which a good share does not make up for a bad
//! one. The facts are those that the job will write, so that the scores are chosen on the same facts
//! as the report measures.

use serde::{Deserialize, Serialize};

use super::Grouping;
use super::error::RunError;
use super::execute::execute;
use super::job::{Case, Job};
use super::outcome::{CaseMeasures, Outcome};
use super::plan::Plan;
use super::tools::Tools;
use crate::files::{Sha256, keep_sealed, read_sealed};
use crate::model::Model;
use crate::plan::layers_around;
use crate::probe::{Background, Damage, PromptKind, Said};
use crate::progress::Inner;
use crate::spec::{LayerChoice, Method, RankOneOptions};

/// Records that are tried; all facts of a spec are.
const RECORDS: usize = 6;
/// Layers of the first round, at most.
const COARSE: usize = 6;
/// Facts are found in the first part of a model; layers beyond this share of its depth are not tried.
const DEPTH: f64 = 0.6;
/// A share of zero counts as this, so that the others still tell layers apart.
const LEAST: f64 = 1e-3;

/// The layers that were tried, and the one to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSweep {
    /// Measurements, by layer.
    pub tried: Vec<TriedLayer>,
    /// The layer with the best score.
    pub best: usize,
    /// Facts that were written into each.
    pub facts: usize,
    /// Whether all of it came from the cache.
    #[serde(skip)]
    pub was_cached: bool,
}

/// What became of the facts at one layer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TriedLayer {
    /// The layer, from 0.
    pub layer: usize,
    /// Share of the targets that are said after their own prompt; of erased answers, that are not.
    pub said: f64,
    /// The same after other wordings.
    pub paraphrased: Option<f64>,
    /// Share of other subjects that keep their answer.
    pub kept: Option<f64>,
    /// Drift on general text, nats a token.
    pub drift: Option<f64>,
    /// Facts that were left out because they would have changed too much.
    pub unwritten: usize,
    /// Harmonic mean of the shares.
    pub score: f64,
}

impl LayerSweep {
    /// Tries the layers of `model`, whose display name is `name`, on facts of `job`; or reads what
    /// was found before in the cache.
    ///
    /// # Errors
    ///
    /// Those of [`execute`]; and of a job without facts.
    pub fn new(model: &Model, name: &str, job: &Job, tools: &Tools<'_>) -> Result<Self, RunError> {
        let job = sample(job);
        if job.facts.is_empty() {
            return Err(RunError::NothingToSweep);
        }
        let file = tools.cache.join(format!("sweep-{}.json", identity(model, &job)?));
        let known = read_sealed(&file, tools.progress);
        let known = known.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if let Some(known) = known {
            return Ok(Self { was_cached: true, ..known });
        }
        let layers = model.decoder.config().layers;
        let measure = |layer| measured(model, name, &job, layer, tools);
        let mut tried: Vec<TriedLayer> =
            coarse(layers).into_iter().map(measure).collect::<Result<_, _>>()?;
        for layer in around(best(&tried), layers) {
            if !tried.iter().any(|it| it.layer == layer) {
                tried.push(measure(layer)?);
            }
        }
        tried.sort_by_key(|it| it.layer);
        let found = Self { best: best(&tried), tried, facts: job.facts.len(), was_cached: false };
        let bytes = serde_json::to_vec(&found).expect("numbers are JSON");
        keep_sealed(&file, &[&bytes], tools.progress);
        Ok(found)
    }

    /// The layers that `method` writes: the best one, or those around it.
    pub fn layers(&self, model: &Model, method: Method) -> Vec<usize> {
        layers_around(model, method, self.best)
    }
}

/// The first records, or all facts of a spec, each record written into the base by itself.
fn sample(job: &Job) -> Job {
    let cases: Vec<Case> = job.cases.iter().take(RECORDS).cloned().collect();
    let end = cases.iter().map(|case| case.facts.end).max().unwrap_or(0);
    let groups = match cases.as_slice() {
        [_] => vec![end],
        several => several.iter().map(|case| case.facts.len()).collect(),
    };
    let options = RankOneOptions {
        method: Some(Method::Rome),
        sequential: None,
        max_perplexity: None,
        max_drift: None,
        price: Some(false),
        lambda: None,
        null_space: None,
        layers: None,
        ..job.rank_one.clone()
    };
    Job {
        facts: job.facts[..end].to_vec(),
        without_ripples: None,
        passages: Vec::new(),
        cases,
        grouping: Grouping::Isolated,
        groups,
        rank_one: options,
        ..job.clone()
    }
}

/// Everything that decides what is found.
fn identity(model: &Model, job: &Job) -> Result<Sha256, RunError> {
    let weights = job.start.weights(model.weights_hash()?);
    let facts = format!("{:?} {:?} {:?}", job.facts, job.cases, job.rank_one);
    let model = format!("{weights} {} {}", model.config_hash, model.tokenizer.hash());
    Ok(Sha256::of(format!("layer sweep 1 {model} {facts}")))
}

/// Layers of the first round, evenly over the part of the model that is tried.
fn coarse(layers: usize) -> Vec<usize> {
    let last = (DEPTH * (layers - 1) as f64).round() as usize;
    let steps = COARSE.min(last + 1) - 1;
    (0..=steps).map(|step| (step * last).div_ceil(steps.max(1))).collect()
}

/// The layers next to `best`.
fn around(best: usize, layers: usize) -> Vec<usize> {
    [best.checked_sub(1), Some(best + 1).filter(|next| *next < layers)]
        .into_iter()
        .flatten()
        .collect()
}

fn best(tried: &[TriedLayer]) -> usize {
    let best = tried.iter().max_by(|a, b| a.score.total_cmp(&b.score).then(b.layer.cmp(&a.layer)));
    best.map_or(0, |it| it.layer)
}

fn measured(
    model: &Model,
    name: &str,
    job: &Job,
    layer: usize,
    tools: &Tools<'_>,
) -> Result<TriedLayer, RunError> {
    let progress = tools.progress;
    progress.phase(&format!("layer {layer}"), None);
    let rank_one =
        RankOneOptions { layers: Some(LayerChoice::Given(vec![layer])), ..job.rank_one.clone() };
    let job = Job { rank_one, ..job.clone() };
    let inner = Inner(progress);
    let tools = Tools { progress: &inner, stored_as: None, checkpoint: None, ..*tools };
    let plan = Plan::new(model, name, &job, &inner)?;
    let found = match execute(model, &job, &plan, &tools) {
        Ok(outcome) => TriedLayer::of(&outcome, layer),
        // A spec is one group of facts, which is written whole or not at all.
        Err(RunError::Write { .. }) => TriedLayer::unwritten(&job, layer),
        Err(error) => return Err(error),
    };
    progress.note("layer", &found.describe());
    Ok(found)
}

impl TriedLayer {
    fn of(outcome: &Outcome, layer: usize) -> Self {
        let after: Vec<&CaseMeasures> = outcome.after().collect();
        let share = |kind: PromptKind| {
            let is_of = |said: &&Said| said.kind == kind;
            let said = after.iter().flat_map(|it| &it.said).filter(is_of);
            let erased = after.iter().flat_map(|it| &it.erased).filter(is_of);
            let reached: Vec<bool> =
                said.map(|it| it.is_said).chain(erased.map(|it| !it.is_said)).collect();
            let hits = reached.iter().filter(|it| **it).count();
            (!reached.is_empty()).then(|| hits as f64 / reached.len() as f64)
        };
        let background: Vec<Background> =
            after.iter().filter_map(|it| it.background.clone()).collect();
        let background = Background::pooled(&background);
        let kept = [background.others, background.own_prompts].into_iter().flatten();
        let kept: Vec<f64> = kept.map(|it| it.mean).collect();
        let damage = outcome.groups.iter().filter_map(|group| group.damage.as_ref());
        let damage = Damage::over_edits(damage).or_else(|| outcome.damage.clone());
        Self {
            layer,
            said: share(PromptKind::Rewrite).unwrap_or(0.),
            paraphrased: share(PromptKind::Paraphrase),
            kept: kept.into_iter().reduce(f64::min),
            drift: damage.map(|damage| damage.drift.mean),
            unwritten: outcome.facts().filter(|fact| fact.unwritten.is_some()).count(),
            ..Self::default()
        }
        .scored()
    }

    fn unwritten(job: &Job, layer: usize) -> Self {
        Self { layer, unwritten: job.facts.len(), ..Self::default() }.scored()
    }

    fn scored(mut self) -> Self {
        let shares =
            [Some(self.said), self.paraphrased, self.kept, self.drift.map(|it| (-it).exp())];
        let shares: Vec<f64> = shares.into_iter().flatten().map(|it| it.max(LEAST)).collect();
        self.score = shares.len() as f64 / shares.iter().map(|it| 1. / it).sum::<f64>();
        self
    }

    fn describe(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100. * share);
        let parts = [
            Some(format!("said {}", percent(self.said))),
            self.paraphrased.map(|it| format!("paraphrased {}", percent(it))),
            self.kept.map(|it| format!("others kept {}", percent(it))),
            self.drift.map(|it| format!("drift {it:.4}")),
            (self.unwritten > 0).then(|| format!("{} too large to write", self.unwritten)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{} · {}", self.layer, parts.join(" · "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(layer: usize, said: f64, kept: f64, drift: f64) -> TriedLayer {
        let paraphrased = Some(said);
        let (kept, drift) = (Some(kept), Some(drift));
        TriedLayer { layer, said, paraphrased, kept, drift, unwritten: 0, score: 0. }.scored()
    }

    #[test]
    fn layers_are_tried_in_the_first_part_of_a_model() {
        assert_eq!(coarse(30), [0, 4, 7, 11, 14, 17]);
        assert_eq!(coarse(6), [0, 1, 2, 3]);
        assert_eq!(coarse(1), [0]);
        assert_eq!((around(0, 6), around(3, 6), around(5, 6)), (vec![1], vec![2, 4], vec![4]));
    }

    #[test]
    fn the_best_layer_is_bad_in_nothing() {
        let by_hand = 4. / (1. / 0.5 + 1. / 0.5 + 1. + 1.);
        assert!((tried(0, 0.5, 1., 0.).score - by_hand).abs() < 1e-12);
        let found = [tried(1, 1., 0.3, 0.01), tried(2, 0.9, 0.9, 0.01), tried(3, 0., 1., 0.)];
        assert_eq!(best(&found), 2);
        assert_eq!(best(&[tried(4, 1., 1., 0.), tried(2, 1., 1., 0.)]), 2, "the earlier of equals");
    }
}
