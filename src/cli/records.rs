//! Record files: every record is edited by itself, from the clean model.

use std::time::Instant;

use anyhow::Context;

use super::args::EditArgs;
use super::batches::ready_layers;

use super::erase;
use super::require::{self, Requirement};
use super::resolve;
use super::sequence;
use super::session::Session;
use super::ui::{Ui, paragraph};
use super::write::fact_report;
use rescribe::model::{Decoder, Model};
use rescribe::plan::plan;
use rescribe::probe::{Measured, ProbeScores, Questions, measure};
use rescribe::progress::Progress;
use rescribe::rank_one::write_fact;
use rescribe::report::{EditReport, record_table, sentence};
use rescribe::spec::{Record, Toward};

/// Edits record by record and prints the paper's table.
pub fn edit(
    args: &EditArgs,
    records: &[Record],
    requirements: &[Requirement],
    global: &super::args::Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let resolved = resolve::records(args)?;
    let options = &resolved.rank_one;
    if let Some(toward) = &args.erase {
        let toward = Toward::of_text(toward);
        return erase::edit(args, options, toward, records, requirements, global, ui);
    }
    let records = &records[..args.limit.unwrap_or(records.len()).min(records.len())];
    if resolved.is_in_batches() {
        return sequence::edit(args, &resolved, records, requirements, global, ui);
    }
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let model = &session.model;
    let first = plan(model, &session.name, &[records[0].insert.clone().into()], options, ui)?;
    let factored = ready_layers(&session, &first, options, ui)?;
    let factored = &factored[0];
    let (mut before, mut after, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    let mut warnings = Vec::new();
    let watch = Records::new(ui, records.len());
    for (i, record) in records.iter().enumerate() {
        watch.show(i, &record.insert.subject);
        let questions = questions(model, record)?;
        before.push(measure(&model.decoder, &questions)?);
        let started = Instant::now();
        let plan = first.for_facts(model, &[record.insert.clone().into()], &watch)?;
        let (fact, edited) = write_fact(&model.decoder, &plan, &[&plan.edits[0]], factored, &watch)
            .with_context(|| format!("cannot write record {}", record.id))?;
        edits.push(fact_report(&record.id, &fact, started));
        after.push(measure(&edited, &questions)?);
        warnings.extend(plan.warnings);
    }
    ui.close();
    ui.warn_first(&warnings);
    let mut times: Vec<f64> = edits.iter().map(|edit| edit.seconds).collect();
    times.sort_by(f64::total_cmp);
    let report = EditReport {
        schema: 1,
        model: session.name.clone(),
        n: records.len(),
        layer: Some(first.layer),
        before: ProbeScores::of_records(&before),
        after: Some(ProbeScores::of_records(&after)),
        without_ripples: None,
        drift: None,
        leaks: Vec::new(),
        completions: Vec::new(),
        edits,
        seconds_per_edit: Some(times[times.len() / 2]),
        prompts_before: before,
        prompts_after: after,
    };
    show(&report, ui)?;
    require::check(requirements, report.after.as_ref().unwrap_or(&report.before))
}

/// Scores a model, or two, on records.
pub fn probe(
    model: &Model,
    name: &str,
    other: Option<&Decoder>,
    records: &[Record],
    ui: &Ui,
) -> anyhow::Result<EditReport> {
    let (mut before, mut after) = (Vec::<Measured>::new(), Vec::new());
    let watch = Records::new(ui, records.len());
    for (i, record) in records.iter().enumerate() {
        ui.check()?;
        watch.show(i, &record.insert.subject);
        let questions = questions(model, record)?;
        before.push(measure(&model.decoder, &questions)?);
        if let Some(other) = other {
            after.push(measure(other, &questions)?);
        }
    }
    ui.close();
    Ok(EditReport {
        schema: 1,
        model: name.to_owned(),
        n: records.len(),
        layer: None,
        before: ProbeScores::of_records(&before),
        after: other.map(|_| ProbeScores::of_records(&after)),
        without_ripples: None,
        drift: None,
        leaks: Vec::new(),
        completions: Vec::new(),
        edits: Vec::new(),
        seconds_per_edit: None,
        prompts_before: before,
        prompts_after: after,
    })
}

pub fn questions(model: &Model, record: &Record) -> anyhow::Result<Questions> {
    let insert = &record.insert;
    let (new, old) = (Some(insert.target_new.as_str()), insert.target_true.as_deref());
    Ok(Questions::new(&model.tokenizer, &record.prompts, new, old)?)
}

/// The table, the cost and the closing sentence.
pub fn show(report: &EditReport, ui: &Ui) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let cost = report.seconds_per_edit.map(|s| format!("{:>16}  {s:.2} s an edit (median)\n", ""));
    let table = record_table(report);
    let sentence = paragraph(2, 2, &sentence(report));
    ui.print(&format!("\n{table}{}\n  {sentence}\n", cost.unwrap_or_default()));
    Ok(())
}

/// One bar over the records; the optimisation inside shows no bar of its own.
struct Records<'a> {
    ui: &'a Ui,
}

impl<'a> Records<'a> {
    fn new(ui: &'a Ui, records: usize) -> Self {
        ui.phase("records", Some(records as u64));
        Self { ui }
    }

    fn show(&self, done: usize, subject: &str) {
        self.ui.advance(done as u64, subject);
    }
}

impl Progress for Records<'_> {
    fn warn(&self, message: &str) {
        self.ui.warn(message);
    }

    fn check(&self) -> Result<(), rescribe::progress::Interrupted> {
        self.ui.check()
    }
}
