//! Ways to forget, relative to models that never saw the passages.

use serde::Serialize;

use super::Report;
use super::passages::{PassageReport, ReferenceReport, SetsMemory};
use super::table::{Cell, Column, Row, Table, Unit};
use crate::spec::ForgetMethod;

/// A comparison, the data of its report.
#[derive(Debug, Serialize)]
pub struct CompareReport {
    /// Display name of the model.
    pub model: String,
    /// What the model remembers before anything is forgotten.
    pub before: SetsMemory,
    /// What models that never saw the passages remember of the sets.
    pub references: Vec<ReferenceReport>,
    /// Seconds that training such a model takes, where they were given.
    pub retraining_seconds: Option<f64>,
    /// One entry a method and seed.
    pub runs: Vec<MethodRun>,
}

/// One method with one seed.
#[derive(Debug, Serialize)]
pub struct MethodRun {
    /// How the passages were forgotten.
    pub method: ForgetMethod,
    /// Seed of the draws and of the first factors.
    pub seed: u64,
    /// What became of the passages.
    pub report: PassageReport,
}

/// Mean, least and most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    mean: f64,
    low: f64,
    high: f64,
}

fn spread(values: &[f64]) -> Option<Spread> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    Some(Spread { mean: values.iter().sum::<f64>() / values.len() as f64, low, high })
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

impl CompareReport {
    /// A row a method: means over its seeds, with least and most of the NLL.
    pub fn report(&self) -> serde_json::Result<Report> {
        let mut table = Table::of_items(
            "",
            [
                Column::of("NLL", Unit::Plain(2)).under("forget"),
                Column::of("least-most", Unit::Plain(2)).under("forget"),
                Column::of("extraction", Unit::Share).under("forget"),
                Column::of("NLL", Unit::Plain(3)).under("retain"),
                Column::of("change", Unit::Change).under("retain"),
                Column::of("gap closed", Unit::Percent),
                Column::of("seconds", Unit::Plain(1)),
            ],
        );
        let references: Vec<&SetsMemory> = self.references.iter().map(|r| &r.memory).collect();
        table.push(row("before", &[&self.before], None));
        if !references.is_empty() {
            let row = row("never saw", &references, None);
            table.push(row.cell(Cell::Empty).cell(self.retraining_seconds));
        }
        let goal = spread(&references.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
        for (method, runs) in by_method(self) {
            let after: Vec<&SetsMemory> = runs.iter().map(|run| &run.report.after).collect();
            let ends = spread(&after.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
            let gap = match (nll(&self.before), ends, goal) {
                (Some(before), Some(after), Some(goal)) => {
                    Some((after.mean - before) / (goal.mean - before))
                }
                _ => None,
            };
            let row = row(method.name(), &after, retain(&self.before));
            table.push(row.cell(gap).cell(mean_seconds(&runs)));
        }
        Ok(Report::new("compare", &self.model, self)?.section(table))
    }
}

fn by_method(report: &CompareReport) -> Vec<(ForgetMethod, Vec<&MethodRun>)> {
    let mut groups: Vec<(ForgetMethod, Vec<&MethodRun>)> = Vec::new();
    for run in &report.runs {
        match groups.iter_mut().find(|(method, _)| *method == run.method) {
            Some((_, runs)) => runs.push(run),
            None => groups.push((run.method, vec![run])),
        }
    }
    groups
}

fn mean_seconds(runs: &[&MethodRun]) -> f64 {
    runs.iter().map(|run| run.report.seconds).sum::<f64>() / runs.len() as f64
}

/// Means over `sets`, with the retain NLL also as a change from `start`.
fn row(label: &str, sets: &[&SetsMemory], start: Option<f64>) -> Row {
    let of = |value: fn(&SetsMemory) -> Option<f64>| {
        spread(&sets.iter().filter_map(|sets| value(sets)).collect::<Vec<_>>())
    };
    let mean = |spread: Option<Spread>| spread.map(|spread| spread.mean);
    let (forget, retain) = (of(nll), mean(of(retain)));
    let range = forget.filter(|_| sets.len() > 1);
    let range = range.map(|Spread { low, high, .. }| Cell::Interval { low, high });
    let change = retain.zip(start).map(|(now, start)| now / start - 1.);
    let row = Row::new(label).cell(mean(forget)).cell(range).cell(mean(of(extraction)));
    row.cell(retain).cell(change)
}

/// Where each method ended, and what retraining costs relative to it.
pub fn compare_sentences(report: &CompareReport) -> Vec<String> {
    let goal: Vec<f64> = report.references.iter().filter_map(|r| nll(&r.memory)).collect();
    let mut sentences = Vec::new();
    for (method, runs) in by_method(report) {
        let n = runs.len();
        let name = method.name();
        let Some(goal) = spread(&goal) else {
            sentences.push(format!("{name}: {n} seeds; there is no reference to compare with."));
            continue;
        };
        let ends = runs.iter().filter_map(|run| nll(&run.report.after));
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
