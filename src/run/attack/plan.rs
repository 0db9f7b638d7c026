//! What an attack does, decided before any work: which passages are learnt again and which watched,
//! and whether it is cheap enough to run unasked.

use serde::{Deserialize, Serialize};

use crate::gradient::{
    self, Example, Extent, Footprint, PassageSets, PassageSettings, TooLarge, relearning_rate,
};
use crate::math::Random;
use crate::model::Model;
use crate::run::RunError;
use crate::run::job::Job;
use crate::run::train_plan::{TrainPlan, read};
use crate::spec::{
    Fact, GradientOptions, Passage, PassageOperation, PassageSource, PassageVerb, RateChoice,
};

/// Steps after which the watched half is measured; 0 is the model as it is.
pub(super) const STEPS: [u64; 5] = [0, 5, 10, 20, 40];
/// Steps after which secrets are asked for again.
pub(super) const SECRET_STEPS: u64 = 5;
/// Passages that make two halves in which one passage alone decides nothing.
const FEWEST: usize = 4;
/// Passages of a step.
const BATCH: usize = 4;

/// Floating-point operations up to which an attack runs unasked: seconds to a minute on two cores.
///
/// A curve costs 6 · parameters · tokens a step · steps, and 2 · parameters · tokens of both halves
/// for each measurement; there is one for the model and one for each reference, or for the hold-out.
/// Rounding costs as much as asking for the secrets of two more models. Forgetting 40 people of the
/// built-in model with five references takes 1.8e12, 16 paragraphs of a model of 135 million
/// parameters with one reference 40e12.
const UNASKED: f64 = 5e12;

/// What the watched half is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The same half under models that never saw the passages.
    References,
    /// Half of the hold-out under the same model, after it learnt the other half.
    Holdout,
    /// Nothing: there is neither.
    Nothing,
}

/// What an attack does.
#[derive(Debug, Clone, Serialize)]
pub struct AttackPlan {
    /// How passages are learnt again; nothing where none were forgotten and only secrets of erased
    /// facts are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relearn: Option<RelearnPlan>,
}

/// How passages are learnt again.
#[derive(Debug, Clone, Serialize)]
pub struct RelearnPlan {
    /// Passages that are learnt again.
    pub learnt: usize,
    /// Passages that are watched and not shown.
    pub watched: usize,
    /// The steps at which they are measured.
    pub steps: Vec<u64>,
    /// What the watched half is compared with.
    pub compared: Compared,
    /// Every choice of the training, with defaults of learning.
    pub settings: PassageSettings,
    #[serde(skip)]
    pub(super) halves: Halves,
    #[serde(skip)]
    pub(super) holdout: Option<Halves>,
    /// All forgotten passages.
    #[serde(skip)]
    pub(in crate::run) all: Vec<Example>,
    #[serde(skip)]
    pub(super) references: Vec<String>,
}

/// Sequences that are learnt, and others that are watched meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Halves {
    pub(super) learnt: Vec<Example>,
    pub(super) watched: Vec<Example>,
}

impl AttackPlan {
    /// The attack on what `job` removes by one of `trainings` or by erasing facts; nothing where the
    /// user did not ask for one and it would take long, or would have nothing to compare with.
    ///
    /// # Errors
    ///
    /// [`RunError::TooFewToAttack`] where the user asked for one of fewer than four passages.
    pub fn new(
        model: &Model,
        job: &Job,
        trainings: &[&TrainPlan],
    ) -> Result<Option<Self>, RunError> {
        let is_asked_for = job.gradient.attack;
        if is_asked_for == Some(false) {
            return Ok(None);
        }
        let is_forgetting = |it: &&&TrainPlan| it.settings.verb == PassageVerb::Forget;
        let Some(training) = trainings.iter().find(is_forgetting) else {
            return match is_asked_for {
                Some(true) => Err(RunError::NothingToAttack),
                _ => Ok(of_facts(model, job)),
            };
        };
        match RelearnPlan::new(model, job, training) {
            Ok(plan) if is_asked_for.is_none() && !plan.is_unasked(model) => Ok(None),
            Ok(plan) => Ok(Some(Self { relearn: Some(plan) })),
            Err(RunError::TooFewToAttack { .. } | RunError::TooLarge(_))
                if is_asked_for.is_none() =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One sentence about it.
    pub fn describe(&self) -> Option<String> {
        let RelearnPlan { learnt, watched, steps, compared, .. } = self.relearn.as_ref()?;
        let beside = match compared {
            Compared::References => ", and so in the references",
            Compared::Holdout => ", and halves of the hold-out likewise",
            Compared::Nothing => "",
        };
        let steps = steps.last().copied().unwrap_or_default();
        Some(format!(
            "attack: learn {learnt} of the forgotten passages again for {steps} steps and watch the \
             other {watched}{beside}; round to Q8_0 and Q4_0"
        ))
    }
}

/// Secrets of erased facts are asked for after rounding, where that takes seconds.
fn of_facts(model: &Model, job: &Job) -> Option<AttackPlan> {
    /// Tokens that asking for a secret of a short prompt reads and writes.
    const TOKENS: usize = 2_000;
    let secrets = |fact: &Fact| match fact {
        Fact::Erase(erase) => erase.secrets.len(),
        Fact::Insert(_) => 0,
    };
    let secrets: usize = job.facts.iter().map(secrets).sum();
    let cost = 2. * 2. * parameters(model) * (secrets * TOKENS) as f64;
    (secrets > 0 && cost <= UNASKED).then_some(AttackPlan { relearn: None })
}

impl RelearnPlan {
    /// How the forgotten passages of `training` are learnt again.
    ///
    /// # Errors
    ///
    /// [`RunError::TooFewToAttack`] where there are fewer than four of them.
    pub(crate) fn new(model: &Model, job: &Job, training: &TrainPlan) -> Result<Self, RunError> {
        let chunk = training.settings.chunk;
        let sequences = |source: fn(&PassageOperation) -> Option<&PassageSource>| {
            let forgets = job.passages.iter().filter(|it| it.verb == PassageVerb::Forget);
            let passages = read(forgets.filter_map(source), (&mut Vec::new(), true))?;
            by_passage(model, &passages, chunk)
        };
        let mut passages = sequences(|found| Some(&found.passages))?;
        let mut holdout = sequences(|found| found.holdout.as_ref())?;
        if passages.len() < FEWEST {
            return Err(RunError::TooFewToAttack { passages: passages.len(), fewest: FEWEST });
        }
        let seed = training.settings.seed;
        let all: Vec<Example> = passages.concat();
        shuffle(&mut passages, seed);
        shuffle(&mut holdout, seed);
        // Of more, each would be seen less often than a passage is.
        holdout.truncate(passages.len());
        let halves = Halves::of(&passages);
        let references = training.references.clone();
        let compared = match (references.len(), holdout.len()) {
            (1.., _) => Compared::References,
            (0, FEWEST..) => Compared::Holdout,
            (0, _) => Compared::Nothing,
        };
        Ok(Self {
            learnt: passages.len() / 2,
            watched: passages.len().div_ceil(2),
            steps: STEPS.to_vec(),
            compared,
            settings: settings(model, job, &halves.learnt, halves.longest(), (seed, None))?,
            halves,
            holdout: (compared == Compared::Holdout).then(|| Halves::of(&holdout)),
            all,
            references,
        })
    }

    /// The same lesson for low-rank changes, as an adapter is trained.
    pub(crate) fn with_rank(
        &self,
        model: &Model,
        job: &Job,
        rank: usize,
    ) -> Result<Self, RunError> {
        let Halves { learnt, .. } = &self.halves;
        let (seed, longest) = (self.settings.seed, self.halves.longest());
        let settings = settings(model, job, learnt, longest, (seed, Some(rank)))?;
        Ok(Self { settings, ..self.clone() })
    }

    /// Steps of the curves that belong to the attacked model.
    pub(super) fn own_steps(&self) -> u64 {
        let last = self.steps.last().copied().unwrap_or_default();
        if self.holdout.is_some() { 2 * last } else { last }
    }

    /// Floating-point operations of all curves.
    pub(crate) fn operations(&self, model: &Model) -> f64 {
        let tokens: usize = self.all.iter().map(|example| example.ids.len()).sum();
        let of_a_step = BATCH as f64 * tokens as f64 / self.all.len() as f64;
        let (steps, curves) = (self.own_steps() as f64, 1. + self.references.len() as f64);
        let measured = (STEPS.len() * tokens) as f64;
        curves * parameters(model) * (6. * of_a_step * steps + 2. * measured)
    }

    fn is_unasked(&self, model: &Model) -> bool {
        self.compared != Compared::Nothing && self.operations(model) <= UNASKED
    }
}

impl Halves {
    /// The first half of the passages is learnt; of an odd number, the larger one is watched.
    fn of(passages: &[Vec<Example>]) -> Self {
        let (learnt, watched) = passages.split_at(passages.len() / 2);
        Self { learnt: learnt.concat(), watched: watched.concat() }
    }

    /// Tokens of the longest sequence.
    fn longest(&self) -> usize {
        let all = self.learnt.iter().chain(&self.watched);
        all.map(|example| example.ids.len()).max().unwrap_or(1)
    }
}

/// The sequences of each passage: one that is cut stays in one half.
fn by_passage(
    model: &Model,
    passages: &[Passage],
    chunk: usize,
) -> Result<Vec<Vec<Example>>, RunError> {
    let one = |passage: &Passage| gradient::examples(model, std::slice::from_ref(passage), chunk);
    let all = passages.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|sequences| !sequences.is_empty()).collect())
}

fn shuffle(passages: &mut [Vec<Example>], seed: u64) {
    Random::named(seed, "the halves of an attack").shuffle(passages);
}

/// How some sequences are learnt again with all weights; `longest` is the number of tokens of the longest
/// that is read meanwhile.
pub(crate) fn lesson(
    model: &Model,
    job: &Job,
    learnt: &[Example],
    longest: usize,
    seed: u64,
) -> Result<PassageSettings, TooLarge> {
    settings(model, job, learnt, longest, (seed, None))
}

/// The defaults of learning, at a constant rate: what a stranger who has the weights would try first.
fn settings(
    model: &Model,
    job: &Job,
    learnt: &[Example],
    longest: usize,
    (seed, rank): (u64, Option<usize>),
) -> Result<PassageSettings, TooLarge> {
    let config = model.decoder.config();
    let sets = PassageSets { passages: learnt.to_vec(), ..PassageSets::default() };
    let extent = Extent::new(&sets, config.hidden, config.layers, false);
    let steps = STEPS.last().map(|last| *last as usize);
    let options = GradientOptions {
        batch: Some(BATCH),
        steps,
        warm_up: Some(0),
        general_batch: Some(0),
        // Nothing restrains an attacker.
        known: Some(1.),
        seed: Some(seed),
        rank,
        ..GradientOptions::default()
    };
    let mut settings = PassageSettings::new(&options, PassageVerb::Learn, &extent);
    settings.rate = RateChoice::Given(relearning_rate(rank, &extent));
    let weights = model.weights.stored_bytes();
    let footprint = Footprint::new(model.decoder.parameters(), weights, &settings, longest);
    settings.fit(footprint, config, job.memory)?;
    Ok(settings)
}

fn parameters(model: &Model) -> f64 {
    model.decoder.parameters().iter().map(|slot| slot.elements() as f64).sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::QuestionSources;

    fn job(passages: usize, holdout: usize, attack: Option<bool>) -> (tempfile::TempDir, Job) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, count: usize| {
            let path = folder.path().join(name);
            let text = |at| format!("Person {at} lives in town {at}.");
            let texts: Vec<String> = (0..count).map(text).collect();
            std::fs::write(&path, texts.join("\n\n")).expect("written");
            PassageSource::File(path)
        };
        let operation = PassageOperation {
            verb: PassageVerb::Forget,
            passages: file("forget.txt", passages),
            retain: None,
            holdout: (holdout > 0).then(|| file("holdout.txt", holdout)),
            questions: QuestionSources::default(),
            references: Vec::new(),
            secrets: Vec::new(),
        };
        let gradient = GradientOptions { attack, ..GradientOptions::default() };
        (folder, Job { passages: vec![operation], gradient, ..Job::default() })
    }

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    fn planned(job: &Job) -> Result<Option<AttackPlan>, RunError> {
        let model = tiny();
        let trainings = TrainPlan::all(&model, job).expect("planned");
        AttackPlan::new(&model, job, &trainings.iter().collect::<Vec<_>>())
    }

    #[test]
    fn passages_are_split_into_halves_by_seed() {
        let (_folder, job) = job(9, 5, None);
        let split = |seed| {
            let mut job = job.clone();
            job.gradient.seed = Some(seed);
            planned(&job).expect("planned").and_then(|plan| plan.relearn).expect("cheap")
        };
        let plan = split(0);
        assert_eq!((plan.learnt, plan.watched, plan.compared), (4, 5, Compared::Holdout));
        let ids = |set: &[Example]| set.iter().map(|it| it.ids.clone()).collect::<Vec<_>>();
        let halves = &plan.halves;
        let mut both = [ids(&halves.learnt), ids(&halves.watched)].concat();
        both.sort();
        both.dedup();
        assert_eq!(both.len(), 9, "every passage is in one of the halves");
        assert_eq!(ids(&halves.learnt), ids(&split(0).halves.learnt));
        assert_ne!(ids(&halves.learnt), ids(&split(1).halves.learnt));
        assert_eq!((plan.settings.batch, plan.settings.warm_up), (BATCH, 0));
    }

    #[test]
    fn an_attack_runs_unasked_only_where_it_can_say_something() {
        let rows = [
            (4, 4, None, true),
            (3, 4, None, false),
            (4, 3, None, false),
            (4, 0, Some(true), true),
            (4, 4, Some(false), false),
        ];
        for (passages, holdout, attack, expected) in rows {
            let (_folder, job) = job(passages, holdout, attack);
            let found = planned(&job).expect("planned").is_some();
            assert_eq!(found, expected, "{passages} {holdout} {attack:?}");
        }
        let (_folder, few) = job(3, 4, Some(true));
        let error = planned(&few).expect_err("refused");
        assert!(error.is_usage() && error.to_string().contains("at least 4 passages"), "{error}");
        let none = Job { gradient: few.gradient.clone(), ..Job::default() };
        assert!(matches!(planned(&none), Err(RunError::NothingToAttack)));
    }
}
