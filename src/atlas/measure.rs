//! Measures what a model of the built-in world knows of it.
//!
//! Facts by argmax: a fact is known after a prompt if every token of its object is the most
//! probable one. Passages by NLL and extraction strength, group by group; questions by argmax of
//! the whole answer; plain English by the perplexity of paragraphs that are in no corpus.

use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::corpus::english::{Part, paragraph};
use super::probes::{self, Recall};
use super::world::{GROUPS, Group, QuestionUse, RELATIONS, Relation, TemplateUse, World};
use crate::gradient::{Example, Memory, TokenLoss, answered, memory};
use crate::math::Random;
use crate::model::{Model, ModelError};
use crate::progress::Progress;

/// Number of prompts that were answered right, and of all prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Prompts answered right.
    pub right: usize,
    /// All prompts.
    pub n: usize,
}

impl Share {
    /// The share right / n; 0 where there are none.
    pub fn value(self) -> f64 {
        self.right as f64 / self.n.max(1) as f64
    }

    fn plus(self, other: Self) -> Self {
        Self { right: self.right + other.right, n: self.n + other.n }
    }
}

/// Knowledge of one relation.
#[derive(Debug, Clone, Serialize)]
pub struct OfRelation {
    /// The relation of the facts.
    pub relation: Relation,
    /// Facts after templates of the corpus.
    pub trained: Share,
    /// Facts after templates that are in no corpus.
    pub held_out: Share,
}

/// Knowledge of one group of people.
#[derive(Debug, Clone, Serialize)]
pub struct OfGroup {
    /// The group of people.
    pub group: Group,
    /// Memory of the group's passages.
    pub memory: Memory,
    /// Questions that the corpus asks, answered.
    pub asked: Share,
    /// Questions in other words, answered.
    pub held_out: Share,
    /// Questions whose answer only follows from the workplace, answered.
    pub inferred: Share,
}

/// Knowledge of a model about the built-in world.
#[derive(Debug, Clone, Serialize)]
pub struct Knowledge {
    /// Facts known after templates of the corpus.
    pub trained: Share,
    /// Facts known after templates that are in no corpus.
    pub held_out: Share,
    /// Facts by relation, after both kinds of templates.
    pub relations: Vec<OfRelation>,
    /// People by group.
    pub groups: Vec<OfGroup>,
    /// Perplexity of English paragraphs that are in no corpus.
    pub perplexity: f64,
    /// Number of English paragraphs measured.
    pub paragraphs: usize,
}

/// Paragraphs of English that the perplexity is measured on.
const PARAGRAPHS: usize = 100;

/// Measures what a model knows of the built-in world.
pub fn knowledge(
    model: &Model,
    world: &World,
    progress: &dyn Progress,
) -> Result<Knowledge, TrainingError> {
    progress.phase("measure", Some(RELATIONS.len() as u64 + 4));
    let [trained, held_out] =
        [TemplateUse::Train, TemplateUse::HeldOut].map(|place| probes::of_facts(world, place));
    let mut relations = Vec::new();
    for relation in RELATIONS {
        progress.advance(relations.len() as u64, relation.name());
        let share = |asked: &[Recall]| {
            let own = asked.iter().filter(|recall| recall.relation == Some(relation));
            known(model, own, progress)
        };
        let (trained, held_out) = (share(&trained)?, share(&held_out)?);
        relations.push(OfRelation { relation, trained, held_out });
    }
    let sum = |share: fn(&OfRelation) -> Share| {
        relations.iter().map(share).fold(Share::default(), Share::plus)
    };
    let (trained, held_out) = (sum(|it| it.trained), sum(|it| it.held_out));
    let groups = GROUPS
        .into_iter()
        .map(|group| of_group(model, world, group, progress))
        .collect::<Result<_, _>>()?;
    let mut random = Random::named(super::WORLD_SEED, "held-out english");
    let english: Vec<String> =
        (0..PARAGRAPHS).map(|_| paragraph(&mut random, Part::HeldOut)).collect();
    let texts = texts(model, english.iter().map(String::as_str))?;
    let nll = memory(&model.decoder, &texts, progress)?.map_or(0., |memory| memory.nll.mean);
    let paragraphs = texts.len();
    Ok(Knowledge { trained, held_out, relations, groups, perplexity: nll.exp(), paragraphs })
}

fn of_group(
    model: &Model,
    world: &World,
    group: Group,
    progress: &dyn Progress,
) -> Result<OfGroup, TrainingError> {
    let passages = texts(model, probes::passages(world, group).into_iter())?;
    let memory = memory(&model.decoder, &passages, progress)?.expect("a group has people");
    let share = |source| known(model, probes::of_people(world, group, source).iter(), progress);
    Ok(OfGroup {
        group,
        memory,
        asked: share(QuestionUse::Trained)?,
        held_out: share(QuestionUse::HeldOut)?,
        inferred: share(QuestionUse::Inferred)?,
    })
}

/// Texts as sequences of which every token is a target.
fn texts<'t>(
    model: &Model,
    texts: impl Iterator<Item = &'t str>,
) -> Result<Vec<Example>, TrainingError> {
    let context = model.decoder.config().context;
    let one = |text: &str| {
        let mut ids = model.tokenizer.encode(text).map_err(ModelError::from)?.ids;
        ids.truncate(context);
        Ok(Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. })
    };
    texts.map(one).collect()
}

/// Number of prompts after which each token of the answer is the most probable one.
pub fn known<'r>(
    model: &Model,
    asked: impl Iterator<Item = &'r Recall>,
    progress: &dyn Progress,
) -> Result<Share, TrainingError> {
    let example = |recall: &Recall| {
        let (prompt, answer) = (&recall.prompt, &recall.answer);
        let mut ids = model.tokenizer.encode(prompt).map_err(ModelError::from)?.ids;
        let first_target = ids.len();
        ids.extend(model.tokenizer.continuation(prompt, answer).map_err(ModelError::from)?);
        Ok(Example { ids, first_target, loss: TokenLoss::Mean, scale: 1. })
    };
    let examples = asked.map(example).collect::<Result<Vec<_>, TrainingError>>()?;
    let answered = answered(&model.decoder, &examples, progress)?;
    let right = answered.iter().filter(|it| **it).count();
    Ok(Share { right, n: examples.len() })
}
