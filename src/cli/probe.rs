//! `rescribe probe`: score a model on prompts, alone or against another.

use super::args::{Global, ProbeArgs};
use super::exit::Usage;
use super::session::Session;
use super::ui::Ui;
use super::{require, tofu};
use rescribe::model::Decoder;
use rescribe::report::outcome_report;
use rescribe::run::{Probe, Tools};
use rescribe::spec::{PromptFile, read_prompts, read_tofu};

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
    let probe = match read_prompts(&args.prompts)? {
        PromptFile::Records(found) => {
            Probe::of_records(&found[..args.limit.unwrap_or(found.len()).min(found.len())])
        }
        PromptFile::Prompts(prompts) => {
            Probe::of_prompts(&args.prompts.display().to_string(), prompts)
        }
    };
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let other = other(args, &session, global, ui)?;
    let tools = Tools {
        cache: &session.cache,
        progress: ui,
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        checkpoint: None,
        stored_as: None,
    };
    let outcome = probe.measure(&session.model, &session.name, other.as_ref(), &tools)?;
    let mut report = outcome_report(&outcome, "probe")?;
    if let Some(name) = &args.against {
        report = report.note("models", format!("before is {}, after is {name}", outcome.model));
    }
    ui.show(&report)?;
    require::check(&requirements, &report)
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
                "--against {name}: its tokenizer differs from that of {}, so that neither \
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
