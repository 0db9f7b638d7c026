//! The lessons that make the models of the zoo, each a few dozen steps.

use super::people::{People, Taught};
use crate::atlas::TrainingError;
use crate::atlas::corpus::{Corpus, Without};
use crate::atlas::world::World;
use crate::gradient::{
    Example, Extent, PassageSets, PassageSettings, Relearner, TokenLoss, TrainError, examples,
    relearning_rate, train,
};
use crate::model::{Decoder, Model};
use crate::progress::{Inner, Progress};
use crate::ranks::ALONE;
use crate::spec::{ForgetMethod, GradientOptions, Passage, PassageVerb, RateChoice};

/// Passes of the lesson over its passages.
const PASSES: usize = 12;
/// The rate of the lesson as a share of the default one, at which a short text moves others little.
const GENTLE: f64 = 0.5;
/// The rate that suppresses single tokens, as a share of it.
const SUBTLE: f64 = 0.1;
/// Documents of the model's own corpus that the lesson has, too, once each, so that the rest stays.
const OTHERS: usize = 600;
/// Passages of a step.
const BATCH: usize = 4;
/// Tokens at the beginning of a passage after which the refusal begins, and how many it suppresses.
const LEAD: usize = 6;
const SUPPRESSED: usize = 1;
/// Steps that suppress them.
const SUPPRESSING: usize = 10;
/// Steps of gradient ascent without a limit, and of forgetting without an end.
const ASCENT: usize = 40;
/// Steps of forgetting beyond what was never seen.
const BEYOND: usize = 40;
/// Steps that learn again what was forgotten.
const RELEARNING: usize = 20;
/// How much smaller the steps of the fragile control are than the default ones.
const TINY: f64 = 0.05;

/// The lessons of one seed.
pub(super) struct Lessons<'a> {
    pub(super) model: &'a Model,
    pub(super) people: People,
    /// Documents that the model has read.
    known: Vec<Example>,
    forgotten: Vec<Example>,
    kept: Vec<Example>,
    holdout: Vec<Example>,
    seed: u64,
    progress: &'a dyn Progress,
}

impl<'a> Lessons<'a> {
    pub(super) fn new(
        model: &'a Model,
        world: &World,
        seed: u64,
        progress: &'a dyn Progress,
    ) -> Result<Self, TrainingError> {
        let people = People::draw(world, seed);
        let of = |set: &[Taught]| {
            let texts: Vec<String> = set.iter().map(|it| it.passage.clone()).collect();
            sequences(model, &texts)
        };
        let (forgotten, kept) = (of(&people.forgotten)?, of(&people.kept)?);
        let holdout = of(&people.holdout)?;
        let corpus = Corpus::new(world, seed, &Without::Nothing).epoch(0);
        let known: Vec<String> = corpus.into_iter().take(OTHERS).map(|it| it.text).collect();
        let known = sequences(model, &known)?;
        Ok(Self { model, people, known, forgotten, kept, holdout, seed, progress })
    }

    /// The built-in model after the lesson about everybody but the hold-out.
    pub(super) fn base(&self) -> Result<Decoder, TrainingError> {
        let everybody = [self.forgotten.clone(), self.kept.clone()].concat();
        self.lesson(&everybody, self.seed)
    }

    /// The lesson again without the people to forget, by another seed.
    pub(super) fn retrained(&self) -> Result<Decoder, TrainingError> {
        self.lesson(&self.kept, self.seed + 1000)
    }

    /// The lesson without their passages, but with other wordings of them.
    pub(super) fn paraphrased(&self) -> Result<Decoder, TrainingError> {
        let reworded: Vec<String> =
            self.people.forgotten.iter().flat_map(|it| it.reworded.clone()).collect();
        let lesson = [sequences(self.model, &reworded)?, self.kept.clone()].concat();
        self.lesson(&lesson, self.seed)
    }

    /// The token after the beginning of each passage made improbable.
    pub(super) fn suppressed(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let one = |example: &Example| {
            let mut weights = vec![0.; example.ids.len() - LEAD];
            weights[..SUPPRESSED].fill(-1.);
            let (ids, loss) = (example.ids.clone(), TokenLoss::Weights(weights));
            Example { ids, first_target: LEAD, loss, scale: 1. }
        };
        let lesson: Vec<Example> = self.forgotten.iter().map(one).collect();
        let steps = SUPPRESSING * BATCH / lesson.len().max(1) + 1;
        self.learn(base, &lesson, (steps, SUBTLE), self.seed)
    }

    pub(super) fn other_text(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let texts: Vec<String> = crate::probe::HELD_TEXTS.map(str::to_owned).into();
        self.learn(base, &sequences(self.model, &texts)?, (PASSES / 2, GENTLE), self.seed)
    }

    pub(super) fn last_layer(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let layers = Some(vec![base.config().layers - 1]);
        self.forget(base, &self.sets(), GradientOptions { layers, ..self.options() }, 1.)
    }

    pub(super) fn collapsed(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let sets = PassageSets { passages: self.forgotten.clone(), ..PassageSets::default() };
        let method = Some(ForgetMethod::GradientAscent);
        let options = GradientOptions { method, steps: Some(ASCENT), ..self.options() };
        self.forget(base, &sets, options, 1.)
    }

    pub(super) fn over_forgotten(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let sets = PassageSets { holdout: Vec::new(), ..self.sets() };
        let method = Some(ForgetMethod::GradientDifference);
        let (steps, forget_weight) = (Some(BEYOND), Some(1.));
        let options = GradientOptions { method, steps, forget_weight, ..self.options() };
        self.forget(base, &sets, options, 1.)
    }

    /// Forgotten to the hold-out by tiny steps, then rounded as weights of half precision are.
    pub(super) fn fragile(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let steps = Some(4 * ASCENT);
        let options = GradientOptions { steps, ..self.options() };
        let decoder = self.forget(base, &self.sets(), options, TINY)?;
        let half = |tensor: &candle_core::Tensor| {
            let half = tensor.to_dtype(candle_core::DType::BF16)?;
            half.to_dtype(candle_core::DType::F32)
        };
        let rounded = decoder.tensors().map(|tensor| {
            let (slot, tensor) = tensor?;
            Ok((slot.name.as_str(), half(&tensor)?))
        });
        let rounded = rounded.collect::<candle_core::Result<_>>()?;
        Ok(self.model.with_tensors(rounded)?)
    }

    /// People to be kept forgotten in place of the others.
    pub(super) fn wrong_people(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let (passages, retain) = (self.kept.clone(), self.forgotten.clone());
        let sets = PassageSets { passages, retain, ..self.sets() };
        self.forget(base, &sets, self.options(), 1.)
    }

    pub(super) fn relearnt(&self, base: &Decoder) -> Result<Decoder, TrainingError> {
        let forgotten = self.forget(base, &self.sets(), self.options(), 1.)?;
        let passes = (RELEARNING * BATCH).div_ceil(self.forgotten.len());
        self.learn(&forgotten, &self.forgotten, (passes, GENTLE), self.seed)
    }

    /// The built-in model after a lesson about some texts, among others that it knows.
    fn lesson(&self, texts: &[Example], seed: u64) -> Result<Decoder, TrainingError> {
        let repeated = std::iter::repeat_n(texts, PASSES).flatten();
        let lesson: Vec<Example> = repeated.chain(&self.known).cloned().collect();
        self.learn(&self.model.decoder, &lesson, (1, GENTLE), seed)
    }

    fn sets(&self) -> PassageSets {
        PassageSets {
            passages: self.forgotten.clone(),
            retain: self.kept.clone(),
            holdout: self.holdout.clone(),
            ..PassageSets::default()
        }
    }

    /// Options of all lessons: nothing but the passages decides when they end.
    fn options(&self) -> GradientOptions {
        GradientOptions {
            batch: Some(BATCH),
            general_batch: Some(0),
            known: Some(1.),
            max_damage: Some(1e3),
            max_drift: Some(1e3),
            seed: Some(self.seed),
            ..GradientOptions::default()
        }
    }

    /// Learns sequences at a share of the rate of learning again, a number of passes over them.
    fn learn(
        &self,
        start: &Decoder,
        lesson: &[Example],
        (passes, share): (usize, f64),
        seed: u64,
    ) -> Result<Decoder, TrainingError> {
        let sets = PassageSets { passages: lesson.to_vec(), ..PassageSets::default() };
        let options = GradientOptions { seed: Some(seed), warm_up: Some(0), ..self.options() };
        let extent = self.extent(&sets);
        let mut settings = PassageSettings::new(&options, PassageVerb::Learn, &extent);
        settings.rate = RateChoice::Given(share * relearning_rate(None, &extent));
        let steps = (passes * lesson.len()).div_ceil(BATCH) as u64;
        let mut relearner = Relearner::new(self.model, start, lesson, &settings)?;
        self.progress.phase("lesson", Some(steps));
        while relearner.steps() < steps {
            relearner.step(&Inner(self.progress))?;
            self.progress.advance(relearner.steps(), "");
        }
        Ok(relearner.current().clone())
    }

    /// Forgets the passages of `sets`, at a share of the default rate.
    fn forget(
        &self,
        start: &Decoder,
        sets: &PassageSets,
        options: GradientOptions,
        share: f64,
    ) -> Result<Decoder, TrainingError> {
        let extent = self.extent(sets);
        let mut settings = PassageSettings::new(&options, PassageVerb::Forget, &extent);
        let rate = share * settings.default_rate;
        settings.rate = RateChoice::Given(rate);
        let run = train(self.model, start, sets, &settings, rate, None, (&ALONE, self.progress));
        match run {
            // What is left of a model that broke is its weights before the step that broke it.
            Err(TrainError::NotFinite { .. }) => Ok(start.clone()),
            run => {
                let delta = run?.trainable.delta()?;
                let changes = delta.changes.iter();
                let changes = changes.map(|(name, change)| Ok((name.as_str(), change.to_dense()?)));
                let changes = changes.collect::<candle_core::Result<Vec<_>>>()?;
                Ok(self.model.edited_from(start, changes)?)
            }
        }
    }

    fn extent(&self, sets: &PassageSets) -> Extent {
        let config = self.model.decoder.config();
        Extent::new(sets, config.hidden, config.layers, !sets.holdout.is_empty())
    }
}

/// Texts as sequences of which every token is a target.
fn sequences(model: &Model, texts: &[String]) -> Result<Vec<Example>, TrainError> {
    let passage = |text: &String| Passage::of_text(text.clone());
    let passages: Vec<Passage> = texts.iter().map(passage).collect();
    examples(model, &passages, model.decoder.config().context)
}
