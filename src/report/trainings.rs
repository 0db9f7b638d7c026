//! A training, as a section of a report: how well each set is remembered, before and after.

use super::{Axis, Cell, Column, Figure, Row, Section, Series, Table, Unit};
use crate::math::{Interval, mean_interval};
use crate::run::{SetMemory, SetsMemory, TrainingOutcome};
use crate::spec::PassageVerb;

/// NLL, extraction strength and recital of each set, and the path of the training.
pub fn training_section(training: &TrainingOutcome) -> Section {
    let columns = [Column::before(), Column::after(), Column::n(), Column::interval()];
    let mut table = Table::new("", columns);
    let verb = name(training.settings.verb);
    for (set, before, after) in [
        (verb, &training.before.passages, &training.after.passages),
        ("retain", &training.before.retain, &training.after.retain),
        ("hold-out", &training.before.holdout, &training.after.holdout),
    ] {
        if let (Some(before), Some(after)) = (before, after) {
            set_rows(set, before, after, &mut table);
        }
    }
    reference_rows(training, &mut table);
    Section::from(table).block(path(training))
}

fn name(verb: PassageVerb) -> &'static str {
    match verb {
        PassageVerb::Learn => "learn",
        PassageVerb::Forget => "forget",
    }
}

fn set_rows(set: &str, before: &SetMemory, after: &SetMemory, table: &mut Table) {
    let row = |what: &str, unit, before: f64, after: &Interval, note: &str| {
        Row::of(format!("{set} {what}"), unit)
            .cell(before)
            .value(after.mean)
            .cell(after.n)
            .cell(if after.n > 1 { Cell::from(after) } else { Cell::Empty })
            .note(note)
    };
    table.push(row("NLL", Unit::Plain(2), before.nll.mean, &after.nll, "nats a token"));
    table.push(row(
        "extraction",
        Unit::Share,
        before.extraction.mean,
        &after.extraction,
        "of the end, forced",
    ));
    let (Some(before), Some(after)) = (&before.recital, &after.recital) else { return };
    table.push(row("recital", Unit::Share, before.share.mean, &after.share, "longest run, of all"));
    let (run, n) = (after.longest_run(), after.share.n);
    let longest = Row::of(format!("{set} longest run"), Unit::Count)
        .cell(before.longest_run().tokens)
        .value(run.tokens as f64)
        .cell(n)
        .cell(Cell::Empty);
    table.push(longest.note(match run.tokens {
        0 => "tokens".to_owned(),
        _ => format!("tokens: {:?}", short(&run.text)),
    }));
}

/// The first words of the recited text.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(32).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

/// A measure of the passages' memory.
type Measure = fn(&SetMemory) -> f64;

const MEASURES: [(&str, Unit, Measure); 2] = [
    ("NLL", Unit::Plain(2), |set| set.nll.mean),
    ("extraction", Unit::Share, |set| set.extraction.mean),
];

/// Spread of the references, and the share of the distance from the start to their mean that the
/// training covered.
fn reference_rows(training: &TrainingOutcome, table: &mut Table) {
    let of = |sets: &SetsMemory, value: Measure| sets.passages.as_ref().map(value);
    for (what, unit, value) in MEASURES {
        let references = training.references.iter();
        let all: Vec<f64> = references.filter_map(|it| of(&it.memory, value)).collect();
        let sides = of(&training.before, value).zip(of(&training.after, value));
        let (Some(mean), Some((before, after))) = (mean_interval(&all), sides) else { continue };
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let closed = 100. * (after - before) / (mean.mean - before);
        let row = Row::of(format!("never saw, {what}"), unit)
            .cell(Cell::Empty)
            .value(mean.mean)
            .cell(mean.n)
            .cell(Cell::Interval { low, high });
        table.push(row.note(format!("{closed:.0} % of the gap")));
    }
}

/// The figure of NLL by step.
fn path(training: &TrainingOutcome) -> Figure {
    let (x, y) = (Axis::new("step", Unit::Count), Axis::new("NLL", Unit::Nats));
    let mut figure = Figure::lines("NLL by step", x, y);
    let verb = name(training.settings.verb);
    let points = training.path.iter().map(|point| [point.step as f64, point.passages]);
    figure.series.push(Series::new(verb, points.collect::<Vec<_>>()));
    let retain = training.path.iter().filter_map(|it| Some([it.step as f64, it.retain?]));
    let retain: Vec<[f64; 2]> = retain.collect();
    if !retain.is_empty() {
        figure.series.push(Series::new("retain", retain));
    }
    figure
}
