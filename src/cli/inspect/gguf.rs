//! A GGUF file: what it says of itself, and how it compares with its record.

use std::path::Path;

use super::{compared, history};
use crate::cli::exit::Missed;
use crate::cli::ui::Ui;
use rescribe::checkpoint::{Record, record_of};
use rescribe::gguf::describe;
use rescribe::progress::counted;
use rescribe::report::{Block, Column, Report, Row, Table};

pub fn run(file: &Path, ui: &Ui) -> anyhow::Result<()> {
    let found = describe(file)?;
    let record = Record::beside(file, ui)?;
    let data = serde_json::json!({
        "gguf": found,
        "recipes": record.as_ref().map(|record| &record.recipes),
        "record": record.as_ref().map(|record| serde_json::json!({
            "is_whole": record.is_whole,
            "changed": record.changed,
        })),
    });
    let name = found.name.as_deref().unwrap_or_default();
    let types: Vec<String> =
        found.types.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let text = format!(
        " gguf  {} · {} · {name}\n size  {:.1} M parameters in {}: {}\n",
        found.kind,
        found.architecture,
        found.parameters as f64 / 1e6,
        counted(found.tensors, "tensor"),
        types.join(", "),
    );
    let mut report = Report::new("inspect", &file.display().to_string(), &data)?;
    report = report.section(Block::Verbatim(text));
    if !found.changed.is_empty() {
        let mut table = Table::of_items("changes", [Column::new("rank")]);
        for (tensor, rank) in &found.changed {
            table.push(Row::new(tensor).cell(*rank));
        }
        report = report.section(table);
    }
    let Some(record) = &record else {
        return ui.show(&report.section(Block::Verbatim("edits  no record of any\n".into())));
    };
    let name = record_of(file);
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let found = compared(record, &name);
    ui.show(&history(&record.recipes, report).section(match &found {
        Ok(sentence) | Err(sentence) => sentence.clone(),
    }))?;
    found.map(drop).map_err(|difference| Missed(difference).into())
}
