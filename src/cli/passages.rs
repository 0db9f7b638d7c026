//! `rescribe edit` on a spec with `[[learn]]` or `[[forget]]`.
//!
//! Order: facts, then what is learnt, then what is forgotten; each from what the one before left.

mod compare;
mod plan;
mod probes;
mod references;
mod timed;
mod train;

use std::path::Path;

use super::args::{EditArgs, Global};
use super::edit;
use super::export;
use super::failure::Usage;
use super::outputs;
use super::require;
use super::session::{Session, model_flag};
use super::ui::{NOTE, Ui, paragraph};
use rescribe::delta::{Keys, WeightDelta};
use rescribe::gradient::Checkpointing;
use rescribe::patch::{BaseHashes, Patch, Recipe};
use rescribe::report::{PassageReport, SpecReport, passage_sentences, passage_table};
use rescribe::spec::EditSpec;

pub use compare::run as compare;
pub use plan::show_plans;

use plan::{describe, plans, warn_closure};
use probes::Probes;
use train::Trained;

/// Applies a spec with passages.
pub fn edit(
    args: &EditArgs,
    spec: &EditSpec,
    requirements: &[require::Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let mut prompts = edit::prompts(spec)?;
    let patch_file = outputs::of_edit(args, Some(spec))?;
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let session = Session::open(name, global, ui)?;
    let plans = plans(&session.model, spec, args.memory)?;
    for plan in &plans {
        ui.note("plan", &paragraph(NOTE, NOTE, &describe(plan)));
        warn_closure(plan, ui);
    }
    if args.checkpoint.is_some() && plans.len() > 1 {
        return Err(Usage("--checkpoint holds one training; split the spec".into()).into());
    }
    let checkpoint = args
        .checkpoint
        .as_ref()
        .map(|file| Checkpointing { file: file.clone(), every: args.checkpoint_every as u64 });
    let facts = edit::plan_facts(args, spec, &prompts, &session, ui)?;
    if let Some(facts) = &facts {
        edit::state_rewrites(&mut prompts, spec, facts);
    }
    let probes = Probes::new(&session, facts.as_ref(), prompts)?;
    let written = edit::write_facts(args, spec, facts.as_ref(), &session, ui)?;
    let (mut delta, mut decoder) = (written.delta, written.edited);
    let mut passages = Vec::new();
    for mut plan in plans {
        let references = references::measure(&session, &mut plan, global, ui)?;
        let trained =
            train::run(&session.model, &decoder, plan, references, checkpoint.as_ref(), ui)?;
        let Trained { report, delta: change, decoder: changed } = trained;
        delta = delta.plus(&change)?;
        decoder = changed;
        passages.push(report);
    }
    let probes = probes.report(&session, facts.as_ref(), written.facts, &decoder, ui)?;
    let report = SpecReport { schema: 1, model: session.name.clone(), probes, passages };
    let recipe = recipe(&session, spec, &delta, &report)?;
    // What was trained afterwards moved the values of the facts' keys.
    let patch = Patch { delta, keys: Keys::default(), recipe };
    patch.write(&patch_file, outputs::overwrite(args.force))?;
    if let Some(out) = &args.out {
        let summary = export::write(&session, std::slice::from_ref(&patch), out, args.force, ui)?;
        export::show(&summary, ui);
    }
    show(&report, &patch_file, name.unwrap_or_default(), ui)?;
    require::check(requirements, report.probes.after.as_ref().unwrap_or(&report.probes.before))
}

fn recipe(
    session: &Session,
    spec: &EditSpec,
    delta: &WeightDelta,
    report: &SpecReport,
) -> anyhow::Result<Recipe> {
    let names = delta.changes.keys().map(String::as_str);
    let settings: Vec<_> = report.passages.iter().map(|passages| &passages.settings).collect();
    let measured = |passages: &PassageReport| {
        serde_json::json!({
            "rate": passages.rate, "stopped": passages.stopped, "steps": passages.path.len(),
            "before": passages.before, "after": passages.after,
        })
    };
    let metrics: Vec<_> = report.passages.iter().map(measured).collect();
    Ok(Recipe {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        spec: spec.source.text().into(),
        plan: serde_json::json!({ "schema": 1, "passages": settings }),
        model: session.name.clone(),
        base: BaseHashes::measure(&session.model.weights, names)?,
        seed: settings.first().map_or(0, |settings| settings.seed),
        metrics: serde_json::json!({ "passages": metrics, "after": report.probes.after }),
    })
}

fn show(report: &SpecReport, patch: &Path, model: &str, ui: &Ui) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let size = std::fs::metadata(patch).map(|file| file.len().div_ceil(1024)).unwrap_or(0);
    let patch = patch.display();
    let sentences: Vec<String> =
        passage_sentences(report).iter().map(|sentence| paragraph(2, 2, sentence)).collect();
    ui.print(&format!(
        "\n{}\n{:>10}  {patch} ({size} KB, spec and hashes inside)\n\n  {}\n{:>10}  rescribe \
         ask{} --patch {patch}\n",
        passage_table(report),
        "patch",
        sentences.join("\n  "),
        "next",
        model_flag(model),
    ));
    Ok(())
}
