//! `rescribe edit RECORDS --erase`: what each record says is true is erased by itself, from the
//! clean model, and asked for again.

use std::time::Instant;

use anyhow::Context;

use super::args::{EditArgs, Global};
use super::batches::{Quiet, fact_reports, find_value, ready_layers};
use super::edit::describe;
use super::failure::Usage;
use super::records::questions;
use super::require::{self, Requirement};
use super::session::Session;
use super::ui::{NOTE, Ui, paragraph};
use super::write::fact_report;
use rescribe::model::Decoder;
use rescribe::plan::{WritePlan, plan};
use rescribe::probe::{HELD_TEXTS, Leak, LeakQuestion, Measured, ProbeScores, drift, measure};
use rescribe::progress::Progress;
use rescribe::rank_one::targets::{ValueStore, asks};
use rescribe::rank_one::{Factored, Writer, write_fact};
use rescribe::report::{EraseReport, FactReport, erase_sentence, erase_table, summarise};
use rescribe::spec::{Erase, Fact, RankOneOptions, Record, Toward};

/// Held texts behind each fact's drift; all facts together make many tokens of them.
const DRIFT_TEXTS: usize = 4;
/// Subjects of other records that stand for never knowing.
const OTHERS: usize = 12;
/// Fewer say too little; then the plan finds others.
const FEW: usize = 4;

/// Erases record by record and prints what still leaks, and the damage.
pub fn edit(
    args: &EditArgs,
    options: &RankOneOptions,
    toward: Toward,
    records: &[Record],
    requirements: &[Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let erases = erases(records, &toward)?;
    let erases = &erases[..args.limit.unwrap_or(erases.len()).min(erases.len())];
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let first = plan(&session.model, &session.name, &erases[..1], options, ui)?;
    ui.close();
    let what = format!("{}, record by record", describe(&first));
    ui.note("plan", &paragraph(NOTE, NOTE, &what));
    let factored = ready_layers(&session, &first, options, ui)?;
    let store = ValueStore::open(&session.cache, session.model.weights_hash()?)?;
    let run = Run { session: &session, first: &first, factored: &factored, store, ui };
    let report = run.all(erases, records, toward.text())?;
    show(&report, ui)?;
    require::check(requirements, &report.after)
}

/// What the records say is true, with the subjects of other records of the relation to compare with.
fn erases(records: &[Record], toward: &Toward) -> anyhow::Result<Vec<Fact>> {
    let erase = |record: &Record| -> anyhow::Result<Fact> {
        let insert = &record.insert;
        let Some(target_true) = insert.target_true.clone() else {
            let message = format!("record {} has no true target to erase", record.id);
            return Err(Usage(message).into());
        };
        let (subject, prompt) = (insert.subject.clone(), insert.prompt.clone());
        let is_other = |other: &&Record| {
            let other_true = other.insert.target_true.as_ref();
            let is_same_kind = other.relation.is_some() && other.relation == record.relation;
            is_same_kind && other.insert.subject != subject && other_true != Some(&target_true)
        };
        let others = records.iter().filter(is_other).map(|other| other.insert.subject.clone());
        let mut others: Vec<String> = others.take(OTHERS).collect();
        if others.len() < FEW {
            others.clear();
        }
        let (toward, spans) = (toward.clone(), None);
        Ok(Erase { subject, prompt, target_true, toward, others, spans }.into())
    };
    records.iter().map(erase).collect()
}

/// A run over records.
struct Run<'a> {
    session: &'a Session,
    first: &'a WritePlan,
    factored: &'a [Factored],
    store: ValueStore,
    ui: &'a Ui,
}

/// What erasing one record gave.
struct Erased {
    before: Measured,
    after: Measured,
    drift: f64,
    leak: Leak,
    edit: FactReport,
    warnings: Vec<String>,
}

impl Run<'_> {
    fn all(
        &self,
        erases: &[Fact],
        records: &[Record],
        toward: &str,
    ) -> anyhow::Result<EraseReport> {
        let n = erases.len();
        self.ui.phase("records", Some(n as u64));
        let mut all = Vec::with_capacity(n);
        for (i, (fact, record)) in erases.iter().zip(records).enumerate() {
            self.ui.check()?;
            self.ui.advance(i as u64, fact.subject());
            all.push(self.one(fact, record)?);
        }
        self.ui.close();
        let mut times: Vec<f64> = all.iter().map(|it| it.edit.seconds).collect();
        times.sort_by(f64::total_cmp);
        let drift = all.iter().map(|it| it.drift).sum::<f64>() / n as f64;
        let (mut before, mut after) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut leaks, mut edits) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut warnings = Vec::new();
        for erased in all {
            before.push(erased.before);
            after.push(erased.after);
            leaks.push(erased.leak);
            edits.push(erased.edit);
            warnings.extend(erased.warnings);
        }
        self.ui.warn_first(&warnings);
        Ok(EraseReport {
            schema: 1,
            model: self.session.name.clone(),
            method: self.first.method,
            layers: self.first.layers.clone(),
            toward: toward.to_owned(),
            n,
            before: ProbeScores::of_records(&before),
            after: ProbeScores::of_records(&after),
            drift,
            channels: summarise(&leaks),
            leaking: leaks.iter().filter(|leak| !leak.leaking().is_empty()).count(),
            conspicuous: leaks.iter().filter(|leak| leak.is_conspicuous()).count(),
            leaks,
            edits,
            seconds_per_edit: times[n / 2],
        })
    }

    fn one(&self, fact: &Fact, record: &Record) -> anyhow::Result<Erased> {
        let model = &self.session.model;
        let watch = Quiet(self.ui);
        let plan = self.first.for_facts(model, std::slice::from_ref(fact), &watch)?;
        let (edit, edited) = self.written(&plan, &record.id)?;
        let (clean, edited) = (&model.decoder, &edited);
        let questions = questions(model, record)?;
        let texts: Vec<String> =
            HELD_TEXTS.iter().take(DRIFT_TEXTS).map(|text| (*text).to_owned()).collect();
        let drift = drift(clean, edited, &model.tokenizer, &texts, &watch)?;
        let paraphrases = record.prompts.paraphrase.iter().map(|it| it.prompt.clone());
        let paraphrases: Vec<String> = paraphrases.collect();
        let seed = plan.settings.seed;
        let question = LeakQuestion::new(&model.tokenizer, &plan.edits[0], &paraphrases, seed)?;
        let question = question.expect("the plan is for an erase");
        Ok(Erased {
            before: measure(clean, &questions)?,
            after: measure(edited, &questions)?,
            drift: drift.map_or(0., |drift| drift.kl.mean),
            leak: question.ask((clean, edited), &model.tokenizer, &watch)?,
            edit,
            warnings: plan.warnings,
        })
    }
}

impl Run<'_> {
    /// The edit and the model that has it; no lines of its own under the bar of the records.
    fn written(&self, plan: &WritePlan, id: &str) -> anyhow::Result<(FactReport, Decoder)> {
        let (model, ui, started) = (&self.session.model, self.ui, Instant::now());
        let context = || format!("cannot erase record {id}");
        if !plan.method.is_batched() {
            let (ask, factored) = ([&plan.edits[0]], &self.factored[0]);
            let (fact, edited) = write_fact(&model.decoder, plan, &ask, factored, &Quiet(ui))
                .with_context(context)?;
            return Ok((fact_report(id, &fact, started), edited));
        }
        let asks = asks(&plan.edits);
        let (value, _) = find_value(self.session, plan, &asks[0], &self.store, ui)?;
        let mut writer = Writer::new(model, plan, self.factored);
        let values = [value];
        let written = writer.write(&asks, &values, &Quiet(ui)).with_context(context)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut reports = fact_reports(&asks, &values, &written, seconds, |_| id.to_owned());
        Ok((reports.remove(0), writer.finish()?.1))
    }
}

fn show(report: &EraseReport, ui: &Ui) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let sentence = paragraph(2, 2, &erase_sentence(report));
    ui.print(&format!("\n{}\n  {sentence}\n", erase_table(report)));
    Ok(())
}
