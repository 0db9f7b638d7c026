//! `rescribe probe`: measures a model, alone or against another, as an edit measures its own.

use std::path::PathBuf;

use super::args::{Global, ProbeArgs};
use super::exit::Usage;
use super::input::{announce_left_out, bad_records, spec_job};
use super::session::Session;
use super::ui::Ui;
use super::{reports, require, resolve, tofu};
use rescribe::model::Decoder;
use rescribe::report::outcome_report;
use rescribe::run::{Grouping, Job, Tools, probe};
use rescribe::spec::{
    ProbeInput, PromptFile, RankOneOptions, Record, VerdictOptions, read_probe_input, read_tofu,
};
use rescribe::verdict::Thresholds;

pub fn run(args: &ProbeArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    let uses = args.patch.iter().chain([&args.prompts]).map(PathBuf::as_path);
    reports::check(&args.report, args.force, &uses.collect::<Vec<_>>())?;
    if let Some(input) = read_tofu(&args.prompts, args.forget.as_deref())? {
        resolve::probed_tofu(args)?;
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
    let input = read_probe_input(&args.prompts, bad_records(args.skip_bad))?;
    resolve::probed(args, &input)?;
    if let ProbeInput::Prompts(PromptFile::Records(file)) = &input {
        announce_left_out(file, ui);
    }
    let mut job = job(args, &input)?;
    let named = match &input {
        ProbeInput::Spec(spec) => args.model.model.as_deref().or(spec.model.as_deref()),
        ProbeInput::Prompts(_) => args.model.model.as_deref(),
    };
    let mut session = Session::open(named, global, ui)?;
    job.put_to(&mut session.model)?;
    let other = other(args, &session, global, ui)?;
    let tools = Tools {
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        ..Tools::new(&session.cache, ui)
    };
    let outcome = probe(&session.model, &session.name, &job, other.as_ref(), &tools)?;
    let mut report = outcome_report(&outcome, "probe")?;
    if let Some(name) = &args.against {
        report = report.note("models", format!("before is {}, after is {name}", outcome.model));
    }
    let redactor = job.redactor()?;
    report.made = reports::made(&args.report, &session, &job.source)?;
    let silent = redactor.as_ref().filter(|_| !args.keep_spec);
    let report = reports::publish(report, silent, (&args.report, args.force), ui)?;
    require::check(&requirements, &report)
}

/// What is measured.
fn job(args: &ProbeArgs, input: &ProbeInput) -> anyhow::Result<Job> {
    let thresholds = || -> anyhow::Result<Thresholds> {
        Ok(Thresholds::new(&args.verdict.over(&VerdictOptions::default())?))
    };
    match input {
        ProbeInput::Spec(spec) => {
            let mut spec = spec.clone();
            spec.verdict = args.verdict.over(&spec.verdict)?;
            spec.gradient.attack = args.attack.or(spec.gradient.attack);
            spec_job(&spec, None)
        }
        ProbeInput::Prompts(PromptFile::Records(file)) => {
            let all = &file.records;
            let records = &all[..args.limit.unwrap_or(all.len()).min(all.len())];
            Ok(record_job(records, thresholds()?)?.read_from(file))
        }
        ProbeInput::Prompts(PromptFile::Prompts(prompts)) => {
            let name = args.prompts.display().to_string();
            Ok(Job::of_prompts(&name, prompts.as_ref().clone(), thresholds()?))
        }
    }
}

fn record_job(records: &[Record], thresholds: Thresholds) -> anyhow::Result<Job> {
    let each = (Grouping::Isolated, vec![1; records.len()]);
    let settings = (RankOneOptions::default(), thresholds);
    Ok(Job::of_records(records, records, each, None, settings)?)
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
    Ok(Some(session.patched(&session.patches(&args.patch, ui)?)?))
}
