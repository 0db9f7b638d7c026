//! What became of passages that were learnt or forgotten.

use serde::Serialize;

use super::figure::{Axis, Figure, Series};
use super::table::{Cell, Column, Row, Table, Unit};
use super::{EditReport, Report, Section};
use crate::gradient::{Memory, NearDuplicate, PassageSettings, PathPoint, RateTrial, Stopped};
use crate::math::mean_interval;
use crate::spec::PassageVerb;

/// A spec with passages, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct SpecReport {
    /// Version of this structure.
    pub schema: u32,
    /// Display name of the model.
    pub model: String,
    /// Facts, probes, drift and completions, before everything and after everything.
    pub probes: EditReport,
    /// What was done with passages, in this order.
    pub passages: Vec<PassageReport>,
}

/// One training.
#[derive(Debug, Serialize)]
pub struct PassageReport {
    /// All choices of the training.
    pub settings: PassageSettings,
    /// Learning rate of the training.
    pub rate: f64,
    /// The rates that were tried, best first; empty where one was given.
    pub trials: Vec<RateTrial>,
    /// Number of values that were trained.
    pub trained: usize,
    /// Why the training ended.
    pub stopped: Stopped,
    /// NLL at which forgetting should end: the references' or the hold-out's.
    pub goal: Option<f64>,
    /// Share of the change that was kept, so that forgetting ends at the goal and not beyond.
    pub share: f64,
    /// Median wall-clock seconds of a step.
    pub seconds_per_step: f64,
    /// Wall-clock seconds of the training, without the measurements before and after.
    pub seconds: f64,
    /// Retain passages that repeat forget passages; they were left out.
    pub closure: Vec<NearDuplicate>,
    /// What was remembered before this training.
    pub before: SetsMemory,
    /// What was remembered after this training.
    pub after: SetsMemory,
    /// What models that never saw the passages remember of the sets.
    pub references: Vec<ReferenceReport>,
    /// Losses of every step.
    pub path: Vec<PathPoint>,
}

/// A model that never saw the passages.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceReport {
    /// Name of the model in the spec.
    pub name: String,
    /// What the model remembers of each set.
    pub memory: SetsMemory,
}

/// What is remembered of each set.
#[derive(Debug, Clone, Serialize)]
pub struct SetsMemory {
    /// Passages that are learnt or forgotten.
    pub passages: Option<Memory>,
    /// Passages that must stay.
    pub retain: Option<Memory>,
    /// Passages that the model never saw.
    pub holdout: Option<Memory>,
}

impl SpecReport {
    /// NLL and extraction strength before and after, by set, and the probes.
    pub fn report(&self, command: &str) -> serde_json::Result<Report> {
        let mut report = Report::new(command, &self.model, self)?;
        report.sections = self.passages.iter().map(PassageReport::section).collect();
        report.sections.extend(self.probes.sections());
        Ok(report)
    }
}

impl PassageReport {
    /// What became of each set, and the path of the training.
    pub fn section(&self) -> Section {
        let verb = name(self.settings.verb);
        let columns = [Column::before(), Column::after(), Column::n(), Column::interval()];
        let mut table = Table::new(verb, columns);
        for (set, before, after) in [
            (verb, &self.before.passages, &self.after.passages),
            ("retain", &self.before.retain, &self.after.retain),
            ("hold-out", &self.before.holdout, &self.after.holdout),
        ] {
            let (Some(before), Some(after)) = (before, after) else { continue };
            for (what, unit, before, after, note) in [
                ("NLL", Unit::Plain(2), before.nll, after.nll, "nats a token"),
                ("extraction", Unit::Share, before.extraction, after.extraction, "share recited"),
            ] {
                let row = Row::of(format!("{set} {what}"), unit).cell(before.mean);
                table.push(row.value(after.mean).cell(after.n).cell(&after).note(note));
            }
        }
        MEASURES.into_iter().filter_map(|it| self.reference_row(it)).for_each(|it| table.push(it));
        Section::from(table).block(self.figure())
    }

    /// Spread of the references, and how far the training went from where it began to their mean.
    fn reference_row(&self, (what, unit, value): (&str, Unit, Measure)) -> Option<Row> {
        let all: Vec<f64> =
            self.references.iter().filter_map(|found| value(&found.memory)).collect();
        let (before, after) = value(&self.before).zip(value(&self.after))?;
        let spread = mean_interval(&all)?;
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let closed = 100. * (after - before) / (spread.mean - before);
        let row = Row::of(format!("never saw, {what}"), unit).cell(Cell::Text(String::new()));
        let row = row.value(spread.mean).cell(spread.n).cell(Cell::Interval { low, high });
        Some(row.note(format!("{closed:.0} % of the gap, least-most range")))
    }

    /// NLL step by step.
    fn figure(&self) -> Figure {
        let x = Axis::new("step", Unit::Count);
        let mut figure =
            Figure::lines("Training", x, Axis::new("NLL, nats a token", Unit::Plain(2)));
        let passages = self.path.iter().map(|point| [point.step as f64, point.passages]);
        let label = format!("{} while trained", name(self.settings.verb));
        figure.series.push(Series::new(label, passages));
        let retain = self.path.iter().filter_map(|it| Some([it.step as f64, it.retain?]));
        let retain = Series::new("retain while trained", retain);
        if !retain.points.is_empty() {
            figure.series.push(retain);
        }
        figure
    }
}

/// A number that a set's memory has, if it was measured.
type Measure = fn(&SetsMemory) -> Option<f64>;

const MEASURES: [(&str, Unit, Measure); 2] = [
    ("NLL", Unit::Plain(2), |sets| sets.passages.as_ref().map(|memory| memory.nll.mean)),
    ("extraction", Unit::Share, |sets| sets.passages.as_ref().map(|memory| memory.extraction.mean)),
];

fn name(verb: PassageVerb) -> &'static str {
    match verb {
        PassageVerb::Learn => "learn",
        PassageVerb::Forget => "forget",
    }
}

/// A sentence for each training.
pub fn passage_sentences(report: &SpecReport) -> Vec<String> {
    report.passages.iter().map(sentence).collect()
}

fn sentence(report: &PassageReport) -> String {
    let nll = |memory: &SetsMemory| memory.passages.as_ref().map_or(0., |m| m.nll.mean);
    let recited = |memory: &SetsMemory| memory.passages.as_ref().map_or(0., |m| m.extraction.mean);
    let retain = match (&report.before.retain, &report.after.retain) {
        (Some(before), Some(after)) => {
            let change = 100. * (after.nll.mean / before.nll.mean - 1.);
            format!("; the retain set's NLL changed by {change:+.1} %")
        }
        _ => String::new(),
    };
    let end = match (report.settings.verb, report.stopped) {
        (PassageVerb::Learn, Stopped::Learnt) => "The passages are learnt",
        (PassageVerb::Learn, _) => "Learning ran for all steps",
        (PassageVerb::Forget, Stopped::Holdout) => {
            "The passages are as improbable as the hold-out set"
        }
        (PassageVerb::Forget, Stopped::Reference) => {
            "The passages are as improbable as for models that never saw them"
        }
        (PassageVerb::Forget, Stopped::Damage) => {
            "Forgetting stopped because the retain set was damaged"
        }
        (PassageVerb::Forget, _) => "Forgetting ran for all steps",
    };
    format!(
        "{end}: {:.0} % of their text is recited, {:.0} % before; NLL {:.2} after {} steps{retain}.",
        100. * recited(&report.after),
        100. * recited(&report.before),
        nll(&report.after),
        report.path.len()
    )
}
