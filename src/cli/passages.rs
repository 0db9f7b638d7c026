//! `rescribe edit` on a spec with `[[learn]]` or `[[forget]]`.
//!
//! Order: facts, then what is learnt, then what is forgotten; each from what the one before left.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;

use super::args::{EditArgs, Global};
use super::edit;
use super::export;
use super::failure::Usage;
use super::require;
use super::session::Session;
use super::ui::Ui;
use crate::delta::{Keys, WeightDelta};
use crate::files::Overwrite;
use crate::gradient::{
    self, Checkpointing, Example, NearDuplicate, PassageSets, PassageSettings, RateTrial, Stopped,
};
use crate::model::{Decoder, Model};
use crate::patch::{BaseHashes, Patch, Recipe};
use crate::probe::{Measured, ProbeScores, Questions, measure};
use crate::progress::{Interrupted, Progress};
use crate::report::{
    EditReport, PassageReport, SetsMemory, SpecReport, passage_sentences, passage_table,
};
use crate::spec::{EditSpec, Passage, PassageSource, PassageVerb, PromptSet, RateChoice};

/// What one training is about, before any work.
#[derive(serde::Serialize)]
pub struct PassagePlan {
    settings: PassageSettings,
    passages: usize,
    sequences: usize,
    retain: usize,
    holdout: usize,
    /// Retain passages that repeat forget passages, with their texts.
    closure: Vec<(NearDuplicate, String)>,
    #[serde(skip)]
    sets: PassageSets,
}

/// The trainings of a spec, in the order in which they run.
pub fn plans(model: &Model, spec: &EditSpec) -> anyhow::Result<Vec<PassagePlan>> {
    let verbs = [PassageVerb::Learn, PassageVerb::Forget];
    let plans = verbs.into_iter().filter_map(|verb| plan(model, spec, verb).transpose());
    plans.collect()
}

fn plan(model: &Model, spec: &EditSpec, verb: PassageVerb) -> anyhow::Result<Option<PassagePlan>> {
    let operations: Vec<_> = spec.passages.iter().filter(|found| found.verb == verb).collect();
    if operations.is_empty() {
        return Ok(None);
    }
    let read = |sources: Vec<&PassageSource>| -> anyhow::Result<Vec<Passage>> {
        let mut distinct: Vec<&PassageSource> = Vec::new();
        for source in sources {
            if !distinct.contains(&source) {
                distinct.push(source);
            }
        }
        let read: Result<Vec<_>, _> = distinct.into_iter().map(PassageSource::read).collect();
        Ok(read?.concat())
    };
    let passages = read(operations.iter().map(|found| &found.passages).collect())?;
    let mut retain = read(operations.iter().filter_map(|found| found.retain.as_ref()).collect())?;
    let holdout = read(operations.iter().filter_map(|found| found.holdout.as_ref()).collect())?;
    let closure = match verb {
        PassageVerb::Forget => closure(&passages, &mut retain),
        PassageVerb::Learn => Vec::new(),
    };
    let chunk = PassageSettings::new(&spec.gradient, verb, 1).chunk;
    let sets = PassageSets {
        passages: gradient::examples(model, &passages, chunk)?,
        retain: gradient::examples(model, &retain, chunk)?,
        holdout: gradient::examples(model, &holdout, chunk)?,
    };
    if sets.passages.is_empty() {
        return Err(Usage("the passages have no two tokens".into()).into());
    }
    let settings = PassageSettings::new(&spec.gradient, verb, sets.passages.len());
    settings.rule.layers.iter().flatten().try_for_each(|layer| model.check_layer(*layer))?;
    if verb == PassageVerb::Forget && settings.rate == RateChoice::Auto && sets.holdout.len() < 2 {
        let message = "learning_rate = \"auto\" needs a `holdout` in [[forget]]: passages of the \
                       same kind that the model never saw";
        return Err(Usage(message.into()).into());
    }
    Ok(Some(PassagePlan {
        settings,
        passages: passages.len(),
        sequences: sets.passages.len(),
        retain: retain.len(),
        holdout: holdout.len(),
        closure,
        sets,
    }))
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

/// One line about a training, and one about each near-duplicate.
pub fn describe(plan: &PassagePlan) -> String {
    let settings = &plan.settings;
    let what = match settings.verb {
        PassageVerb::Learn => "learn".to_owned(),
        PassageVerb::Forget => format!("forget by {}:", settings.method.name()),
    };
    let weights = match (settings.rule.rank, settings.rule.trained) {
        (Some(rank), _) => format!("rank {rank}"),
        (None, crate::model::Trained::Mlp) => "MLP weights".into(),
        (None, crate::model::Trained::All) => "all weights".into(),
    };
    let rate = match settings.rate {
        RateChoice::Auto => "auto".into(),
        RateChoice::Given(rate) => format!("{rate:e}"),
    };
    format!(
        "{what} {} passages ({} sequences), retain {}, hold-out {}; {weights}, rate {rate}, at \
         most {} steps of {}, seed {}",
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
    let plans = plans(&session.model, spec)?;
    if ui.is_json() {
        let facts = spec.inserts.len();
        return ui
            .print_json(&serde_json::json!({ "schema": 1, "facts": facts, "passages": plans }));
    }
    let facts = match spec.inserts.len() {
        0 => String::new(),
        n => format!("insert {n} facts; a spec without passages shows their tokens\n"),
    };
    let lines: Vec<String> = plans.iter().map(describe).collect();
    ui.print(&format!("{facts}{}\n\n  Nothing was changed.\n", lines.join("\n")));
    plans.iter().for_each(|plan| warn_closure(plan, ui));
    Ok(())
}

fn warn_closure(plan: &PassagePlan, ui: &Ui) {
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

/// Applies a spec with passages.
pub fn edit(
    args: &EditArgs,
    spec: &EditSpec,
    requirements: &[require::Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let prompts = edit::prompts(spec)?;
    let patch_file = edit::patch_file(args)?;
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let session = Session::open(name, global, ui)?;
    let plans = plans(&session.model, spec)?;
    for plan in &plans {
        ui.note("plan", &describe(plan));
        warn_closure(plan, ui);
    }
    if args.checkpoint.is_some() && plans.len() > 1 {
        return Err(Usage("--checkpoint holds one training; split the spec".into()).into());
    }
    let probes = Probes::new(&session, spec, prompts)?;
    let (mut delta, mut decoder) = edit::write_facts(args, spec, &session, ui)?;
    let mut passages = Vec::new();
    for plan in plans {
        let (report, change, changed) = run(&session.model, &decoder, plan, args, ui)?;
        delta = delta.plus(&change)?;
        decoder = changed;
        passages.push(report);
    }
    let probes = probes.report(&session, &decoder, ui)?;
    let report = SpecReport { schema: 1, model: session.name.clone(), probes, passages };
    let recipe = recipe(&session, spec, &delta, &report)?;
    // What was trained afterwards moved the values of the facts' keys.
    let patch = Patch { delta, keys: Keys::default(), recipe };
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    patch.write(&patch_file, overwrite)?;
    if let Some(out) = &args.out {
        let summary = export::write(&session, std::slice::from_ref(&patch), out, args.force, ui)?;
        export::show(&summary, ui);
    }
    show(&report, &patch_file, name.unwrap_or_default(), ui)?;
    require::check(requirements, report.probes.after.as_ref().unwrap_or(&report.probes.before))
}

/// One training: what it did, what it changed, and the decoder that it left.
fn run(
    model: &Model,
    start: &Decoder,
    plan: PassagePlan,
    args: &EditArgs,
    ui: &Ui,
) -> anyhow::Result<(PassageReport, WeightDelta, Decoder)> {
    let PassagePlan { settings, sets, closure, .. } = plan;
    let (trials, rate, reported) = match settings.rate {
        RateChoice::Given(rate) => (Vec::new(), rate, sets.clone()),
        RateChoice::Auto => {
            let (dev, rest) = sets.halves();
            let trials = gradient::try_rates(model, start, &dev, &settings, ui)?;
            ui.close();
            describe_trials(&trials, ui);
            let rate = trials[0].rate;
            (trials, rate, rest)
        }
    };
    let before = remembered(start, &reported, ui)?;
    let checkpoint = args
        .checkpoint
        .as_ref()
        .map(|file| Checkpointing { file: file.clone(), every: args.checkpoint_every as u64 });
    let timed = Timed::new(ui);
    let run = gradient::train(model, start, &sets, &settings, rate, checkpoint.as_ref(), &timed);
    let run = run.with_context(|| match settings.verb {
        PassageVerb::Learn => "cannot learn the passages",
        PassageVerb::Forget => "cannot forget the passages",
    })?;
    let (seconds, seconds_per_step) = timed.seconds();
    ui.close();
    let steps = run.path.len();
    let speed = format!("{steps} steps · {seconds:.0} s, {seconds_per_step:.2} s a step");
    ui.note("train", &format!("{speed} · stopped: {}", word(run.stopped)));
    let after = remembered(&run.trainable.frozen, &reported, ui)?;
    let delta = run.trainable.delta()?;
    let report = PassageReport {
        settings,
        rate,
        trials,
        trained: run.trainable.elements(),
        stopped: run.stopped,
        seconds_per_step,
        seconds,
        closure: closure.into_iter().map(|(pair, _)| pair).collect(),
        before,
        after,
        path: run.path,
    };
    let changes =
        delta.changes.iter().map(|(name, change)| Ok((name.as_str(), change.to_dense()?)));
    let changes = changes.collect::<candle_core::Result<Vec<_>>>()?;
    let decoder = model.edited_from(start, changes)?;
    Ok((report, delta, decoder))
}

fn word(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Holdout => "as improbable as the hold-out",
        Stopped::Learnt => "learnt",
        Stopped::Damage => "the retain set suffered (max_damage)",
        Stopped::Steps => "all steps taken",
    }
}

fn describe_trials(trials: &[RateTrial], ui: &Ui) {
    for trial in trials {
        ui.note(
            "rate",
            &format!(
                "{:.1e}: NLL {:.2}, retain {:+.3}, {} steps",
                trial.rate, trial.passages, trial.damage, trial.steps
            ),
        );
    }
}

fn remembered(decoder: &Decoder, sets: &PassageSets, ui: &Ui) -> anyhow::Result<SetsMemory> {
    ui.phase("measure", None);
    let memory = |set: &[Example]| gradient::memory(decoder, set, ui);
    let memories = SetsMemory {
        passages: memory(&sets.passages)?,
        retain: memory(&sets.retain)?,
        holdout: memory(&sets.holdout)?,
    };
    ui.close();
    Ok(memories)
}

/// The terminal, and when each step of a training was done.
struct Timed<'a> {
    ui: &'a Ui,
    started: Instant,
    steps: Mutex<Vec<Instant>>,
}

impl<'a> Timed<'a> {
    fn new(ui: &'a Ui) -> Self {
        Self { ui, started: Instant::now(), steps: Mutex::default() }
    }

    /// (all, median of a step).
    fn seconds(&self) -> (f64, f64) {
        let steps = self.steps.lock().expect("no holder of the lock panics");
        let all = self.started.elapsed().as_secs_f64();
        let mut between: Vec<f64> =
            steps.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        between.sort_by(f64::total_cmp);
        (all, between.get(between.len() / 2).copied().unwrap_or(all))
    }
}

impl Progress for Timed<'_> {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.ui.phase(name, total);
    }

    fn advance(&self, done: u64, note: &str) {
        self.steps.lock().expect("no holder of the lock panics").push(Instant::now());
        self.ui.advance(done, note);
    }

    fn finish(&self, summary: &str) {
        self.ui.finish(summary);
    }

    fn warn(&self, message: &str) {
        self.ui.warn(message);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.ui.check()
    }
}

/// The prompts of the spec, measured before anything is done.
struct Probes {
    prompts: PromptSet,
    questions: Questions,
    before: Measured,
    facts: usize,
}

impl Probes {
    fn new(session: &Session, spec: &EditSpec, prompts: PromptSet) -> anyhow::Result<Self> {
        let first = spec.inserts.first();
        let new = first.map(|insert| insert.target_new.as_str());
        let old = first.and_then(|insert| insert.target_true.as_deref());
        let questions = Questions::new(&session.model.tokenizer, &prompts, new, old)?;
        let before = measure(&session.model.decoder, &questions)?;
        Ok(Self { prompts, questions, before, facts: spec.inserts.len() })
    }

    fn report(self, session: &Session, after: &Decoder, ui: &Ui) -> anyhow::Result<EditReport> {
        let model = &session.model;
        let measured = measure(after, &self.questions)?;
        Ok(EditReport {
            schema: 1,
            model: session.name.clone(),
            n: self.facts,
            layer: None,
            before: ProbeScores::of_one(&self.before),
            after: Some(ProbeScores::of_one(&measured)),
            without_ripples: None,
            drift: edit::drift_of(model, after, &self.prompts.retain, ui)?,
            completions: edit::completions(model, Some(after), &self.prompts.generation, ui)?,
            edits: Vec::new(),
            seconds_per_edit: None,
            prompts_before: vec![self.before],
            prompts_after: vec![measured],
        })
    }
}

fn recipe(
    session: &Session,
    spec: &EditSpec,
    delta: &WeightDelta,
    report: &SpecReport,
) -> anyhow::Result<Recipe> {
    let names = delta.changes.keys().map(String::as_str);
    let settings: Vec<_> = report.passages.iter().map(|passages| &passages.settings).collect();
    let measured = |passages: &PassageReport| {
        serde_json::json!({
            "rate": passages.rate, "stopped": passages.stopped, "steps": passages.path.len(),
            "before": passages.before, "after": passages.after,
        })
    };
    let metrics: Vec<_> = report.passages.iter().map(measured).collect();
    Ok(Recipe {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        spec: spec.source.text().into(),
        plan: serde_json::json!({ "schema": 1, "passages": settings }),
        model: session.name.clone(),
        base: BaseHashes::measure(&session.model.weights, names)?,
        seed: settings.first().map_or(0, |settings| settings.seed),
        metrics: serde_json::json!({ "passages": metrics, "after": report.probes.after }),
    })
}

fn show(report: &SpecReport, patch: &Path, model: &str, ui: &Ui) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let size = std::fs::metadata(patch).map(|file| file.len().div_ceil(1024)).unwrap_or(0);
    let patch = patch.display();
    ui.print(&format!(
        "\n{}\n{:>10}  {patch} ({size} KB, spec and hashes inside)\n\n  {}\n{:>10}  rescribe ask \
         --model {model} --patch {patch}\n",
        passage_table(report),
        "patch",
        passage_sentences(report),
        "next",
    ));
    Ok(())
}
