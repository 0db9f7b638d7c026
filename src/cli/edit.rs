//! `rescribe edit`: a spec, records or a table of facts become a job, the job a plan, the plan an
//! outcome.

use std::path::{Path, PathBuf};

use super::args::{EditArgs, Global};
use super::exit::{Missed, Usage};
use super::input::{Input, announce_left_out, bad_records};
use super::resolve::{self, ForRecords};
use super::session::{self, Session};
use super::ui::{NOTE, Ui, paragraph, quoted};
use super::{export, outputs, ranks, redaction, reports, require};
use rescribe::checkpoint::ExportOptions;
use rescribe::gradient::Checkpointing;
use rescribe::patch::Patch;
use rescribe::progress::{Progress, counted};
use rescribe::ranks::Ranks;
use rescribe::report::{outcome_report, sweep_section};
use rescribe::run::{
    Compatible, Cost, Grouping, Job, LayerSweep, Outcome, Plan, RunError, Start, Tools, TrainPlan,
    chunks, compatible, execute, identity,
};
use rescribe::spec::{
    EditInput, LayerChoice, PassageVerb, RankOneOptions, Record, RecordFile, VerdictOptions,
};
use rescribe::verdict::Thresholds;

pub fn run(args: &EditArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    if let Some(out) = args.out.as_ref().filter(|out| export::is_gguf(out)) {
        return Err(Usage(format!(
            "--out {} would be a folder: rescribe export --out writes the patch into a GGUF file",
            out.display()
        ))
        .into());
    }
    let toward = args.erase.as_deref();
    let input = Input::read(&args.input, bad_records(args.skip_bad), toward)?;
    if let EditInput::Records(file) = &input.edit {
        announce_left_out(file, ui);
    }
    let job = job(args, &input, None)?;
    let is_one_model = job.grouping != Grouping::Isolated || job.groups.len() < 2;
    let patch_file = patch_file(args, &input.edit, is_one_model)?;
    check_reports(args, &input.edit, patch_file.as_deref())?;
    let named = match &input.edit {
        EditInput::Spec(spec) => args.model.model.as_deref().or(spec.model.as_deref()),
        EditInput::Records(_) => args.model.model.as_deref(),
    };
    let mut session = ranks.first_on_rank_0(ui, || Session::open(named, global, ui))?;
    let start = start(args, &session, ui)?;
    let mut job = ready(job, start.clone(), &mut session)?;
    let about = format!("edit {} of {}", args.input.name(), session.name);
    ranks::keep(&args.journal, ranks, identity(&session.model, &job, "edit")?, &about)?;
    let sweep = sweep(&session, &job, (ranks, ui))?;
    if let Some(sweep) = &sweep {
        let layers = sweep.layers(&session.model, job.rank_one.method.unwrap_or_default());
        job = ready(self::job(args, &input, Some(layers))?, start, &mut session)?;
    }
    let plan = Plan::new(&session.model, &session.name, &job, ui)?;
    announce(&plan, ui);
    let cost = Cost::of(&session.model, &job, &plan);
    if let Some(seconds) = cost.seconds(&session.model, ui).filter(|it| *it >= WORTH_SAYING) {
        ui.note("time", &paragraph(NOTE, NOTE, &cost.describe(Some(seconds))));
    }
    let outcome = executed(args, &session, &job, &plan, global, (ranks, ui))?;
    if !ranks.is_first() {
        return Ok(());
    }
    let mut report = ranks::noted(outcome_report(&outcome, "edit")?, ranks);
    report.sections.extend(sweep.as_ref().map(sweep_section));
    let redactor = job.redactor()?;
    let silent = redactor.as_ref().filter(|_| !args.keep_spec);
    if let (Some(file), Some(_)) = (&patch_file, &outcome.change) {
        let patch = write_patch(args, &session, &job, &plan, &outcome, file)?;
        if let (Some(out), Some(patch)) = (&args.out, patch) {
            write_export(args, &session, patch, out, ui)?;
        }
        let size = std::fs::metadata(file).map(|file| file.len().div_ceil(1024)).unwrap_or(0);
        let inside = match silent {
            Some(_) => "redacted spec and hashes",
            None => "spec and hashes inside",
        };
        let text = format!("{} ({size} KB, {inside})", file.display());
        report = report.note("patch", text);
        report.next = Some(next(named.unwrap_or_default(), file, &session, &plan, &job));
    }
    report.made = reports::made(&args.report, &session, &job.source)?;
    let report = reports::publish(report, silent, (&args.report, args.force), ui)?;
    if let Some(redactor) = &redactor {
        let files = redaction::candidates(args, &input.edit, &job, patch_file.as_deref());
        let saved = (args.checkpoint.as_deref(), args.journal.journal.as_deref());
        redaction::list(redactor, &files, saved, &session, ui);
    }
    if let Some(collapse) = outcome.collapse {
        return Err(Missed(format!("{collapse}; no patch was written")).into());
    }
    require::check(&requirements, &report)?;
    within_budget(&outcome, &plan)
}

/// Facts that a budget left out are no success.
fn within_budget(outcome: &Outcome, plan: &Plan) -> anyhow::Result<()> {
    let max_drift = plan.write().and_then(|write| write.batch.max_drift);
    let left_out = outcome.facts().filter(|fact| fact.unwritten.is_some()).count();
    let Some(max_drift) = max_drift.filter(|_| left_out > 0) else { return Ok(()) };
    let (n, verb) = (outcome.facts().count(), if left_out == 1 { "was" } else { "were" });
    let of = counted(n, "fact");
    Err(Missed(format!("{left_out} of {of} {verb} left out to stay within max_drift {max_drift}"))
        .into())
}

/// The patches that the edit starts from.
fn start(args: &EditArgs, session: &Session, ui: &Ui) -> anyhow::Result<Start> {
    let patches = session.patches(&args.from, ui)?;
    let start = Start::of(&patches)?;
    if !patches.is_empty() {
        let files: Vec<String> = args.from.iter().map(|file| file.display().to_string()).collect();
        let held = patches.iter().map(|patch| patch.recipe.facts().len()).sum();
        ui.note("from", &format!("{} · {}", files.join(", "), counted(held, "change")));
    }
    Ok(start)
}

/// The job that the user asks for; `layers` are those that a sweep found.
fn job(args: &EditArgs, input: &Input, layers: Option<Vec<usize>>) -> anyhow::Result<Job> {
    let settle = |options: &mut RankOneOptions| {
        options.layers = layers.map(LayerChoice::Given).or(options.layers.take());
    };
    match &input.edit {
        EditInput::Spec(spec) => {
            let mut spec = resolve::edited(args, spec)?;
            settle(&mut spec.rank_one);
            input.job(&spec, args.memory)
        }
        EditInput::Records(file) => {
            let thresholds = Thresholds::new(&args.verdict.over(&VerdictOptions::default())?);
            let mut how = resolve::records(args, file)?;
            settle(&mut how.rank_one);
            record_job(file, how, thresholds)
        }
    }
}

/// The job as it starts, put to the model in the form that it asks for.
fn ready(mut job: Job, start: Start, session: &mut Session) -> anyhow::Result<Job> {
    job.start = start;
    job.put_to(&mut session.model)?;
    Ok(job)
}

/// Tries layers on the facts, where that is asked for.
fn sweep(
    session: &Session,
    job: &Job,
    (ranks, ui): (&Ranks, &Ui),
) -> anyhow::Result<Option<LayerSweep>> {
    if job.rank_one.layers != Some(LayerChoice::Sweep) {
        return Ok(None);
    }
    let tools = Tools { ranks, ..Tools::new(&session.cache, ui) };
    let found = LayerSweep::new(&session.model, &session.name, job, &tools)?;
    let origin = if found.was_cached { "from the cache" } else { "tried now" };
    let layers = counted(found.tried.len(), "layer");
    ui.note("sweep", &format!("layer {} is best of {layers} · {origin}", found.best));
    Ok(Some(found))
}

/// The job of the records of a file.
pub fn record_job(
    file: &RecordFile,
    how: ForRecords,
    thresholds: Thresholds,
) -> anyhow::Result<Job> {
    let all = &file.records;
    let records = &all[..how.limit.unwrap_or(all.len()).min(all.len())];
    let sequential = how.rank_one.sequential;
    let is_together = how.is_table && how.batch.or(sequential).is_none();
    let size = if is_together { records.len() } else { how.batch.or(sequential).unwrap_or(1) };
    // Facts that are written into one model must not contradict each other.
    let whole = if sequential.is_some() { records.len() } else { size };
    let Compatible { groups, left_out } = compatible(records, whole);
    if !left_out.is_empty() && !how.skip_conflicts {
        let records = counted(left_out.len(), "record");
        let what = format!("{records} cannot be written into one model");
        return Err(RunError::Clashes { what, lines: left_out }.into());
    }
    let kept: Vec<Record> = groups.concat();
    let grouping = match sequential {
        Some(size) => (Grouping::Sequential, chunks(kept.len(), size)),
        None if is_together => (Grouping::Together, vec![kept.len()]),
        None => (Grouping::Isolated, groups.iter().map(Vec::len).collect()),
    };
    let settings = (how.rank_one, thresholds);
    let job = Job::of_records(&kept, all, grouping, how.erase.as_ref(), settings)?;
    let mut job = job.read_from(file);
    job.notes.extend(left_out.iter().map(|line| format!("{line}; left out")));
    Ok(job)
}

/// The patch to write, refused before any work where it may not be written: always one for a spec
/// and for a table of facts; for records, if one is asked for.
fn patch_file(
    args: &EditArgs,
    input: &EditInput,
    is_one_model: bool,
) -> anyhow::Result<Option<PathBuf>> {
    let (spec, is_table) = match input {
        EditInput::Spec(spec) => (Some(spec.as_ref()), false),
        EditInput::Records(file) => (None, file.is_table),
    };
    let is_asked_for = spec.is_some() || args.patch.is_some() || args.out.is_some();
    if !(is_asked_for || is_table && is_one_model) {
        return Ok(None);
    }
    if !is_one_model {
        let message = "the records are written into the base separately, which leaves no patch; \
                       --batch N with all of them, or --sequential N, writes them into one model";
        return Err(Usage(message.into()).into());
    }
    Ok(Some(outputs::of_edit(args, spec)?))
}

/// Checks before any work that the reports can be written; `patch` is what else is written.
fn check_reports(args: &EditArgs, input: &EditInput, patch: Option<&Path>) -> anyhow::Result<()> {
    let spec = match input {
        EditInput::Spec(spec) => Some(spec.as_ref()),
        EditInput::Records(_) => None,
    };
    let inputs = outputs::inputs(args, spec);
    let others = [patch, args.out.as_deref(), args.checkpoint.as_deref()];
    let uses = inputs.iter().map(PathBuf::as_path).chain(others.into_iter().flatten());
    reports::check(&args.report, args.force, &uses.collect::<Vec<_>>())
}

/// Shows the warnings of a plan: of many facts, the first few in full.
pub fn announce_warnings(plan: &Plan, ui: &Ui) {
    let training: Vec<String> = plan.trainings().flat_map(TrainPlan::warnings).collect();
    let of_facts = plan.warnings.len().saturating_sub(training.len());
    match plan.edits().len() {
        0 | 1 => plan.warnings[..of_facts].iter().for_each(|warning| ui.warn(warning)),
        _ => ui.warn_first(&plan.warnings[..of_facts]),
    }
    training.iter().for_each(|warning| ui.warn(warning));
    ui.close();
}

/// Seconds from which on the time of an edit is announced.
const WORTH_SAYING: f64 = 120.;

/// Shows the plan after its warnings.
pub fn announce(plan: &Plan, ui: &Ui) {
    announce_warnings(plan, ui);
    for step in plan.describe() {
        ui.note("plan", &paragraph(NOTE, NOTE, &step));
    }
}

fn executed(
    args: &EditArgs,
    session: &Session,
    job: &Job,
    plan: &Plan,
    global: &Global,
    (ranks, ui): (&Ranks, &Ui),
) -> anyhow::Result<Outcome> {
    let checkpoint = args
        .checkpoint
        .as_ref()
        .map(|file| Checkpointing { file: file.clone(), every: args.checkpoint_every as u64 });
    let tools = Tools {
        cache: &session.cache,
        progress: ui,
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        checkpoint: checkpoint.as_ref(),
        stored_as: args.out.as_ref().map(|_| export::stored(args.dtype)),
        ranks,
    };
    Ok(execute(&session.model, job, plan, &tools)?)
}

fn write_patch(
    args: &EditArgs,
    session: &Session,
    job: &Job,
    plan: &Plan,
    outcome: &Outcome,
    file: &Path,
) -> anyhow::Result<Option<Patch>> {
    let overwrite = outputs::overwrite(args.force);
    let patch = outcome.patch(&session.model, job, plan)?;
    let patch = patch.map(|patch| if args.keep_spec { patch } else { patch.redacted() });
    patch.iter().try_for_each(|patch| patch.write(file, overwrite))?;
    Ok(patch)
}

fn write_export(
    args: &EditArgs,
    session: &Session,
    patch: Patch,
    out: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let options = ExportOptions {
        overwrite: outputs::overwrite(args.force),
        dtype: export::stored(args.dtype),
        ..ExportOptions::default()
    };
    let summary = export::write(session, &[patch], out, options, ui)?;
    export::show(&summary, session, ui)
}

/// A command whose answer shows what changed.
fn next(model: &str, patch: &Path, session: &Session, plan: &Plan, job: &Job) -> String {
    let ask = format!("rescribe ask{} --patch {}", session::model_flag(model), patch.display());
    let fact = plan.edits().first().map(|edit| edit.contexts[0].text.clone());
    let asked = || {
        let prompts = &job.cases.first()?.prompts;
        let set = [&prompts.rewrite, &prompts.paraphrase].into_iter().flatten();
        set.map(|it| it.prompt.clone()).chain(prompts.generation.iter().cloned()).next()
    };
    // Of what was forgotten, its own beginning shows most; of what was learnt, a question that it
    // answers.
    let is_forgetting = plan.trainings().any(|it| it.settings.verb == PassageVerb::Forget);
    let begin = || plan.first_words(&session.model);
    let prompt = fact.or_else(|| match is_forgetting {
        true => begin().or_else(asked),
        false => asked().or_else(begin),
    });
    let prompt = prompt.unwrap_or_default();
    format!("{ask} {}", quoted(&prompt))
}
