//! `rescribe probe`: measures a model, alone or against another, as an edit measures its own.

use std::path::PathBuf;

use super::args::{Global, ProbeArgs};
use super::exit::Usage;
use super::input::{announce_left_out, bad_records, spec_job};
use super::session::Session;
use super::ui::Ui;
use super::{ranks, reports, require, resolve, tofu};
use rescribe::files::Sha256;
use rescribe::model::Decoder;
use rescribe::ranks::Ranks;
use rescribe::report::outcome_report;
use rescribe::run::{Grouping, Job, Tools, identity, probe};
use rescribe::spec::{
    ProbeInput, PromptFile, RankOneOptions, Record, VerdictOptions, read_probe_input, read_tofu,
};
use rescribe::verdict::Thresholds;

pub fn run(args: &ProbeArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    let uses = args.patch.iter().chain([&args.prompts]).map(PathBuf::as_path);
    reports::check(&args.report, args.force, &uses.collect::<Vec<_>>())?;
    if let Some(input) = read_tofu(&args.prompts, args.forget.as_deref())? {
        resolve::probed_tofu(args)?;
        if ranks.size() > 1 || args.journal.journal.is_some() {
            let message = "TOFU's files are measured by one process, without a journal";
            return Err(Usage(message.into()).into());
        }
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
    let mut session = ranks.first_on_rank_0(ui, || Session::open(named, global, ui))?;
    job.put_to(&mut session.model)?;
    let other = other(args, &session, global, ui)?;
    if args.journal.journal.is_some() {
        let name = args.prompts.display();
        let about = format!("probe {name} of {}", session.name);
        ranks::keep(&args.journal, ranks, identity_of(&session, &job, other.as_ref())?, &about)?;
    }
    let other = other.map(|other| other.decoder);
    let tools = Tools {
        ranks,
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        ..Tools::new(&session.cache, ui)
    };
    let outcome = probe(&session.model, &session.name, &job, other.as_ref(), &tools)?;
    if !ranks.is_first() {
        return Ok(());
    }
    let mut report = ranks::noted(outcome_report(&outcome, "probe")?, ranks);
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

/// A model to compare with, and what names it.
struct Other {
    decoder: Decoder,
    name: Sha256,
}

/// The digest of the job and of the model to compare with.
fn identity_of(session: &Session, job: &Job, other: Option<&Other>) -> anyhow::Result<Sha256> {
    let job = identity(&session.model, job, "probe")?;
    Ok(Sha256::of(format!("{job} {:?}", other.map(|other| other.name))))
}

fn other(
    args: &ProbeArgs,
    session: &Session,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<Option<Other>> {
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
        let name = other.model.weights_hash()?;
        return Ok(Some(Other { decoder: other.model.decoder, name }));
    }
    if args.patch.is_empty() {
        return Ok(None);
    }
    let files = args.patch.iter().map(|file| Sha256::of_file(file));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let decoder = session.patched(&session.patches(&args.patch, ui)?)?;
    Ok(Some(Other { decoder, name: Sha256::of(format!("{files:?}")) }))
}
