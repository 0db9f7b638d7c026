//! The patches alone, as an adapter for their base.

use crate::cli::args::ExportArgs;
use crate::cli::outputs;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::adapter::{self, AdapterSummary};
use rescribe::patch::Patch;
use rescribe::progress::counted;
use rescribe::report::{Column, Report, Row, Table, Unit};

/// Writes the patches as a PEFT adapter.
pub fn peft(
    args: &ExportArgs,
    session: &Session,
    patches: &[Patch],
    ui: &Ui,
) -> anyhow::Result<()> {
    let base = base(args, session);
    let overwrite = outputs::overwrite(args.force);
    let summary = adapter::export(&session.model, &base, patches, &args.out, overwrite, ui)?;
    ui.close();
    let what = format!("is a LoRA adapter of rank {} for", summary.rank);
    ui.show(&report(&summary, &what, &base, session)?)
}

/// Writes the patches as a GGUF adapter.
pub fn gguf(
    args: &ExportArgs,
    session: &Session,
    patches: &[Patch],
    ui: &Ui,
) -> anyhow::Result<()> {
    let (base, overwrite) = (base(args, session), outputs::overwrite(args.force));
    let summary =
        adapter::export_gguf(&session.model, &session.name, patches, &args.out, overwrite, ui)?;
    ui.close();
    let what = format!("is a GGUF adapter of rank {} (llama.cpp: --lora) for", summary.rank);
    ui.show(&report(&summary, &what, &base, session)?)
}

/// The sentence and the table of an adapter that was written.
pub(super) fn report(
    summary: &AdapterSummary,
    what: &str,
    base: &str,
    session: &Session,
) -> anyhow::Result<Report> {
    let mut table =
        Table::of_items("module", [Column::new("rank"), Column::of("norm", Unit::Plain(4))]);
    for module in &summary.modules {
        table.push(Row::new(&module.module).cell(module.rank).cell(module.norm));
    }
    let sentence = format!(
        "{} {what} {} of {base}: the patches, exactly.",
        summary.out.display(),
        counted(summary.modules.len(), "module")
    );
    let report = Report::new("export", &session.name, summary)?.section(table);
    Ok(report.section(sentence))
}

/// The base as an adapter names it: a Hub id, or a path as the user wrote it. An absolute path is of
/// this machine alone, and tells others whose it is.
pub(super) fn base(args: &ExportArgs, session: &Session) -> String {
    let given = args.model.model.as_deref().unwrap_or(&session.name);
    match std::path::Path::new(given).is_absolute() {
        true => session.name.clone(),
        false => given.to_owned(),
    }
}
