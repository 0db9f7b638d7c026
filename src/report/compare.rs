//! Methods of forgetting, relative to models that never saw the passages.

use super::Report;
use super::table::{Cell, Column, Row, Table, Unit};
use crate::run::{Comparison, MethodRun, SetsMemory};
use crate::spec::ForgetMethod;
use crate::verdict::Verdict;

/// Mean, minimum and maximum of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct MeanAndRange {
    mean: f64,
    low: f64,
    high: f64,
}

fn spread(values: &[f64]) -> Option<MeanAndRange> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    Some(MeanAndRange { mean: values.iter().sum::<f64>() / values.len() as f64, low, high })
}

fn nll(sets: &SetsMemory) -> Option<f64> {
    sets.passages.as_ref().map(|memory| memory.nll.mean)
}

fn extraction(sets: &SetsMemory) -> Option<f64> {
    sets.passages.as_ref().map(|memory| memory.extraction.mean)
}

fn retain(sets: &SetsMemory) -> Option<f64> {
    sets.retain.as_ref().map(|memory| memory.nll.mean)
}

/// One row for each method: means over its seeds, with minimum and maximum of the NLL.
pub fn comparison_report(comparison: &Comparison) -> serde_json::Result<Report> {
    let mut table = Table::of_items(
        "",
        [
            Column::of("NLL", Unit::Plain(2)).under("forget"),
            Column::of("least-most", Unit::Plain(2)).under("forget"),
            Column::of("extr.", Unit::Share).under("forget"),
            Column::of("NLL", Unit::Plain(3)).under("retain"),
            Column::of("change", Unit::Change).under("retain"),
            Column::of("gap", Unit::Percent),
            Column::of("drift", Unit::Nats),
            Column::of("seconds", Unit::Plain(1)),
        ],
    );
    let references: Vec<&SetsMemory> = comparison.references.iter().map(|r| &r.memory).collect();
    table.push(row("before", &[&comparison.before], None));
    if !references.is_empty() {
        let row = row("never saw", &references, None);
        table.push(row.cell(Cell::Empty).cell(Cell::Empty).cell(comparison.retraining_seconds));
    }
    let goal = spread(&references.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
    for (method, runs) in by_method(comparison) {
        let after: Vec<&SetsMemory> = runs.iter().map(|run| &run.outcome.after).collect();
        let ends = spread(&after.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
        let gap = match (nll(&comparison.before), ends, goal) {
            (Some(before), Some(after), Some(goal)) => {
                Some((after.mean - before) / (goal.mean - before))
            }
            _ => None,
        };
        let row = row(method.name(), &after, retain(&comparison.before));
        table.push(row.cell(gap).cell(drift(&runs)).cell(mean_seconds(&runs)));
    }
    let mut report = Report::new("compare", &comparison.model, comparison)?.section(table);
    report.verdict = Some(verdict(comparison));
    Ok(report)
}

fn by_method(report: &Comparison) -> Vec<(ForgetMethod, Vec<&MethodRun>)> {
    let mut groups: Vec<(ForgetMethod, Vec<&MethodRun>)> = Vec::new();
    for run in &report.runs {
        match groups.iter_mut().find(|(method, _)| *method == run.method) {
            Some((_, runs)) => runs.push(run),
            None => groups.push((run.method, vec![run])),
        }
    }
    groups
}

/// Mean drift of general text.
fn drift(runs: &[&MethodRun]) -> Option<f64> {
    let drifts = runs.iter().filter_map(|run| run.damage.as_ref()).map(|it| it.drift.mean);
    spread(&drifts.collect::<Vec<_>>()).map(|spread| spread.mean)
}

fn mean_seconds(runs: &[&MethodRun]) -> f64 {
    runs.iter().map(|run| run.outcome.seconds).sum::<f64>() / runs.len() as f64
}

/// Means over `sets`, with the retain NLL also as a change from `start`.
fn row(label: &str, sets: &[&SetsMemory], start: Option<f64>) -> Row {
    let of = |value: fn(&SetsMemory) -> Option<f64>| {
        spread(&sets.iter().filter_map(|sets| value(sets)).collect::<Vec<_>>())
    };
    let mean = |spread: Option<MeanAndRange>| spread.map(|spread| spread.mean);
    let (forget, retain) = (of(nll), mean(of(retain)));
    let range = forget.filter(|_| sets.len() > 1);
    let range = range.map(|MeanAndRange { low, high, .. }| Cell::Interval { low, high });
    let change = retain.zip(start).map(|(now, start)| now / start - 1.);
    let row = Row::new(label).cell(mean(forget)).cell(range).cell(mean(of(extraction)));
    row.cell(retain).cell(change)
}

/// A sentence on where each method ended, in place of a verdict.
fn verdict(comparison: &Comparison) -> Verdict {
    Verdict { sentence: sentences(comparison).join("\n"), ..Verdict::default() }
}

/// Sentences on where each method ended, and on the cost of retraining relative to it.
fn sentences(report: &Comparison) -> Vec<String> {
    let goal: Vec<f64> = report.references.iter().filter_map(|r| nll(&r.memory)).collect();
    let mut sentences = Vec::new();
    for (method, runs) in by_method(report) {
        let n = runs.len();
        let name = method.name();
        let Some(goal) = spread(&goal) else {
            sentences.push(format!("{name}: {n} seeds; there is no reference to compare with."));
            continue;
        };
        let ends = runs.iter().filter_map(|run| nll(&run.outcome.after));
        let inside = ends.filter(|end| (goal.low..=goal.high).contains(end)).count();
        let cost = report.retraining_seconds.map(|seconds| {
            let times = seconds / mean_seconds(&runs);
            format!("; one retraining costs as much as {times:.1} such runs")
        });
        sentences.push(format!(
            "{name}: {inside} of {n} seeds end inside the references' spread{}.",
            cost.unwrap_or_default()
        ));
    }
    sentences
}
