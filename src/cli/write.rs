//! The facts of a spec, written one after the other or in batches.

use std::time::Instant;

use anyhow::Context;
use candle_core::{Device, Tensor};

use super::batches::{describe_batch, fact_reports, find_values, health};
use super::failure::Missed;
use super::session::Session;
use super::ui::Ui;
use rescribe::delta::{Keys, WeightDelta};
use rescribe::model::{Decoder, Model};
use rescribe::plan::{PlannedEdit, WritePlan};
use rescribe::probe::ProbeScores;
use rescribe::rank_one::targets::{ValueStore, asks, asks_by_subject};
use rescribe::rank_one::{Factored, Writer, WrittenBatch, WrittenFact, write_fact};
use rescribe::report::{BatchPoint, FactReport, Health, collapse};

/// What writing all facts gave.
pub struct Written {
    pub facts: Vec<FactReport>,
    pub delta: WeightDelta,
    pub keys: Keys,
    pub edited: Decoder,
}

/// Writes all facts: together where the method can, else one after the other.
pub fn write(
    session: &Session,
    plan: &WritePlan,
    factored: &[Factored],
    ui: &Ui,
) -> anyhow::Result<Written> {
    match plan.method.is_batched() {
        true => write_batches(session, plan, factored, ui),
        false => write_singly(&session.model, plan, &factored[0], ui),
    }
}

/// Applies the facts one after the other, each to what the one before left; those about one subject
/// together.
fn write_singly(
    model: &Model,
    plan: &WritePlan,
    factored: &Factored,
    ui: &Ui,
) -> anyhow::Result<Written> {
    let mut decoder = model.decoder.clone();
    let (mut facts, mut delta, mut keys) = (Vec::new(), WeightDelta::default(), Vec::new());
    let tensor = model.down_projection_name(plan.layer);
    for ask in asks_by_subject(plan) {
        let started = Instant::now();
        let subject = &ask[0].subject;
        let (fact, edited) = write_fact(&decoder, plan, &ask, factored, ui)
            .with_context(|| format!("cannot write the fact about {subject:?}"))?;
        ui.close();
        let report = fact_report(subject, &fact, started);
        describe_fact(&fact, &report, ui);
        let one = WeightDelta { changes: [(tensor.to_owned(), fact.change.change)].into() };
        delta = delta.plus(&one)?;
        keys.extend(fact.keys);
        let seconds = report.seconds / ask.len() as f64;
        facts.extend(ask.iter().map(|_| FactReport { seconds, ..report.clone() }));
        decoder = edited;
    }
    let keys = Keys::from([(tensor.to_owned(), Tensor::new(keys, &Device::Cpu)?)]);
    Ok(Written { facts, delta, keys, edited: decoder })
}

/// Writes the facts in batches, each of which keeps what those before it wrote.
fn write_batches(
    session: &Session,
    plan: &WritePlan,
    factored: &[Factored],
    ui: &Ui,
) -> anyhow::Result<Written> {
    let store = ValueStore::open(&session.cache, session.model.weights_hash()?)?;
    let mut writer = Writer::new(&session.model, plan, factored);
    let (mut facts, mut guard) = (Vec::new(), Guard::new(session, plan, ui)?);
    for edits in plan.batches() {
        let started = Instant::now();
        let asks = asks(edits);
        let found = find_values(session, plan, &asks, &store, ui)?;
        let written = writer.write(&asks, &found.values, ui)?;
        describe_batch(plan, &found, &written, ui);
        let seconds = started.elapsed().as_secs_f64();
        let name = |edit: &PlannedEdit| edit.subject.clone();
        facts.extend(fact_reports(&asks, &found.values, &written, seconds, name));
        guard.check(writer.decoder(), facts.len(), written, seconds)?;
    }
    let keys = writer.keys()?;
    let (delta, edited) = writer.finish()?;
    Ok(Written { facts, delta, keys, edited })
}

/// Stops a spec's sequence where the model breaks, before anything is written to disk.
struct Guard<'a> {
    session: &'a Session,
    plan: &'a WritePlan,
    ui: &'a Ui,
    before: Health,
    curve: Vec<BatchPoint>,
}

impl<'a> Guard<'a> {
    fn new(session: &'a Session, plan: &'a WritePlan, ui: &'a Ui) -> anyhow::Result<Self> {
        let before = match plan.batch.sequential {
            Some(_) => health(session, &session.model.decoder, &[], ui)?,
            None => Health::default(),
        };
        Ok(Self { session, plan, ui, before, curve: Vec::new() })
    }

    fn check(
        &mut self,
        decoder: &Decoder,
        facts: usize,
        written: WrittenBatch,
        seconds: f64,
    ) -> anyhow::Result<()> {
        if self.plan.batch.sequential.is_none() {
            return Ok(());
        }
        self.curve.push(BatchPoint {
            facts,
            right_after: ProbeScores::default(),
            health: health(self.session, decoder, &[], self.ui)?,
            relative_norms: written.relative_norms,
            reached: written.reached,
            seconds,
        });
        let limit = self.plan.batch.max_perplexity;
        match collapse(&self.before, &self.curve, limit) {
            Some(collapse) => Err(Missed(format!("{collapse}; nothing was written")).into()),
            None => Ok(()),
        }
    }
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
