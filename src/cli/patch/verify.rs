//! `rescribe patch verify`: makes a patch again from its recipe and compares the changes.

use std::path::Path;

use super::remake::{Again, Specs, remake};
use crate::cli::args::{Global, PatchVerifyArgs};
use crate::cli::exit::{Missed, Usage};
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::patch::{Composed, EditRecord, Patch};
use rescribe::report::Report;
use rescribe::run::Plan;

pub fn run(args: &PatchVerifyArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let patch = single(&args.file)?;
    let records = patch.recipe.edits();
    let specs = Specs { file: &args.file, given: &args.spec, flags: &args.settings };
    let mut specs = specs.of(&records)?;
    // Prompts that are only measured change nothing.
    for spec in &mut specs {
        spec.probe.take_if(|_| !spec.inserts.iter().any(|insert| insert.with_ripples));
    }
    let own = specs.last().and_then(|spec| spec.model.clone());
    let named = args.model.model.clone().or(own);
    let mut session = Session::open(named.as_deref(), global, ui)?;
    session.patches(std::slice::from_ref(&args.file), ui)?;
    let again = specs.into_iter().zip(&records);
    let again = again.map(|(spec, record)| Again {
        spec,
        from: record.from.to_vec(),
        is_redacted: record.is_redacted,
    });
    let check = |at: usize, plan: &Plan| check_inputs(plan, &records[at]);
    let made = remake(&mut session, again.collect(), &check, global, ui)?;
    let made = made.last().expect("a patch has an edit");
    let difference = patch.difference(&made.patch.delta)?;
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

/// Checks that the files that are read are those that were read then.
fn check_inputs(plan: &Plan, record: &EditRecord<'_>) -> anyhow::Result<()> {
    let recorded = record.plan["inputs"].as_array().into_iter().flatten();
    for (input, recorded) in plan.inputs.iter().zip(recorded).filter(|_| !record.is_redacted) {
        if recorded["sha256"] != input.sha256.to_string() {
            let path = input.path.display();
            return Err(Missed(format!("{path} is not what the patch was made with")).into());
        }
    }
    Ok(())
}
