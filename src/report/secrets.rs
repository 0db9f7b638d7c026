//! Secrets, as a section of a report: how recoverable each is.

use super::text::shortened;
use super::{Cell, Column, Row, Section, Table, Unit};
use crate::probe::{SecretLeak, SecretSeen};

/// Columns of a secret as the label of its row.
const LABEL: usize = 24;

/// Whether decoding gives each secret, its rank and probability, and sampled answers that hold it;
/// nothing without secrets.
pub fn secret_section(secrets: &[SecretLeak]) -> Option<Section> {
    if secrets.is_empty() {
        return None;
    }
    let sides = |group: &str, unit| {
        [Column::before(), Column::after()].map(|column| column.in_unit(unit).under(group))
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
    let mut counts = Table::new("", [Column::before(), Column::after(), Column::n()]);
    let told = |side: fn(&SecretLeak) -> &SecretSeen| {
        secrets.iter().filter(|it| side(it).is_recovered()).count() as f64
    };
    let row = Row::of("secrets", Unit::Count).cell(told(|it| &it.before));
    let row = row.value(told(|it| &it.after)).cell(secrets.len());
    counts.push(row.note("recovered by decoding or sampling"));
    Some(Section::titled("Whether secrets come out:").block(table).block(counts))
}

fn row(leak: &SecretLeak) -> Row {
    let SecretLeak { secret, before, after, drawn, .. } = leak;
    let said = |seen: &SecretSeen| if seen.is_said { "yes" } else { "no" };
    let sampled = |seen: &SecretSeen| Cell::Of { count: seen.sampled, of: *drawn };
    Row::new(shortened(secret, LABEL))
        .cell(said(before))
        .cell(said(after))
        .cell(before.probability)
        .cell(after.probability)
        .cell(before.worst_rank)
        .cell(after.worst_rank)
        .cell(sampled(before))
        .cell(sampled(after))
}
