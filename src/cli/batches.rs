//! Many facts at once: their values, the layers made ready, and the batches of a record file.

use std::time::Instant;

use anyhow::Context;

use super::args::EditArgs;
use super::failure::{Clash, Missed, Usage};
use super::records::questions;
use super::require::{self, Requirement};
use super::session::{self, Session};
use super::ui::Ui;
use crate::model::Decoder;
use crate::plan::{Plan, PlannedEdit, plan};
use crate::probe::{HELD_TEXTS, Measured, ProbeScores, Questions, drift, fluency, measure};
use crate::progress::Progress;
use crate::rank_one::factors::ready_layer;
use crate::rank_one::statistics::Corpus;
use crate::rank_one::targets::{ValueStore, find};
use crate::rank_one::{Factored, OptimisedValue, Writer, WrittenBatch};
use crate::report::{
    BatchPoint, BatchReport, FactReport, Health, batch_sentence, batch_table, collapse,
};
use crate::spec::{Conflict, Insert, RankOneOptions, Record, record_conflicts};

/// C of each of the plan's layers, ready for solves.
pub fn ready_layers(
    session: &Session,
    plan: &Plan,
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
    plan: &Plan,
    edits: &[PlannedEdit],
    store: &ValueStore,
    ui: &Ui,
) -> anyhow::Result<FoundValues> {
    let decoder = &session.model.decoder;
    ui.phase("values", Some(edits.len() as u64));
    let (mut values, mut from_cache) = (Vec::with_capacity(edits.len()), 0);
    for (i, edit) in edits.iter().enumerate() {
        ui.check()?;
        ui.advance(i as u64, &edit.subject);
        let value = match store.get(plan, edit, decoder.config().hidden) {
            Some(value) => {
                from_cache += 1;
                value
            }
            None => {
                let value = find(decoder, plan, edit, &Quiet(ui))
                    .with_context(|| format!("cannot write the fact about {:?}", edit.subject))?;
                store.put(plan, edit, &value)?;
                value
            }
        };
        values.push(value);
    }
    ui.close();
    Ok(FoundValues { values, from_cache })
}

/// What happens inside one step of a bar: warnings and Ctrl-C, but no bar of its own.
pub struct Quiet<'a>(pub &'a Ui);

impl Progress for Quiet<'_> {
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }

    fn check(&self) -> Result<(), crate::progress::Interrupted> {
        self.0.check()
    }
}

/// The numbers of each fact of a written batch.
pub fn fact_reports(
    ids: &[&str],
    values: &[OptimisedValue],
    written: &WrittenBatch,
    seconds: f64,
) -> Vec<FactReport> {
    let largest = written.relative_norms.iter().copied().fold(0., f64::max);
    let facts = ids.iter().zip(values).map(|(id, value)| {
        let norm = value.delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
        FactReport {
            id: (*id).to_owned(),
            steps: value.steps.len(),
            loss: value.steps.last().map_or(f64::NAN, |step| step.loss),
            value_change: norm / value.value_norm,
            relative_norm: largest,
            seconds: seconds / ids.len() as f64,
        }
    });
    facts.collect()
}

/// Says what a batch did.
pub fn describe_batch(plan: &Plan, values: &FoundValues, written: &WrittenBatch, ui: &Ui) {
    let n = values.values.len();
    let steps = values.values.iter().map(|value| value.steps.len()).sum::<usize>() as f64;
    let origin = match values.from_cache {
        0 => String::new(),
        cached => format!(" · {cached} from the cache"),
    };
    let plural = if n == 1 { "" } else { "s" };
    ui.note("values", &format!("{n} fact{plural} · {:.1} steps each{origin}", steps / n as f64));
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
pub fn layers(plan: &Plan) -> String {
    let names: Vec<String> = plan.layers.iter().map(usize::to_string).collect();
    format!("layer{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// Edits a record file in batches and prints the paper's table.
pub fn edit(
    args: &EditArgs,
    records: &[Record],
    requirements: &[Requirement],
    global: &super::args::Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let options = session::options(&RankOneOptions::default(), &args.rank_one);
    let size = args.batch.or(options.sequential).unwrap_or(records.len());
    // Facts that stand in one model must not contradict each other.
    let whole = if options.sequential.is_some() { records.len() } else { size };
    let records = without_conflicts(records, whole, args.skip_conflicts, ui)?;
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let inserts: Vec<Insert> = records.iter().map(|record| record.insert.clone()).collect();
    let plan = plan(&session.model, &session.name, &inserts, &options, ui)?;
    if !plan.method.is_batched() && size > 1 {
        let message = "method rome writes one fact at a time; batches need --method memit, emmet \
                       or alphaedit";
        return Err(Usage(message.into()).into());
    }
    ui.note("plan", &super::edit::describe(&plan));
    let factored = ready_layers(&session, &plan, &options, ui)?;
    let mut run = Run::new(&session, &plan, &factored, &records, ui)?;
    let is_sequential = options.sequential.is_some();
    run.all(size, is_sequential)?;
    let (report, last) = run.finish(size, is_sequential)?;
    if ui.is_json() {
        ui.print_json(&report)?;
    } else {
        let cost = format!("{:>16}  {:.2} s an edit", "", report.seconds_per_edit);
        let cached = match report.values_from_cache {
            0 => String::new(),
            cached => format!(", {cached} of {} values from the cache", report.n),
        };
        let table = batch_table(&report);
        ui.print(&format!("\n{table}{cost}{cached}\n\n  {}\n", batch_sentence(&report)));
    }
    drop(last);
    if report.collapse.is_some() {
        return Err(Missed(batch_sentence(&report)).into());
    }
    require::check(requirements, &report.after)
}

/// The records, less those that clash with an earlier one of their batch; refused all at once
/// unless the user said to leave them out.
fn without_conflicts(
    records: &[Record],
    batch: usize,
    skip: bool,
    ui: &Ui,
) -> anyhow::Result<Vec<Record>> {
    let (mut kept, mut lines) = (Vec::new(), Vec::new());
    for batch in records.chunks(batch) {
        let conflicts = record_conflicts(batch);
        for Conflict { first, second, is_repeated } in &conflicts {
            let (first, second) = (&batch[*first], &batch[*second]);
            let what = if *is_repeated { "repeats" } else { "contradicts" };
            lines.push(format!(
                "record {} {what} record {}: {:?} -> {:?}, and {:?}",
                second.id,
                first.id,
                first.insert.rendered(),
                first.insert.target_new,
                second.insert.target_new
            ));
        }
        let clashes = |at: &usize| conflicts.iter().any(|conflict| conflict.second == *at);
        kept.extend((0..batch.len()).filter(|at| !clashes(at)).map(|at| batch[at].clone()));
    }
    if lines.is_empty() {
        return Ok(kept);
    }
    if !skip {
        let message =
            format!("{} records cannot stand in one model:\n  {}", lines.len(), lines.join("\n  "));
        return Err(Clash(message).into());
    }
    lines.iter().for_each(|line| ui.warn(&format!("{line}; left out")));
    Ok(kept)
}

/// A run over the batches of a record file.
struct Run<'a> {
    session: &'a Session,
    plan: &'a Plan,
    factored: &'a [Factored],
    records: &'a [Record],
    ui: &'a Ui,
    store: ValueStore,
    questions: Vec<Questions>,
    generation: Vec<String>,
    health_before: Health,
    before: Vec<Measured>,
    right_after: Vec<Measured>,
    edits: Vec<FactReport>,
    curve: Vec<BatchPoint>,
    from_cache: usize,
    last: Decoder,
}

/// Records whose prompts are continued for fluency.
const WRITTEN: usize = 16;

impl<'a> Run<'a> {
    fn new(
        session: &'a Session,
        plan: &'a Plan,
        factored: &'a [Factored],
        records: &'a [Record],
        ui: &'a Ui,
    ) -> anyhow::Result<Self> {
        let model = &session.model;
        let questions = records.iter().map(|record| questions(model, record));
        let questions: Vec<Questions> = questions.collect::<anyhow::Result<_>>()?;
        // About a subject, where a record has no prompt for it: that is where damage shows.
        let prompt = |record: &Record| {
            let given = record.prompts.generation.first();
            given.unwrap_or(&record.insert.subject).clone()
        };
        let generation: Vec<String> = records.iter().take(WRITTEN).map(prompt).collect();
        let before = scored(&model.decoder, &questions, "before", ui)?;
        let health_before = health(session, &model.decoder, &generation, ui)?;
        Ok(Self {
            store: ValueStore::open(&session.cache, model.weights_hash()?)?,
            last: model.decoder.clone(),
            session,
            plan,
            factored,
            records,
            ui,
            questions,
            generation,
            health_before,
            before,
            right_after: Vec::new(),
            edits: Vec::new(),
            curve: Vec::new(),
            from_cache: 0,
        })
    }

    /// Writes batch after batch, each into the unedited model unless they are sequential.
    fn all(&mut self, size: usize, is_sequential: bool) -> anyhow::Result<()> {
        let (model, plan, factored) = (&self.session.model, self.plan, self.factored);
        let mut writer = Writer::new(model, plan, factored);
        for (at, edits) in plan.edits.chunks(size).enumerate() {
            if !is_sequential {
                writer = Writer::new(model, plan, factored);
            }
            self.batch(at * size, edits, &mut writer)?;
            self.last = writer.decoder().clone();
            let limit = plan.batch.max_perplexity;
            if is_sequential && collapse(&self.health_before, &self.curve, limit).is_some() {
                break;
            }
        }
        Ok(())
    }

    fn batch(
        &mut self,
        first: usize,
        edits: &[PlannedEdit],
        writer: &mut Writer<'_>,
    ) -> anyhow::Result<()> {
        let (session, plan, ui) = (self.session, self.plan, self.ui);
        let started = Instant::now();
        let found = find_values(session, plan, edits, &self.store, ui)?;
        let written = writer.write(edits, &found.values, ui).with_context(|| {
            format!("cannot write facts {} to {}", first + 1, first + edits.len())
        })?;
        let seconds = started.elapsed().as_secs_f64();
        describe_batch(plan, &found, &written, ui);
        let here = first..first + edits.len();
        let ids: Vec<&str> = self.records[here.clone()].iter().map(|r| r.id.as_str()).collect();
        self.edits.extend(fact_reports(&ids, &found.values, &written, seconds));
        self.from_cache += found.from_cache;
        let measured = scored(writer.decoder(), &self.questions[here.clone()], "after", ui)?;
        let health = health(session, writer.decoder(), &self.generation, ui)?;
        self.curve.push(BatchPoint {
            facts: here.end,
            right_after: ProbeScores::of_records(&measured),
            health,
            relative_norms: written.relative_norms,
            reached: written.reached,
            seconds,
        });
        self.right_after.extend(measured);
        Ok(())
    }

    fn finish(self, batch: usize, is_sequential: bool) -> anyhow::Result<(BatchReport, Decoder)> {
        let n = self.right_after.len();
        // The last batch was scored in the last model already.
        let is_last = !is_sequential || self.curve.len() == 1;
        let after = match is_last {
            true => self.right_after.clone(),
            false => scored(&self.last, &self.questions[..n], "after all", self.ui)?,
        };
        let before: Vec<Measured> = self.before.into_iter().take(n).collect();
        let limit = self.plan.batch.max_perplexity;
        let collapse = collapse(&self.health_before, &self.curve, limit);
        let report = BatchReport {
            schema: 1,
            model: self.session.name.clone(),
            method: self.plan.method,
            layers: self.plan.layers.clone(),
            lambda: self.plan.batch.lambda,
            n,
            batch,
            is_sequential,
            before: ProbeScores::of_records(&before),
            right_after: ProbeScores::of_records(&self.right_after),
            after: ProbeScores::of_records(&after),
            health_before: self.health_before,
            collapse: collapse.filter(|_| is_sequential),
            seconds_per_edit: self.curve.iter().map(|point| point.seconds).sum::<f64>() / n as f64,
            curve: self.curve,
            edits: self.edits,
            values_from_cache: self.from_cache,
            prompts_before: before,
            prompts_after: after,
        };
        Ok((report, self.last))
    }
}

fn scored(
    decoder: &Decoder,
    questions: &[Questions],
    name: &str,
    ui: &Ui,
) -> anyhow::Result<Vec<Measured>> {
    ui.phase(name, Some(questions.len() as u64));
    let mut measured = Vec::with_capacity(questions.len());
    for (i, questions) in questions.iter().enumerate() {
        ui.check()?;
        ui.advance(i as u64, "");
        measured.push(measure(decoder, questions)?);
    }
    ui.close();
    Ok(measured)
}

/// Drift and perplexity on held text, fluency behind `prompts`.
fn health(
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
