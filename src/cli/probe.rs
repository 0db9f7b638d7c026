//! `rescribe probe`: score a model on prompts, alone or against another.

use super::args::{Global, ProbeArgs};
use super::edit::{completions, drift_of};
use super::failure::Usage;
use super::session::Session;
use super::ui::Ui;
use super::{records, require, tofu};
use rescribe::model::Decoder;
use rescribe::probe::{ProbeScores, Questions, measure};
use rescribe::progress::Progress;
use rescribe::report::{EditReport, sentence};
use rescribe::spec::{PromptFile, PromptSet, read_prompts, read_tofu};

pub fn run(args: &ProbeArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    if let Some(input) = read_tofu(&args.prompts, args.forget.as_deref())? {
        return tofu::run(args, input, &requirements, global, ui);
    }
    if args.forget.is_some() || args.reference.is_some() {
        let message = format!(
            "--forget and --reference are for TOFU's files, and {} is none; compare with --patch \
             or --against",
            args.prompts.display()
        );
        return Err(Usage(message).into());
    }
    let prompts = read_prompts(&args.prompts)?;
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let other = other(args, &session, global, ui)?;
    let report = match prompts {
        PromptFile::Records(found) => {
            let found = &found[..args.limit.unwrap_or(found.len()).min(found.len())];
            records::probe(&session.model, &session.name, other.as_ref(), found, ui)?
        }
        PromptFile::Prompts(prompts) => probe(&session, other.as_ref(), &prompts, ui)?,
    };
    let text = match &args.against {
        Some(name) => format!("Before is {}, after is {name}.", report.model),
        None => sentence(&report),
    };
    let shown = report.report("probe")?.section(text);
    ui.show(&shown)?;
    require::check(&requirements, &shown)
}

fn other(
    args: &ProbeArgs,
    session: &Session,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<Option<Decoder>> {
    if let Some(name) = &args.against {
        let other = Session::open(Some(name), global, ui)?;
        if other.model.tokenizer.hash() != session.model.tokenizer.hash() {
            return Err(Usage(format!(
                "--against {name}: it splits text into other tokens than {}, so that neither \
                 probabilities nor drift can be compared",
                session.name
            ))
            .into());
        }
        return Ok(Some(other.model.decoder));
    }
    if args.patch.is_empty() {
        return Ok(None);
    }
    Ok(Some(session.patched(&session.patches(&args.patch)?)?))
}

fn probe(
    session: &Session,
    other: Option<&Decoder>,
    prompts: &PromptSet,
    ui: &Ui,
) -> anyhow::Result<EditReport> {
    let model = &session.model;
    let first = prompts.rewrite.first();
    let new = first.and_then(|prompt| prompt.target_new.as_deref());
    let old = first.and_then(|prompt| prompt.target_true.as_deref());
    let questions = Questions::new(&model.tokenizer, prompts, new, old)?;
    if questions.skipped() > 0 {
        ui.warn(&format!(
            "{} prompts have no pair of targets and were left out; give target_new and \
             target_true in the file",
            questions.skipped()
        ));
    }
    let before = measure(&model.decoder, &questions)?;
    let after = other.map(|other| measure(other, &questions)).transpose()?;
    let texts = &prompts.retain;
    let drift = other.map(|other| drift_of(model, other, texts, ui)).transpose()?.flatten();
    Ok(EditReport {
        schema: 1,
        model: session.name.clone(),
        n: 1,
        layer: None,
        before: ProbeScores::of_one(&before),
        after: after.as_ref().map(ProbeScores::of_one),
        without_ripples: None,
        drift,
        leaks: Vec::new(),
        completions: completions(model, other, &prompts.generation, ui)?,
        edits: Vec::new(),
        seconds_per_edit: None,
        prompts_before: vec![before],
        prompts_after: after.into_iter().collect(),
    })
}
