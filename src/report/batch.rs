//! Many facts written together: scores right after each batch and after all, and the curve.

use std::fmt;

use serde::Serialize;

use super::FactReport;
use super::terminal::{LABEL, interval_row, percent};
use crate::probe::{Measured, ProbeScores};
use crate::spec::Method;

/// A run over batches, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct BatchReport {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model.
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
    /// Before.
    pub before: ProbeScores,
    /// Each fact right after its own batch.
    pub right_after: ProbeScores,
    /// Each fact after all batches; the same where batches are independent.
    pub after: ProbeScores,
    /// Of the unedited model: its perplexity on held text, and its fluency.
    pub health_before: Health,
    /// One point a batch.
    pub curve: Vec<BatchPoint>,
    /// Why the sequence was stopped, if it was.
    pub collapse: Option<Collapse>,
    /// One entry a fact.
    pub edits: Vec<FactReport>,
    /// Wall-clock seconds of values, keys and solves, by the number of facts; values that the
    /// cache held cost none.
    pub seconds_per_edit: f64,
    /// Facts whose value came from the cache.
    pub values_from_cache: usize,
    /// Outcomes of each prompt, before.
    pub prompts_before: Vec<Measured>,
    /// After all batches.
    pub prompts_after: Vec<Measured>,
}

/// How a model does on what no edit is about.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Health {
    /// Mean KL(unedited ‖ edited) a token on held text, nats.
    pub drift: f64,
    /// On held text.
    pub perplexity: f64,
    /// n-gram entropy of generated text, bits; nothing where none was written.
    pub fluency: Option<f64>,
}

/// The state behind one batch.
#[derive(Debug, Clone, Serialize)]
pub struct BatchPoint {
    /// Facts written into this model so far.
    pub facts: usize,
    /// This batch's own facts.
    pub right_after: ProbeScores,
    /// What no edit is about.
    pub health: Health,
    /// ‖ΔW‖/‖W‖ of this batch, layer by layer.
    pub relative_norms: Vec<f64>,
    /// Mean share of each fact's way that its residual stream has gone.
    pub reached: f64,
    /// Wall-clock seconds of values, keys and solve.
    pub seconds: f64,
}

/// Where a sequence broke.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Collapse {
    /// The batch behind which it was seen, from 1.
    pub seen: usize,
    /// The batch since which perplexity never came back, from 1.
    pub began: usize,
    /// Perplexity on held text as a multiple of the unedited model's.
    pub factor: f64,
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, began, factor } = self;
        write!(
            f,
            "stopped after batch {seen}: perplexity on held text is {factor:.1} times what it \
             was; it began with batch {began}"
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

/// Batches written by themselves beyond which only their mean is shown.
const MANY: usize = 10;

/// The paper's table with its two moments, then the curve of a sequence.
pub fn batch_table(report: &BatchReport) -> String {
    let mut out = format!(
        "{:>LABEL$}  {:>6} {:>8} {:>10} {:>12} {:>10}\n",
        "", "score", "efficacy", "paraphrase", "neighborhood", "exact par."
    );
    let right_after = report.is_sequential.then_some(("right after", &report.right_after));
    let last = if report.is_sequential { "after all" } else { "after" };
    let rows = [Some(("before", &report.before)), right_after, Some((last, &report.after))];
    for (label, scores) in rows.into_iter().flatten() {
        out.push_str(&format!(
            "{label:>LABEL$}  {:>6} {:>8} {:>10} {:>12} {:>10}\n",
            percent(scores.score),
            percent(scores.efficacy),
            percent(scores.paraphrase),
            percent(scores.neighborhood),
            percent(scores.exact_paraphrase)
        ));
    }
    out.push_str(&interval_row(&report.after));
    out.push_str(&curve_table(report));
    out
}

fn curve_table(report: &BatchReport) -> String {
    let fluency =
        |health: &Health| health.fluency.map_or_else(|| "-".into(), |f| format!("{f:.2}"));
    let before = &report.health_before;
    let mut out = format!(
        "\n{:>LABEL$}  {:>6} {:>8} {:>10} {:>12} {:>10}\n",
        "facts", "score", "drift", "perplexity", "fluency", "|ΔW|/|W|"
    );
    out += &curve_row("none", "-", None, before.perplexity, &fluency(before), None);
    if !report.is_sequential && report.curve.len() > MANY {
        return out + &mean_row(&report.curve);
    }
    for point in &report.curve {
        out += &curve_row(
            &point.facts.to_string(),
            &percent(point.right_after.score),
            Some(point.health.drift),
            point.health.perplexity,
            &fluency(&point.health),
            Some(point.largest()),
        );
    }
    out
}

fn curve_row(
    facts: &str,
    score: &str,
    drift: Option<f64>,
    perplexity: f64,
    fluency: &str,
    norm: Option<f64>,
) -> String {
    let drift = drift.map_or_else(|| "-".into(), |drift| format!("{drift:.4}"));
    let norm = norm.map_or_else(|| "-".into(), |norm| format!("{norm:.3}"));
    format!("{facts:>LABEL$}  {score:>6} {drift:>8} {perplexity:>10.2} {fluency:>12} {norm:>10}\n")
}

impl BatchPoint {
    /// ‖ΔW‖/‖W‖ of the layer that changed most.
    fn largest(&self) -> f64 {
        self.relative_norms.iter().copied().fold(0., f64::max)
    }
}

/// What batches that are written by themselves leave behind, taken together.
fn mean_row(curve: &[BatchPoint]) -> String {
    let mean = |of: fn(&BatchPoint) -> f64| curve.iter().map(of).sum::<f64>() / curve.len() as f64;
    let drift = mean(|point| point.health.drift);
    let perplexity = mean(|point| point.health.perplexity);
    curve_row("mean", "-", Some(drift), perplexity, "-", Some(mean(BatchPoint::largest)))
}

/// The last line: a sentence that a person can repeat.
pub fn batch_sentence(report: &BatchReport) -> String {
    let (n, score) = (report.n, percent(report.after.score));
    let facts = if n == 1 { "fact" } else { "facts" };
    if let Some(collapse) = report.collapse {
        return format!("{n} {facts}, {collapse}.");
    }
    let method = report.method.name();
    match (report.is_sequential, report.curve.len()) {
        (true, batches) => format!(
            "{n} {facts} by {method} in {batches} batches, one after the other: score {score}, \
             and {} right after each.",
            percent(report.right_after.score)
        ),
        (false, 1) => format!("{n} {facts} in one batch by {method}: score {score}."),
        (false, batches) => format!(
            "{n} {facts} by {method} in {batches} batches, each into the unedited model: score \
             {score}."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_sequence_shows_both_moments_and_its_curve() {
        let table = batch_table(&report(None));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @r"
                         score efficacy paraphrase neighborhood exact par.
                before     0.0    100.0          -            -          -
           right after    95.0    100.0          -            -          -
             after all    93.0    100.0          -            -          -
                  95 %                -          -            -

                 facts   score    drift perplexity      fluency   |ΔW|/|W|
                  none       -        -      20.00         5.75          -
                   100    95.0   0.0100      20.50         5.50      0.071
                   200    95.0   0.0100      21.25         5.50      0.071
        ");
        let expected = "200 facts by memit in 2 batches, one after the other: score 93.0, \
                        and 95.0 right after each.";
        assert_eq!(batch_sentence(&report(None)), expected);
        let single = BatchReport { is_sequential: false, curve: curve(&[20.; 11]), ..report(None) };
        let table = batch_table(&single);
        assert!(
            table.ends_with("mean       -   0.0100      20.00            -      0.071\n"),
            "{table}"
        );
        let broken = batch_sentence(&report(Some(Collapse { seen: 2, began: 1, factor: 3.17 })));
        assert!(broken.contains("3.2 times") && broken.ends_with("it began with batch 1."));
    }
}
