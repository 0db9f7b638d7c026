//! `rescribe patch remove`: takes facts out of a patch and solves for the rest again, so that nothing
//! is left of them.

use std::path::Path;

use super::remake::{Again, Made, Specs, remake};
use crate::cli::args::{Global, PatchRemoveArgs};
use crate::cli::exit::Usage;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use crate::cli::{outputs, redaction};
use rescribe::patch::{
    Composed, EditRecord, HeldFact, Malformed, Patch, PatchError, without_facts,
};
use rescribe::progress::counted;
use rescribe::report::{Report, outcome_report};
use rescribe::spec::{EditSpec, parse_spec};

pub fn run(args: &PatchRemoveArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let inputs: Vec<&Path> =
        args.spec.iter().chain([&args.file]).map(std::path::PathBuf::as_path).collect();
    outputs::check_patch(&args.out, args.force, &inputs)?;
    let whole = Composed::read(&args.file)?;
    let removed = chosen(args, &whole)?;
    if removed.len() == whole.facts().concat().len() {
        return Err(PatchError::NothingLeft(whole.sha256()).into());
    }
    let is_touched = |facts: &&Vec<HeldFact>| facts.iter().any(|it| removed.contains(it));
    let touched: Vec<(&Patch, Vec<Option<EditSpec>>)> = whole
        .parts()
        .zip(&whole.facts())
        .filter(|(_, facts)| is_touched(facts))
        .map(|((_, patch), _)| Ok((patch, rest(args, &whole, patch, &removed)?)))
        .collect::<anyhow::Result<_>>()?;
    let own = touched.iter().flat_map(|(_, specs)| specs.iter().flatten());
    let own = own.last().and_then(|spec| spec.model.clone());
    let named = args.model.model.clone().or(own);
    let mut session = Session::open(named.as_deref(), global, ui)?;
    session.patches(std::slice::from_ref(&args.file), ui)?;
    let digests = touched.iter().map(|(patch, _)| patch.sha256()).collect::<Vec<_>>();
    let kept = match digests.len() == whole.parts().len() {
        true => None,
        false => Some(whole.clone().without(&digests)?),
    };
    let (mut parts, mut last) = (Vec::from_iter(kept), None);
    for (patch, specs) in touched {
        let again = again(&patch.recipe.edits(), specs, args.keep_spec);
        let made = remake(&mut session, again.edits, &|_, _| Ok(()), global, ui)?;
        for at in again.heads {
            parts.push(composed(&made[at].patch)?);
        }
        last = made.into_iter().last().or(last);
    }
    let rest = Composed::union(parts)?;
    rest.write(&args.out, outputs::overwrite(args.force))?;
    show(args, &removed, &rest, (last, &session), ui)
}

/// The facts that the user names, each of which the file must hold.
fn chosen(args: &PatchRemoveArgs, whole: &Composed) -> anyhow::Result<Vec<HeldFact>> {
    let all = whole.facts().concat();
    let file = args.file.display();
    if let Some(unknown) = args.fact.iter().find(|number| **number > all.len()) {
        let held = counted(all.len(), "fact");
        let message = format!(
            "there is no fact {unknown}: {file} holds {held}; rescribe patch list {file} shows them"
        );
        return Err(Usage(message).into());
    }
    let folded = |text: &str| text.trim().to_lowercase();
    let is_about = |fact: &HeldFact, subject: &String| {
        fact.subject.as_deref().is_some_and(|own| folded(own) == folded(subject))
    };
    for subject in &args.subject {
        if !all.iter().any(|fact| is_about(fact, subject)) {
            let digests = match all.iter().any(|fact| fact.is_redacted) {
                true => {
                    "; digests stand for some of its texts: --fact N names a fact by its number"
                }
                false => "",
            };
            return Err(Usage(format!("no fact of {file} is about {subject:?}{digests}")).into());
        }
    }
    let is_chosen = |fact: &HeldFact| {
        args.fact.contains(&fact.number) || args.subject.iter().any(|it| is_about(fact, it))
    };
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// The spec of each edit of a part without the removed facts; nothing where none is left.
fn rest(
    args: &PatchRemoveArgs,
    whole: &Composed,
    patch: &Patch,
    removed: &[HeldFact],
) -> anyhow::Result<Vec<Option<EditSpec>>> {
    let of_part = whole.parts().zip(whole.facts());
    let own = of_part.filter(|((_, part), _)| part.sha256() == patch.sha256());
    let own: Vec<HeldFact> = own.flat_map(|(_, facts)| facts).collect();
    let specs = Specs { file: &args.file, given: &args.spec, flags: &args.settings };
    let specs = specs.of(&patch.recipe.edits())?.into_iter().enumerate();
    let without = |(at, spec): (usize, EditSpec)| {
        let is_its = |fact: &&HeldFact| fact.edit == at + 1 && own.contains(fact);
        let removed: Vec<&HeldFact> = removed.iter().filter(is_its).collect();
        if removed.is_empty() {
            return Ok(Some(measurable(spec)));
        }
        let rest = without_facts(&spec.resolved_text(), &removed);
        Ok(rest.map(|text| parse_spec(spec.source.name(), &text)).transpose()?.map(measurable))
    };
    specs.map(without).collect()
}

/// The spec without a probe file that is no longer there, which would only be measured.
fn measurable(mut spec: EditSpec) -> EditSpec {
    let is_needed = spec.inserts.iter().any(|insert| insert.with_ripples);
    spec.probe.take_if(|file| !is_needed && !file.is_file());
    spec
}

/// The edits to be made again, and the places of those that no later one starts from.
struct Edits {
    edits: Vec<Again>,
    heads: Vec<usize>,
}

/// The edits that are left, each from what is left of those that it started from.
fn again(records: &[EditRecord<'_>], specs: Vec<Option<EditSpec>>, keep_spec: bool) -> Edits {
    let mut edits: Vec<Again> = Vec::new();
    // By the place of an edit: the places, among those that are left, of what stands for it.
    let mut stand_ins: Vec<Vec<usize>> = Vec::new();
    for (spec, record) in specs.into_iter().zip(records) {
        let from: Vec<usize> = record.from.iter().flat_map(|at| stand_ins[*at].clone()).collect();
        stand_ins.push(match spec {
            None => from,
            Some(spec) => {
                edits.push(Again { spec, from, is_redacted: !keep_spec });
                vec![edits.len() - 1]
            }
        });
    }
    Edits { edits, heads: stand_ins.pop().unwrap_or_default() }
}

fn composed(patch: &Patch) -> Result<Composed, PatchError> {
    let unwritable = |error: Malformed| PatchError::Unwritable(error.into());
    let bytes = patch.to_bytes().map_err(unwritable)?;
    Composed::from_bytes(&bytes).map_err(unwritable)
}

fn show(
    args: &PatchRemoveArgs,
    removed: &[HeldFact],
    rest: &Composed,
    (last, session): (Option<Made>, &Session),
    ui: &Ui,
) -> anyhow::Result<()> {
    let left = counted(rest.facts().concat().len(), "fact");
    let sentence = format!(
        "{} of {} removed; {} holds {left}, as if nothing else had ever been written.",
        counted(removed.len(), "fact"),
        args.file.display(),
        args.out.display()
    );
    let Some(Made { job, outcome, .. }) = last else {
        let data = serde_json::json!({ "file": args.out, "patch": rest.sha256() });
        let report = Report::new("patch remove", &session.name, &data)?;
        return ui.show(&report.section(sentence));
    };
    let report = outcome_report(&outcome, "patch remove")?.note("patch", sentence);
    let redactor = job.redactor()?;
    redaction::show(&report, redactor.as_ref().filter(|_| !args.keep_spec), ui)
}
