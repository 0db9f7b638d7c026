//! `rescribe stats`: computes the second moment of a layer's keys.

use std::time::Instant;

use super::args::{Global, StatsArgs};
use super::ranks;
use super::session::Session;
use super::ui::Ui;
use rescribe::plan::MomentCost;
use rescribe::progress::counted;
use rescribe::rank_one::Factored;
use rescribe::rank_one::statistics::{Corpus, second_moment_on};
use rescribe::ranks::Ranks;
use rescribe::report::Report;

/// The ridge at which the condition is reported: the default of edits.
const RIDGE: f64 = 1e-2;

pub fn run(args: &StatsArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    let name = args.model.model.as_deref();
    let session = ranks.first_on_rank_0(ui, || Session::open(name, global, ui))?;
    let model = &session.model;
    let layer = args.layer.unwrap_or_else(|| model.editing_layer());
    let width = model.decoder.config().intermediate;
    let cost = MomentCost::new(&model.decoder, layer, args.corpus.is_none());
    let tokens = args.tokens.unwrap_or_else(|| cost.default_tokens());
    let corpus = Corpus { file: args.corpus.clone(), tokens, seed: args.seed };
    let started = Instant::now();
    let found = second_moment_on(ranks, model, layer, &corpus, &session.cache, ui)?;
    if !ranks.is_first() {
        return Ok(());
    }
    ui.close();
    let seconds = started.elapsed().as_secs_f64();
    let tokens = found.moment.tokens;
    let mean = found.moment.into_mean();
    let condition = Factored::new(mean, width, RIDGE, layer)?.condition_estimate();
    let data = serde_json::json!({
        "layer": layer,
        "tokens": tokens,
        "width": width,
        "was_cached": found.was_cached,
        "seconds": seconds,
        "condition": condition,
        "file": found.file,
    });
    let origin = match found.was_cached {
        true => "read from the cache".to_owned(),
        false => format!("{:.0} tokens/s", tokens as f64 / seconds),
    };
    let text = format!(
        "layer {layer}: {} of width {width}, {origin};\n\
         condition at least {condition:.1e} with a ridge of {RIDGE}",
        counted(tokens, "key")
    );
    let report = Report::new("stats", &session.name, &data)?.section(text);
    ui.show(&ranks::noted(report, ranks))
}
