//! `rescribe probe` on TOFU's files: scores a model, and one that never saw the forget set.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::{Global, ProbeArgs};
use super::exit::Usage;
use super::reports;
use super::require::{self, Requirement};
use super::session::Session;
use super::ui::Ui;
use rescribe::model::{Decoder, Model};
use rescribe::probe::{TofuSummary, evaluate, forget_quality};
use rescribe::progress::counted;
use rescribe::report::{TofuReport, tofu_sentence};
use rescribe::spec::{TofuInput, TofuItem, TofuLog, TofuSet, read_tofu};

/// The kind of a reference, by the form of its name.
enum Reference<'a> {
    None,
    Log(TofuLog),
    Patch(&'a Path),
    Model(&'a str),
}

pub fn run(
    args: &ProbeArgs,
    input: TofuInput,
    requirements: &[Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    if args.against.is_some() {
        let message = "--against is for prompts and records; of TOFU's files, --reference names \
                       what never saw the forget set";
        return Err(Usage(message.into()).into());
    }
    let reference = reference(args)?;
    let (model, log, reference_log) = match input {
        TofuInput::Log(log) => {
            let Reference::Log(other) = reference else {
                return show_log(args, log, requirements, ui);
            };
            (args.prompts.display().to_string(), log, Some(other))
        }
        TofuInput::Items(items) => {
            let session = Session::open(args.model.model.as_deref(), global, ui)?;
            let items = limited(items, args.limit);
            let decoder = session.patched(&session.patches(&args.patch, ui)?)?;
            let log = measure(&session.model, &decoder, &items, ui)?;
            let other = match reference {
                Reference::None => None,
                Reference::Log(log) => Some(log),
                Reference::Patch(file) => {
                    let decoder = session.patched(&session.patches(&[file.to_owned()], ui)?)?;
                    Some(measure(&session.model, &decoder, &items, ui)?)
                }
                Reference::Model(name) => {
                    let other = Session::open(Some(name), global, ui)?;
                    Some(measure(&other.model, &other.model.decoder, &items, ui)?)
                }
            };
            (session.name, log, other)
        }
    };
    finish(args, model, log, reference_log, requirements, ui)
}

/// Reports a log, whose reference can only be another log: measuring one would need questions.
fn show_log(
    args: &ProbeArgs,
    log: TofuLog,
    requirements: &[Requirement],
    ui: &Ui,
) -> anyhow::Result<()> {
    if let Some(name) = &args.reference {
        let message = format!("--reference {name}: a log is compared with another log");
        return Err(Usage(message).into());
    }
    finish(args, args.prompts.display().to_string(), log, None, requirements, ui)
}

fn reference(args: &ProbeArgs) -> anyhow::Result<Reference<'_>> {
    let Some(name) = &args.reference else { return Ok(Reference::None) };
    let path = Path::new(name);
    if name.ends_with(".json") {
        return match read_tofu(path, None)? {
            Some(TofuInput::Log(log)) => Ok(Reference::Log(log)),
            _ => {
                Err(Usage(format!("--reference {name}: it is not a log of TOFU's evaluation"))
                    .into())
            }
        };
    }
    match name.ends_with(".safetensors") {
        true => Ok(Reference::Patch(path)),
        false => Ok(Reference::Model(name)),
    }
}

fn limited(
    mut items: BTreeMap<TofuSet, Vec<TofuItem>>,
    limit: Option<usize>,
) -> BTreeMap<TofuSet, Vec<TofuItem>> {
    items.values_mut().for_each(|set| set.truncate(limit.unwrap_or(usize::MAX)));
    items
}

fn measure(
    model: &Model,
    decoder: &Decoder,
    items: &BTreeMap<TofuSet, Vec<TofuItem>>,
    ui: &Ui,
) -> anyhow::Result<TofuLog> {
    let mut log = TofuLog::default();
    for (set, items) in items {
        ui.note("tofu", &format!("{}: {}", set.name(), counted(items.len(), "question")));
        log.0.insert(*set, evaluate(model, decoder, items, ui)?);
        ui.close();
    }
    Ok(log)
}

fn finish(
    args: &ProbeArgs,
    model: String,
    log: TofuLog,
    reference_log: Option<TofuLog>,
    requirements: &[Requirement],
    ui: &Ui,
) -> anyhow::Result<()> {
    let report = TofuReport {
        model,
        reference: args.reference.clone(),
        summary: TofuSummary::new(&log),
        reference_summary: reference_log.as_ref().map(TofuSummary::new),
        forget_quality: reference_log.as_ref().and_then(|other| forget_quality(&log, other)),
        log,
        reference_log,
    };
    let shown = report.report()?.section(tofu_sentence(&report));
    let shown = reports::publish(shown, None, (&args.report, args.force), ui)?;
    require::check(requirements, &shown)
}
