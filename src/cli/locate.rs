//! `rescribe locate`: where a model holds the facts of a spec, and at which layer they are best
//! written.

use super::args::{Global, LocateArgs};
use super::exit::Usage;
use super::input::{announce_left_out, bad_records, spec_job};
use super::reports;
use super::session::Session;
use super::ui::Ui;
use rescribe::locate::{TraceSettings, locate};
use rescribe::progress::{Progress, counted};
use rescribe::report::locate_report;
use rescribe::run::{Grouping, Job, LayerSweep, Tools};
use rescribe::spec::{EditInput, RankOneOptions, RecordFile, read_edit_input};
use rescribe::verdict::Thresholds;

pub fn run(args: &LocateArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    reports::check(&args.report, args.force, &[&args.spec])?;
    let input = read_edit_input(&args.spec, bad_records(args.skip_bad))?;
    let (mut job, own) = match &input {
        EditInput::Spec(spec) => (spec_job(spec, None)?, spec.model.as_deref()),
        EditInput::Records(file) => {
            announce_left_out(file, ui);
            (record_job(args, file)?, None)
        }
    };
    if job.facts.is_empty() {
        let message = format!(
            "{} names no facts: locate takes specs with [[insert]] or [[erase]], and records",
            args.spec.display()
        );
        return Err(Usage(message).into());
    }
    let name = args.model.model.as_deref().or(own);
    let mut session = Session::open(name, global, ui)?;
    job.put_to(&mut session.model)?;
    let settings = TraceSettings {
        samples: args.samples,
        noise: args.noise,
        seed: args.seed,
        window: args.window,
        every: args.every,
    };
    let facts = &job.facts[..args.limit.min(job.facts.len())];
    let trace = locate(&session.model, &session.name, facts, &settings, ui)?;
    ui.close();
    let sweep = if args.no_sweep { None } else { Some(sweep(&session, &job, ui)?) };
    let mut report = locate_report(&trace, sweep.as_ref())?;
    report.made = reports::made(&args.report, &session, &job.source)?;
    let redactor = job.redactor()?;
    let silent = redactor.as_ref().filter(|_| !args.keep_spec);
    reports::publish(report, silent, (&args.report, args.force), ui).map(drop)
}

fn sweep(session: &Session, job: &Job, ui: &Ui) -> anyhow::Result<LayerSweep> {
    let found =
        LayerSweep::new(&session.model, &session.name, job, &Tools::new(&session.cache, ui))?;
    let origin = if found.was_cached { "from the cache" } else { "tried now" };
    let layers = counted(found.tried.len(), "layer");
    ui.close();
    Progress::note(ui, "sweep", &format!("layer {} is best of {layers} · {origin}", found.best));
    Ok(found)
}

/// The first records of a file, one by one.
fn record_job(args: &LocateArgs, file: &RecordFile) -> anyhow::Result<Job> {
    let records = &file.records[..args.limit.min(file.records.len())];
    let each = (Grouping::Isolated, vec![1; records.len()]);
    let settings = (RankOneOptions::default(), Thresholds::default());
    Ok(Job::of_records(records, records, each, None, settings)?.read_from(file))
}
