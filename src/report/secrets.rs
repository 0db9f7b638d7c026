//! Secrets, as a section of a report: how recoverable each is.

use super::text::shortened;
use super::{Cell, Column, Row, Section, Table, Unit};
use crate::probe::{SecretAttackKind, SecretLeak, SecretOrigin, SecretSeen};

/// Columns of a secret as the label of its row.
const LABEL: usize = 24;

/// Whether decoding gives each secret, its rank and probability, and sampled answers that hold it;
/// nothing without secrets.
pub fn secret_section(secrets: &[SecretLeak]) -> Option<Section> {
    let has_after = secrets.first()?.after.is_some();
    let sides = |group: &str, unit| match has_after {
        true => vec![Column::before(), Column::after()]
            .into_iter()
            .map(|column| column.in_unit(unit).under(group))
            .collect(),
        false => vec![Column::of(group, unit)],
    };
    let columns: Vec<Column> = [
        sides("said", Unit::Text),
        sides("probability", Unit::Probability),
        sides("worst rank", Unit::Rank),
        sides("sampled", Unit::Text),
    ]
    .concat();
    let mut table = Table::of_items("secret", columns);
    secrets.iter().for_each(|secret| table.push(row(secret)));
    let title = "Whether secrets come out:";
    Some(Section::titled(title).block(table).block(counts(secrets, has_after)))
}

/// How many come out, all and, where there are secrets of each origin, by origin.
fn counts(secrets: &[SecretLeak], has_after: bool) -> Table {
    let columns = match has_after {
        true => vec![Column::before(), Column::after(), Column::n()],
        false => vec![Column::new("measured"), Column::n()],
    };
    let mut table = Table::new("", columns);
    let all: Vec<&SecretLeak> = secrets.iter().collect();
    table.push(count("secrets", &all, has_after).note("recovered by decoding or sampling"));
    way_rows(&all, has_after, &mut table);
    for origin in [SecretOrigin::Passage, SecretOrigin::Fact] {
        let own: Vec<&SecretLeak> = all.iter().copied().filter(|it| it.origin == origin).collect();
        if !own.is_empty() && own.len() < all.len() {
            table.push(count(origin.row(), &own, has_after).note("of these"));
        }
    }
    table
}

/// A row for each way in which secrets may come out, and for each attack after which they were asked
/// for again.
fn way_rows(secrets: &[&SecretLeak], has_after: bool, table: &mut Table) {
    let count = |is_told: fn(&SecretSeen) -> bool, label: &str| {
        let told = |seen: &SecretSeen| f64::from(u8::from(is_told(seen)));
        let before: f64 = secrets.iter().map(|it| told(&it.before)).sum();
        let now = secrets.iter().map(|it| told(it.after.as_ref().unwrap_or(&it.before)));
        let now: f64 = now.sum();
        let row = Row::of(label, Unit::Count);
        let row = if has_after { row.cell(before) } else { row };
        row.value(now).cell(secrets.len())
    };
    let lengths = secrets.iter().any(|it| it.beginnings > 0);
    let decoded = if lengths { "greedy, from every beginning" } else { "greedy" };
    table.push(count(SecretSeen::is_decoded, "secrets, decoded").note(decoded));
    let drawn = secrets.iter().map(|it| it.drawn).max().unwrap_or(0);
    let sampled = count(|seen| seen.sampled > 0, "secrets, sampled");
    table.push(sampled.note(format!("in one of {drawn} answers")));
    for kind in SecretAttackKind::ALL {
        let asked: Vec<bool> = secrets.iter().filter_map(|it| it.is_recovered_by(kind)).collect();
        if asked.is_empty() {
            continue;
        }
        let row = Row::of(kind.row(), Unit::Count);
        let row = if has_after { row.cell(Cell::Empty) } else { row };
        let told = asked.iter().filter(|is_told| **is_told).count() as f64;
        table.push(row.value(told).cell(asked.len()).note(match kind {
            SecretAttackKind::Rounded(_) => "after rounding",
            SecretAttackKind::Relearnt => "5 steps on other passages",
        }));
    }
}

fn count(label: &str, secrets: &[&SecretLeak], has_after: bool) -> Row {
    let before = secrets.iter().filter(|it| it.before.is_recovered()).count() as f64;
    let now = secrets.iter().filter(|it| it.is_recovered()).count() as f64;
    let row = Row::of(label, Unit::Count);
    let row = if has_after { row.cell(before) } else { row };
    row.value(now).cell(secrets.len())
}

fn row(leak: &SecretLeak) -> Row {
    let said = |seen: &SecretSeen| Cell::from(if seen.is_said { "yes" } else { "no" });
    let sampled = |seen: &SecretSeen| Cell::Of { count: seen.sampled, of: leak.drawn };
    let sides = [Some(&leak.before), leak.after.as_ref()];
    let sides: Vec<&SecretSeen> = sides.into_iter().flatten().collect();
    let cells = sides
        .iter()
        .map(|seen| said(seen))
        .chain(sides.iter().map(|seen| seen.probability.into()))
        .chain(sides.iter().map(|seen| (seen.worst_rank as f64).into()))
        .chain(sides.iter().map(|seen| sampled(seen)));
    cells.fold(Row::new(shortened(&leak.secret, LABEL)), Row::cell)
}
