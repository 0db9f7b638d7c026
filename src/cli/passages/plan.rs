//! What the trainings of a spec are about, before any work.

use crate::cli::failure::Usage;
use crate::cli::session::Session;
use crate::cli::ui::{Ui, paragraph};
use rescribe::gradient::{self, Extent, Footprint, NearDuplicate, PassageSets, PassageSettings};
use rescribe::model::{Model, Trained};
use rescribe::progress::Progress;
use rescribe::spec::{EditSpec, Passage, PassageOperation, PassageSource, PassageVerb, RateChoice};

/// One training.
#[derive(serde::Serialize)]
pub struct PassagePlan {
    pub settings: PassageSettings,
    pub passages: usize,
    pub sequences: usize,
    pub retain: usize,
    pub holdout: usize,
    /// Models or patches that never saw the passages.
    pub references: Vec<String>,
    /// Retain passages that repeat forget passages, with their texts.
    pub closure: Vec<(NearDuplicate, String)>,
    #[serde(skip)]
    pub sets: PassageSets,
}

/// The trainings of a spec, in the order in which they run; `memory` in bytes limits each.
pub fn plans(
    model: &Model,
    spec: &EditSpec,
    memory: Option<u64>,
) -> anyhow::Result<Vec<PassagePlan>> {
    let verbs = [PassageVerb::Learn, PassageVerb::Forget];
    let plans = verbs.into_iter().filter_map(|verb| plan(model, spec, verb, memory).transpose());
    plans.collect()
}

fn plan(
    model: &Model,
    spec: &EditSpec,
    verb: PassageVerb,
    memory: Option<u64>,
) -> anyhow::Result<Option<PassagePlan>> {
    let operations: Vec<_> = spec.passages.iter().filter(|found| found.verb == verb).collect();
    if operations.is_empty() {
        return Ok(None);
    }
    let passages = read(operations.iter().map(|found| &found.passages))?;
    let mut retain = read(operations.iter().filter_map(|found| found.retain.as_ref()))?;
    let holdout = read(operations.iter().filter_map(|found| found.holdout.as_ref()))?;
    let closure = match verb {
        PassageVerb::Forget => closure(&passages, &mut retain),
        PassageVerb::Learn => Vec::new(),
    };
    let chunk = PassageSettings::chunk(&spec.gradient);
    let sets = PassageSets {
        passages: gradient::examples(model, &passages, chunk)?,
        retain: gradient::examples(model, &retain, chunk)?,
        holdout: gradient::examples(model, &holdout, chunk)?,
        references: Vec::new(),
    };
    if sets.passages.is_empty() {
        return Err(Usage("the passages have no two tokens".into()).into());
    }
    let references = references(&operations);
    let config = model.decoder.config();
    let has_goal = !sets.holdout.is_empty() || !references.is_empty();
    let extent = Extent::new(&sets, config.hidden, config.layers, has_goal);
    let mut settings = PassageSettings::new(&spec.gradient, verb, &extent);
    settings.rule.layers.iter().flatten().try_for_each(|layer| model.check_layer(*layer))?;
    let is_without_goal = sets.holdout.len() < 2 && references.is_empty();
    if verb == PassageVerb::Forget && settings.rate == RateChoice::Auto && is_without_goal {
        let message = "learning_rate = \"auto\" needs a `holdout` in [[forget]]: passages of the \
                       same kind that the model never saw";
        return Err(Usage(message.into()).into());
    }
    fit(model, &sets, &mut settings, memory)?;
    Ok(Some(PassagePlan {
        settings,
        passages: passages.len(),
        sequences: sets.passages.len(),
        retain: retain.len(),
        holdout: holdout.len(),
        references,
        closure,
        sets,
    }))
}

/// The passages of several sources, each source once.
fn read<'s>(sources: impl Iterator<Item = &'s PassageSource>) -> anyhow::Result<Vec<Passage>> {
    let mut distinct: Vec<&PassageSource> = Vec::new();
    for source in sources {
        if !distinct.contains(&source) {
            distinct.push(source);
        }
    }
    let read: Result<Vec<_>, _> = distinct.into_iter().map(PassageSource::read).collect();
    Ok(read?.concat())
}

fn references(operations: &[&PassageOperation]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in operations.iter().flat_map(|found| &found.references) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn fit(
    model: &Model,
    sets: &PassageSets,
    settings: &mut PassageSettings,
    memory: Option<u64>,
) -> anyhow::Result<()> {
    let config = model.decoder.config();
    let mut weights = 0;
    for name in model.weights.names() {
        weights += model.weights.shape(name)?.iter().product::<usize>();
    }
    let all = [&sets.passages, &sets.retain, &sets.holdout].into_iter().flatten();
    let longest = all.map(|example| example.ids.len()).max().unwrap_or(1);
    let footprint = Footprint::new(model.decoder.parameters(), weights, &settings.rule, longest);
    Ok(settings.fit(footprint, config, memory)?)
}

/// Takes the passages that repeat forget passages out of the retain set.
fn closure(passages: &[Passage], retain: &mut Vec<Passage>) -> Vec<(NearDuplicate, String)> {
    let texts = |set: &[Passage]| -> Vec<String> {
        let text = |p: &Passage| format!("{} {}", p.question.as_deref().unwrap_or(""), p.text);
        set.iter().map(text).collect()
    };
    let kept = texts(retain);
    let found = gradient::near_duplicates(&texts(passages), &kept);
    let mut index = 0;
    retain.retain(|_| {
        index += 1;
        !found.iter().any(|pair| pair.retain == index - 1)
    });
    found.into_iter().map(|pair| (pair.clone(), kept[pair.retain].trim().to_owned())).collect()
}

/// One sentence about a training.
pub fn describe(plan: &PassagePlan) -> String {
    let settings = &plan.settings;
    let what = match settings.verb {
        PassageVerb::Learn => "learn".to_owned(),
        PassageVerb::Forget => format!("forget by {}:", settings.method.name()),
    };
    let weights = match (settings.rule.rank, settings.rule.trained) {
        (Some(rank), _) => format!("rank {rank}"),
        (None, Trained::Mlp) => "MLP weights".into(),
        (None, Trained::All) => "all weights".into(),
    };
    let rate = match settings.rate {
        RateChoice::Auto => "auto".into(),
        RateChoice::Given(rate) => format!("{rate:.1e}"),
    };
    let references = match plan.references.len() {
        0 => String::new(),
        n => format!(", references {n}"),
    };
    let again = if settings.recompute { ", layers run twice" } else { "" };
    format!(
        "{what} {} passages ({} sequences), retain {}, hold-out {}{references}; {weights}, rate \
         {rate}, at most {} steps of {}{again}, seed {}",
        plan.passages,
        plan.sequences,
        plan.retain,
        plan.holdout,
        settings.steps,
        settings.batch,
        settings.seed
    )
}

/// What `rescribe plan` prints of a spec with passages.
pub fn show_plans(session: &Session, spec: &EditSpec, ui: &Ui) -> anyhow::Result<()> {
    let plans = plans(&session.model, spec, None)?;
    if ui.is_json() {
        let facts = spec.inserts.len() + spec.erases.len();
        return ui
            .print_json(&serde_json::json!({ "schema": 1, "facts": facts, "passages": plans }));
    }
    let facts = match spec.inserts.len() + spec.erases.len() {
        0 => String::new(),
        n => format!("write or erase {n} facts; a spec without passages shows their tokens\n"),
    };
    let lines: Vec<String> = plans.iter().map(|plan| paragraph(0, 2, &describe(plan))).collect();
    ui.print(&format!("{facts}{}\n\n  Nothing was changed.\n", lines.join("\n")));
    plans.iter().for_each(|plan| warn_closure(plan, ui));
    Ok(())
}

/// One line about each near-duplicate.
pub fn warn_closure(plan: &PassagePlan, ui: &Ui) {
    for (pair, text) in plan.closure.iter().take(5) {
        let short: String = text.chars().take(60).collect();
        ui.warn(&format!(
            "retain passage {} repeats forget passage {} ({:.0} %) and is left out: {short:?}",
            pair.retain + 1,
            pair.forget + 1,
            100. * pair.overlap
        ));
    }
    if plan.closure.len() > 5 {
        ui.warn(&format!("and {} more; --json lists them all", plan.closure.len() - 5));
    }
    if plan.retain == 0 && plan.settings.verb == PassageVerb::Forget {
        ui.warn("nothing is retained: name a file with `retain` in [[forget]]");
    }
}
