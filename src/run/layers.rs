//! The second moments of the layers that are written, factored for solves.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::model::Model;
use crate::plan::WritePlan;
use crate::progress::{Progress, counted};
use crate::rank_one::Factored;
use crate::rank_one::factors::ready_layer;
use crate::rank_one::statistics::Corpus;

/// The factored second moment C of each of the plan's layers; `corpus` is a text in place of the
/// model's own samples.
pub(super) fn ready(
    model: &Model,
    plan: &WritePlan,
    corpus: Option<&PathBuf>,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Factored>, RunError> {
    let corpus = Corpus {
        file: corpus.cloned(),
        tokens: plan.settings.second_moment_tokens,
        seed: plan.settings.seed,
    };
    let mut ready = Vec::new();
    for layer in &plan.layers {
        let started = progress.now();
        let found = ready_layer(model, plan, *layer, &corpus, cache, progress)?;
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
