//! The whole model as one GGUF file, alone or in a folder for Ollama.

use std::path::Path;

use anyhow::Context;
use candle_core::Device;

use super::{TOLERANCE, as_data, encoded, keys, last_logits, share, show_edited, within};
use crate::cli::args::{ExportArgs, MatrixType};
use crate::cli::exit::Usage;
use crate::cli::outputs;
use crate::cli::session::Session;
use crate::cli::ui::{NOTE, Ui, paragraph};
use rescribe::adapter;
use rescribe::checkpoint::largest_difference;
use rescribe::checkpoint::{EditedTensor, GgufOptions, GgufSummary, export_gguf, export_ollama};
use rescribe::gguf::{self, EditedAs, GgufType, ImportOptions};
use rescribe::model::Model;
use rescribe::patch::Patch;
use rescribe::progress::{Progress, Silent, counted};
use rescribe::report::Report;

/// Writes one GGUF file.
pub fn file(
    args: &ExportArgs,
    session: &Session,
    patches: &[Patch],
    ui: &Ui,
) -> anyhow::Result<()> {
    let overwrite = outputs::overwrite(args.force);
    let options = options(args, session, patches)?;
    let summary = export_gguf(&session.model, patches, &args.out, overwrite, &options, ui)?;
    ui.close();
    show(&summary, session, ui)?;
    let tolerance = tolerance(args, &summary);
    let check = || check(session, patches, &args.out, tolerance, ui);
    let difference = args.check.then(check).transpose()?;
    let data = serde_json::json!({
        "out": args.out,
        "tensors": summary.tensors,
        "bytes": summary.bytes,
        "edited": as_data(&summary.edited),
        "largest_logit_difference": difference,
    });
    let kept = match &session.gguf {
        Some(file) => format!("; all else is, byte for byte, that of {}", file.display()),
        None => String::new(),
    };
    let sentence = format!(
        "{} holds the model with {}{kept}.",
        args.out.display(),
        counted(summary.edited.len(), "edited tensor")
    );
    ui.show(&Report::new("export", &session.name, &data)?.section(sentence))
}

/// Writes a folder with a Modelfile.
pub fn ollama(
    args: &ExportArgs,
    session: &Session,
    patches: &[Patch],
    ui: &Ui,
) -> anyhow::Result<()> {
    let overwrite = outputs::overwrite(args.force);
    let options = options(args, session, patches)?;
    let summary = export_ollama(&session.model, patches, &args.out, overwrite, &options, ui)?;
    ui.close();
    show(&summary, session, ui)?;
    let data = serde_json::json!({ "out": args.out, "edited": as_data(&summary.edited) });
    let sentence = format!(
        "{} holds the model with {} and its Modelfile.",
        args.out.display(),
        counted(summary.edited.len(), "edited tensor")
    );
    let report = Report::new("export", &session.name, &data)?.section(sentence);
    show_ollama(report, &args.out, ui)
}

/// Writes a folder with a Modelfile that puts an adapter on the unedited model.
pub fn ollama_adapter(
    args: &ExportArgs,
    session: &Session,
    patches: &[Patch],
    ui: &Ui,
) -> anyhow::Result<()> {
    let overwrite = outputs::overwrite(args.force);
    let options = options(args, session, patches)?;
    let (model, out) = (&session.model, &args.out);
    let summary = adapter::export_ollama(model, patches, out, overwrite, &options, ui)?;
    ui.close();
    let what = format!("holds a GGUF adapter of rank {} and a Modelfile for", summary.rank);
    let base = super::adapter::base(args, session);
    show_ollama(super::adapter::report(&summary, &what, &base, session)?, out, ui)
}

/// Shows a report, and what to do with a folder for Ollama.
fn show_ollama(mut report: Report, out: &Path, ui: &Ui) -> anyhow::Result<()> {
    report.next = Some(format!("ollama create my-model -f {}/Modelfile", out.display()));
    ui.show(&report)
}

fn options<'a>(
    args: &ExportArgs,
    session: &'a Session,
    patches: &[Patch],
) -> anyhow::Result<GgufOptions<'a>> {
    if args.matrices.is_some() && session.gguf.is_some() {
        let message = "--type is for a file that is made from a folder: what a GGUF file holds \
                       stays as it is, but for the edits, which --edited-type stores";
        return Err(Usage(message.into()).into());
    }
    Ok(GgufOptions {
        original: session.gguf.as_deref(),
        name: &session.name,
        matrices: args.matrices.and_then(named),
        edited_as: match args.edited_type {
            None => EditedAs::Usual,
            Some(given) => named(given).map_or(EditedAs::Stored, EditedAs::Type),
        },
        keys: keys(session, patches)?,
    })
}

/// The type that is named; nothing where it is the one of before.
fn named(given: MatrixType) -> Option<GgufType> {
    Some(match given {
        MatrixType::Stored => return None,
        MatrixType::F32 => GgufType::F32,
        MatrixType::F16 => GgufType::F16,
        MatrixType::Bf16 => GgufType::Bf16,
        MatrixType::Q80 => GgufType::Q8_0,
        MatrixType::Q40 => GgufType::Q4_0,
        MatrixType::Q41 => GgufType::Q4_1,
    })
}

/// A value lost at a key by more than this share is warned of.
const MUCH: f64 = 0.05;

/// What was changed, what rounding costs where the edits were solved for, and a warning where that
/// is much.
fn show(summary: &GgufSummary, session: &Session, ui: &Ui) -> anyhow::Result<()> {
    show_edited(&summary.edited, summary.bytes, session, ui)?;
    let lost = |tensor: &EditedTensor| tensor.key_residual.unwrap_or(tensor.rounding_residual);
    let worst = summary.edited.iter().max_by(|a, b| lost(a).total_cmp(&lost(b)));
    let Some(tensor) = worst else { return Ok(()) };
    let place = match tensor.key_residual {
        Some(_) => "of what it changes at the edited keys",
        None => "of its change",
    };
    let (name, dtype, off) = (&tensor.name, &tensor.dtype, share(lost(tensor)));
    let text = format!("{name}, stored as {dtype}, is off by {off} {place}");
    ui.note("rounding", &paragraph(NOTE, NOTE, &text));
    if lost(tensor) > MUCH {
        let adapter = match tensor.rank {
            Some(_) => ", --format gguf-lora all of it",
            None => "",
        };
        let finer = if dtype == "F16" { "f32" } else { "f16 or f32" };
        ui.warn(&format!(
            "rounding to {dtype} costs {off} {place}; --edited-type {finer} keeps more{adapter}"
        ));
    }
    Ok(())
}

/// By how much logits may differ; without a limit where matrices are rounded to less than F16, whose
/// effect nothing foretells.
fn tolerance(args: &ExportArgs, summary: &GgufSummary) -> f32 {
    let is_fine = |tensor: &EditedTensor| ["F32", "F16"].contains(&tensor.dtype.as_str());
    match args.matrices {
        None | Some(MatrixType::Stored | MatrixType::F32) if summary.edited.iter().all(is_fine) => {
            TOLERANCE
        }
        _ => f32::MAX,
    }
}

/// Largest difference of logits between model + patch in memory and the file, read again.
fn check(
    session: &Session,
    patches: &[Patch],
    out: &Path,
    tolerance: f32,
    ui: &Ui,
) -> anyhow::Result<f32> {
    let folder = tempfile::tempdir().context("no place to read the file again")?;
    let read = folder.path().join("model");
    gguf::import(out, &read, &ImportOptions::default(), &Silent)?;
    let again = Model::open(&read, &Device::Cpu, &Silent)?;
    let prompts = encoded(&session.model)?;
    if prompts != encoded(&again)? {
        anyhow::bail!("{}: its tokenizer, read again, gives other tokens", out.display());
    }
    let ours = last_logits(&session.patched(patches)?, &prompts)?;
    let read = last_logits(&again.decoder, &prompts)?;
    let worst = largest_difference(&ours.concat(), &read.concat());
    ui.note("check", &format!("largest difference of logits, read again: {worst:.1e}"));
    within("logits", worst, tolerance)?;
    Ok(worst)
}
