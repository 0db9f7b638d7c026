//! `rescribe compare`: several ways to forget, each from the unedited model, several seeds each.

use super::plan::{describe, plans, warn_closure};
use super::references;
use super::train::{self, remembered};
use crate::cli::args::{CompareArgs, Global};
use crate::cli::failure::Usage;
use crate::cli::session::Session;
use crate::cli::ui::{NOTE, Ui, paragraph};
use rescribe::report::{CompareReport, MethodRun, compare_sentences};
use rescribe::spec::{EditInput, EditSpec, PassageVerb, read_edit_input};

pub fn run(args: &CompareArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let EditInput::Spec(spec) = read_edit_input(&args.spec)? else {
        let message = format!("{} holds records; compare takes a spec", args.spec.display());
        return Err(Usage(message).into());
    };
    let is_forgetting = spec.passages.iter().all(|found| found.verb == PassageVerb::Forget);
    let has_facts = !spec.inserts.is_empty() || !spec.erases.is_empty();
    if !is_forgetting || spec.passages.is_empty() || has_facts {
        let message = "compare takes a spec with [[forget]] and no other operation";
        return Err(Usage(message.into()).into());
    }
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let session = Session::open(name, global, ui)?;
    let report = compare(args, &spec, &session, global, ui)?;
    ui.show(&report.report()?.section(compare_sentences(&report).join("\n")))
}

fn compare(
    args: &CompareArgs,
    spec: &EditSpec,
    session: &Session,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<CompareReport> {
    let model = &session.model;
    let mut first = plans(model, spec, args.memory)?.remove(0);
    warn_closure(&first, ui);
    let references = references::measure(session, &mut first, global, ui)?;
    let before = remembered(&model.decoder, &first.sets, ui)?;
    let mut runs = Vec::new();
    let seeds = args.seeds as u64;
    for method in &args.methods {
        for seed in 0..seeds {
            let mut one = spec.clone();
            let seed = spec.gradient.seed.unwrap_or(0) + seed;
            (one.gradient.method, one.gradient.seed) = (Some(*method), Some(seed));
            let mut plan = plans(model, &one, args.memory)?.remove(0);
            plan.sets.references.clone_from(&first.sets.references);
            if runs.last().is_none_or(|run: &MethodRun| run.method != *method) {
                ui.note("plan", &paragraph(NOTE, NOTE, &describe(&plan)));
            }
            let trained = train::run(model, &model.decoder, plan, references.clone(), None, ui)?;
            runs.push(MethodRun { method: *method, seed, report: trained.report });
        }
    }
    Ok(CompareReport {
        model: session.name.clone(),
        before,
        references,
        retraining_seconds: args.retraining_seconds,
        runs,
    })
}
