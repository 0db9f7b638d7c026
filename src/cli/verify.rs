//! `rescribe verify`: audits what a spec removed or wrote.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::{Global, VerifyArgs};
use super::exit::{Missed, Usage};
use super::input::spec_job;
use super::record::{self, Told};
use super::reports;
use super::session::Session;
use super::ui::Ui;
use rescribe::atlas::{References, TrainingRecipe};
use rescribe::audit::{Audit, AuditOptions, Audited, LimitsFile, audit};
use rescribe::files::{FileError, read_regular};
use rescribe::model::{Decoder, Model};
use rescribe::report::audit_report;
use rescribe::run::{Job, Tools};
use rescribe::spec::{BadRecords, EditInput, EditSpec, PassageVerb, read_edit_input};

pub fn run(args: &VerifyArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let limits = limits(args.thresholds.as_deref())?;
    let uses = args.patch.iter().chain([&args.spec]).chain(&args.out).map(PathBuf::as_path);
    reports::check(&args.report, args.force, &uses.collect::<Vec<_>>())?;
    let spec = spec(&args.spec)?;
    let key = args.out.as_deref().map(|out| record::ready(args, out)).transpose()?;
    let mut job = spec_job(&spec, None)?;
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let mut session = Session::open(name, global, ui)?;
    let base = args.base.as_deref().map(|name| base(name, &session, &job, global, ui));
    let base = base.transpose()?;
    job.put_to(&mut session.model)?;
    let patched = patched(args, &session, ui)?;
    let models = Audited {
        model: &session.model,
        decoder: patched.as_ref().unwrap_or(&session.model.decoder),
        base: match &patched {
            Some(_) => Some(&session.model),
            None => base.as_ref().map(|base| &base.model),
        },
        general: None,
        name: &session.name,
    };
    let options = AuditOptions {
        references: references(args, &job, &session, ui)?,
        budget: args.budget,
        without: Vec::new(),
        relearn_steps: None,
        limits,
    };
    ui.note("limits", &format!("{}, sha256 {}", options.limits.name, options.limits.sha256));
    let tools = Tools {
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        ..Tools::new(&session.cache, ui)
    };
    let started = SystemTime::now();
    let found = audit(models, &job, &options, &tools)?;
    ui.close();
    let redactor = job.redactor()?;
    let silent = redactor.as_ref().filter(|_| !args.keep_spec);
    let mut report = audit_report(&found)?;
    if let (Some(out), Some(key)) = (&args.out, &key) {
        let told = Told { args, spec: &spec, job: &job, redactor: redactor.as_ref(), started };
        record::write(out, key, &found, &told, (&session, base.as_ref()))?;
        report = report
            .note("record", format!("{}, for a person {}/RECORD.md", out.display(), out.display()));
        report.next = Some(format!("rescribe verify-record {}", out.display()));
    }
    report.made = reports::made(&args.report, &session, &job.source)?;
    reports::publish(report, silent, (&args.report, args.force), ui)?;
    passed(&found)
}

/// The references that are named, and those that are trained on request.
fn references(
    args: &VerifyArgs,
    job: &Job,
    session: &Session,
    ui: &Ui,
) -> anyhow::Result<Vec<String>> {
    let mut references = args.reference.clone();
    let Some(count) = args.retrain else { return Ok(references) };
    let forgotten = job.passages.iter().filter(|it| it.verb == PassageVerb::Forget);
    let texts = forgotten.map(|it| it.passages.read()).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<String> = texts.into_iter().flatten().map(|passage| passage.text).collect();
    let recipe = TrainingRecipe::default();
    let trained = References::of(&texts, count as u64, &recipe)?;
    ui.note("retrain", &format!("without {} of its people", trained.without.len()));
    let folders = trained.folders(&session.cache, ui)?;
    ui.close();
    references.extend(folders.iter().map(|folder| folder.display().to_string()));
    Ok(references)
}

/// The spec that made the edit.
fn spec(file: &Path) -> anyhow::Result<EditSpec> {
    match read_edit_input(file, BadRecords::Refuse)? {
        EditInput::Spec(spec) => Ok(*spec),
        EditInput::Records(_) => {
            let message = format!("{} holds records; verify takes a spec", file.display());
            Err(Usage(message).into())
        }
    }
}

/// A file of thresholds is longer only by mistake.
const LARGEST: u64 = 1 << 20;

/// The thresholds, read and hashed before anything is measured.
pub fn limits(file: Option<&Path>) -> anyhow::Result<LimitsFile> {
    let Some(file) = file else { return Ok(LimitsFile::built_in()) };
    let bytes = read_regular(file, LARGEST).map_err(FileError::reading(file))?;
    let name = file.display().to_string();
    let read = LimitsFile::read(&name, &String::from_utf8_lossy(&bytes));
    read.map_err(|error| Usage(format!("--thresholds {name}: {error}")).into())
}

/// The base, in the job's form; its tokens and tensors must be those of the audited model.
fn base(
    name: &str,
    session: &Session,
    job: &Job,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<Session> {
    let mut base = Session::open(Some(name), global, ui)?;
    let (own, audited) = (&base.model, &session.model);
    if own.tokenizer.hash() != audited.tokenizer.hash() || shape(own) != shape(audited) {
        let message = format!(
            "--base {name}: its tokenizer or shape differs from that of {}, so that the two cannot \
             be compared",
            session.name
        );
        return Err(Usage(message).into());
    }
    job.clone().put_to(&mut base.model)?;
    Ok(base)
}

/// Names and sizes of a model's tensors.
fn shape(model: &Model) -> Vec<(String, usize)> {
    let slots = model.decoder.parameters().iter();
    slots.map(|slot| (slot.name.clone(), slot.elements())).collect()
}

fn patched(args: &VerifyArgs, session: &Session, ui: &Ui) -> anyhow::Result<Option<Decoder>> {
    if args.patch.is_empty() {
        return Ok(None);
    }
    Ok(Some(session.patched(&session.patches(&args.patch, ui)?)?))
}

/// An error that names each verdict that does not pass.
fn passed(audit: &Audit) -> anyhow::Result<()> {
    if audit.passes() {
        return Ok(());
    }
    let failed = audit.verdicts.iter().filter(|verdict| !verdict.state.passes());
    let lines = failed.map(|verdict| format!("{}: {}", verdict.of.name(), verdict.state.name()));
    let lines: Vec<String> = lines.collect();
    let text = match lines.is_empty() {
        true => "no verdict was reached: nothing that the spec asked for was measured".into(),
        false => lines.join("; "),
    };
    Err(Missed(text).into())
}
