//! `rescribe edit`: apply a spec, write a patch, print what changed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use candle_core::{Device, Tensor};

use super::args::{EditArgs, Global};
use super::failure::Usage;
use super::session::{self, Session};
use super::ui::{Ui, next_command, paragraph};
use super::{batches, export, passages, records, require};
use crate::delta::{Keys, WeightDelta};
use crate::files::{FileError, Overwrite};
use crate::model::{Choice, Decoder, Model, generate};
use crate::patch::{BaseHashes, Patch, Recipe};
use crate::plan::{Plan, plan};
use crate::probe::{Drift, Measured, ProbeScores, PromptKind, Questions, drift, measure};
use crate::progress::Progress;
use crate::rank_one::targets::ValueStore;
use crate::rank_one::{Factored, Writer, WrittenFact, write_fact};
use crate::report::{Completion, EditReport, FactReport, probe_table, sentence};
use crate::spec::{
    Comparison, EditInput, EditSpec, PromptFile, PromptSet, read_edit_input, read_prompts,
};

pub fn run(args: &EditArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    match read_edit_input(&args.spec)? {
        EditInput::Records(found) => records::edit(args, &found, &requirements, global, ui),
        EditInput::Spec(spec) if !spec.passages.is_empty() => {
            passages::edit(args, &spec, &requirements, global, ui)
        }
        EditInput::Spec(spec) => edit_spec(args, &spec, &requirements, global, ui),
    }
}

fn edit_spec(
    args: &EditArgs,
    spec: &EditSpec,
    requirements: &[require::Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    if args.limit.is_some() || args.batch.is_some() || args.skip_conflicts {
        let message = "--limit, --batch and --skip-conflicts are for record files; a spec is \
                       applied whole, and --sequential N splits it";
        return Err(Usage(message.into()).into());
    }
    let prompts = prompts(spec)?;
    let patch_file = patch_file(args)?;
    let session = Session::open(args.model.model.as_deref().or(spec.model.as_deref()), global, ui)?;
    let options = session::options(&spec.rank_one, &args.rank_one);
    let plan = plan(&session.model, &session.name, &spec.inserts, &options, ui)?;
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.close();
    ui.note("plan", &describe(&plan));

    let first = &spec.inserts[0];
    let (new, old) = (Some(first.target_new.as_str()), first.target_true.as_deref());
    let questions = Questions::new(&session.model.tokenizer, &prompts, new, old)?;
    let before = measure(&session.model.decoder, &questions)?;
    warn_known(&before, ui);

    let factored = batches::ready_layers(&session, &plan, &options, ui)?;
    let Written { facts, delta, keys, edited } = write(&session, &plan, &factored, ui)?;
    let report =
        measured_report(&session, &plan, &prompts, &questions, before, facts, &edited, ui)?;
    let recipe = recipe(&session, &plan, spec, &delta, &report)?;
    let patch = Patch { delta, keys, recipe };
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    patch.write(&patch_file, overwrite)?;
    if let Some(out) = &args.out {
        let summary = export::write(&session, std::slice::from_ref(&patch), out, args.force, ui)?;
        export::show(&summary, ui);
    }
    let name = args.model.model.as_deref().or(spec.model.as_deref()).unwrap_or_default();
    show(&report, &patch_file, name, first, ui)?;
    require::check(requirements, report.after.as_ref().unwrap_or(&report.before))
}

/// The spec's prompts; without rewrite prompts, the facts themselves.
pub fn prompts(spec: &EditSpec) -> anyhow::Result<PromptSet> {
    let mut prompts = match &spec.probe {
        None => PromptSet::default(),
        Some(file) => match read_prompts(file)? {
            PromptFile::Prompts(prompts) => prompts,
            PromptFile::Records(_) => {
                let message =
                    format!("{}: a spec's probe is a prompt file, not records", file.display());
                return Err(Usage(message).into());
            }
        },
    };
    if prompts.rewrite.is_empty() {
        prompts.rewrite = spec
            .inserts
            .iter()
            .map(|insert| Comparison {
                prompt: insert.rendered(),
                target_new: Some(insert.target_new.clone()),
                target_true: insert.target_true.clone(),
            })
            .collect();
    }
    Ok(prompts)
}

/// Refused before any work where it exists.
pub fn patch_file(args: &EditArgs) -> anyhow::Result<PathBuf> {
    let stem = args.spec.file_stem().unwrap_or_default().to_string_lossy();
    let file = args.patch.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{stem}.patch.safetensors")));
    for path in [Some(&file), args.out.as_ref()].into_iter().flatten() {
        if !args.force && path.exists() {
            return Err(FileError::Exists { path: path.clone() }.into());
        }
    }
    Ok(file)
}

/// One line about a plan.
pub fn describe(plan: &Plan) -> String {
    let first = &plan.edits[0].contexts[0];
    let token = first.pieces[first.lookup].trim();
    let facts = if plan.edits.len() == 1 { "fact" } else { "facts" };
    format!(
        "insert {} {facts} at {}, lookup token {token:?}, {} contexts, seed {}",
        plan.edits.len(),
        batches::layers(plan),
        plan.edits[0].contexts.len(),
        plan.settings.seed
    )
}

fn warn_known(before: &Measured, ui: &Ui) {
    for prompt in before.prompts.iter().filter(|prompt| prompt.kind == PromptKind::Rewrite) {
        if prompt.new_is_argmax {
            ui.warn(&format!(
                "{:?}: the model says target_new already (P {:.2}); there is nothing to edit",
                prompt.prompt,
                (-prompt.nll_new).exp()
            ));
        }
    }
}

/// What writing all facts gave.
struct Written {
    facts: Vec<FactReport>,
    delta: WeightDelta,
    keys: Keys,
    edited: Decoder,
}

/// Writes all facts: together where the method can, else one after the other.
fn write(
    session: &Session,
    plan: &Plan,
    factored: &[Factored],
    ui: &Ui,
) -> anyhow::Result<Written> {
    match plan.method.is_batched() {
        true => write_batches(session, plan, factored, ui),
        false => write_singly(&session.model, plan, &factored[0], ui),
    }
}

/// The facts of a spec that also has passages: their change and the decoder with it.
pub fn write_facts(
    args: &EditArgs,
    spec: &EditSpec,
    session: &Session,
    ui: &Ui,
) -> anyhow::Result<(WeightDelta, Decoder)> {
    if spec.inserts.is_empty() {
        return Ok((WeightDelta::default(), session.model.decoder.clone()));
    }
    let options = session::options(&spec.rank_one, &args.rank_one);
    let plan = plan(&session.model, &session.name, &spec.inserts, &options, ui)?;
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.close();
    ui.note("plan", &describe(&plan));
    let factored = batches::ready_layers(session, &plan, &options, ui)?;
    let Written { delta, edited, .. } = write(session, &plan, &factored, ui)?;
    Ok((delta, edited))
}

/// Applies the facts one after the other, each to what the one before left.
fn write_singly(
    model: &Model,
    plan: &Plan,
    factored: &Factored,
    ui: &Ui,
) -> anyhow::Result<Written> {
    let mut decoder = model.decoder.clone();
    let (mut facts, mut delta, mut keys) = (Vec::new(), WeightDelta::default(), Vec::new());
    let tensor = model.down_projection_name(plan.layer);
    for edit in &plan.edits {
        let started = Instant::now();
        let (fact, edited) = write_fact(&decoder, plan, edit, factored, ui)
            .with_context(|| format!("cannot write the fact about {:?}", edit.subject))?;
        ui.close();
        let report = fact_report(&edit.subject, &fact, started);
        describe_fact(&fact, &report, ui);
        let one = WeightDelta { changes: [(tensor.to_owned(), fact.change.change)].into() };
        delta = delta.plus(&one)?;
        keys.push(fact.key);
        facts.push(report);
        decoder = edited;
    }
    let keys = Keys::from([(tensor.to_owned(), Tensor::new(keys, &Device::Cpu)?)]);
    Ok(Written { facts, delta, keys, edited: decoder })
}

/// Writes the facts in batches, each of which keeps what those before it wrote.
fn write_batches(
    session: &Session,
    plan: &Plan,
    factored: &[Factored],
    ui: &Ui,
) -> anyhow::Result<Written> {
    let store = ValueStore::open(&session.cache, session.model.weights_hash()?)?;
    let mut writer = Writer::new(&session.model, plan, factored);
    let mut facts = Vec::new();
    for edits in plan.batches() {
        let started = Instant::now();
        let found = batches::find_values(session, plan, edits, &store, ui)?;
        let written = writer.write(edits, &found.values, ui)?;
        batches::describe_batch(plan, &found, &written, ui);
        let ids: Vec<&str> = edits.iter().map(|edit| edit.subject.as_str()).collect();
        let seconds = started.elapsed().as_secs_f64();
        facts.extend(batches::fact_reports(&ids, &found.values, &written, seconds));
    }
    let keys = writer.keys()?;
    let (delta, edited) = writer.finish()?;
    Ok(Written { facts, delta, keys, edited })
}

/// The numbers of a written fact.
pub fn fact_report(id: &str, fact: &WrittenFact, started: Instant) -> FactReport {
    let norm = fact.value.delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
    FactReport {
        id: id.to_owned(),
        steps: fact.value.steps.len(),
        loss: fact.value.steps.last().map_or(f64::NAN, |step| step.loss),
        value_change: norm / fact.value.value_norm,
        relative_norm: fact.change.relative_norm,
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn describe_fact(fact: &WrittenFact, report: &FactReport, ui: &Ui) {
    let last = fact.value.steps.last().expect("at least one evaluation");
    let parts = format!("nll {:.3} + kl {:.3} + decay {:.3}", last.nll, last.kl, last.decay);
    ui.note("value", &format!("{} steps · loss {:.3} = {parts}", report.steps, last.loss));
    ui.note(
        "delta",
        &format!(
            "rank 1 · |ΔW|/|W| {:.1} % · {:.1} s",
            100. * report.relative_norm,
            report.seconds
        ),
    );
}

#[expect(clippy::too_many_arguments, reason = "each is one part of the report, used once")]
fn measured_report(
    session: &Session,
    plan: &Plan,
    prompts: &PromptSet,
    questions: &Questions,
    before: Measured,
    facts: Vec<FactReport>,
    edited: &Decoder,
    ui: &Ui,
) -> anyhow::Result<EditReport> {
    let model = &session.model;
    let after = measure(edited, questions)?;
    let drift = drift_of(model, edited, &prompts.retain, ui)?;
    let completions = completions(model, Some(edited), &prompts.generation, ui)?;
    let seconds = facts.iter().map(|fact| fact.seconds).sum::<f64>() / facts.len() as f64;
    Ok(EditReport {
        schema: 1,
        model: session.name.clone(),
        n: plan.edits.len(),
        layer: Some(plan.layer),
        before: ProbeScores::of_one(&before),
        after: Some(ProbeScores::of_one(&after)),
        drift,
        completions,
        edits: facts,
        seconds_per_edit: Some(seconds),
        prompts_before: vec![before],
        prompts_after: vec![after],
    })
}

/// Drift on retain texts, with its progress.
pub fn drift_of(
    model: &Model,
    edited: &Decoder,
    texts: &[String],
    ui: &Ui,
) -> anyhow::Result<Option<Drift>> {
    Ok(drift(&model.decoder, edited, &model.tokenizer, texts, ui)?)
}

/// Tokens of a completion in a report.
const COMPLETION: usize = 18;

/// Greedy continuations of both models.
pub fn completions(
    model: &Model,
    edited: Option<&Decoder>,
    prompts: &[String],
    ui: &Ui,
) -> anyhow::Result<Vec<Completion>> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let ids = prompts.iter().map(|prompt| Ok(model.tokenizer.encode(prompt)?.ids));
    let ids: Vec<Vec<u32>> = ids.collect::<anyhow::Result<_>>()?;
    let texts = |decoder: &Decoder| -> anyhow::Result<Vec<String>> {
        let written = generate(decoder, &ids, COMPLETION, Choice::Greedy, &model.stop_tokens, ui)?;
        written.iter().map(|ids| Ok(model.tokenizer.decode(ids)?)).collect()
    };
    let before = texts(&model.decoder)?;
    let after = edited.map(texts).transpose()?;
    let pairs = prompts.iter().zip(before).enumerate().map(|(i, (prompt, before))| Completion {
        prompt: prompt.clone(),
        before,
        after: after.as_ref().map(|after| after[i].clone()),
    });
    Ok(pairs.collect())
}

fn recipe(
    session: &Session,
    plan: &Plan,
    spec: &EditSpec,
    delta: &WeightDelta,
    report: &EditReport,
) -> anyhow::Result<Recipe> {
    let names = delta.changes.keys().map(String::as_str);
    Ok(Recipe {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        spec: spec.source.text().into(),
        plan: serde_json::to_value(plan)?,
        model: session.name.clone(),
        base: BaseHashes::measure(&session.model.weights, names)?,
        seed: plan.settings.seed,
        metrics: serde_json::json!({ "before": report.before, "after": report.after }),
    })
}

fn show(
    report: &EditReport,
    patch: &Path,
    model: &str,
    first: &crate::spec::Insert,
    ui: &Ui,
) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let size = std::fs::metadata(patch).map(|file| file.len().div_ceil(1024)).unwrap_or(0);
    let ask = format!("rescribe ask --model {model} --patch {}", patch.display());
    ui.print(&format!(
        "\n{}\n{:>10}  {} ({size} KB, spec and hashes inside)\n\n  {}\n{}\n",
        probe_table(report),
        "patch",
        patch.display(),
        paragraph(2, 2, &sentence(report)),
        next_command(&ask, &first.rendered())
    ));
    Ok(())
}
