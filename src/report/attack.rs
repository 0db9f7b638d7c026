//! The attack on forgotten passages, as a section of a report: the curve of relearning and what
//! rounded matrices remember.

use super::{Axis, Cell, Column, Figure, Row, Section, Series, Table, Unit};
use crate::gradient::Memory;
use crate::run::{Attack, Compared, RelearnPoint, Relearning};

/// Half of the passages learnt again, the other half watched; then the passages after rounding.
pub fn attack_section(attack: &Attack) -> Section {
    let curve = &attack.relearning;
    let title = format!(
        "Under attack, {} of the forgotten passages learnt again and {} watched (NLL):",
        curve.learnt, curve.watched
    );
    let section = Section::titled(title).block(relearning(curve)).block(figure(curve));
    match quantised(attack) {
        Some(table) => section.block(table),
        None => section,
    }
}

/// A row for each step, then the least share.
fn relearning(curve: &Relearning) -> Table {
    let mut columns = vec![
        Column::of("learnt", Unit::Plain(2)),
        Column::of("watched", Unit::Plain(2)),
        Column::of("by heart", Unit::Percent),
    ];
    let is_compared = !curve.others.is_empty();
    if is_compared {
        columns.extend([
            Column::of(compared(curve.compared), Unit::Plain(2)),
            Column::of("least-most", Unit::Plain(2)),
            Column::of("share", Unit::Percent),
        ]);
    }
    let mut table = Table::new("", columns);
    for (at, point) in curve.points.iter().enumerate() {
        let row = Row::of(step_label(point.step), Unit::Plain(2)).cell(point.learnt);
        table.push(match curve.never_saw(at) {
            Some([mean, low, high]) => {
                let range = (curve.others.len() > 1).then_some(Cell::Interval { low, high });
                let row = row.cell(point.watched).cell(point.by_heart).cell(mean);
                row.cell(range).value(curve.share(at))
            }
            None => row.value(point.watched).cell(point.by_heart),
        });
    }
    if let Some((_, share)) = curve.least() {
        let gaps =
            (0..5).fold(Row::of("relearn share", Unit::Percent), |row, _| row.cell(Cell::Empty));
        table.push(gaps.value(share).note("the least after a step"));
    }
    table
}

/// The label of a step's row, as `--require` takes it.
fn step_label(step: u64) -> String {
    match step {
        0 => "relearn, before".to_owned(),
        step => format!("relearn, {step} steps"),
    }
}

fn compared(with: Compared) -> &'static str {
    match with {
        Compared::References => "never saw",
        Compared::Holdout | Compared::Nothing => "hold-out",
    }
}

fn figure(curve: &Relearning) -> Figure {
    let (x, y) = (Axis::new("step", Unit::Count), Axis::new("NLL", Unit::Nats));
    let mut figure = Figure::lines("NLL by step of relearning", x, y);
    let series = |label: &str, value: &dyn Fn(usize, &RelearnPoint) -> Option<f64>| {
        let points = curve.points.iter().enumerate();
        let points = points.filter_map(|(at, it)| Some([it.step as f64, value(at, it)?]));
        Series::new(label, points.collect::<Vec<[f64; 2]>>())
    };
    figure.series.push(series("learnt", &|_, point| Some(point.learnt)));
    figure.series.push(series("watched", &|_, point| Some(point.watched)));
    if !curve.others.is_empty() {
        let mean = |at: usize, _: &RelearnPoint| Some(curve.never_saw(at)?[0]);
        figure.series.push(series(compared(curve.compared), &mean));
    }
    figure
}

/// What is remembered as the model is and after each rounding.
fn quantised(attack: &Attack) -> Option<Table> {
    let plain = attack.memory.as_ref()?;
    let heads = attack.quantised.iter().map(|it| Column::new(it.kind.name()));
    let columns: Vec<Column> = [Column::new("as edited")].into_iter().chain(heads).collect();
    let mut table = Table::new("rounded to", columns);
    let row = |label: &str, unit, value: fn(&Memory) -> f64, worst: fn(f64, f64) -> f64| {
        let row = Row::of(label, unit).cell(value(plain));
        let found: Vec<f64> = attack.quantised.iter().map(|it| value(&it.memory)).collect();
        let row = found.iter().fold(row, |row, it| row.cell(*it));
        Row { value: found.into_iter().reduce(worst), ..row }
    };
    table.push(
        row("quantised NLL", Unit::Plain(2), |it| it.nll.mean, f64::min).note("all forgotten"),
    );
    table.push(row("quantised extraction", Unit::Share, |it| it.extraction.mean, f64::max));
    Some(table)
}
