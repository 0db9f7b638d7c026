//! The statistics of the layers that are written: second moments factored for solves, and prices.

use std::path::{Path, PathBuf};

use super::RunError;
use super::tools::Tools;
use crate::math::Random;
use crate::model::Model;
use crate::plan::WritePlan;
use crate::progress::{Progress, counted};
use crate::rank_one::factors::ready_layer;
use crate::rank_one::statistics::{
    Corpus, GRADIENT_TOKENS, Obtained, gradient_moments, known_gradient_moment, second_moment,
    second_moment_on,
};
use crate::rank_one::{Factored, PriceFactors, Prices};

/// The factored second moment C of each of the plan's layers; `corpus` is a text in place of the
/// model's own samples.
pub(super) fn ready(
    model: &Model,
    plan: &WritePlan,
    corpus: Option<&PathBuf>,
    tools: &Tools<'_>,
) -> Result<Vec<Factored>, RunError> {
    let Tools { cache, progress, ranks, .. } = *tools;
    let corpus = Corpus {
        file: corpus.cloned(),
        tokens: plan.settings.second_moment_tokens,
        seed: plan.settings.seed,
    };
    let mut ready = Vec::new();
    for layer in &plan.layers {
        let started = progress.now();
        if ranks.size() > 1 {
            // Its sum is in the cache afterwards, on every node.
            second_moment_on(ranks, model, *layer, &corpus, cache, progress)?;
        }
        let found = ranks.first_on_rank_0(progress, || {
            let found = ready_layer(model, plan, *layer, &corpus, cache, progress);
            found.map_err(RunError::from)
        })?;
        let seconds = (progress.now() - started).as_secs_f64();
        let origin =
            if found.was_cached { "from the cache".into() } else { format!("{seconds:.1} s") };
        progress.note(
            "moment",
            &format!("{} of layer {layer} · {origin}", counted(found.tokens, "key")),
        );
        ready.push(found.factored);
    }
    Ok(ready)
}

/// Facts from which on the statistics of prices cost little beside the rest of a run.
const MANY: usize = 10;

/// What prices the changes of the plan's layers. Nothing where the statistics are neither asked for
/// nor cached nor worth their time, or where the model is not on the CPU.
///
/// The text is other samples than those of the solve's C: a change is solved so as to spare those,
/// and would seem to cost half of what it does.
pub(super) fn prices(
    model: &Model,
    plan: &WritePlan,
    tools: &Tools<'_>,
) -> Result<Option<Prices>, RunError> {
    let Tools { cache, progress, .. } = *tools;
    let is_refused = plan.batch.price == Some(false);
    if is_refused || !model.decoder.device().is_cpu() {
        return Ok(None);
    }
    let seed = Random::named(plan.settings.seed, "prices").bits();
    let text = Corpus { file: None, tokens: GRADIENT_TOKENS, seed };
    let is_asked_for = plan.batch.price == Some(true) || plan.batch.max_drift.is_some();
    let is_wanted = is_asked_for || plan.edits.len() >= MANY;
    let gradients: Option<Vec<Obtained>> = match is_wanted {
        true => Some(computed(model, plan, &text, cache, progress)?),
        false => {
            let known =
                |layer: &usize| known_gradient_moment(model, *layer, &text, cache, progress);
            plan.layers.iter().map(known).collect::<Result<_, _>>()?
        }
    };
    let Some(gradients) = gradients else { return Ok(None) };
    let mut factors = Vec::new();
    for (layer, gradients) in plan.layers.iter().zip(gradients) {
        let keys = second_moment(model, *layer, &text, cache, progress)?;
        let name = model.down_projection_name(*layer).to_owned();
        factors.push((name, PriceFactors::new(keys, gradients, progress)));
    }
    Ok(Some(Prices::new(factors.into_iter().collect(), model.layout())))
}

fn computed(
    model: &Model,
    plan: &WritePlan,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Obtained>, RunError> {
    let started = progress.now();
    let found = gradient_moments(model, &plan.layers, corpus, cache, progress)?;
    let seconds = (progress.now() - started).as_secs_f64();
    if let Some(one) = found.iter().find(|it| !it.was_cached) {
        let layers = super::plan::layers(plan);
        let text =
            format!("{} of {layers} · {seconds:.1} s", counted(one.moment.tokens, "gradient"));
        progress.note("price", &text);
    }
    Ok(found)
}
