//! Methods of forgetting, relative to models that never saw the passages.

use super::table::{Cell, Column, Row, Table, Unit};
use super::{Axis, Figure, Report, Section, Series};
use crate::gradient::PathPoint;
use crate::probe::{Background, Said, SaidShares, SecretLeak};
use crate::progress::counted;
use crate::run::{
    Answers, Attack, CaseMeasures, Compared, Comparison, MethodRun, NEAR, SetsMemory,
};
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
    let holdout = holdout_nll(comparison);
    if let (Some(nll), true) = (holdout, references.is_empty()) {
        table.push(Row::new("hold-out").cell(nll));
    }
    let goal = spread(&references.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
    let goal = goal.map(|goal| goal.mean).or(holdout);
    for (method, runs) in by_method(comparison) {
        let after: Vec<&SetsMemory> = runs.iter().map(|run| &run.outcome.after).collect();
        let ends = spread(&after.iter().filter_map(|sets| nll(sets)).collect::<Vec<_>>());
        let gap = match (nll(&comparison.before), ends, goal) {
            (Some(before), Some(after), Some(goal)) => {
                Some((after.mean - before) / (goal - before))
            }
            _ => None,
        };
        let row = row(method.name(), &after, retain(&comparison.before));
        table.push(row.cell(gap).cell(drift(&runs)).cell(mean_seconds(&runs)));
    }
    let table = without_empty_columns(table);
    let mut report = Report::new("compare", &comparison.model, comparison)?.section(table);
    if let Some(table) = asked(comparison) {
        report = report.section(Section::titled(ASKED).block(table));
    }
    if let Some(table) = attacked(comparison) {
        report = report.section(Section::titled(ATTACKED).block(table));
    }
    report.sections.extend(paths(comparison));
    report.verdict = Some(verdict(comparison));
    Ok(report)
}

/// How the NLL of the passages and of the retain set went, step by step, for each method's first
/// seed.
fn paths(comparison: &Comparison) -> Option<Section> {
    let axes = || (Axis::new("step", Unit::Count), Axis::new("NLL", Unit::Nats));
    let drawn = |title: &str, value: fn(&PathPoint) -> Option<f64>| {
        let (x, y) = axes();
        let mut figure = Figure::lines(title, x, y);
        for (method, runs) in by_method(comparison) {
            let path = runs.first().map_or(&[][..], |run| &run.outcome.path);
            let points = path.iter().filter_map(|it| Some([it.step as f64, value(it)?]));
            let points: Vec<[f64; 2]> = points.collect();
            if !points.is_empty() {
                figure.series.push(Series::new(method.name(), points));
            }
        }
        figure
    };
    let forgotten = drawn("Passages that should be forgotten", |it| Some(it.passages));
    let retained = drawn("Passages that should stay", |it| it.retain);
    let figures = [forgotten, retained].into_iter().filter(|figure| !figure.series.is_empty());
    let section = Section::detail("The path of each method");
    let section = figures.fold(section, Section::block);
    (!section.blocks.is_empty()).then_some(section)
}

/// NLL of what was never seen, in the base.
fn holdout_nll(comparison: &Comparison) -> Option<f64> {
    comparison.before.holdout.as_ref().map(|set| set.nll.mean)
}

/// The table without the columns in which no row has an entry.
fn without_empty_columns(mut table: Table) -> Table {
    let has_entry = |at: usize| {
        table.rows.iter().any(|row| row.cells.get(at).is_some_and(|cell| *cell != Cell::Empty))
    };
    let kept: Vec<bool> = (0..table.columns.len()).map(has_entry).collect();
    let mut keep = kept.iter();
    table.columns.retain(|_| *keep.next().unwrap_or(&true));
    for row in &mut table.rows {
        let mut keep = kept.iter();
        row.cells.retain(|_| *keep.next().unwrap_or(&true));
    }
    table
}

/// Title of the second table.
const ASKED: &str = "Asked after each method (longest run and secrets: the worst seed):";

/// One column of the second table, and its entry in each row.
struct Asked {
    column: Column,
    cells: Vec<Cell>,
}

/// What is recited, given away and said, and which other subjects keep their answer; a column is
/// left out where nothing of it was measured.
fn asked(comparison: &Comparison) -> Option<Table> {
    let methods = by_method(comparison);
    let of = |unit, head: &str, before: Cell, value: &dyn Fn(&[&MethodRun]) -> Cell| {
        let after = methods.iter().map(|(_, runs)| value(runs));
        Asked { column: Column::of(head, unit), cells: [before].into_iter().chain(after).collect() }
    };
    let said = |cases: &mut dyn Iterator<Item = &Said>| {
        SaidShares::of(cases).map(|shares| shares.said.mean).into()
    };
    let answers = |head: &str, set: fn(&Answers) -> &Vec<bool>| {
        let share = |sets: &SetsMemory| Some(Answers::share(set(&sets.answers))?.mean);
        of(Unit::Share, head, share(&comparison.before).into(), &|runs| {
            let shares = runs.iter().filter_map(|run| share(&run.outcome.after));
            spread(&shares.collect::<Vec<_>>()).map(|spread| spread.mean).into()
        })
    };
    let columns = [
        of(Unit::Count, "longest run", longest_run(&comparison.before).into(), &|runs| {
            runs.iter().filter_map(|run| longest_run(&run.outcome.after)).max().into()
        }),
        of(
            Unit::Count,
            "secrets",
            told(&comparison.runs[0].secrets, |it| it.before.is_recovered()),
            &|runs| {
                let all = runs.iter().map(|run| told(&run.secrets, SecretLeak::is_recovered));
                all.max_by_key(|cell| if let Cell::Of { count, .. } = cell { *count } else { 0 })
                    .unwrap_or_default()
            },
        ),
        answers("answered", |it| &it.passages),
        answers("retain answered", |it| &it.retain),
        of(
            Unit::Share,
            "said",
            said(&mut comparison.said_before.iter().flat_map(|it| &it.said)),
            &|runs| said(&mut cases(runs).flat_map(|it| &it.said)),
        ),
        of(Unit::Share, "background", Cell::Empty, &|runs| {
            pooled(runs).others.map(|it| it.mean).into()
        }),
        of(Unit::Share, "near", Cell::Empty, &|runs| pooled(runs).near.map(|it| it.mean).into()),
        of(Unit::Share, "neighbors", Cell::Empty, &|runs| {
            pooled(runs).own_prompts.map(|it| it.mean).into()
        }),
    ];
    let columns = columns.into_iter().filter(|it| it.cells.iter().any(|cell| *cell != Cell::Empty));
    let columns: Vec<Asked> = columns.collect();
    let heads: Vec<Column> = columns.iter().map(|it| it.column.clone()).collect();
    let mut table = Table::of_items("", heads);
    let labels = ["before"].into_iter().chain(methods.iter().map(|(method, _)| method.name()));
    for (at, label) in labels.enumerate() {
        let cells = columns.iter().map(|it| it.cells[at].clone());
        table.push(cells.fold(Row::new(label), Row::cell));
    }
    (!columns.is_empty()).then_some(table)
}

/// Title of the third table.
const ATTACKED: &str = "Half of the passages learnt again: NLL of the other half by steps (share: the \
                        least, relative to what never saw them), and of all after rounding:";

/// One row for each method, and one for what never saw the passages; nothing without an attack.
fn attacked(comparison: &Comparison) -> Option<Table> {
    let first = comparison.runs.iter().find_map(|run| run.attack.as_ref())?;
    let curve = &first.relearning;
    let steps = curve.points.iter().map(|it| it.step.to_string());
    let steps = steps.map(|step| Column::of(step, Unit::Plain(2)).under("steps"));
    let rounded = first.quantised.iter().map(|it| Column::of(it.kind.name(), Unit::Plain(2)));
    let columns = steps.chain([Column::of("share", Unit::Percent)]).chain(rounded);
    let mut table = Table::of_items("", columns.collect::<Vec<_>>());
    let means = |runs: &[&MethodRun], value: &dyn Fn(&Attack) -> Option<f64>| {
        let found = runs.iter().filter_map(|run| value(run.attack.as_ref()?));
        spread(&found.collect::<Vec<_>>()).map(|spread| spread.mean)
    };
    if !curve.others.is_empty() {
        let all: Vec<&MethodRun> = comparison.runs.iter().collect();
        let is_holdout = curve.compared == Compared::Holdout;
        let row = Row::new(if is_holdout { "hold-out" } else { "never saw" });
        table.push((0..curve.points.len()).fold(row, |row, at| {
            row.cell(means(&all, &|it| Some(it.relearning.never_saw(at)?[0])))
        }));
    }
    for (method, runs) in by_method(comparison) {
        let points = (0..curve.points.len()).fold(Row::new(method.name()), |row, at| {
            row.cell(means(&runs, &|it| Some(it.relearning.points.get(at)?.watched)))
        });
        let row = points.cell(least_share(&runs));
        table.push((0..first.quantised.len()).fold(row, |row, at| {
            row.cell(means(&runs, &|it| Some(it.quantised.get(at)?.memory.nll.mean)))
        }));
    }
    Some(table)
}

/// The least share of what never saw the passages that is left to the watched half, of any seed.
fn least_share(runs: &[&MethodRun]) -> Option<f64> {
    let shares = runs.iter().filter_map(|run| run.attack.as_ref()?.relearning.least());
    shares.map(|(_, share)| share).reduce(f64::min)
}

fn longest_run(sets: &SetsMemory) -> Option<usize> {
    Some(sets.passages.as_ref()?.recital.as_ref()?.longest_run().tokens)
}

/// How many secrets come out; nothing without secrets.
fn told(secrets: &[SecretLeak], is_told: impl Fn(&SecretLeak) -> bool) -> Cell {
    let count = secrets.iter().filter(|secret| is_told(secret)).count();
    if secrets.is_empty() { Cell::Empty } else { Cell::Of { count, of: secrets.len() } }
}

fn cases<'r>(runs: &'r [&MethodRun]) -> impl Iterator<Item = &'r CaseMeasures> {
    runs.iter().flat_map(|run| &run.said)
}

/// Other subjects after all runs of a method.
fn pooled(runs: &[&MethodRun]) -> Background {
    let found = cases(runs).filter_map(|it| it.background.clone());
    Background::pooled(&found.collect::<Vec<_>>())
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

/// Where some runs ended relative to the hold-out, where there is one.
fn beside_holdout(report: &Comparison, runs: &[&MethodRun]) -> String {
    let seeds = counted(runs.len(), "seed");
    let Some(goal) = holdout_nll(report) else {
        return format!("{seeds}; there is no hold-out or reference to compare with");
    };
    let ends = runs.iter().filter_map(|run| nll(&run.outcome.after));
    let there = ends.filter(|end| *end >= NEAR * goal).count();
    let come = if runs.len() == 1 { "comes" } else { "come" };
    format!("{there} of {seeds} {come} to the hold-out's NLL of {goal:.2}")
}

/// What is left of forgetting after half of the passages was learnt again.
fn under_attack(runs: &[&MethodRun]) -> String {
    let compared = runs.iter().find_map(|run| Some(run.attack.as_ref()?.relearning.compared));
    let whose = match compared {
        Some(Compared::References) => "models that never saw them",
        _ => "hold-out passages treated alike",
    };
    let sentence = |share: f64| {
        format!(
            " Relearning half of the passages leaves the other half at least {:.0} % of the NLL of \
             {whose}.",
            (100. * share).floor()
        )
    };
    least_share(runs).map(sentence).unwrap_or_default()
}

/// Sentences on where each method ended, and on the cost of retraining relative to it.
fn sentences(report: &Comparison) -> Vec<String> {
    let goal: Vec<f64> = report.references.iter().filter_map(|r| nll(&r.memory)).collect();
    let mut sentences = Vec::new();
    for (method, runs) in by_method(report) {
        let n = runs.len();
        let name = method.name();
        let Some(goal) = spread(&goal) else {
            let beside = beside_holdout(report, &runs);
            sentences.push(format!("{name}: {beside}.{}", under_attack(&runs)));
            continue;
        };
        let ends = runs.iter().filter_map(|run| nll(&run.outcome.after));
        let inside = ends.filter(|end| (goal.low..=goal.high).contains(end)).count();
        let end = if n == 1 { "ends" } else { "end" };
        let cost = report.retraining_seconds.map(|seconds| {
            let times = seconds / mean_seconds(&runs);
            format!("; one retraining costs as much as {times:.1} such runs")
        });
        sentences.push(format!(
            "{name}: {inside} of {} {end} inside the references' spread{}.{}",
            counted(n, "seed"),
            cost.unwrap_or_default(),
            under_attack(&runs)
        ));
    }
    sentences
}
