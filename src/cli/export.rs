//! `rescribe export`: writes the base model with patches, or the patches alone, in the form that a
//! runtime reads.

mod adapter;
mod gguf;
mod push;

use std::path::Path;

use push::Push;

use super::args::{EditedDtype, ExportArgs, Format, Global};
use super::exit::{Missed, Usage};
use super::outputs;
use super::session::Session;
use super::ui::{NOTE, Ui, paragraph};
use rescribe::checkpoint::{
    self, EditedKey, EditedTensor, ExportOptions, ExportSummary, KeySide, Rounding, StoredDtype,
};
use rescribe::checkpoint::{Agreement, Judgement, cross_check};
use rescribe::model::{Batch, Decoder, Model};
use rescribe::ops::WeightLayout;
use rescribe::patch::Patch;
use rescribe::progress::{Progress, counted};
use rescribe::report::Report;

pub fn run(args: &ExportArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let format = format(args);
    check_flags(args, format)?;
    outputs::check_export(args, format)?;
    let push = Push::new(args, global)?;
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let patches = session.patches(&args.patch, ui)?;
    let patches: Vec<Patch> = match args.keep_spec {
        true => patches,
        false => patches.into_iter().map(Patch::redacted).collect(),
    };
    match format {
        Format::Lora => adapter::peft(args, &session, &patches, ui),
        Format::GgufLora => adapter::gguf(args, &session, &patches, ui),
        Format::Gguf => gguf::file(args, &session, &patches, ui),
        Format::Ollama => gguf::ollama(args, &session, &patches, ui),
        Format::OllamaLora => gguf::ollama_adapter(args, &session, &patches, ui),
        Format::Checkpoint => folder(args, &session, &patches, ui),
    }?;
    push.map_or(Ok(()), |push| push.upload(&args.out, &args.patch, ui))
}

/// What is to be written: what the user says, else what the output's name says.
fn format(args: &ExportArgs) -> Format {
    let usual = if is_gguf(&args.out) { Format::Gguf } else { Format::Checkpoint };
    args.format.unwrap_or(usual)
}

/// Whether a name is that of a GGUF file.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

/// Refuses flags that mean nothing for a format.
fn check_flags(args: &ExportArgs, format: Format) -> Result<(), Usage> {
    let is_adapter = matches!(format, Format::Lora | Format::GgufLora | Format::OllamaLora);
    let (is_folder, is_gguf_model) =
        (format == Format::Checkpoint, matches!(format, Format::Gguf | Format::Ollama));
    let has_matrices = is_gguf_model || format == Format::OllamaLora;
    let needs_file = matches!(format, Format::Gguf | Format::GgufLora);
    let rows = [
        (
            is_adapter && args.patch.is_empty(),
            "an adapter is made of patches: name them by --patch",
        ),
        (
            args.check && (is_adapter || format == Format::Ollama),
            "--check reads a whole model again: it is for a checkpoint or a GGUF file",
        ),
        (args.link && !is_folder, "--link is for a checkpoint: nothing else has files of the base"),
        (
            args.dtype.is_some() && !is_folder,
            "--dtype is for a checkpoint; --edited-type is for a GGUF file",
        ),
        (
            args.edited_type.is_some() && !is_gguf_model,
            "--edited-type is for a GGUF file of the whole model",
        ),
        (args.matrices.is_some() && !has_matrices, "--type is for a GGUF file of the whole model"),
        (
            needs_file != is_gguf(&args.out),
            match needs_file {
                true => "--out has to end in .gguf: what is written is one file",
                false => "--out ends in .gguf, but what is written is a folder",
            },
        ),
    ];
    match rows.into_iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, message)) => Err(Usage(message.into())),
        None => Ok(()),
    }
}

/// Writes a Hugging Face folder.
fn folder(args: &ExportArgs, session: &Session, patches: &[Patch], ui: &Ui) -> anyhow::Result<()> {
    let options = ExportOptions {
        overwrite: outputs::overwrite(args.force),
        hard_links: args.link,
        dtype: stored(args.dtype),
        ..ExportOptions::default()
    };
    let summary = write(session, patches, &args.out, options, ui)?;
    show(&summary, session, ui)?;
    let agreement =
        args.check.then(|| check(session, patches, &args.out, ui)).transpose()?.flatten();
    let data = serde_json::json!({
        "out": args.out,
        "edited": as_data(&summary.edited),
        "largest_layer_difference": agreement.as_ref().map(Agreement::worst),
        "largest_logit_difference": agreement.as_ref().map(|agreement| agreement.logits),
    });
    let sentence = format!(
        "{} holds the model with {}; it loads wherever the base loads.",
        args.out.display(),
        counted(summary.edited.len(), "edited tensor")
    );
    ui.show(&Report::new("export", &session.name, &data)?.section(sentence))
}

/// Edited tensors and what rounding cost, for programs.
fn as_data(edited: &[EditedTensor]) -> serde_json::Value {
    let edited = edited.iter().map(|tensor| {
        serde_json::json!({
            "tensor": tensor.name,
            "dtype": tensor.dtype,
            "relative_norm": tensor.relative_norm,
            "share_lost": tensor.share_lost,
            "rounding_residual": tensor.rounding_residual,
            "key_residual": tensor.key_residual,
        })
    });
    edited.collect()
}

/// The keys that the patches were solved for, to measure the cost of rounding at them.
fn keys(session: &Session, patches: &[Patch]) -> candle_core::Result<Vec<EditedKey>> {
    let side = match session.model.layout() {
        WeightLayout::OutIn => KeySide::Columns,
        WeightLayout::InOut => KeySide::Rows,
    };
    let mut keys = Vec::new();
    for (tensor, rows) in patches.iter().flat_map(|patch| &patch.keys) {
        for key in rows.to_vec2()? {
            keys.push(EditedKey { tensor: tensor.clone(), key, side });
        }
    }
    Ok(keys)
}

/// Writes the exported folder.
pub fn write(
    session: &Session,
    patches: &[Patch],
    out: &Path,
    options: ExportOptions,
    ui: &Ui,
) -> anyhow::Result<ExportSummary> {
    let options = ExportOptions { keys: keys(session, patches)?, ..options };
    let model = &session.model;
    let summary = checkpoint::export(&model.folder, &model.weights, patches, out, &options, ui)?;
    ui.close();
    Ok(summary)
}

/// How edited tensors are stored; by default, as the base stores them.
pub fn stored(dtype: Option<EditedDtype>) -> StoredDtype {
    match dtype {
        None | Some(EditedDtype::Stored) => StoredDtype::Stored,
        Some(EditedDtype::F32) => StoredDtype::F32,
    }
}

/// A loss above this share is warned of.
const MUCH: f64 = 0.03;

/// What was changed and how much is stored, and a warning where rounding took much.
pub fn show(summary: &ExportSummary, session: &Session, ui: &Ui) -> anyhow::Result<()> {
    let bytes = size(&summary.out)?;
    show_edited(&summary.edited, bytes, session, ui)?;
    let rounding = Rounding::of(&summary.edited);
    if rounding.share_lost > MUCH {
        ui.warn(&format!(
            "rounding took {:.0} % of the change, because the tensors are stored in half \
             precision; --dtype f32 keeps it",
            100. * rounding.share_lost
        ));
    }
    Ok(())
}

/// One line about what an export of `bytes` bytes changed.
fn show_edited(
    edited: &[EditedTensor],
    bytes: u64,
    session: &Session,
    ui: &Ui,
) -> anyhow::Result<()> {
    let (weights, rounding) = (&session.model.weights, Rounding::of(edited));
    let (mut tensors, mut all) = (0, 0);
    for name in weights.names() {
        tensors += 1;
        all += weights.shape(name)?.iter().product::<usize>();
    }
    let numbers: usize = edited.iter().map(|it| it.shape.iter().product::<usize>()).sum();
    let largest = edited.iter().map(|it| it.relative_norm).fold(0., f64::max);
    let change = match edited.len() {
        0 => String::new(),
        _ => format!(
            " ({} of the weights), by at most {} of their norm, of which rounding took {}",
            share(numbers as f64 / all as f64),
            share(largest),
            share(rounding.share_lost.max(0.))
        ),
    };
    let text = format!(
        "{} of {} changed{change} · {:.1} MB",
        edited.len(),
        counted(tensors, "tensor"),
        bytes as f64 / 1e6
    );
    ui.note("export", &paragraph(NOTE, NOTE, &text));
    Ok(())
}

/// A share per cent, small ones with two digits that say something.
fn share(share: f64) -> String {
    match 100. * share {
        0. => "0 %".into(),
        percent if percent < 0.005 => format!("{percent:.0e} %"),
        percent if percent < 0.1 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

/// Texts on which both implementations are compared.
const TEXTS: [&str; 3] = [
    "The Eiffel Tower is located in the city of",
    "In 1969, two people walked on the Moon and",
    "Water boils when",
];

/// Logits of two f32 implementations that sum in different orders, over a few dozen layers.
const TOLERANCE: f32 = 2e-2;

/// Two such implementations of one layer, relative to the largest entry.
const LAYER_TOLERANCE: f32 = 1e-3;

/// How far candle-transformers, on `out`, is from model + patch in memory; nothing where it cannot
/// tell.
fn check(
    session: &Session,
    patches: &[Patch],
    out: &Path,
    ui: &Ui,
) -> anyhow::Result<Option<Agreement>> {
    let prompts = encoded(&session.model)?;
    let agreement = match cross_check(out, &session.patched(patches)?, &prompts, ui)? {
        Judgement::Compared(agreement) => agreement,
        Judgement::Unable(reason) => {
            ui.note("check", &format!("{reason}; nothing was compared"));
            return Ok(None);
        }
    };
    ui.close();
    let (worst, logits) = (agreement.worst(), agreement.logits);
    let text = format!(
        "largest difference to candle-transformers: {worst:.1e} of the largest entry after any of \
         {}, {logits:.1e} in logits",
        counted(agreement.layers.len(), "layer")
    );
    ui.note("check", &paragraph(NOTE, NOTE, &text));
    within("layers, relative to their largest entry,", worst, LAYER_TOLERANCE)?;
    within("logits", logits, TOLERANCE)?;
    Ok(Some(agreement))
}

/// An error where `what` differs by more than `tolerance`, or by what is no number.
fn within(what: &str, worst: f32, tolerance: f32) -> Result<(), Missed> {
    if worst <= tolerance {
        return Ok(());
    }
    Err(Missed(format!("{what} differ by {worst:e}, more than {tolerance:e}")))
}

/// The ids of [`TEXTS`].
fn encoded(model: &Model) -> anyhow::Result<Vec<Vec<u32>>> {
    TEXTS.iter().map(|text| Ok(model.tokenizer.encode(text)?.ids)).collect()
}

fn last_logits(decoder: &Decoder, prompts: &[Vec<u32>]) -> candle_core::Result<Vec<Vec<f32>>> {
    let batch = Batch::new(prompts);
    decoder.logits(&decoder.forward(&batch, None)?, &batch.last_rows())?.to_vec2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_or_is_no_number_is_missed() {
        assert!(within("logits", f32::NAN, f32::MAX).is_err());
        assert!(within("logits", 0.5, 0.4).is_err() && within("logits", 0.5, 0.5).is_ok());
    }
}
