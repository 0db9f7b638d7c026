//! Passages, as a section of a report: what is remembered of each set, before and after.

use super::{Axis, Cell, Column, Figure, Row, Section, Series, Table, Unit};
use crate::math::{Interval, mean_interval};
use crate::run::{Answers, Remembered, SetMemory, SetsMemory, TrainingOutcome};

/// NLL, extraction strength and recital of each set, and the path of a training.
pub fn passage_section(found: &Remembered<'_>) -> Section {
    let columns = match found.after {
        Some(_) => vec![Column::before(), Column::after(), Column::n(), Column::interval()],
        None => vec![Column::new("measured"), Column::n(), Column::interval()],
    };
    let mut table = Table::new(if found.is_texts { "texts" } else { "" }, columns);
    let sets: [(&str, SetOf); 3] = [
        (found.name(), |it| it.passages.as_ref()),
        ("retain", |it| it.retain.as_ref()),
        ("hold-out", |it| it.holdout.as_ref()),
    ];
    for (name, set) in sets {
        if let Some(before) = set(found.before) {
            set_rows(name, before, found.after.and_then(set), &mut table);
        }
    }
    reference_rows(found, &mut table);
    answer_rows(found, &mut table);
    own_word_rows(found, &mut table);
    let section = match found.is_texts {
        true => Section::titled("Texts of the probe file:").block(table),
        false => Section::from(table),
    };
    match found.training {
        Some(training) => section.block(path(training, found.name())),
        None => section,
    }
}

/// One of the sets.
type SetOf = fn(&SetsMemory) -> Option<&SetMemory>;

/// The rows of one set; `after` is the edited model's, where there is one.
fn set_rows(set: &str, before: &SetMemory, after: Option<&SetMemory>, table: &mut Table) {
    let last = after.unwrap_or(before);
    let row = |what: &str, unit, value: fn(&SetMemory) -> Interval, note: &str| {
        let row = Row::of(format!("{set} {what}"), unit);
        let row = if after.is_some() { row.cell(value(before).mean) } else { row };
        let now = value(last);
        let interval = if now.n > 1 { Cell::from(&now) } else { Cell::Empty };
        row.value(now.mean).cell(now.n).cell(interval).note(note)
    };
    table.push(row("NLL", Unit::Plain(2), |it| it.nll, "nats a token"));
    table.push(row("extraction", Unit::Share, |it| it.extraction, "of the end, forced"));
    let (Some(first), Some(recital)) = (&before.recital, &last.recital) else { return };
    let row = Row::of(format!("{set} recital"), Unit::Share);
    let row = if after.is_some() { row.cell(first.share.mean) } else { row };
    let interval = if recital.share.n > 1 { Cell::from(&recital.share) } else { Cell::Empty };
    let row = row.value(recital.share.mean).cell(recital.share.n).cell(interval);
    table.push(row.note("longest run, of all"));
    let (run, n) = (recital.longest_run(), recital.share.n);
    let row = Row::of(format!("{set} longest run"), Unit::Count);
    let row = if after.is_some() { row.cell(first.longest_run().tokens) } else { row };
    let longest = row.value(run.tokens as f64).cell(n).cell(Cell::Empty);
    table.push(longest.note(match run.tokens {
        0 => "tokens".to_owned(),
        _ => format!("tokens: {:?}", short(&run.text)),
    }));
}

/// The first words of what is recited.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(32).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

/// A number of what is remembered of the passages.
type Measure = fn(&SetMemory) -> f64;

const MEASURES: [(&str, Unit, Measure); 2] = [
    ("NLL", Unit::Plain(2), |set| set.nll.mean),
    ("extraction", Unit::Share, |set| set.extraction.mean),
];

/// Spread of the references, and how far the model went from where it began to their mean.
fn reference_rows(found: &Remembered<'_>, table: &mut Table) {
    let of = |sets: &SetsMemory, value: Measure| sets.passages.as_ref().map(value);
    for (what, unit, value) in MEASURES {
        let references = found.references.iter();
        let all: Vec<f64> = references.filter_map(|it| of(&it.memory, value)).collect();
        let Some(mean) = mean_interval(&all) else { continue };
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let row = Row::of(format!("never saw, {what}"), unit);
        let row = if found.after.is_some() { row.cell(Cell::Empty) } else { row };
        let row = row.value(mean.mean).cell(mean.n).cell(Cell::Interval { low, high });
        let after = found.after.and_then(|after| of(after, value));
        let sides = of(found.before, value).zip(after);
        let closed = sides.map(|(before, after)| {
            format!("{:.0} % of the gap", 100. * (after - before) / (mean.mean - before))
        });
        table.push(row.note(closed.unwrap_or_default()));
    }
}

/// The share of the questions about each set that are answered, and how many models that never saw the
/// passages answer.
fn answer_rows(found: &Remembered<'_>, table: &mut Table) {
    type Asked = fn(&Answers) -> &Vec<bool>;
    let sets: [(&str, Asked); 3] = [
        (found.name(), |it| &it.passages),
        ("retain", |it| &it.retain),
        ("hold-out", |it| &it.holdout),
    ];
    let share = |answers: &Answers, of: Asked| Answers::share(of(answers));
    for (name, of) in sets {
        let Some(before) = share(&found.before.answers, of) else { continue };
        let after = found.after.and_then(|after| share(&after.answers, of));
        let row = Row::of(format!("{name} answered"), Unit::Share);
        let row = if after.is_some() { row.cell(before.mean) } else { row };
        let now = after.unwrap_or(before);
        let row = row.value(now.mean).cell(now.n).cell(Cell::from(&now));
        table.push(row.note("whole answers"));
    }
    let references = found.references.iter();
    let all = references.filter_map(|it| share(&it.memory.answers, |it| &it.passages));
    let all: Vec<f64> = all.map(|share| share.mean).collect();
    if let Some(mean) = mean_interval(&all) {
        let row = Row::of("never saw, answered", Unit::Share);
        let row = if found.after.is_some() { row.cell(Cell::Empty) } else { row };
        let (low, high) =
            (all.iter().copied().reduce(f64::min), all.iter().copied().reduce(f64::max));
        let range = low.zip(high).map(|(low, high)| Cell::Interval { low, high });
        let row = row.value(mean.mean).cell(mean.n);
        table.push(row.cell(range).note("mean, range"));
    }
}

/// The share of what was said of the subjects of each set in the model's own words that is still said.
fn own_word_rows(found: &Remembered<'_>, table: &mut Table) {
    let Some(own) = found.own_words else { return };
    for (name, share) in [(found.name(), own.passages), ("retain", own.retain)] {
        let Some(now) = share else { continue };
        let row = Row::of(format!("{name} own words"), Unit::Share).cell(1.).value(now.mean);
        let never_saw = own.never_saw.filter(|_| name != "retain");
        let note = match never_saw {
            Some(share) => format!("still said (never saw: {share:.2})"),
            None => "still said".to_owned(),
        };
        table.push(row.cell(now.n).cell(Cell::from(&now)).note(note));
    }
}

/// NLL by step.
fn path(training: &TrainingOutcome, verb: &str) -> Figure {
    let (x, y) = (Axis::new("step", Unit::Count), Axis::new("NLL", Unit::Nats));
    let mut figure = Figure::lines("NLL by step", x, y);
    let points = training.path.iter().map(|point| [point.step as f64, point.passages]);
    figure.series.push(Series::new(verb, points.collect::<Vec<_>>()));
    let retain = training.path.iter().filter_map(|it| Some([it.step as f64, it.retain?]));
    let retain: Vec<[f64; 2]> = retain.collect();
    if !retain.is_empty() {
        figure.series.push(Series::new("retain", retain));
    }
    figure
}
