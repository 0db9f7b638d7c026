//! The batches of a record file: each into the unedited model, or one after the other.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use super::args::{EditArgs, Global};
use super::batches::{describe_batch, fact_reports, find_values, health, ready_layers};
use super::edit::{describe, recipe};
use super::export;
use super::failure::{Clash, Missed, Usage};
use super::outputs;
use super::records::questions;
use super::require::{self, Requirement};
use super::session::{self, Session};
use super::ui::{NOTE, Ui, paragraph};
use rescribe::model::Decoder;
use rescribe::patch::Patch;
use rescribe::plan::{PlannedEdit, WritePlan, plan};
use rescribe::probe::{Measured, ProbeScores, Questions, measure};
use rescribe::progress::Progress;
use rescribe::rank_one::targets::{ValueStore, asks};
use rescribe::rank_one::{Factored, Writer};
use rescribe::report::{
    BatchPoint, BatchReport, FactReport, Health, batch_sentence, batch_table, collapse,
};
use rescribe::spec::{Conflict, Fact, RankOneOptions, Record, record_conflicts, spec_text};

/// Edits a record file in batches and prints the paper's table.
pub fn edit(
    args: &EditArgs,
    records: &[Record],
    requirements: &[Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let options = session::options(&RankOneOptions::default(), &args.rank_one);
    let is_sequential = options.sequential.is_some();
    let size = args.batch.or(options.sequential).unwrap_or(1);
    // Facts that stand in one model must not contradict each other.
    let whole = if is_sequential { records.len() } else { size };
    let batches = without_conflicts(records, whole, args.skip_conflicts, ui)?;
    let sizes: Vec<usize> = match options.sequential {
        Some(size) => batches.concat().chunks(size).map(<[Record]>::len).collect(),
        None => batches.iter().map(Vec::len).collect(),
    };
    let records = batches.concat();
    let is_one_model = is_sequential || sizes.len() == 1;
    let patch_file = patch_file(args, is_one_model)?;
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let facts: Vec<Fact> = records.iter().map(|record| record.insert.clone().into()).collect();
    let plan = plan(&session.model, &session.name, &facts, &options, ui)?;
    if !plan.method.is_batched() && size > 1 {
        let message = "method rome writes one fact at a time; batches need --method memit, emmet \
                       or alphaedit";
        return Err(Usage(message.into()).into());
    }
    ui.note("plan", &paragraph(NOTE, NOTE, &describe(&plan)));
    ui.warn_first(&plan.warnings);
    let factored = ready_layers(&session, &plan, &options, ui)?;
    let mut run = Run::new(&session, &plan, &factored, &records, is_one_model, ui)?;
    let writer = run.all(&sizes, is_sequential)?;
    let report = run.finish(size, is_sequential, writer.decoder())?;
    if let (Some(file), None) = (&patch_file, &report.collapse) {
        let text = spec_text(&facts);
        let metrics = serde_json::json!({ "before": report.before, "after": report.after });
        save(&session, &plan, args, file, (&text, metrics), writer, ui)?;
    }
    show(&report, patch_file.as_deref(), ui)?;
    if report.collapse.is_some() {
        return Err(Missed(batch_sentence(&report)).into());
    }
    require::check(requirements, &report.after)
}

/// The patch to write, if one is asked for: only one edited model can be one patch.
fn patch_file(args: &EditArgs, is_one_model: bool) -> anyhow::Result<Option<PathBuf>> {
    if args.patch.is_none() && args.out.is_none() {
        return Ok(None);
    }
    if !is_one_model {
        let message = "these batches are written into the unedited model one by one, which leaves \
                       no single patch; --sequential N writes them into one model";
        return Err(Usage(message.into()).into());
    }
    Ok(Some(outputs::of_edit(args, None)?))
}

/// Writes the patch and, where asked for, the exported folder.
fn save(
    session: &Session,
    plan: &WritePlan,
    args: &EditArgs,
    file: &Path,
    (text, metrics): (&str, serde_json::Value),
    writer: Writer<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    let keys = writer.keys()?;
    let (delta, _) = writer.finish()?;
    let recipe = recipe(session, plan, text, &delta, metrics)?;
    let patch = Patch { delta, keys, recipe };
    patch.write(file, outputs::overwrite(args.force))?;
    if let Some(out) = &args.out {
        let summary = export::write(session, std::slice::from_ref(&patch), out, args.force, ui)?;
        export::show(&summary, ui);
    }
    Ok(())
}

fn show(report: &BatchReport, patch: Option<&Path>, ui: &Ui) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let cost = format!("{:>16}  {:.2} s an edit", "", report.seconds_per_edit);
    let cached = match report.values_from_cache {
        0 => String::new(),
        cached => format!(", {cached} of {} values from the cache", report.n),
    };
    let file = patch.filter(|_| report.collapse.is_none());
    let file = file.map(|file| format!("{:>16}  {}\n", "patch", file.display()));
    let (table, file) = (batch_table(report), file.unwrap_or_default());
    let sentence = paragraph(2, 2, &batch_sentence(report));
    ui.print(&format!("\n{table}{cost}{cached}\n{file}\n  {sentence}\n"));
    Ok(())
}

/// The records by batch, less those that clash with an earlier one of their batch; refused all at
/// once unless the user said to leave them out.
fn without_conflicts(
    records: &[Record],
    batch: usize,
    skip: bool,
    ui: &Ui,
) -> anyhow::Result<Vec<Vec<Record>>> {
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
        kept.push((0..batch.len()).filter(|at| !clashes(at)).map(|at| batch[at].clone()).collect());
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
    plan: &'a WritePlan,
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
}

/// Records whose prompts are continued for fluency.
const WRITTEN: usize = 16;

impl<'a> Run<'a> {
    fn new(
        session: &'a Session,
        plan: &'a WritePlan,
        factored: &'a [Factored],
        records: &'a [Record],
        is_one_model: bool,
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
        // Writing takes longer than a small batch; of many models one by one it would say little.
        let written = if is_one_model { WRITTEN } else { 0 };
        let generation: Vec<String> = records.iter().take(written).map(prompt).collect();
        let before = scored(&model.decoder, &questions, "before", ui)?;
        let health_before = health(session, &model.decoder, &generation, ui)?;
        Ok(Self {
            store: ValueStore::open(&session.cache, model.weights_hash()?)?,
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
    fn all(&mut self, sizes: &[usize], is_sequential: bool) -> anyhow::Result<Writer<'a>> {
        let (model, plan, factored) = (&self.session.model, self.plan, self.factored);
        let mut writer = Writer::new(model, plan, factored);
        let mut first = 0;
        for size in sizes {
            if !is_sequential {
                writer = Writer::new(model, plan, factored);
            }
            self.batch(first, &plan.edits[first..first + size], &mut writer)?;
            first += size;
            let limit = plan.batch.max_perplexity;
            if is_sequential && collapse(&self.health_before, &self.curve, limit).is_some() {
                break;
            }
        }
        Ok(writer)
    }

    fn batch(
        &mut self,
        first: usize,
        edits: &[PlannedEdit],
        writer: &mut Writer<'_>,
    ) -> anyhow::Result<()> {
        let (session, plan, ui) = (self.session, self.plan, self.ui);
        let started = Instant::now();
        let asks = asks(edits);
        let found = find_values(session, plan, &asks, &self.store, ui)?;
        let written = writer.write(&asks, &found.values, ui).with_context(|| {
            format!("cannot write facts {} to {}", first + 1, first + edits.len())
        })?;
        let seconds = started.elapsed().as_secs_f64();
        describe_batch(plan, &found, &written, ui);
        let here = first..first + edits.len();
        let id = |edit: &PlannedEdit| {
            let at = edits.iter().position(|other| std::ptr::eq(other, edit));
            self.records[first + at.expect("an edit of this batch")].id.clone()
        };
        let reports = fact_reports(&asks, &found.values, &written, seconds, id);
        self.edits.extend(reports);
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

    fn finish(
        self,
        batch: usize,
        is_sequential: bool,
        last: &Decoder,
    ) -> anyhow::Result<BatchReport> {
        let n = self.right_after.len();
        // The last batch was scored in the last model already.
        let is_last = !is_sequential || self.curve.len() == 1;
        let after = match is_last {
            true => self.right_after.clone(),
            false => scored(last, &self.questions[..n], "after all", self.ui)?,
        };
        let before: Vec<Measured> = self.before.into_iter().take(n).collect();
        let limit = self.plan.batch.max_perplexity;
        let collapse = collapse(&self.health_before, &self.curve, limit);
        Ok(BatchReport {
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
        })
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
