//! `rescribe patch verify`: makes a patch again from its recipe and compares the changes.

use std::path::Path;

use crate::cli::args::{Global, PatchVerifyArgs};
use crate::cli::edit::{announce, spec_job};
use crate::cli::exit::{Missed, Usage};
use crate::cli::resolve;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::patch::{Composed, Patch, Recipe, Redactor};
use rescribe::report::Report;
use rescribe::run::{Job, Plan, Tools, execute};
use rescribe::spec::{EditSpec, parse_spec, read_spec};

pub fn run(args: &PatchVerifyArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let patch = single(&args.file)?;
    let recipe = &patch.recipe;
    let spec = spec(args, recipe)?;
    let mut job = spec_job(&spec, None)?;
    // An attack measures the change and makes none.
    job.gradient.attack = Some(false);
    check_source(&job, recipe, &args.file)?;
    let named = args.model.model.as_deref().or(spec.model.as_deref());
    let mut session = Session::open(named, global, ui)?;
    job.put_to(&mut session.model)?;
    session.patches(std::slice::from_ref(&args.file), ui)?;
    let plan = Plan::new(&session.model, &session.name, &job, ui)?;
    check_inputs(&plan, recipe)?;
    announce(&plan, ui);
    let tools = Tools {
        open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
        ..Tools::new(&session.cache, ui)
    };
    let outcome = execute(&session.model, &job, &plan, &tools)?;
    let change = outcome.change.ok_or_else(|| Missed("made again, it changes nothing".into()))?;
    let difference = patch.difference(&change.delta)?;
    let data = serde_json::json!({
        "file": args.file,
        "patch": patch.sha256(),
        "relative_difference": difference,
    });
    if difference != 0. {
        ui.show(&Report::new("patch verify", &session.name, &data)?)?;
        let message = format!("made again, the change differs by {difference:.1e} of its norm");
        return Err(Missed(message).into());
    }
    let sentence =
        format!("{} was made again: its change is equal to the bit.", args.file.display());
    ui.show(&Report::new("patch verify", &session.name, &data)?.section(sentence))
}

fn single(file: &Path) -> anyhow::Result<Patch> {
    let mut patches = Composed::read(file)?.into_patches();
    match (patches.pop(), patches.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => {
            let message = format!(
                "{} holds {} patches, each of which is verified separately; patch subtract takes \
                 them apart",
                file.display(),
                more + 1
            );
            Err(Usage(message).into())
        }
    }
}

/// The spec to make the patch again from: the one that is named, or else that in the recipe.
fn spec(args: &PatchVerifyArgs, recipe: &Recipe) -> anyhow::Result<EditSpec> {
    let mut spec = match (&args.spec, recipe.is_redacted) {
        (Some(file), _) => resolve::verified(args, &read_spec(file)?)?,
        (None, false) => parse_spec(&args.file.to_string_lossy(), &recipe.spec)?,
        (None, true) => {
            let message = format!(
                "{} does not name what it removed, so that it cannot be made again from itself; \
                 --spec names the spec as it was written",
                args.file.display()
            );
            return Err(Usage(message).into());
        }
    };
    // Prompts that are only measured change nothing.
    if !spec.inserts.iter().any(|insert| insert.with_ripples) {
        spec.probe = None;
    }
    Ok(spec)
}

/// Checks that the job is the one that the recipe records.
fn check_source(job: &Job, recipe: &Recipe, file: &Path) -> Result<(), Missed> {
    let recorded = match recipe.is_redacted {
        true => Redactor::of_spec(&job.source).map(|redactor| redactor.spec(&job.source)),
        false => Some(job.source.clone()),
    };
    match recorded.as_deref() == Some(&recipe.spec) {
        true => Ok(()),
        false => Err(Missed(format!(
            "{} was made from another spec, or with other flags: rescribe inspect shows its \
             settings",
            file.display()
        ))),
    }
}

/// Checks that the files that are read are those that were read then.
fn check_inputs(plan: &Plan, recipe: &Recipe) -> Result<(), Missed> {
    let recorded = recipe.plan["inputs"].as_array().into_iter().flatten();
    for (input, recorded) in plan.inputs.iter().zip(recorded).filter(|_| !recipe.is_redacted) {
        if recorded["sha256"] != input.sha256.to_string() {
            let path = input.path.display();
            return Err(Missed(format!("{path} is not what the patch was made with")));
        }
    }
    Ok(())
}
