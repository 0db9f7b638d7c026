//! Learning and forgetting of passages: draws, losses, stopping.
//!
//! A step draws sequences to be changed and as many to be retained, each kind without replacement, and
//! beside them some of what the model says in its own words; it descends on γ · mean forget loss + α · mean retain loss. What the sequences' NLL is comes with
//! each step for nothing, so stopping is decided on the NLL last seen of every sequence:
//! forgetting ends where its mean, over texts and over answers, reaches that under models which never saw
//! the passages, or that of a hold-out which this model never saw (by look-ahead, also after others were learnt again), or where
//! the retain set has suffered; learning ends where the passages are known.

mod losses;
mod path;
mod saved;
mod select;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use losses::{changed, hold};
use path::describe;
pub use path::{PathPoint, Stopped};
use saved::{Draws, Identity, State};

use super::TrainError;
use super::example::Example;
use super::general::{Drift, Kept, Steering};
use super::goals::Goals;
use super::head::measure;
use super::landing::{Budget, keep_budget, land};
use super::look_ahead::look_ahead;
use super::mean_nll::{mean, means};
use super::precondition::Preconditioner;
use super::sets::PassageSets;
use super::settings::PassageSettings;
use super::trainer::Trainer;
use super::undo::disturb;
use crate::files::Sha256;
use crate::model::{Decoder, Model, Trainable};
use crate::objective::Outcome;
use crate::progress::Progress;
use crate::ranks::Ranks;
use crate::spec::{ForgetMethod, PassageVerb};

/// Where a training is saved while it runs.
#[derive(Debug, Clone)]
pub struct Checkpointing {
    /// The file; if it exists, the training goes on from it.
    pub file: PathBuf,
    /// Steps between two savings.
    pub every: u64,
}

/// A training that ended.
pub struct PassageRun {
    /// The decoder in its last state.
    pub trainable: Trainable,
    /// Why it ended.
    pub stopped: Stopped,
    /// Every step.
    pub path: Vec<PathPoint>,
    /// NLL of the hold-out under the start model, nats a token.
    pub holdout: Option<f64>,
    /// Share of the change that was kept, so that forgetting ends at its goal and not beyond.
    pub share: f64,
    /// NLL at which forgetting was to end, and why it ends there.
    pub goal: Option<(f64, Stopped)>,
    /// The budget of drift; nothing where there is no general text to measure it on.
    pub budget: Option<Budget>,
}

/// Trains on `sets`, from `start`. All of `ranks` come here, and share out the steps; whatever decides
/// where a training goes, each finds out for itself.
pub fn train(
    model: &Model,
    start: &Decoder,
    sets: &PassageSets,
    settings: &PassageSettings,
    rate: f64,
    checkpoint: Option<&Checkpointing>,
    (ranks, progress): (&Ranks, &dyn Progress),
) -> Result<PassageRun, TrainError> {
    progress.phase("measure", None);
    let mut run = PassageTraining::new(model, start, sets, settings)?;
    let trainable = model.trainable_from(start, &settings.rule)?;
    let mut trainer = Trainer::over(ranks, trainable, settings.trainer(rate));
    if settings.precondition {
        let parameters = &trainer.trainable().parameters;
        let kept = (&sets.general.trained[..], &sets.retain[..]);
        trainer.precondition(Preconditioner::new(start, kept, parameters, progress)?);
    }
    let mut identity = checkpoint.map(|_| Identity::new(&run.identity(), Sha256::random()));
    // The first process says what it sees: it may soon write the file.
    let is_there = checkpoint.is_some_and(|saved| saved.file.exists());
    let is_there = ranks.gather(is_there, progress)?[0];
    if let Some(saved) = checkpoint.filter(|_| is_there) {
        let cursor = trainer.restore(&saved.file)?;
        let (state, stated) = State::resume(cursor, &run.identity(), saved)?;
        (run.state, identity) = (state, Some(stated));
    }
    progress.phase(settings.verb.phase(), Some(settings.steps));
    if trainer.steps() == 0 && settings.noise > 0. {
        disturb(trainer.trainable(), (settings.noise, settings.noise_scale), settings.seed)?;
    }
    let mut stopped = run.state.stopped;
    while stopped.is_none() {
        stopped = match settings.method {
            ForgetMethod::Repselect if settings.verb == PassageVerb::Forget => {
                run.select(&mut trainer, progress)?
            }
            _ => run.step(&mut trainer, progress)?,
        };
        run.state.stopped = stopped;
        if let Some(saved) = checkpoint
            && (stopped.is_some() || trainer.steps().is_multiple_of(saved.every))
        {
            trainer.save(&saved.file, &json!({ "data": identity, "state": run.state }))?;
        }
    }
    let trainable = trainer.into_trainable();
    let goal = run.goal();
    let is_reached = goal.is_some_and(|(_, reached)| stopped == Some(reached));
    let share = match run.goals.as_ref().filter(|_| is_reached) {
        Some(goals) => land(&trainable, &run.passages, goals)?,
        None => 1.,
    };
    let checked = &sets.general.checked;
    let budget = match checked.is_empty() {
        true => None,
        false => {
            progress.phase("drift", None);
            let (passages, most) = (&sets.passages, settings.max_drift);
            Some(match settings.noise > 0. {
                true => Budget::of_whole(run.drift.of(&trainable.frozen)?, most),
                false => keep_budget(&trainable, &run.drift, passages, most)?,
            })
        }
    };
    Ok(PassageRun {
        trainable,
        budget,
        stopped: stopped.unwrap_or(Stopped::Steps),
        path: run.state.path,
        share,
        goal,
        holdout: run.holdout,
    })
}

impl PassageVerb {
    /// What progress calls the training.
    fn phase(self) -> &'static str {
        match self {
            Self::Learn => "learn",
            Self::Forget => "forget",
        }
    }
}

struct PassageTraining<'a> {
    settings: &'a PassageSettings,
    sets: &'a PassageSets,
    /// What is learnt or forgotten: the passages, then what the model says in its own words.
    passages: Vec<Example>,
    /// What is asked of each of these.
    losses: Vec<Example>,
    /// What is to stay: the retain set, then what the model says in its own words.
    retain: Vec<Example>,
    start: Vec<f64>,
    retain_start: Vec<f64>,
    holdout: Option<f64>,
    goals: Option<Goals>,
    general: Kept<'a>,
    drift: Drift<'a>,
    state: State,
}

/// Statements in the model's own words that a step retains, relative to its passages. They are much shorter.
const OWN_RETAINED: usize = 2;
/// Weight of forgetting such statements, relative to that of the passages.
const OWN_WEIGHT: f64 = 0.5;
/// Share of the goal from which on the passages are measured after each step.
const NEAR: f64 = 0.8;
/// Share of its goal at which a kind of sequences rests until the other kind is there, too. What is beyond
/// the goal is scaled back in the end.
const RESTS: f64 = 1.1;
/// Adversaries at which forgetting is found to last, and the share of the goal that they have to reach on
/// average. With fewer, training ends by chance, and an attack brings the passages back to 80 to 90 % of
/// the NLL of what was never seen.
const ADVERSARIES: usize = 3;
const STAYS: f64 = 1.15;

/// Steps after which the drift is measured again, which takes a few hundredths of their work.
const STEERED: u64 = 10;

impl<'a> PassageTraining<'a> {
    fn new(
        model: &Model,
        start: &'a Decoder,
        sets: &'a PassageSets,
        settings: &'a PassageSettings,
    ) -> Result<Self, TrainError> {
        let is_forgetting = settings.verb == PassageVerb::Forget;
        let passages = if is_forgetting { sets.forgotten() } else { sets.passages.clone() };
        let mut retain = [&sets.retain[..], &sets.own.retain].concat();
        let passages_nll = measure(start, &passages)?;
        let retain_nll = measure(start, &retain)?;
        let holdout = means(&measure(start, &sets.holdout)?);
        let goals = sets.goals(&holdout).filter(|_| is_forgetting);
        let holdout = (!holdout.is_empty()).then(|| mean(&holdout));
        let losses = changed(model, start, (&passages, &passages_nll), goals.as_ref(), settings)?;
        hold(start, (&mut retain, &retain_nll), settings)?;
        let state = State {
            passages: Draws::new(
                [sets.passages.len(), losses.len() - sets.passages.len()],
                settings.seed,
            ),
            retain: Draws::new(
                [sets.retain.len(), sets.own.retain.len()],
                settings.seed.wrapping_add(1),
            ),
            seen: BTreeMap::new(),
            retained: BTreeMap::new(),
            path: Vec::new(),
            stopped: None,
            steering: Steering::new(
                sets.general.trained.len(),
                settings.general_weight,
                settings.seed.wrapping_add(2),
            ),
        };
        let general = Kept::new(start, &sets.general.trained);
        let drift = Drift::new(start, &sets.general.checked)?;
        let (start, retain_start) = (means(&passages_nll), means(&retain_nll));
        Ok(Self {
            settings,
            sets,
            passages,
            losses,
            retain,
            start,
            retain_start,
            holdout,
            goals,
            general,
            drift,
            state,
        })
    }

    /// All that decides the training.
    fn identity(&self) -> String {
        let ids = |examples: &[Example]| -> Vec<(Vec<u32>, usize)> {
            examples.iter().map(|e| (e.ids.clone(), e.first_target)).collect()
        };
        let general = &self.sets.general;
        let sets =
            [&self.losses, &self.retain, &self.sets.holdout, &general.trained, &general.checked];
        let sets = sets.map(|set| ids(set));
        let references = &self.sets.references;
        let goals = &self.sets.own.goals;
        let all = json!({
            "settings": self.settings,
            "sets": sets,
            "references": references,
            "own": goals,
        });
        all.to_string()
    }

    fn goal(&self) -> Option<(f64, Stopped)> {
        goal(self.settings.verb, self.sets, self.holdout)
    }

    /// One step; why the training is to end, if it is.
    fn step(
        &mut self,
        trainer: &mut Trainer<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Stopped>, TrainError> {
        let settings = self.settings;
        let drawn = self.state.passages.take([settings.batch, settings.batch]);
        let count = if settings.retain_weight > 0. { settings.batch } else { 0 };
        let retained = self.state.retain.take([count, OWN_RETAINED * count]);
        let weight = match settings.verb {
            PassageVerb::Learn => 1.,
            PassageVerb::Forget => settings.forget_weight,
        };
        let mut changed = scaled(&self.losses, &drawn, [weight, OWN_WEIGHT * weight]);
        let kept = scaled(&self.retain, &retained, [settings.retain_weight; 2]);
        let (drawn, retained) = (drawn.concat(), retained.concat());
        self.let_rest(&mut changed, &drawn);
        let general = self.state.steering.draw(settings.general_batch);
        let general = self.general.examples(&general, self.state.steering.weight())?;
        let kept = [kept, general].concat();
        let is_ahead = settings.method == ForgetMethod::LookAhead;
        let relearnt = match self.goals.as_ref().filter(|_| is_ahead) {
            Some(goals) => look_ahead(trainer, &self.sets.passages, goals, settings, progress)?,
            None => None,
        };
        let report = if settings.project && !kept.is_empty() {
            trainer.step_without_conflict(&changed, &kept, progress)?
        } else {
            trainer.step(&[changed, kept].concat(), progress)?
        };
        let (first, second) = report.outcomes.split_at(drawn.len());
        let second = &second[..retained.len()];
        if settings.verb == PassageVerb::Learn || settings.method != ForgetMethod::Idk {
            note(&mut self.state.seen, &drawn, first);
        }
        note(&mut self.state.retained, &retained, second);
        let (drift, general_weight) = self.steer(trainer)?;
        let point = PathPoint {
            step: report.step,
            loss: report.loss,
            passages: mean(&last_seen(self.given(), &self.state.seen)),
            retain: (!self.given_retain().is_empty())
                .then(|| mean(&last_seen(self.given_retain(), &self.state.retained))),
            gradient_norm: report.gradient_norm,
            drawn,
            retained,
            drift,
            general_weight,
            relearnt,
        };
        progress.advance(report.step, &describe(&point, self.holdout));
        self.state.path.push(point);
        self.stop(trainer)
    }

    /// Leaves alone those of the drawn sequences whose kind is beyond its goal: what is pushed on while the
    /// other kind is not there yet becomes less probable than what was never seen. Look-ahead asks for its
    /// goal after a lesson, and does not overshoot it.
    fn let_rest(&self, changed: &mut [Example], drawn: &[usize]) {
        let is_free = self.settings.method != ForgetMethod::LookAhead;
        let Some(goals) = self.goals.as_ref().filter(|_| is_free) else { return };
        let rests = goals.reach(RESTS, &last_seen(&self.start, &self.state.seen));
        let resting = changed.iter_mut().zip(drawn).filter(|(_, at)| rests[**at]);
        resting.for_each(|(example, _)| example.scale = 0.);
    }

    /// (drift when it was last measured, λ of the step that was taken); λ follows the drift.
    fn steer(&mut self, trainer: &Trainer<'_>) -> Result<(Option<f64>, Option<f64>), TrainError> {
        let (steering, general) = (&mut self.state.steering, &self.sets.general);
        if self.settings.general_batch == 0 || general.trained.is_empty() {
            return Ok((None, None));
        }
        let weight = steering.weight();
        if trainer.steps() % STEERED == 1 && !general.checked.is_empty() {
            steering.observe(self.drift.of(trainer.current())?, self.settings.max_drift);
        }
        Ok((Some(steering.drift()), Some(weight)))
    }

    fn stop(&self, trainer: &Trainer<'_>) -> Result<Option<Stopped>, TrainError> {
        let point = self.state.path.last().expect("a step was just taken");
        let (settings, step) = (self.settings, point.step);
        let epoch = self.sets.passages.len().div_ceil(settings.batch);
        let is_epoch = step.is_multiple_of(epoch as u64);
        let ended = (step >= settings.steps).then_some(Stopped::Steps);
        if settings.verb == PassageVerb::Learn {
            let is_learnt = is_epoch && point.passages <= settings.stop_loss;
            return Ok(if is_learnt { Some(Stopped::Learnt) } else { ended });
        }
        // What was disturbed is learnt again to the end.
        if settings.noise > 0. {
            return Ok(ended);
        }
        // Last seen values are as old as an epoch: what they suggest is measured before it counts.
        let before = self.given_retain();
        let damage = || mean(&last_seen(before, &self.state.retained)) - mean(before);
        if is_epoch && !before.is_empty() && damage() > settings.max_damage {
            let now = mean(&means(&measure(trainer.current(), &self.sets.retain)?));
            if now - mean(before) > settings.max_damage {
                return Ok(Some(Stopped::Damage));
            }
        }
        let is_idk = settings.method == ForgetMethod::Idk;
        if let (Some((_, reached)), Some(goals)) = (self.goal(), &self.goals)
            && (goals.share(&last_seen(&self.start, &self.state.seen)) >= NEAR
                || (is_idk && is_epoch))
            && self.lasts(goals)
        {
            let now = measure(trainer.current(), &self.passages)?;
            if goals.share_of_tokens(&now) >= 1. {
                return Ok(Some(reached));
            }
        }
        Ok(ended)
    }

    /// Whether the passages were improbable at the last adversaries, where there are any.
    fn lasts(&self, goals: &Goals) -> bool {
        let steps = ADVERSARIES * self.settings.relearn;
        let recent = self.state.path.iter().rev().take(steps);
        let recent: Vec<f64> = recent.filter_map(|point| point.relearnt).collect();
        let goal = goals.mean_of_first(self.sets.passages.len());
        recent.is_empty() || recent.len() == steps && mean(&recent) >= STAYS * goal
    }

    /// The NLL of each passage under the start model.
    fn given(&self) -> &[f64] {
        &self.start[..self.sets.passages.len()]
    }

    /// The same of the retain set.
    fn given_retain(&self) -> &[f64] {
        &self.retain_start[..self.sets.retain.len()]
    }
}

/// The NLL at which forgetting ends, nats a token, and why there; `holdout` is that of the hold-out
/// under the start model.
pub fn goal(verb: PassageVerb, sets: &PassageSets, holdout: Option<f64>) -> Option<(f64, Stopped)> {
    match (verb, sets.references.is_empty()) {
        (PassageVerb::Learn, _) => None,
        (PassageVerb::Forget, false) => Some((mean(&sets.references), Stopped::Reference)),
        (PassageVerb::Forget, true) => holdout.map(|nll| (nll, Stopped::Holdout)),
    }
}

/// The drawn sequences of each of two groups, whose means have these weights.
fn scaled(examples: &[Example], drawn: &[Vec<usize>; 2], weights: [f64; 2]) -> Vec<Example> {
    let group = |(drawn, weight): (&Vec<usize>, f64)| {
        let scale = (weight / drawn.len().max(1) as f64) as f32;
        drawn.iter().map(move |at| Example { scale, ..examples[*at].clone() }).collect::<Vec<_>>()
    };
    drawn.iter().zip(weights).flat_map(group).collect()
}

fn note(seen: &mut BTreeMap<usize, f64>, drawn: &[usize], outcomes: &[Outcome]) {
    for (index, outcome) in drawn.iter().zip(outcomes) {
        seen.insert(*index, means(std::slice::from_ref(&outcome.nll))[0]);
    }
}

/// What was last seen of each sequence, or what the start model said.
fn last_seen(start: &[f64], seen: &BTreeMap<usize, f64>) -> Vec<f64> {
    let now = |(index, start): (usize, &f64)| *seen.get(&index).unwrap_or(start);
    start.iter().enumerate().map(now).collect()
}
