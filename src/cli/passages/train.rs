//! One training: what it did, what it changed, and the decoder that it left.

use anyhow::Context;

use super::plan::PassagePlan;
use super::timed::Timed;
use crate::cli::ui::Ui;
use rescribe::delta::WeightDelta;
use rescribe::gradient::{self, Checkpointing, Example, PassageSets, RateTrial, Stopped};
use rescribe::model::{Decoder, Model};
use rescribe::progress::Progress;
use rescribe::report::{PassageReport, ReferenceReport, SetsMemory};
use rescribe::spec::{PassageVerb, RateChoice};

/// What a training left.
pub struct Trained {
    pub report: PassageReport,
    pub delta: WeightDelta,
    pub decoder: Decoder,
}

/// Trains from `start` as the plan says.
pub fn run(
    model: &Model,
    start: &Decoder,
    plan: PassagePlan,
    references: Vec<ReferenceReport>,
    checkpoint: Option<&Checkpointing>,
    ui: &Ui,
) -> anyhow::Result<Trained> {
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
    let timed = Timed::new(ui);
    let run = gradient::train(model, start, &sets, &settings, rate, checkpoint, &timed);
    let run = run.with_context(|| match settings.verb {
        PassageVerb::Learn => "cannot learn the passages",
        PassageVerb::Forget => "cannot forget the passages",
    })?;
    let (seconds, seconds_per_step) = timed.seconds();
    ui.close();
    let steps = run.path.len();
    let speed = format!("{steps} steps · {seconds:.1} s, {seconds_per_step:.2} s a step");
    ui.note("train", &format!("{speed} · stopped: {}", word(run.stopped)));
    if run.share < 1. {
        let kept = format!("{:.0} % of the change kept, to end at the goal", 100. * run.share);
        ui.note("scale", &kept);
    }
    let after = remembered(&run.trainable.frozen, &reported, ui)?;
    let delta = run.trainable.delta()?;
    let report = PassageReport {
        settings,
        rate,
        trials,
        trained: run.trainable.elements(),
        stopped: run.stopped,
        goal: run.goal.map(|(nll, _)| nll),
        share: run.share,
        seconds_per_step,
        seconds,
        closure: closure.into_iter().map(|(pair, _)| pair).collect(),
        before,
        after,
        references,
        path: run.path,
    };
    drop(run.trainable);
    let changes =
        delta.changes.iter().map(|(name, change)| Ok((name.as_str(), change.to_dense()?)));
    let changes = changes.collect::<candle_core::Result<Vec<_>>>()?;
    let decoder = model.edited_from(start, changes)?;
    Ok(Trained { report, delta, decoder })
}

fn word(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Holdout => "at the hold-out",
        Stopped::Reference => "at the references",
        Stopped::Learnt => "learnt",
        Stopped::Damage => "at max_damage",
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

/// What a decoder remembers of each set.
pub fn remembered(decoder: &Decoder, sets: &PassageSets, ui: &Ui) -> anyhow::Result<SetsMemory> {
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
