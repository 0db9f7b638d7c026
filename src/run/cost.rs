//! What a run takes, estimated from its plan before anything starts.
//!
//! Two floating-point operations are counted for each weight of a matrix that a token passes, as many
//! again for a gradient with respect to its input, and as many for one with respect to the weight. What
//! ends early, as a training at its goal, is counted as if it did not.

use serde::Serialize;

use super::attack::AttackPlan;
use super::execute::SHARE_TOKENS;
use super::general::{CHECKED, GENERAL_TOKENS, TOKENS, drawn};
use super::job::Job;
use super::needs::Needs;
use super::plan::{Plan, Step};
use super::train_plan::{TrainPlan, footprint};
use crate::gradient::Example;
use crate::model::{Model, OVERHEAD, Slot};
use crate::plan::{MomentCost, PlannedEdit, WritePlan};
use crate::probe::SAID_TOKENS;
use crate::progress::{Progress, lasting};
use crate::spec::{Comparison, PassageVerb, PromptSet, RateChoice};

/// What a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Floating-point operations, at most.
    pub operations: f64,
    /// Those of them that the cache saves a second run on the same model.
    pub once: f64,
    /// Bytes of memory at the peak.
    pub bytes: u64,
}

/// Tokens that asking for one erased fact reads and writes in all ways of the leak report.
pub(crate) const LEAK_TOKENS: f64 = 6_000.;
/// Tokens of a short prompt with its target.
const SHORT: f64 = 15.;
/// Tokens that the base writes and reads until its own words about some subjects are found, about.
pub(crate) const OWN_WORDS: f64 = 100_000.;
/// Those of them that one step forgets and holds.
const OWN_WORDS_OF_A_STEP: f64 = 12. * SHORT;
/// Passes of a step that looks ahead, relative to one that does not.
const AHEAD: f64 = 2.2;
/// Points of the way back at which a training's drift is looked for.
const LANDINGS: f64 = 10.;
/// Trainings that the choice of a rate takes: three on one half.
const RATES: f64 = 1.5;

impl Cost {
    /// The cost of `plan`, which was made for `job`.
    pub fn of(model: &Model, job: &Job, plan: &Plan) -> Self {
        let passes = Passes::of(model);
        let general = GENERAL_TOKENS as f64;
        let edited = match plan.is_one_model() {
            true => general,
            false => (SHARE_TOKENS * plan.groups.len()) as f64,
        };
        let mut once = passes.read(general);
        let mut operations = passes.read(general + edited);
        let asked: f64 = job.cases.iter().map(|case| prompt_tokens(&case.prompts)).sum();
        operations += 2. * passes.read(asked);
        let mut bytes = Needs::of_model(model).edit;
        for step in &plan.steps {
            match step {
                Step::Write(write) => {
                    let edits = write.edits.iter().map(|edit| passes.write(write, edit));
                    operations += edits.sum::<f64>();
                    once += moments(model, job, write);
                }
                Step::Train(train) => {
                    let sampled = match train.general {
                        Some(_) => 0.,
                        None => passes.read((drawn(train) * TOKENS) as f64),
                    };
                    once += sampled;
                    operations += passes.train(train);
                    bytes = bytes.max(memory(model, train));
                }
            }
        }
        if let Some(AttackPlan { relearn: Some(lesson) }) = &plan.attack {
            operations += lesson.operations(model) + passes.read(8. * tokens(&lesson.all));
        }
        Self { operations: OVERHEAD * (operations + once), once: OVERHEAD * once, bytes }
    }

    /// Seconds on this machine; nothing where `progress` has no clock.
    pub fn seconds(&self, model: &Model, progress: &dyn Progress) -> Option<f64> {
        Some(self.operations / model.decoder.operations_a_second(0, progress)?)
    }

    /// The cost in words, where all of it takes so many seconds.
    pub fn describe(&self, seconds: Option<f64>) -> String {
        let memory = format!("{:.1} GB of memory", self.bytes as f64 / 1e9);
        let Some(seconds) = seconds else { return format!("up to {memory}") };
        let once = match seconds * self.once / self.operations {
            ..1. => String::new(),
            once => format!(" ({} of it once for this model)", lasting(once)),
        };
        format!("up to about {} here{once} and {memory}", lasting(seconds))
    }
}

/// Operations of a token on its way through a model.
struct Passes {
    /// Through each layer.
    layers: Vec<f64>,
    /// Through the head.
    head: f64,
}

impl Passes {
    fn of(model: &Model) -> Self {
        let config = model.decoder.config();
        let mut layers = vec![0.; config.layers];
        let slots = model.decoder.parameters().iter().filter(|slot: &&Slot| slot.is_matrix());
        for slot in slots {
            if let Some(layer) = slot.layer {
                layers[layer] += 2. * slot.elements() as f64;
            }
        }
        Self { layers, head: 2. * (config.hidden * config.vocabulary) as f64 }
    }

    fn read(&self, tokens: f64) -> f64 {
        tokens * (self.layers.iter().sum::<f64>() + self.head)
    }

    /// Finding the value of a fact, asking about other subjects before and after, and looking for what
    /// is left of an erased one.
    fn write(&self, plan: &WritePlan, edit: &PlannedEdit) -> f64 {
        let target = edit.target.len();
        let contexts = edit.contexts.iter();
        let fed: usize = contexts.clone().map(|it| it.ids.len() + target).sum();
        let tail: usize = contexts.map(|it| it.ids.len() - it.lookup + target).sum();
        let behind: f64 = self.layers[plan.layer + 1..].iter().sum();
        let rows = (edit.contexts.len() * target) as f64;
        let evaluation = 2. * (tail as f64 * behind + rows * self.head);
        let others = edit.background.iter().chain(&edit.near);
        let others: usize = others.map(|at| plan.background[*at].ids.len()).sum();
        let leak = if edit.erase.is_some() { LEAK_TOKENS } else { 0. };
        plan.settings.steps as f64 * evaluation + self.read(fed as f64 + 2. * others as f64 + leak)
    }

    fn train(&self, plan: &TrainPlan) -> f64 {
        let (settings, sets) = (&plan.settings, &plan.sets);
        let forgets = settings.verb == PassageVerb::Forget;
        let batch = settings.batch as f64;
        let mut of_a_step = batch * (mean(&sets.passages) + mean(&sets.retain));
        of_a_step += (settings.general_batch * TOKENS) as f64;
        let mut own = 0.;
        if settings.own_words && forgets {
            (own, of_a_step) = (OWN_WORDS, of_a_step + OWN_WORDS_OF_A_STEP);
        }
        let mut passes = 3.;
        passes *= if settings.recompute { 4. / 3. } else { 1. };
        passes *= if settings.relearn > 0 { AHEAD } else { 1. };
        let trials = if settings.rate == RateChoice::Auto { 1. + RATES } else { 1. };
        let steps = trials * settings.steps as f64 * passes * of_a_step;
        let asked = [&sets.passages, &sets.retain, &sets.holdout].map(|set| tokens(set));
        let questions = [&sets.questions.passages, &sets.questions.retain, &sets.questions.holdout];
        let asked =
            asked.iter().sum::<f64>() + questions.map(|set| tokens(set)).iter().sum::<f64>();
        // Each is read, and decoded again as far as it is known, before and after.
        let measured = (2. + plan.references.len() as f64) * 2. * asked;
        self.read(steps + own + measured + LANDINGS * (CHECKED * TOKENS) as f64)
    }
}

/// Operations of the second moments that a write needs.
fn moments(model: &Model, job: &Job, plan: &WritePlan) -> f64 {
    let is_sampled = job.rank_one.corpus.is_none();
    let one = |(at, layer): (usize, &usize)| {
        let cost = MomentCost::new(&model.decoder, *layer, is_sampled && at == 0);
        cost.operations * plan.settings.second_moment_tokens as f64
    };
    plan.layers.iter().enumerate().map(one).sum()
}

fn memory(model: &Model, plan: &TrainPlan) -> u64 {
    let settings = &plan.settings;
    let footprint = footprint(model, &plan.sets, settings);
    footprint.bytes(model.decoder.config(), settings.micro_rows, settings.recompute)
}

/// Tokens that asking for the prompts of a case once takes, answers included.
fn prompt_tokens(prompts: &PromptSet) -> f64 {
    let PromptSet { rewrite, paraphrase, neighborhood, ripple, generation, .. } = prompts;
    let compared = |set: &Vec<Comparison>| 2. * SHORT * set.len() as f64;
    let decoded = rewrite.len() + paraphrase.len() + generation.len();
    [rewrite, paraphrase, neighborhood, ripple].into_iter().map(compared).sum::<f64>()
        + decoded as f64 * (SHORT + SAID_TOKENS as f64)
}

fn tokens(set: &[Example]) -> f64 {
    set.iter().map(|example| example.ids.len()).sum::<usize>() as f64
}

fn mean(set: &[Example]) -> f64 {
    tokens(set) / set.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::parse_spec;

    fn model() -> Model {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture")
    }

    fn cost(model: &Model, spec: &str) -> Cost {
        let spec = parse_spec("spec.toml", spec).expect("a spec");
        let job = Job::of_spec(&spec, PromptSet::default(), None).expect("a job");
        let plan = Plan::new(model, "tiny", &job, &Silent).expect("a plan");
        Cost::of(model, &job, &plan)
    }

    #[test]
    fn more_work_costs_more_and_passes_are_counted_as_they_are() {
        let model = model();
        let passes = Passes::of(&model);
        // 2 x (4 x 48 x 48 of the queries and outputs, half as many of the keys and values, the MLP).
        let layer = 2. * (2. * 48. * 48. + 2. * 24. * 48. + 3. * 48. * 80.);
        assert_eq!(passes.layers, [layer; 3]);
        assert_eq!(passes.read(10.), 10. * (3. * layer + 2. * 48. * 384.));

        let learn = |steps: usize| {
            let text = "text = \"The ferry Marisol is painted green.\"";
            cost(&model, &format!("[gradient]\nsteps = {steps}\n[[learn]]\n{text}\n"))
        };
        let (few, many) = (learn(10), learn(110));
        assert!(many.operations > few.operations && many.bytes == few.bytes, "{few:?} {many:?}");
        let fact = |steps: usize| {
            let fact = "subject = \"Vell\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"";
            cost(&model, &format!("[rank_one]\nsteps = {steps}\n[[insert]]\n{fact}\n"))
        };
        assert!(fact(20).operations > fact(10).operations);
        assert!(fact(10).once > 0. && fact(10).once < fact(10).operations);
        assert!(fact(10).bytes < few.bytes, "no gradients of weights");
        let fact = Cost { operations: 6e12, once: 3e12, bytes: 800_000_000 };
        let expected =
            "up to about 10 min here (5 min of it once for this model) and 0.8 GB of memory";
        assert_eq!(fact.describe(Some(600.)), expected);
        assert_eq!(fact.describe(fact.seconds(&model, &Silent)), "up to 0.8 GB of memory");
    }
}
