//! Record files: every record is edited by itself, from the clean model.

use std::time::Instant;

use anyhow::Context;

use super::args::EditArgs;
use super::batches::ready_layers;

use super::erase;
use super::failure::Usage;
use super::require::{self, Requirement};
use super::sequence;
use super::session::{self, Session};
use super::ui::Ui;
use super::write::fact_report;
use rescribe::model::{Decoder, Model};
use rescribe::plan::plan;
use rescribe::probe::{Measured, ProbeScores, Questions, measure};
use rescribe::progress::Progress;
use rescribe::rank_one::write_fact;
use rescribe::report::{EditReport, sentence};
use rescribe::spec::{Method, RankOneOptions, Record, Toward};

/// Edits record by record and prints the paper's table.
pub fn edit(
    args: &EditArgs,
    records: &[Record],
    requirements: &[Requirement],
    global: &super::args::Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    if let Some(toward) = &args.erase {
        return erase::edit(args, Toward::of_text(toward), records, requirements, global, ui);
    }
    let records = &records[..args.limit.unwrap_or(records.len()).min(records.len())];
    let is_batched = args.rank_one.method.is_some_and(Method::is_batched);
    if args.batch.is_some() || args.rank_one.sequential.is_some() || is_batched {
        return sequence::edit(args, records, requirements, global, ui);
    }
    if args.out.is_some() || args.patch.is_some() {
        let message = "records are edited one by one from the clean model, which leaves no patch; \
                       --batch N or --sequential N writes them into one model";
        return Err(Usage(message.into()).into());
    }
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let options = session::options(&RankOneOptions::default(), &args.rank_one);
    let model = &session.model;
    let first = plan(model, &session.name, &[records[0].insert.clone().into()], &options, ui)?;
    let factored = ready_layers(&session, &first, &options, ui)?;
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
    let shown = report.report("edit")?.section(sentence(&report));
    ui.show(&shown)?;
    require::check(requirements, &shown)
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
