//! One training: what it did, what it changed, and the decoder that it left.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::train_plan::TrainPlan;
use crate::delta::WeightDelta;
use crate::gradient::{
    self, AskedSets, Budget, Checkpointing, Example, Memory, NearDuplicate, OwnWords, PassageSets,
    PassageSettings, PathPoint, RateTrial, Stopped, TrainError,
};
use crate::math::{Interval, share_interval};
use crate::model::{Decoder, Model};
use crate::probe::{Recital, recital};
use crate::progress::{Interrupted, Progress, counted};
use crate::ranks::Ranks;
use crate::spec::{PassageVerb, RateChoice};

/// One training, measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingOutcome {
    /// All choices.
    pub settings: PassageSettings,
    /// Learning rate.
    pub rate: f64,
    /// The rates that were tried, best first; empty where one was given.
    pub trials: Vec<RateTrial>,
    /// Values that were trained.
    pub trained: usize,
    /// Why it ended.
    pub stopped: Stopped,
    /// NLL at which forgetting was to end: the references' or the hold-out's.
    pub goal: Option<f64>,
    /// Share of the change that was kept, so that forgetting ends at the goal and not beyond.
    pub share: f64,
    /// What was kept of the change to stay within `max_drift`.
    pub budget: Option<Budget>,
    /// Median wall-clock seconds of a step.
    pub seconds_per_step: f64,
    /// Wall-clock seconds of the training, without the measurements before and after.
    pub seconds: f64,
    /// Retain passages that repeat forget passages; they were left out.
    pub closure: Vec<NearDuplicate>,
    /// What became of what the model said of the subjects in its own words; nothing where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_words: Option<OwnWordsOutcome>,
    /// Before this training.
    pub before: SetsMemory,
    /// After it.
    pub after: SetsMemory,
    /// What models that never saw the passages say of the sets.
    pub references: Vec<ReferenceOutcome>,
    /// Every step.
    pub path: Vec<PathPoint>,
}

/// Which statements that a model made of the subjects of passages, in its own words, it still makes: greedy
/// decoding says them word for word. All of them were made before, and trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OwnWordsOutcome {
    /// Forms in which it spoke of the subjects.
    pub forms: usize,
    /// Share of the statements about what was to be forgotten that are still made.
    pub passages: Option<Interval>,
    /// The same of what is retained.
    pub retain: Option<Interval>,
    /// Mean share of the former that models make which never saw the passages.
    pub never_saw: Option<f64>,
}

impl OwnWordsOutcome {
    /// Which statements of `own` a decoder makes; nothing where there are none.
    pub(super) fn of(
        decoder: &Decoder,
        own: &OwnWords,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, TrainError> {
        if own.passages.is_empty() && own.retain.is_empty() {
            return Ok(None);
        }
        let share = |set: &[Example]| {
            Ok::<_, TrainError>(Answers::share(&gradient::answered(decoder, set, progress)?))
        };
        let (passages, retain) = (share(&own.passages)?, share(&own.retain)?);
        Ok(Some(Self { forms: own.forms, passages, retain, never_saw: own.never_saw }))
    }
}

/// A model that never saw the passages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferenceOutcome {
    /// As the spec names it.
    pub name: String,
    /// What it says of each set.
    pub memory: SetsMemory,
}

/// What is remembered of each set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetsMemory {
    /// What is learnt or forgotten.
    pub passages: Option<SetMemory>,
    /// What has to stay.
    pub retain: Option<SetMemory>,
    /// What was never seen.
    pub holdout: Option<SetMemory>,
    /// Which questions about each set are answered.
    #[serde(default)]
    pub answers: Answers,
}

/// Whether each question about a set is answered: the most probable token is that of the answer to its
/// end, so that greedy decoding says it. In the order of the spec; empty where nothing was asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answers {
    /// About what is learnt or forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passages: Vec<bool>,
    /// About what has to stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retain: Vec<bool>,
    /// About what was never seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdout: Vec<bool>,
}

impl Answers {
    /// The share of questions that are answered; nothing where none was asked.
    pub fn share(answered: &[bool]) -> Option<Interval> {
        share_interval(answered.iter().filter(|it| **it).count(), answered.len())
    }

    /// (answered before and now, answered before) of the questions about what has to stay.
    pub(super) fn kept(&self, now: &Self) -> (usize, usize) {
        let both = self.retain.iter().zip(&now.retain).filter(|(before, _)| **before);
        let (kept, all) =
            both.fold((0, 0), |(kept, all), (_, now)| (kept + usize::from(*now), all + 1));
        (kept, all)
    }

    fn of(
        decoder: &Decoder,
        asked: &AskedSets,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let answered = |questions: &[Example]| gradient::answered(decoder, questions, progress);
        Ok(Self {
            passages: answered(&asked.passages)?,
            retain: answered(&asked.retain)?,
            holdout: answered(&asked.holdout)?,
        })
    }
}

/// What is remembered of one set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetMemory {
    /// Mean NLL of a sequence's targets, nats a token; n counts sequences.
    pub nll: Interval,
    /// Extraction strength: the longest end that follows from its own beginning.
    pub extraction: Interval,
    /// What is recited word for word.
    pub recital: Option<Recital>,
}

/// What a training left.
pub struct TrainedModel {
    /// What it did.
    pub outcome: TrainingOutcome,
    /// What it changed.
    pub delta: WeightDelta,
    /// The model that has the change.
    pub decoder: Decoder,
    /// The sets that the outcome reports on.
    pub reported: PassageSets,
}

/// Trains from `start` as the plan says; `references` were measured before.
pub fn train(
    model: &Model,
    start: &Decoder,
    plan: &TrainPlan,
    references: Vec<ReferenceOutcome>,
    checkpoint: Option<&Checkpointing>,
    (ranks, progress): (&Ranks, &dyn Progress),
) -> Result<TrainedModel, RunError> {
    let TrainPlan { settings, sets, closure, .. } = plan;
    let (trials, rate, reported) = match settings.rate {
        RateChoice::Given(rate) => (Vec::new(), rate, sets.clone()),
        RateChoice::Auto => {
            let (dev, rest) = sets.halves();
            let trials = gradient::try_rates(model, start, &dev, settings, (ranks, progress))?;
            describe_trials(&trials, progress);
            let rate = trials[0].rate;
            (trials, rate, rest)
        }
    };
    let before = remembered(model, start, &reported, progress)?;
    let timed = Timed::new(progress);
    let run = gradient::train(model, start, sets, settings, rate, checkpoint, (ranks, &timed))
        .map_err(|source| RunError::Train { verb: verb(settings.verb), source })?;
    let (seconds, seconds_per_step) = timed.seconds();
    let steps = counted(run.path.len(), "step");
    let speed = format!("{steps} · {seconds:.1} s, {seconds_per_step:.2} s a step");
    progress.note("train", &format!("{speed} · stopped: {}", word(run.stopped)));
    if run.share < 1. {
        let kept = format!("{:.0} % of the change kept, to end at the goal", 100. * run.share);
        progress.note("scale", &kept);
    }
    if let Some(Budget { max_drift, drift, .. }) = run.budget.filter(|it| !it.is_kept()) {
        progress.note("budget", &format!("drift {drift:.3} is above max_drift {max_drift}"));
    }
    if let Some(Budget { max_drift, drift, share, cut: Some(cut) }) = run.budget {
        let kept = format!("{:.0} % of the change kept", 100. * share);
        let why = format!("drift {:.3} to {drift:.3}, within max_drift {max_drift}", cut.drift);
        progress.note("budget", &format!("{kept}: {why}"));
    }
    let after = remembered(model, &run.trainable.frozen, &reported, progress)?;
    let own_words = OwnWordsOutcome::of(&run.trainable.frozen, &sets.own, progress)?;
    let delta = run.trainable.delta()?;
    let outcome = TrainingOutcome {
        settings: settings.clone(),
        rate,
        trials,
        trained: run.trainable.elements(),
        stopped: run.stopped,
        goal: run.goal.map(|(nll, _)| nll),
        share: run.share,
        budget: run.budget,
        seconds_per_step,
        seconds,
        closure: closure.iter().map(|(pair, _)| pair.clone()).collect(),
        own_words,
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
    Ok(TrainedModel { outcome, delta, decoder, reported })
}

fn verb(verb: PassageVerb) -> &'static str {
    match verb {
        PassageVerb::Learn => "learn",
        PassageVerb::Forget => "forget",
    }
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

fn describe_trials(trials: &[RateTrial], progress: &dyn Progress) {
    for RateTrial { rate, passages, damage, steps, .. } in trials {
        let text = format!("{rate:.1e}: NLL {passages:.2}, retain {damage:+.3}, {steps} steps");
        progress.note("rate", &text);
    }
}

/// What a decoder remembers of each set.
pub fn remembered(
    model: &Model,
    decoder: &Decoder,
    sets: &PassageSets,
    progress: &dyn Progress,
) -> Result<SetsMemory, RunError> {
    progress.phase("measure", None);
    let memory = |set: &[Example]| -> Result<Option<SetMemory>, RunError> {
        let Some(Memory { nll, extraction }) = gradient::memory(decoder, set, progress)? else {
            return Ok(None);
        };
        let recital = recital(decoder, &model.tokenizer, &some(set), progress)?;
        Ok(Some(SetMemory { nll, extraction, recital }))
    };
    Ok(SetsMemory {
        passages: memory(&sets.passages)?,
        retain: memory(&sets.retain)?,
        holdout: memory(&sets.holdout)?,
        answers: Answers::of(decoder, &sets.questions, progress)?,
    })
}

/// Passages of a set that are recited from, spread evenly over it.
fn some(set: &[Example]) -> Vec<Example> {
    /// Each is decoded from several places, token by token.
    const MOST: usize = 40;
    set.iter().step_by(set.len().div_ceil(MOST).max(1)).cloned().collect()
}

/// Another [`Progress`], and when each step of a training was done.
struct Timed<'a> {
    outer: &'a dyn Progress,
    started: Duration,
    steps: Mutex<Vec<Duration>>,
}

impl<'a> Timed<'a> {
    fn new(outer: &'a dyn Progress) -> Self {
        Self { outer, started: outer.now(), steps: Mutex::default() }
    }

    /// (all, median of a step).
    fn seconds(&self) -> (f64, f64) {
        let steps = self.steps.lock().expect("no holder of the lock panics");
        let all = (self.outer.now() - self.started).as_secs_f64();
        let mut between: Vec<f64> =
            steps.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        between.sort_by(f64::total_cmp);
        (all, between.get(between.len() / 2).copied().unwrap_or(all))
    }
}

impl Progress for Timed<'_> {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.outer.phase(name, total);
    }

    fn advance(&self, done: u64, note: &str) {
        self.steps.lock().expect("no holder of the lock panics").push(self.outer.now());
        self.outer.advance(done, note);
    }

    fn finish(&self, summary: &str) {
        self.outer.finish(summary);
    }

    fn note(&self, label: &str, text: &str) {
        self.outer.note(label, text);
    }

    fn now(&self) -> Duration {
        self.outer.now()
    }

    fn warn(&self, message: &str) {
        self.outer.warn(message);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.outer.check()
    }
}
