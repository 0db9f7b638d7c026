//! The section of a sweep of layers.

use super::Section;
use super::table::{Column, Row, Table, Unit};
use crate::progress::counted;
use crate::run::LayerSweep;

/// What became of the facts at each layer that was tried.
pub fn sweep_section(sweep: &LayerSweep) -> Section {
    let columns = [
        Column::of("said", Unit::Percent),
        Column::of("paraphrased", Unit::Percent),
        Column::of("others kept", Unit::Percent),
        Column::of("drift", Unit::Nats),
        Column::of("score", Unit::Share),
    ];
    let mut table = Table::of_items("layer", columns);
    for tried in &sweep.tried {
        let row = Row::new(tried.layer.to_string())
            .cell(tried.said)
            .cell(tried.paraphrased)
            .cell(tried.kept)
            .cell(tried.drift)
            .cell(tried.score);
        table.push(if tried.layer == sweep.best { row.note("the best") } else { row });
    }
    let facts = counted(sweep.facts, "fact");
    Section::titled(format!("Layers tried, {facts} each")).block(table)
}
