//! `rescribe export`: writes the base model with patches as a Hugging Face folder.

use std::path::Path;

use super::args::{EditedDtype, ExportArgs, Format, Global};
use super::exit::{Missed, Usage};
use super::outputs;
use super::session::Session;
use super::ui::{NOTE, Ui, paragraph};
use rescribe::adapter;
use rescribe::checkpoint::{
    self, EditedKey, ExportOptions, ExportSummary, KeySide, Rounding, StoredDtype,
};
use rescribe::checkpoint::{Judgement, judge_logits};
use rescribe::model::{Batch, Decoder};
use rescribe::ops::WeightLayout;
use rescribe::patch::Patch;
use rescribe::progress::{Progress, counted};
use rescribe::report::{Column, Report, Row, Table, Unit};

pub fn run(args: &ExportArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    outputs::check_export(args)?;
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let patches = session.patches(&args.patch, ui)?;
    let patches: Vec<Patch> = match args.keep_spec {
        true => patches,
        false => patches.into_iter().map(Patch::redacted).collect(),
    };
    if args.format == Format::Lora {
        return adapter(args, &session, &patches, ui);
    }
    let options = ExportOptions {
        overwrite: outputs::overwrite(args.force),
        hard_links: args.link,
        dtype: stored(args.dtype),
        ..ExportOptions::default()
    };
    let summary = write(&session, &patches, &args.out, options, ui)?;
    show(&summary, &session, ui)?;
    let difference =
        args.check.then(|| check(&session, &patches, &args.out, ui)).transpose()?.flatten();
    let edited = summary.edited.iter().map(|tensor| {
        serde_json::json!({
            "tensor": tensor.name,
            "dtype": tensor.dtype.to_string(),
            "relative_norm": tensor.relative_norm,
            "share_lost": tensor.share_lost,
            "rounding_residual": tensor.rounding_residual,
            "key_residual": tensor.key_residual,
        })
    });
    let data = serde_json::json!({
        "out": args.out,
        "edited": edited.collect::<Vec<_>>(),
        "largest_logit_difference": difference,
    });
    let sentence = format!(
        "{} holds the model with {}; it loads wherever the base loads.",
        args.out.display(),
        counted(summary.edited.len(), "edited tensor")
    );
    ui.show(&Report::new("export", &session.name, &data)?.section(sentence))
}

/// Writes the patches as a PEFT adapter.
fn adapter(args: &ExportArgs, session: &Session, patches: &[Patch], ui: &Ui) -> anyhow::Result<()> {
    if args.check {
        let message = "--check compares a checkpoint; an adapter has no model to load separately";
        return Err(Usage(message.into()).into());
    }
    if args.link {
        let message = "--link is for a checkpoint; an adapter has no weights of the base";
        return Err(Usage(message.into()).into());
    }
    if args.dtype.is_some() {
        let message = "--dtype is for a checkpoint; an adapter holds the changes as they are";
        return Err(Usage(message.into()).into());
    }
    let overwrite = outputs::overwrite(args.force);
    let base = args.model.model.as_deref().unwrap_or(&session.name);
    let summary = adapter::export(&session.model, base, patches, &args.out, overwrite, ui)?;
    let mut table =
        Table::of_items("module", [Column::new("rank"), Column::of("norm", Unit::Plain(4))]);
    for module in &summary.modules {
        table.push(Row::new(&module.module).cell(module.rank).cell(module.norm));
    }
    let sentence = format!(
        "{} is a LoRA adapter of rank {} for {} of {base}: the patches, exactly.",
        args.out.display(),
        summary.rank,
        counted(summary.modules.len(), "module")
    );
    let report = Report::new("export", &session.name, &summary)?.section(table);
    ui.show(&report.section(sentence))
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
    let (weights, rounding) = (&session.model.weights, Rounding::of(&summary.edited));
    let (mut tensors, mut all) = (0, 0);
    for name in weights.names() {
        tensors += 1;
        all += weights.shape(name)?.iter().product::<usize>();
    }
    let edited: usize = summary.edited.iter().map(|it| it.shape.iter().product::<usize>()).sum();
    let largest = summary.edited.iter().map(|it| it.relative_norm).fold(0., f64::max);
    let change = match summary.edited.len() {
        0 => String::new(),
        _ => format!(
            " ({} of the weights), by at most {} of their norm, of which rounding took {}",
            share(edited as f64 / all as f64),
            share(largest),
            share(rounding.share_lost.max(0.))
        ),
    };
    let text = format!(
        "{} of {} changed{change} · {:.1} MB",
        summary.edited.len(),
        counted(tensors, "tensor"),
        size(&summary.out)? as f64 / 1e6
    );
    ui.note("export", &paragraph(NOTE, NOTE, &text));
    if rounding.share_lost > MUCH {
        ui.warn(&format!(
            "rounding took {:.0} % of the change, because the tensors are stored in half \
             precision; --dtype f32 keeps it",
            100. * rounding.share_lost
        ));
    }
    Ok(())
}

/// A share per cent, small ones with two digits that say something.
fn share(share: f64) -> String {
    match 100. * share {
        0. => "0 %".into(),
        percent if percent < 0.1 => format!("{percent:.0e} %"),
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

/// Two f32 implementations that sum in different orders, over a few dozen layers.
const TOLERANCE: f32 = 2e-2;

/// Largest difference of logits between model + patch in memory and candle-transformers on `out`.
fn check(session: &Session, patches: &[Patch], out: &Path, ui: &Ui) -> anyhow::Result<Option<f32>> {
    let model = &session.model;
    let edited = session.patched(patches)?;
    let prompts = TEXTS.iter().map(|text| Ok(model.tokenizer.encode(text)?.ids));
    let prompts: Vec<Vec<u32>> = prompts.collect::<anyhow::Result<_>>()?;
    let judged = match judge_logits(out, model.decoder.config(), &prompts)? {
        Judgement::Logits(judged) => judged,
        Judgement::Unable(reason) => {
            ui.note("check", &format!("{reason}; nothing was compared"));
            return Ok(None);
        }
    };
    let ours = last_logits(&edited, &prompts)?;
    let pairs = ours.iter().flatten().zip(judged.iter().flatten());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0., f32::max);
    ui.note("check", &format!("largest difference to candle-transformers: {worst:.1e}"));
    if !worst.is_finite() || worst > TOLERANCE {
        let message = format!("logits differ by {worst:e}, more than {TOLERANCE:e}");
        return Err(Missed(message).into());
    }
    Ok(Some(worst))
}

fn last_logits(decoder: &Decoder, prompts: &[Vec<u32>]) -> candle_core::Result<Vec<Vec<f32>>> {
    let batch = Batch::new(prompts);
    decoder.logits(&decoder.forward(&batch, None)?, &batch.last_rows())?.to_vec2()
}
