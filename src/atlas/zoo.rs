//! The control zoo: models whose truth is known, on which an audit is itself tested.
//!
//! People whom the built-in model never read are drawn by seed into three sets: to be forgotten, to be
//! kept, and a hold-out. The base learns the first two in a short lesson; each [`Control`] is made
//! from it, or from the built-in model, and audited in the same way. A model that took the lesson
//! without the people to forget is what forgetting aims at, and has to pass; all others have to fail.
//!
//! The lesson is a fine-tuning, so that what is retrained is the lesson and not the model from its
//! first weights on.

mod lesson;
mod people;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::world::World;
use crate::audit::{AuditMeasure, AuditOptions, AuditState, Audited, Check, LimitsFile, audit};
use crate::files::{Sha256, keep_sealed, read_sealed};
use crate::model::{Decoder, Model};
use crate::progress::{Inner, Progress};
use crate::ranks::Shared;
use crate::run::Tools;
use lesson::Lessons;

/// A model of the zoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The lesson again, without the people to forget.
    Retrained,
    /// The base as it is.
    NoOp,
    /// The first tokens of each passage suppressed, and nothing else.
    Refusal,
    /// Forgotten by changes of the last layer alone.
    LastLayer,
    /// Gradient ascent without a limit.
    Collapse,
    /// Forgotten far beyond what was never seen.
    OverForgotten,
    /// Forgotten by tiny steps, rounded as half-precision weights are.
    Fragile,
    /// Others forgotten in place of the people.
    WrongPeople,
    /// The base, with a lesson about others after its own.
    OtherText,
    /// Forgotten, then learnt again.
    Relearnt,
    /// The lesson without the passages, but with other wordings of them.
    Paraphrased,
}

impl Control {
    /// Every control; the one that has to pass first.
    pub const ALL: [Self; 11] = [
        Self::Retrained,
        Self::NoOp,
        Self::Refusal,
        Self::LastLayer,
        Self::Collapse,
        Self::OverForgotten,
        Self::Fragile,
        Self::WrongPeople,
        Self::OtherText,
        Self::Relearnt,
        Self::Paraphrased,
    ];

    /// The control in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retrained => "retrained without the data",
            Self::NoOp => "no-op",
            Self::Refusal => "first tokens suppressed",
            Self::LastLayer => "last layer alone",
            Self::Collapse => "gradient-ascent collapse",
            Self::OverForgotten => "over-forgotten",
            Self::Fragile => "tiny steps, rounded",
            Self::WrongPeople => "wrong people forgotten",
            Self::OtherText => "tuned on other text",
            Self::Relearnt => "forgotten, then relearnt",
            Self::Paraphrased => "paraphrase memorised",
        }
    }

    /// Whether an audit should let it pass.
    pub fn should_pass(self) -> bool {
        self == Self::Retrained
    }
}

/// The audit of one model of the zoo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZooRun {
    /// The model.
    pub control: Control,
    /// Seed of its people and of its training.
    pub seed: u64,
    /// The verdict.
    pub state: AuditState,
    /// The state and the text of everything that speaks against it.
    pub reasons: Vec<(AuditState, String)>,
    /// Every number.
    pub measures: Vec<AuditMeasure>,
    /// Seconds of making it and of auditing it.
    pub seconds: [f64; 2],
}

/// The zoo of some seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Zoo {
    /// The thresholds.
    pub limits: LimitsFile,
    /// One run for each seed and control.
    pub runs: Vec<ZooRun>,
}

impl Zoo {
    /// Runs of controls that should fail and passed.
    pub fn false_passes(&self) -> usize {
        let wrong = |run: &&ZooRun| !run.control.should_pass() && run.state.passes();
        self.runs.iter().filter(wrong).count()
    }

    /// Runs of controls that should pass and failed.
    pub fn false_alarms(&self) -> usize {
        let wrong = |run: &&ZooRun| run.control.should_pass() && !run.state.passes();
        self.runs.iter().filter(wrong).count()
    }
}

/// How the zoo is made and audited; part of the name of what the cache keeps.
const VERSION: u32 = 5;
/// Steps of relearning in each audit.
const RELEARN_STEPS: u64 = 10;
/// Checks that the zoo leaves out, for their cost.
const WITHOUT: [Check; 3] = [Check::Sampled, Check::LowRank, Check::Guided];

/// Makes and audits every control for each seed, on all ranks; the cache keeps each result, so that a
/// run that was stopped goes on.
///
/// # Errors
///
/// [`TrainingError`] where a model cannot be trained or audited, or the user stops it.
pub fn zoo(
    model: &Model,
    seeds: &[u64],
    limits: &LimitsFile,
    tools: &Tools<'_>,
) -> Result<Zoo, TrainingError> {
    let Tools { cache, progress, ranks, .. } = *tools;
    let world = World::generate(super::WORLD_SEED);
    let which: Vec<(u64, Control)> =
        seeds.iter().flat_map(|seed| Control::ALL.map(|control| (*seed, control))).collect();
    let label = |at: usize| format!("seed {}, {}", which[at].0, which[at].1.name());
    let job = zoo_identity(model, seeds, limits)?;
    let work = Shared { job, name: "models", tasks: which.len(), label: &label };
    let mut keeper: Option<Keeper<'_>> = None;
    // The trainings show what they do themselves.
    let runs = ranks.share(&work, &Inner(progress), &mut |at| {
        let (seed, control) = which[at];
        let key = format!("{VERSION} {seed} {control:?} {:?}", limits.limits);
        let kept = cache.join(format!("zoo-{}.json", &Sha256::of(key).to_string()[..16]));
        let known = read_sealed(&kept, progress)
            .and_then(|bytes| serde_json::from_slice::<ZooRun>(&bytes).ok());
        if let Some(run) = known {
            return Ok(run);
        }
        progress.note("zoo", &label(at));
        // The models of a seed follow each other, and share the model that they begin with.
        let keeper = match keeper.take().filter(|keeper| keeper.seed == seed) {
            Some(known) => keeper.insert(known),
            None => keeper.insert(Keeper::new(model, &world, seed, cache, progress)?),
        };
        let run = keeper.run(control, limits)?;
        progress.note("verdict", run.state.name());
        let bytes = serde_json::to_vec(&run).expect("plain data");
        keep_sealed(&kept, &[&bytes], progress);
        Ok::<_, TrainingError>(run)
    })?;
    Ok(Zoo { limits: limits.clone(), runs })
}

/// The digest of everything that decides what the zoo finds.
pub fn zoo_identity(
    model: &Model,
    seeds: &[u64],
    limits: &LimitsFile,
) -> Result<Sha256, TrainingError> {
    let (version, weights) = (env!("CARGO_PKG_VERSION"), model.weights_hash()?);
    let all = format!("zoo {VERSION} {version} {weights} {seeds:?} {:?}", limits.limits);
    Ok(Sha256::of(all))
}

/// What the controls of a seed share.
struct Keeper<'a> {
    lessons: Lessons<'a>,
    /// The built-in model after the lesson.
    base: Model,
    seed: u64,
    cache: &'a Path,
    progress: &'a dyn Progress,
}

impl<'a> Keeper<'a> {
    fn new(
        model: &'a Model,
        world: &World,
        seed: u64,
        cache: &'a Path,
        progress: &'a dyn Progress,
    ) -> Result<Self, TrainingError> {
        let lessons = Lessons::new(model, world, seed, progress)?;
        let base = model.with_decoder(lessons.base()?);
        Ok(Self { lessons, base, seed, cache, progress })
    }

    fn run(&self, control: Control, limits: &LimitsFile) -> Result<ZooRun, TrainingError> {
        let started = self.progress.now();
        let decoder = self.make(control)?;
        let made = self.progress.now();
        let job = self.lessons.people.job(self.seed);
        let options = AuditOptions {
            references: Vec::new(),
            budget: None,
            without: WITHOUT.to_vec(),
            relearn_steps: Some(RELEARN_STEPS),
            limits: limits.clone(),
        };
        let models = Audited {
            model: &self.base,
            decoder: &decoder,
            base: Some(&self.base),
            general: Some(self.lessons.model),
            name: control.name(),
        };
        let inner = Inner(self.progress);
        let audit = audit(models, &job, &options, &Tools::new(self.cache, &inner))?;
        let verdict = audit.verdicts.first().expect("the zoo has passages");
        let reasons = verdict.reasons.iter().map(|it| (it.state, it.reason.text.clone()));
        let seconds = [made - started, self.progress.now() - made].map(|it| it.as_secs_f64());
        Ok(ZooRun {
            control,
            seed: self.seed,
            state: verdict.state,
            reasons: reasons.collect(),
            measures: audit.measures.clone(),
            seconds,
        })
    }

    fn make(&self, control: Control) -> Result<Decoder, TrainingError> {
        let (lessons, base) = (&self.lessons, &self.base.decoder);
        match control {
            Control::Retrained => lessons.retrained(),
            Control::NoOp => Ok(base.clone()),
            Control::Refusal => lessons.suppressed(base),
            Control::LastLayer => lessons.last_layer(base),
            Control::Collapse => lessons.collapsed(base),
            Control::OverForgotten => lessons.over_forgotten(base),
            Control::Fragile => lessons.fragile(base),
            Control::WrongPeople => lessons.wrong_people(base),
            Control::OtherText => lessons.other_text(base),
            Control::Relearnt => lessons.relearnt(base),
            Control::Paraphrased => lessons.paraphrased(),
        }
    }
}
