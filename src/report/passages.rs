//! What became of passages, and its table.

use serde::Serialize;

use super::{EditReport, probe_table};
use crate::gradient::{Memory, NearDuplicate, PassageSettings, PathPoint, RateTrial, Stopped};
use crate::math::mean_interval;
use crate::spec::PassageVerb;

/// A spec with passages, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct SpecReport {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model.
    pub model: String,
    /// Facts, probes, drift and completions, before everything and after everything.
    pub probes: EditReport,
    /// What was done with passages, in this order.
    pub passages: Vec<PassageReport>,
}

/// One training.
#[derive(Debug, Serialize)]
pub struct PassageReport {
    /// All choices.
    pub settings: PassageSettings,
    /// Learning rate.
    pub rate: f64,
    /// The rates that were tried, best first; empty where one was given.
    pub trials: Vec<RateTrial>,
    /// Values that were trained.
    pub trained: usize,
    /// Why it ended.
    pub stopped: Stopped,
    /// NLL at which forgetting was to end: the references' or the hold-out's.
    pub goal: Option<f64>,
    /// Share of the change that was kept, so that forgetting ends at the goal and not beyond.
    pub share: f64,
    /// Median wall-clock seconds of a step.
    pub seconds_per_step: f64,
    /// Wall-clock seconds of the training, without the measurements before and after.
    pub seconds: f64,
    /// Retain passages that repeat forget passages; they were left out.
    pub closure: Vec<NearDuplicate>,
    /// Before this training.
    pub before: SetsMemory,
    /// After it.
    pub after: SetsMemory,
    /// What models that never saw the passages say of the sets.
    pub references: Vec<ReferenceReport>,
    /// Every step.
    pub path: Vec<PathPoint>,
}

/// A model that never saw the passages.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceReport {
    /// As the spec names it.
    pub name: String,
    /// What it says of each set.
    pub memory: SetsMemory,
}

/// What is remembered of each set.
#[derive(Debug, Clone, Serialize)]
pub struct SetsMemory {
    /// What is learnt or forgotten.
    pub passages: Option<Memory>,
    /// What has to stay.
    pub retain: Option<Memory>,
    /// What was never seen.
    pub holdout: Option<Memory>,
}

const LABEL: usize = 22;

/// NLL and extraction strength before and after, by set, and the probes.
pub fn passage_table(report: &SpecReport) -> String {
    let mut out = String::new();
    for (index, passages) in report.passages.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&format!(
            "{:LABEL$}  {:>7} {:>7} {:>5}  95 % interval after\n",
            "", "before", "after", "n"
        ));
        let verb = name(passages.settings.verb);
        for (set, before, after) in [
            (verb, &passages.before.passages, &passages.after.passages),
            ("retain", &passages.before.retain, &passages.after.retain),
            ("hold-out", &passages.before.holdout, &passages.after.holdout),
        ] {
            let (Some(before), Some(after)) = (before, after) else { continue };
            for (what, before, after, note) in [
                ("NLL", before.nll, after.nll, "nats a token"),
                ("extraction", before.extraction, after.extraction, "share said by heart"),
            ] {
                let range = format!("{:.2}-{:.2}", after.low, after.high);
                out.push_str(&format!(
                    "{:>LABEL$}  {:>7.2} {:>7.2} {:>5}  {range:<12} {note}\n",
                    format!("{set} {what}"),
                    before.mean,
                    after.mean,
                    after.n
                ));
            }
        }
        out.push_str(&reference_rows(passages));
    }
    let is_unprobed = report.probes.before.intervals.is_empty()
        && report.probes.drift.is_none()
        && report.probes.completions.is_empty();
    if !is_unprobed {
        out.push('\n');
        out.push_str(&probe_table(&report.probes));
    }
    out
}

/// Spread of the references, and how far the training went from where it began to their mean.
fn reference_rows(report: &PassageReport) -> String {
    let mut out = String::new();
    for (what, value) in MEASURES {
        let all: Vec<f64> =
            report.references.iter().filter_map(|found| value(&found.memory)).collect();
        let sides = value(&report.before).zip(value(&report.after));
        let (Some(spread), Some((before, after))) = (mean_interval(&all), sides) else { continue };
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let closed = 100. * (after - before) / (spread.mean - before);
        out.push_str(&format!(
            "{:>LABEL$}  {:>7} {:>7.2} {:>5}  {:<12} {closed:.0} % of the gap\n",
            format!("never saw, {what}"),
            "",
            spread.mean,
            spread.n,
            format!("{low:.2}-{high:.2}"),
        ));
    }
    out
}

/// A number that a set's memory has, if it was measured.
type Measure = fn(&SetsMemory) -> Option<f64>;

const MEASURES: [(&str, Measure); 2] = [
    ("NLL", |sets| sets.passages.as_ref().map(|memory| memory.nll.mean)),
    ("extraction", |sets| sets.passages.as_ref().map(|memory| memory.extraction.mean)),
];

fn name(verb: PassageVerb) -> &'static str {
    match verb {
        PassageVerb::Learn => "learn",
        PassageVerb::Forget => "forget",
    }
}

/// The last lines: a sentence for each training.
pub fn passage_sentences(report: &SpecReport) -> Vec<String> {
    report.passages.iter().map(sentence).collect()
}

fn sentence(report: &PassageReport) -> String {
    let nll = |memory: &SetsMemory| memory.passages.as_ref().map_or(0., |m| m.nll.mean);
    let by_heart = |memory: &SetsMemory| memory.passages.as_ref().map_or(0., |m| m.extraction.mean);
    let retain = match (&report.before.retain, &report.after.retain) {
        (Some(before), Some(after)) => {
            let change = 100. * (after.nll.mean / before.nll.mean - 1.);
            format!("; the retain set's NLL changed by {change:+.1} %")
        }
        _ => String::new(),
    };
    let end = match (report.settings.verb, report.stopped) {
        (PassageVerb::Learn, Stopped::Learnt) => "The passages are learnt",
        (PassageVerb::Learn, _) => "The passages were trained for all steps",
        (PassageVerb::Forget, Stopped::Holdout) => "The passages are as improbable as the hold-out",
        (PassageVerb::Forget, Stopped::Reference) => {
            "The passages are as improbable as for models that never saw them"
        }
        (PassageVerb::Forget, Stopped::Damage) => {
            "Forgetting was stopped because the retain set suffered"
        }
        (PassageVerb::Forget, _) => "The passages were trained down for all steps",
    };
    format!(
        "{end}: {:.0} % of them said by heart, {:.0} % before, NLL {:.2} after {} steps{retain}.",
        100. * by_heart(&report.after),
        100. * by_heart(&report.before),
        nll(&report.after),
        report.path.len()
    )
}
