//! The report as it may be shown on a terminal: texts of models, files and patches, with everything
//! escaped that a terminal would obey.

use serde_json::Value;

use super::{Axis, Block, Cell, Figure, Note, Report, Section, Table};
use crate::probe::Completion;
use crate::spec::plain;
use crate::verdict::{Reason, Verdict};

impl Report {
    /// The report with its texts escaped by [`plain`], and without what no terminal shows: its data
    /// and what only a page lists.
    pub(super) fn plain(&self) -> Self {
        let note = |note: &Note| Note { label: plain(&note.label), text: plain(&note.text) };
        Self {
            schema: self.schema,
            command: self.command.clone(),
            model: plain(&self.model),
            verdict: self.verdict.as_ref().map(verdict),
            requests: Vec::new(),
            sections: self.sections.iter().map(section).collect(),
            notes: self.notes.iter().map(note).collect(),
            next: self.next.as_deref().map(plain),
            ranks: Vec::new(),
            made: None,
            data: Value::Null,
        }
    }
}

fn verdict(verdict: &Verdict) -> Verdict {
    let reason = |reason: &Reason| Reason { text: plain(&reason.text), ..reason.clone() };
    Verdict {
        state: verdict.state,
        reasons: verdict.reasons.iter().map(reason).collect(),
        sentence: plain(&verdict.sentence),
    }
}

fn section(section: &Section) -> Section {
    Section {
        title: section.title.as_deref().map(plain),
        place: section.place,
        blocks: section.blocks.iter().map(block).collect(),
    }
}

fn block(block: &Block) -> Block {
    match block {
        Block::Table(table) => Block::Table(in_table(table)),
        Block::Figure(figure) => Block::Figure(in_figure(figure)),
        Block::Completions(all) => Block::Completions(all.iter().map(completion).collect()),
        Block::Prompts(all) => Block::Prompts(all.clone()),
        Block::Text(text) => Block::Text(plain(text)),
        Block::Verbatim(text) => Block::Verbatim(plain(text)),
    }
}

fn in_table(table: &Table) -> Table {
    let mut table = table.clone();
    table.label_head = plain(&table.label_head);
    for column in &mut table.columns {
        (column.head, column.group) = (plain(&column.head), plain(&column.group));
    }
    for row in &mut table.rows {
        (row.label, row.note) = (plain(&row.label), plain(&row.note));
        for cell in &mut row.cells {
            if let Cell::Text(text) = cell {
                *text = plain(text);
            }
        }
    }
    table
}

fn in_figure(figure: &Figure) -> Figure {
    let axis = |axis: &Axis| Axis {
        label: plain(&axis.label),
        unit: axis.unit,
        ticks: axis.ticks.iter().map(|tick| plain(tick)).collect(),
    };
    let mut shown = figure.clone();
    (shown.title, shown.x, shown.y) = (plain(&figure.title), axis(&figure.x), axis(&figure.y));
    for series in &mut shown.series {
        series.label = plain(&series.label);
    }
    shown
}

fn completion(completion: &Completion) -> Completion {
    Completion {
        prompt: completion.prompt.clone(),
        before: plain(&completion.before),
        after: completion.after.as_deref().map(plain),
    }
}
