//! `rescribe compare`: several ways to forget, each from the base, several seeds each.

use super::args::{CompareArgs, Global};
use super::exit::Usage;
use super::input::spec_job;
use super::session::Session;
use super::ui::Ui;
use super::{ranks, reports, resolve};
use rescribe::ranks::Ranks;
use rescribe::report::comparison_report;
use rescribe::run::{Tools, compare, identity};
use rescribe::spec::{BadRecords, EditInput, EditSpec, PassageVerb, read_edit_input};

pub fn run(args: &CompareArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    reports::check(&args.report, args.force, &[&args.spec])?;
    let EditInput::Spec(spec) = read_edit_input(&args.spec, BadRecords::Refuse)? else {
        let message = format!("{} holds records; compare takes a spec", args.spec.display());
        return Err(Usage(message).into());
    };
    check(&spec)?;
    let (spec, methods) = resolve::compared(args, &spec)?;
    let mut job = spec_job(&spec, args.memory)?;
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let mut session = ranks.first_on_rank_0(ui, || Session::open(name, global, ui))?;
    job.put_to(&mut session.model)?;
    let about = format!("compare {} of {}", args.spec.display(), session.name);
    let what = format!("compare {methods:?} {}", args.seeds);
    ranks::keep(&args.journal, ranks, identity(&session.model, &job, &what)?, &about)?;
    let tools = Tools {
        ranks,
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        ..Tools::new(&session.cache, ui)
    };
    let what = (methods.as_slice(), args.seeds as u64);
    let mut comparison = compare(&session.model, &session.name, &job, what, &tools)?;
    comparison.retraining_seconds = args.retraining_seconds;
    if !ranks.is_first() {
        return Ok(());
    }
    let redactor = job.redactor()?;
    let silent = redactor.as_ref().filter(|_| !args.keep_spec);
    let mut report = ranks::noted(comparison_report(&comparison)?, ranks);
    report.made = reports::made(&args.report, &session, &job.source)?;
    reports::publish(report, silent, (&args.report, args.force), ui).map(drop)
}

/// Refuses what compare would not do: every method starts from the base and forgets, nothing else.
fn check(spec: &EditSpec) -> anyhow::Result<()> {
    let passages = |verb| spec.passages.iter().any(|found| found.verb == verb);
    let others = [
        ("[[insert]]", !spec.inserts.is_empty()),
        ("[[erase]]", !spec.erases.is_empty()),
        ("[[learn]]", passages(PassageVerb::Learn)),
    ];
    let others: Vec<&str> = others.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let message = match (others.as_slice(), passages(PassageVerb::Forget)) {
        ([], _) => return Ok(()),
        (others, true) => format!(
            "compare starts every method from the base and only forgets, but this spec also has \
             {}; move [[forget]] to a spec with no other operation",
            others.join(" and ")
        ),
        (others, false) => format!(
            "compare takes a spec with [[forget]] and no other operation, and this one has {}",
            others.join(" and ")
        ),
    };
    Err(Usage(message).into())
}
