//! Ways to forget, beside models that never saw the passages.

use super::{Block, Report, Section};
use crate::run::{Comparison, MethodRun, SetsMemory};
use crate::spec::ForgetMethod;

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

const LABEL: usize = 19;

/// A row a method: means over its seeds, with least and most of the NLL.
pub fn compare_table(report: &Comparison) -> String {
    let mut out = line("", ["forget", "least to", "extraction", "retain", "gap", "seconds"]);
    out.push_str(&line("", ["NLL", "most", "strength", "NLL", "", ""]));
    let references: Vec<&SetsMemory> = report.references.iter().map(|r| &r.memory).collect();
    out.push_str(&row("before", &[&report.before], None, "", ""));
    if !references.is_empty() {
        let seconds = report.retraining_seconds.map(|seconds| format!("{seconds:.1}"));
        let seconds = seconds.unwrap_or_default();
        out.push_str(&row("never saw", &references, None, "", &seconds));
    }
    let goal = spread(&references.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
    for (method, runs) in by_method(report) {
        let after: Vec<&SetsMemory> = runs.iter().map(|run| &run.outcome.after).collect();
        let ends = spread(&after.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
        let gap = match (nll(&report.before), ends, goal) {
            (Some(before), Some(after), Some(goal)) => {
                format!("{:.0} %", 100. * (after.mean - before) / (goal.mean - before))
            }
            _ => String::new(),
        };
        let seconds = format!("{:.1}", mean_seconds(&runs));
        out.push_str(&row(method.name(), &after, retain(&report.before), &gap, &seconds));
    }
    out
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

fn mean_seconds(runs: &[&MethodRun]) -> f64 {
    runs.iter().map(|run| run.outcome.seconds).sum::<f64>() / runs.len() as f64
}

/// The retain NLL as a change from `start`, where there is one.
fn row(label: &str, sets: &[&SetsMemory], start: Option<f64>, gap: &str, seconds: &str) -> String {
    let of = |value: fn(&SetsMemory) -> Option<f64>| {
        spread(&sets.iter().filter_map(|sets| value(sets)).collect::<Vec<_>>())
    };
    let forget = of(nll);
    let range = match forget.filter(|_| sets.len() > 1) {
        Some(spread) => format!("{:.2}-{:.2}", spread.low, spread.high),
        None => String::new(),
    };
    let retain = match (of(retain), start) {
        (Some(now), Some(start)) => format!("{:+.1} %", 100. * (now.mean / start - 1.)),
        (Some(now), None) => format!("{:.3}", now.mean),
        (None, _) => "-".into(),
    };
    let number = |spread: Option<Spread>| spread.map_or("-".into(), |s| format!("{:.2}", s.mean));
    let (forget, extraction) = (number(forget), number(of(extraction)));
    line(label, [&forget, &range, &extraction, &retain, gap, seconds])
}

fn line(label: &str, [nll, range, extraction, retain, gap, seconds]: [&str; 6]) -> String {
    let line = format!(
        "{label:>LABEL$}  {nll:>6} {range:>11} {extraction:>10} {retain:>8} {gap:>5} {seconds:>8}"
    );
    format!("{}\n", line.trim_end())
}

/// The last lines: where each method ended, and what retraining costs beside it.
pub fn compare_sentences(report: &Comparison) -> Vec<String> {
    let goal: Vec<f64> = report.references.iter().filter_map(|r| nll(&r.memory)).collect();
    let mut sentences = Vec::new();
    for (method, runs) in by_method(report) {
        let n = runs.len();
        let name = method.name();
        let Some(goal) = spread(&goal) else {
            sentences.push(format!("{name}: {n} seeds, nothing to compare with."));
            continue;
        };
        let ends = runs.iter().filter_map(|run| nll(&run.outcome.after));
        let inside = ends.filter(|end| (goal.low..=goal.high).contains(end)).count();
        let cost = report.retraining_seconds.map(|seconds| {
            let times = seconds / mean_seconds(&runs);
            format!("; one retraining costs as much as {times:.1} such forgettings")
        });
        sentences.push(format!(
            "{name}: {inside} of {n} seeds end inside the references' spread{}.",
            cost.unwrap_or_default()
        ));
    }
    sentences
}

/// r
pub fn comparison_report(comparison: &Comparison) -> serde_json::Result<Report> {
    let report = Report::new("compare", &comparison.model, comparison)?;
    Ok(report.section(Section::from(Block::Verbatim(compare_table(comparison)))))
}
