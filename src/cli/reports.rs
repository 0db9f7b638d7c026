//! Reports as files: `--report FILE`, in the form that the file's ending names.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::args::ReportArg;
use super::exit::Usage;
use super::session::Session;
use super::ui::{Ui, quoted};
use super::{outputs, redaction};
use rescribe::files::{
    FileError, Kind, check_target, is_page, read_regular, seal_page, write_atomically,
};
use rescribe::patch::Redactor;
use rescribe::report::{Made, Report, html, markdown};

/// No report is longer.
const LONGEST: u64 = 64 << 20;

/// Files that `--report` writes, and may replace.
const REPORT_FILE: Kind =
    Kind { name: "a report by rescribe", is_folder: false, is_ours: is_report };

/// The form of a report in a file.
#[derive(Clone, Copy)]
enum Form {
    Page,
    Markdown,
}

impl Form {
    fn of(file: &Path) -> anyhow::Result<Self> {
        let ending = file.extension().map(|it| it.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("html" | "htm") => Ok(Self::Page),
            Some("md" | "markdown") => Ok(Self::Markdown),
            _ => {
                let name = file.display();
                let message = format!("--report {name}: the file should end in .html or .md");
                Err(Usage(message).into())
            }
        }
    }
}

/// Whether a file is a report, so that a later one may replace it.
fn is_report(file: &Path) -> bool {
    let Ok(bytes) = read_regular(file, LONGEST) else { return false };
    is_page(&String::from_utf8_lossy(&bytes))
}

/// Checks before any work that the reports can be written; `uses` are the files of the run.
pub fn check(args: &ReportArg, force: bool, uses: &[&Path]) -> anyhow::Result<()> {
    let mut uses = uses.to_vec();
    for file in &args.report {
        Form::of(file)?;
        check_target(file, outputs::overwrite(force), &REPORT_FILE, &uses)?;
        uses.push(file);
    }
    Ok(())
}

/// What gives the report again: the command as it was typed, the spec as it was resolved; nothing
/// where no file is written.
pub fn made(args: &ReportArg, session: &Session, spec: &str) -> anyhow::Result<Option<Made>> {
    if args.report.is_empty() {
        return Ok(None);
    }
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    let words: Vec<String> = [String::from("rescribe")].into_iter().chain(words).collect();
    Ok(Some(Made {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: words.join(" "),
        base: session.model.weights_hash()?.to_string(),
        spec: (!spec.trim().is_empty()).then(|| spec.to_owned()),
    }))
}

/// Writes the report to its files and shows it; files and JSON without the removed texts.
pub fn publish(
    mut report: Report,
    redactor: Option<&Redactor>,
    (args, force): (&ReportArg, bool),
    ui: &Ui,
) -> anyhow::Result<Report> {
    let silent = if args.report.is_empty() { None } else { Some(redacted(&report, redactor)?) };
    for file in &args.report {
        write(file, silent.as_ref().unwrap_or(&report), force)?;
    }
    if !args.report.is_empty() {
        let names = args.report.iter().map(|file| file.display().to_string());
        report = report.note("report", names.collect::<Vec<_>>().join(", "));
    }
    redaction::show(&report, redactor, ui)?;
    Ok(report)
}

/// The report as it may be handed on.
fn redacted(report: &Report, redactor: Option<&Redactor>) -> anyhow::Result<Report> {
    let mut value: Value = serde_json::to_value(report)?;
    if let Some(redactor) = redactor {
        redactor.report(&mut value);
    }
    Ok(serde_json::from_value(value)?)
}

fn write(file: &Path, report: &Report, force: bool) -> anyhow::Result<()> {
    let text = match Form::of(file)? {
        Form::Page => html::render(report)?,
        Form::Markdown => seal_page(&markdown::render(report)),
    };
    write_atomically(file, outputs::overwrite(force), |out| out.write_all(text.as_bytes()))?;
    Ok(())
}

/// The report in a page.
pub fn read(file: &Path) -> anyhow::Result<Report> {
    let bytes = read_regular(file, LONGEST).map_err(FileError::reading(file))?;
    let text = String::from_utf8_lossy(&bytes);
    html::read(&text).with_context(|| format!("cannot read {}", file.display()))
}

/// Whether a file is named as a page is.
pub fn is_named_page(file: &Path) -> bool {
    matches!(Form::of(file), Ok(Form::Page))
}
