//! Many facts at once: the layers made ready, the values found, what a batch did.

use std::time::Instant;

use anyhow::Context;

use super::session::Session;
use super::ui::Ui;
use rescribe::model::Decoder;
use rescribe::plan::{PlannedEdit, WritePlan};
use rescribe::probe::{HELD_TEXTS, drift, fluency};
use rescribe::progress::Progress;
use rescribe::rank_one::factors::ready_layer;
use rescribe::rank_one::statistics::Corpus;
use rescribe::rank_one::targets::{Ask, ValueStore, find};
use rescribe::rank_one::{Factored, OptimisedValue, WrittenBatch};
use rescribe::report::{FactReport, Health};
use rescribe::spec::RankOneOptions;

/// C of each of the plan's layers, ready for solves.
pub fn ready_layers(
    session: &Session,
    plan: &WritePlan,
    options: &RankOneOptions,
    ui: &Ui,
) -> anyhow::Result<Vec<Factored>> {
    let corpus = Corpus {
        file: options.corpus.clone(),
        tokens: plan.settings.second_moment_tokens,
        seed: plan.settings.seed,
    };
    let mut ready = Vec::new();
    for layer in &plan.layers {
        let started = Instant::now();
        let found = ready_layer(&session.model, plan, *layer, &corpus, &session.cache, ui)?;
        ui.close();
        let seconds = started.elapsed().as_secs_f64();
        let origin =
            if found.was_cached { "from the cache".into() } else { format!("{seconds:.1} s") };
        ui.note("moment", &format!("{} keys of layer {layer} · {origin}", found.tokens));
        ready.push(found.factored);
    }
    Ok(ready)
}

/// Values of a batch, and how many of them the cache held.
pub struct FoundValues {
    pub values: Vec<OptimisedValue>,
    pub from_cache: usize,
}

/// δ of each fact: from the cache, or found now and kept there.
pub fn find_values(
    session: &Session,
    plan: &WritePlan,
    asks: &[Ask<'_>],
    store: &ValueStore,
    ui: &Ui,
) -> anyhow::Result<FoundValues> {
    ui.phase("values", Some(asks.len() as u64));
    let (mut values, mut from_cache) = (Vec::with_capacity(asks.len()), 0);
    for (i, ask) in asks.iter().enumerate() {
        ui.check()?;
        ui.advance(i as u64, &ask[0].subject);
        let (value, was_known) = find_value(session, plan, ask, store, ui)?;
        from_cache += if was_known { ask.len() } else { 0 };
        values.push(value);
    }
    ui.close();
    Ok(FoundValues { values, from_cache })
}

/// δ of one ask, and whether the cache held it.
pub fn find_value(
    session: &Session,
    plan: &WritePlan,
    ask: &Ask<'_>,
    store: &ValueStore,
    ui: &Ui,
) -> anyhow::Result<(OptimisedValue, bool)> {
    let decoder = &session.model.decoder;
    if let Some(value) = store.get(plan, ask, decoder.config().hidden) {
        return Ok((value, true));
    }
    let value = find(decoder, plan, ask, &Quiet(ui))
        .with_context(|| format!("cannot write the fact about {:?}", ask[0].subject))?;
    store.put(plan, ask, &value)?;
    Ok((value, false))
}

/// What happens inside one step of a bar: warnings and Ctrl-C, but no bar of its own.
pub struct Quiet<'a>(pub &'a Ui);

impl Progress for Quiet<'_> {
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }

    fn check(&self) -> Result<(), rescribe::progress::Interrupted> {
        self.0.check()
    }
}

/// The numbers of each fact of a written batch, in the order of the asks.
pub fn fact_reports(
    asks: &[Ask<'_>],
    values: &[OptimisedValue],
    written: &WrittenBatch,
    seconds: f64,
    name: impl Fn(&PlannedEdit) -> String,
) -> Vec<FactReport> {
    let largest = written.relative_norms.iter().copied().fold(0., f64::max);
    let n: usize = asks.iter().map(Vec::len).sum();
    let mut reports = Vec::with_capacity(n);
    for (ask, value) in asks.iter().zip(values) {
        let norm = value.delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
        reports.extend(ask.iter().map(|edit| FactReport {
            id: name(edit),
            steps: value.steps.len(),
            loss: value.steps.last().map_or(f64::NAN, |step| step.loss),
            value_change: norm / value.value_norm,
            relative_norm: largest,
            seconds: seconds / n as f64,
        }));
    }
    reports
}

/// Says what a batch did.
pub fn describe_batch(plan: &WritePlan, values: &FoundValues, written: &WrittenBatch, ui: &Ui) {
    let n = values.values.len();
    let steps = values.values.iter().map(|value| value.steps.len()).sum::<usize>() as f64;
    let origin = match values.from_cache {
        0 => String::new(),
        cached => format!(" · {cached} from the cache"),
    };
    let plural = if n == 1 { "" } else { "s" };
    ui.note("values", &format!("{n} value{plural} · {:.1} steps each{origin}", steps / n as f64));
    let norms: Vec<String> =
        written.relative_norms.iter().map(|norm| format!("{:.1}", 100. * norm)).collect();
    ui.note(
        "delta",
        &format!(
            "{} · |ΔW|/|W| {} % · {:.0} % of the way",
            layers(plan),
            norms.join(", "),
            100. * written.reached
        ),
    );
}

/// `layer 6` or `layers 4, 5, 6`.
pub fn layers(plan: &WritePlan) -> String {
    let names: Vec<String> = plan.layers.iter().map(usize::to_string).collect();
    format!("layer{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// Drift and perplexity on held text, fluency behind `prompts`.
pub fn health(
    session: &Session,
    decoder: &Decoder,
    prompts: &[String],
    ui: &Ui,
) -> anyhow::Result<Health> {
    let (model, watch) = (&session.model, Quiet(ui));
    let texts = HELD_TEXTS.map(str::to_owned);
    let drift = drift(&model.decoder, decoder, &model.tokenizer, &texts, &watch)?
        .context("the tokenizer leaves nothing of the held texts")?;
    let fluency = fluency(decoder, &model.tokenizer, prompts, &watch)?;
    Ok(Health { drift: drift.kl.mean, perplexity: drift.perplexity_after, fluency })
}
