//! Many facts written together: scores right after each batch and after all, and the curve.

use std::fmt;

use serde::Serialize;

use super::figure::{Axis, Figure, Series};
use super::table::{Cell, Column, Row, Table, Unit};
use super::{FactReport, Report, Scores, Section};
use crate::probe::{Measured, ProbeScores};
use crate::spec::Method;

/// A run over batches, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct BatchReport {
    /// Version of this structure.
    pub schema: u32,
    /// Display name of the model.
    pub model: String,
    /// Member of the rank-one family.
    pub method: Method,
    /// The layers that were written.
    pub layers: Vec<usize>,
    /// λ, relative to the keys' own scale.
    pub lambda: f64,
    /// Facts that were written.
    pub n: usize,
    /// Facts of a batch.
    pub batch: usize,
    /// Whether each batch was written into what the one before left.
    pub is_sequential: bool,
    /// Scores of the base.
    pub before: ProbeScores,
    /// Each fact right after its own batch.
    pub right_after: ProbeScores,
    /// Each fact after all batches; `right_after` again where batches are written separately.
    pub after: ProbeScores,
    /// Perplexity on held-out text and fluency of the base.
    pub health_before: Health,
    /// One point a batch.
    pub curve: Vec<BatchPoint>,
    /// Why the sequence was stopped, if it was.
    pub collapse: Option<Collapse>,
    /// One entry a fact.
    pub edits: Vec<FactReport>,
    /// Wall-clock seconds of values, keys and solves, by the number of facts; values from
    /// the cache cost none.
    pub seconds_per_edit: f64,
    /// Facts whose value came from the cache.
    pub values_from_cache: usize,
    /// Outcomes of each prompt for the base.
    pub prompts_before: Vec<Measured>,
    /// Outcomes of each prompt after all batches.
    pub prompts_after: Vec<Measured>,
}

/// How well a model does on text that no edit is about.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Health {
    /// Mean KL(base ‖ edited) a token on held-out text, nats.
    pub drift: f64,
    /// Perplexity on held-out text.
    pub perplexity: f64,
    /// n-gram entropy of generated text, bits; nothing where no text was generated.
    pub fluency: Option<f64>,
}

/// The state after one batch.
#[derive(Debug, Clone, Serialize)]
pub struct BatchPoint {
    /// Facts written into this model so far.
    pub facts: usize,
    /// This batch's own facts.
    pub right_after: ProbeScores,
    /// Of the model after this batch.
    pub health: Health,
    /// ‖ΔW‖/‖W‖ of this batch, layer by layer.
    pub relative_norms: Vec<f64>,
    /// Mean share of the way to its target that each fact's residual stream has gone.
    pub reached: f64,
    /// Wall-clock seconds of values, keys and solve.
    pub seconds: f64,
}

/// Where a sequence broke.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Collapse {
    /// The batch after which it was seen, from 1.
    pub seen: usize,
    /// The batch since which perplexity never came back, from 1.
    pub began: usize,
    /// Perplexity on held-out text as a multiple of the base's.
    pub factor: f64,
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, began, factor } = self;
        write!(
            f,
            "stopped after batch {seen}: perplexity on held-out text is {factor:.1} times the \
             base's; it began with batch {began}"
        )
    }
}

/// A collapse at the last point, if there is one: perplexity above `limit` times `before`.
///
/// It began with the first batch of the last run of points above √limit.
pub fn collapse(before: &Health, curve: &[BatchPoint], limit: f64) -> Option<Collapse> {
    let factor = |point: &BatchPoint| point.health.perplexity / before.perplexity;
    let last = factor(curve.last()?);
    // Written so that a perplexity that is no number counts as a collapse.
    if last <= limit {
        return None;
    }
    let healthy = curve.iter().rposition(|point| factor(point) <= limit.sqrt());
    let began = healthy.map_or(1, |at| at + 2).min(curve.len());
    Some(Collapse { seen: curve.len(), began, factor: last })
}

/// Batches written separately beyond which only their mean is shown.
const MANY: usize = 10;

impl BatchReport {
    /// Scores at their moments, then the curve of a sequence.
    pub fn report(&self, command: &str) -> serde_json::Result<Report> {
        let mut report = Report::new(command, &self.model, self)?.section(self.score_table());
        if self.is_sequential && self.curve.len() > 1 {
            report = report.section(self.figure());
        }
        Ok(report.section(self.curve_table()))
    }

    fn score_table(&self) -> Table {
        let right_after = self.is_sequential.then_some(&self.right_after);
        let scores = Scores { before: &self.before, right_after, after: Some(&self.after) };
        let mut table = scores.table();
        let (before, after) = (&self.health_before, self.health_after());
        let drift = scores.measured("drift", Unit::Nats, None, after.drift);
        table.push(drift.note("KL, nats a token"));
        let perplexity = Some(before.perplexity);
        let perplexity = scores.measured("perplexity", Unit::Ratio, perplexity, after.perplexity);
        table.push(perplexity.note("of held-out text"));
        if let Some(fluency) = after.fluency {
            let fluency = scores.measured("fluency", Unit::Plain(2), before.fluency, fluency);
            table.push(fluency.note("bits, n-grams"));
        }
        let cached = match self.values_from_cache {
            0 => String::new(),
            cached => format!(", {cached} of {} values from the cache", self.n),
        };
        let seconds = scores.measured("seconds", Unit::Seconds, None, self.seconds_per_edit);
        table.push(seconds.cell(self.n).cell(Cell::Empty).note(format!("an edit{cached}")));
        table
    }

    /// Of the last model of a sequence, or the mean over models that are edited separately.
    fn health_after(&self) -> Health {
        match self.curve.last() {
            Some(last) if self.is_sequential || self.curve.len() == 1 => last.health,
            _ => mean_health(&self.curve),
        }
    }

    fn figure(&self) -> Figure {
        let x = Axis::new("facts", Unit::Count);
        let mut figure = Figure::lines("The sequence", x, Axis::new("perplexity", Unit::Ratio));
        let none = [0., self.health_before.perplexity];
        let points = self.curve.iter().map(|point| [point.facts as f64, point.health.perplexity]);
        figure.series.push(Series::new("perplexity", [none].into_iter().chain(points)));
        figure
    }

    /// A row a batch; of many batches that are written separately, their mean.
    fn curve_table(&self) -> Section {
        let mut table = Table::of_items(
            "facts",
            [
                Column::of("score", Unit::Share),
                Column::of("drift", Unit::Nats),
                Column::of("perplexity", Unit::Ratio),
                Column::of("fluency", Unit::Plain(2)),
                Column::of("|ΔW|/|W|", Unit::Plain(3)),
            ],
        );
        let before = &self.health_before;
        let none = Row::new("none").cell(Cell::Empty).cell(Cell::Empty).cell(before.perplexity);
        table.push(none.cell(before.fluency).cell(Cell::Empty));
        let row = |label: String, score: Option<f64>, health: &Health, norm: f64| {
            let row = Row::new(label).cell(score).cell(health.drift).cell(health.perplexity);
            row.cell(health.fluency).cell(norm)
        };
        if !self.is_sequential && self.curve.len() > MANY {
            let norms = self.curve.iter().map(BatchPoint::largest);
            let norm = norms.sum::<f64>() / self.curve.len() as f64;
            table.push(row("mean".into(), None, &mean_health(&self.curve), norm));
            return table.into();
        }
        for point in &self.curve {
            let score = point.right_after.score;
            table.push(row(point.facts.to_string(), score, &point.health, point.largest()));
        }
        table.into()
    }
}

/// The mean state of models that were edited separately.
fn mean_health(curve: &[BatchPoint]) -> Health {
    let mean = |of: fn(&Health) -> f64| {
        curve.iter().map(|point| of(&point.health)).sum::<f64>() / curve.len() as f64
    };
    Health { drift: mean(|it| it.drift), perplexity: mean(|it| it.perplexity), fluency: None }
}

impl BatchPoint {
    /// ‖ΔW‖/‖W‖ of the layer that changed most.
    fn largest(&self) -> f64 {
        self.relative_norms.iter().copied().fold(0., f64::max)
    }
}

/// How many facts were written in how many batches, and their scores.
pub fn batch_sentence(report: &BatchReport) -> String {
    let n = report.n;
    let score = |scores: &ProbeScores| scores.score.map_or("-".into(), |it| format!("{it:.2}"));
    let facts = if n == 1 { "fact" } else { "facts" };
    if let Some(collapse) = report.collapse {
        return format!("{n} {facts}, {collapse}.");
    }
    let (method, after) = (report.method.name(), score(&report.after));
    match (report.is_sequential, report.curve.len()) {
        (true, batches) => format!(
            "{n} {facts} by {method} in {batches} batches, one after the other: score {after}, and \
             {} right after each batch.",
            score(&report.right_after)
        ),
        (false, 1) => format!("{n} {facts} in one batch by {method}: score {after}."),
        (false, batches) => format!(
            "{n} {facts} by {method} in {batches} batches, each into the base: score {after}."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text;

    fn point(facts: usize, perplexity: f64) -> BatchPoint {
        let health = Health { drift: 0.01, perplexity, fluency: Some(5.5) };
        BatchPoint {
            facts,
            right_after: ProbeScores { score: Some(0.95), ..ProbeScores::default() },
            health,
            relative_norms: vec![0.05, 0.0712],
            reached: 0.9,
            seconds: 1.,
        }
    }

    fn curve(perplexities: &[f64]) -> Vec<BatchPoint> {
        let points = perplexities.iter().enumerate();
        points.map(|(i, perplexity)| point(100 * (i + 1), *perplexity)).collect()
    }

    #[test]
    fn a_collapse_began_where_perplexity_last_was_healthy() {
        let before = Health { perplexity: 10., ..Health::default() };
        let of = |perplexities: &[f64]| collapse(&before, &curve(perplexities), 4.);
        assert_eq!(of(&[11., 12., 39.]), None);
        let found = |seen, began, factor| Some(Collapse { seen, began, factor });
        assert_eq!(of(&[11., 25., 15., 30., 41.]), found(5, 4, 4.1));
        assert_eq!(of(&[50.]), found(1, 1, 5.));
        assert!(of(&[11., f64::NAN]).is_some_and(|c| c.seen == 2 && c.began == 2));
    }

    fn report(collapse: Option<Collapse>) -> BatchReport {
        let scores = |score| ProbeScores {
            efficacy: Some(1.),
            score: Some(score),
            ..ProbeScores::default()
        };
        BatchReport {
            schema: 1,
            model: "tiny".into(),
            method: Method::Memit,
            layers: vec![4, 5],
            lambda: 0.1,
            n: 200,
            batch: 100,
            is_sequential: true,
            before: scores(0.),
            right_after: scores(0.95),
            after: scores(0.93),
            health_before: Health { drift: 0., perplexity: 20., fluency: Some(5.75) },
            curve: curve(&[20.5, 21.25]),
            collapse,
            edits: Vec::new(),
            seconds_per_edit: 1.,
            values_from_cache: 0,
            prompts_before: Vec::new(),
            prompts_after: Vec::new(),
        }
    }

    fn shown(report: &BatchReport) -> String {
        text::render(&report.report("edit").expect("plain data"), 80, &text::plain)
    }

    #[test]
    fn a_sequence_shows_both_moments_and_its_curve() {
        let table = shown(&report(None));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @r"
                    before right after  after   n 95 % interval
             score    0.00        0.95   0.93                    harmonic mean
             drift       -             0.0100                    KL, nats a token
        perplexity   20.00              21.25                    of held-out text
           fluency    5.75               5.50                    bits, n-grams
           seconds       -               1.00 200                an edit

        perplexity  ▁▄█  20.00 to 21.25

             facts   score   drift  perplexity  fluency  |ΔW|/|W|
              none                       20.00     5.75
               100    0.95  0.0100       20.50     5.50     0.071
               200    0.95  0.0100       21.25     5.50     0.071
        ");
        let expected = "200 facts by memit in 2 batches, one after the other: score 0.93, and 0.95 \
                        right after each batch.";
        assert_eq!(batch_sentence(&report(None)), expected);
        let single = BatchReport { is_sequential: false, curve: curve(&[20.; 11]), ..report(None) };
        let table = shown(&single);
        assert_eq!(table.matches("mean  ").count(), 1, "{table}");
        let broken = batch_sentence(&report(Some(Collapse { seen: 2, began: 1, factor: 3.17 })));
        assert!(broken.contains("3.2 times") && broken.ends_with("it began with batch 1."));
    }
}
