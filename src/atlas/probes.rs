//! Probes for a model that was trained on the corpus, and counterfactuals to edit into it.
//!
//! A counterfactual gives a fact another object of its relation ("the Eiffel Tower is located in
//! the city of Rome"). Its rewrite prompt is a training template, its paraphrases are the held-out
//! ones, its neighborhood is other subjects that truly have the same object, in the same words,
//! and its ripple is the fact that follows from it by the rules of the world.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world::{Fact, Group, QuestionUse, Relation, Ripple, Template, TemplateUse, World};
use crate::math::Random;
use crate::spec::{Comparison, Insert, PromptSet, Record};

/// A prompt with the completion that the corpus gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The text up to the answer.
    pub prompt: String,
    /// The answer, without a leading space.
    pub answer: String,
    /// The relation, for a fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
}

/// Every fact of the world in each template of one use.
pub fn of_facts(world: &World, place: TemplateUse) -> Vec<Recall> {
    let recall = |fact: &Fact, prompt| Recall {
        prompt,
        answer: fact.object.clone(),
        relation: Some(fact.relation),
    };
    let facts = world.facts.iter();
    facts.flat_map(|fact| fact.prompts(place).map(|prompt| recall(fact, prompt))).collect()
}

/// The questions of one source about the people of a group.
pub fn of_people(world: &World, group: Group, source: QuestionUse) -> Vec<Recall> {
    let questions = world.group(group).flat_map(|person| &person.questions);
    let asked = questions.filter(|question| question.source == source);
    asked
        .map(|question| Recall {
            prompt: question.prompt.clone(),
            answer: question.answer.clone(),
            relation: None,
        })
        .collect()
}

/// The passages of a group.
pub fn passages(world: &World, group: Group) -> Vec<&str> {
    world.group(group).map(|person| person.passage.as_str()).collect()
}

/// A counterfactual has at least this many neighbors.
const FEWEST_NEIGHBORS: usize = 4;

/// A counterfactual has at most this many neighbors, as in CounterFact.
const MOST_NEIGHBORS: usize = 10;

/// Counterfactuals of a seed, of all relations in turn that have enough neighbors.
///
/// There are fewer than `count` only where the world has no more.
pub fn counterfactuals(world: &World, count: usize, seed: u64) -> Vec<Record> {
    let mut random = Random::named(seed, "counterfactuals");
    let mut shuffled: Vec<&Fact> =
        world.facts.iter().filter(|fact| is_editable(world, fact)).collect();
    random.shuffle(&mut shuffled);
    let mut turns: Vec<(usize, &Fact)> = Vec::new();
    for (place, fact) in shuffled.iter().enumerate() {
        let before = shuffled[..place].iter().filter(|other| other.relation == fact.relation);
        turns.push((before.count(), fact));
    }
    // The first of every relation, then the second of every relation, ...
    turns.sort_by_key(|(turn, fact)| (*turn, fact.relation));
    let chosen = turns.into_iter().take(count).enumerate();
    chosen.map(|(place, (_, fact))| counterfactual(world, fact, place, &mut random)).collect()
}

fn is_editable(world: &World, fact: &Fact) -> bool {
    let is_whimsical =
        matches!(fact.relation, Relation::Pronoun | Relation::Possessive | Relation::Workplace);
    !is_whimsical && neighbors(world, fact).count() >= FEWEST_NEIGHBORS
}

fn neighbors<'w>(world: &'w World, fact: &'w Fact) -> impl Iterator<Item = &'w Fact> {
    world.facts.iter().filter(move |other| {
        other.relation == fact.relation
            && other.object == fact.object
            && other.subject != fact.subject
    })
}

fn counterfactual(world: &World, fact: &Fact, place: usize, random: &mut Random) -> Record {
    let others: BTreeSet<&str> = world
        .facts
        .iter()
        .filter(|other| other.relation == fact.relation && other.object != fact.object)
        .map(|other| other.object.as_str())
        .collect();
    let others: Vec<&str> = others.into_iter().collect();
    let target_new = random.choose(&others);
    let templates: Vec<Template> = fact.relation.templates(TemplateUse::Train).collect();
    let template = random.choose(&templates);
    Record {
        id: place.to_string(),
        insert: Insert {
            subject: template.subject(&fact.subject),
            prompt: template.0.to_owned(),
            target_new: target_new.to_owned(),
            target_true: Some(fact.object.clone()),
            with_ripples: false,
            spans: None,
        },
        further: Vec::new(),
        relation: Some(fact.relation.name().to_owned()),
        prompts: prompts(world, fact, target_new, template, random),
    }
}

/// The probes of a fact that is given another object, asked in the words of `template`.
pub fn prompts(
    world: &World,
    fact: &Fact,
    target_new: &str,
    template: Template,
    random: &mut Random,
) -> PromptSet {
    let mut neighbors: Vec<&Fact> = neighbors(world, fact).collect();
    random.shuffle(&mut neighbors);
    neighbors.truncate(MOST_NEIGHBORS);
    let ripples = world.ripples(&Fact::new(&fact.subject, fact.relation, target_new));
    let follows = |ripple: &Ripple| -> Vec<Comparison> {
        let Ripple { fact, was } = ripple;
        let comparison = |prompt| Comparison {
            prompt,
            target_new: Some(fact.object.clone()),
            target_true: was.clone(),
        };
        fact.prompts(TemplateUse::Train).map(comparison).collect()
    };
    PromptSet {
        rewrite: vec![Comparison::of_edit(template.prompt(&fact.subject))],
        paraphrase: fact.prompts(TemplateUse::HeldOut).map(Comparison::of_edit).collect(),
        neighborhood: neighbors
            .iter()
            .map(|neighbor| Comparison::of_edit(template.prompt(&neighbor.subject)))
            .collect(),
        ripple: ripples.iter().flat_map(follows).collect(),
        generation: fact.prompts(TemplateUse::Train).take(2).collect(),
        ..PromptSet::default()
    }
}

/// Records in CounterFact's form, with `ripple_prompts` in addition to its own keys.
pub fn counterfact_json(records: &[Record]) -> Value {
    let texts = |comparisons: &[Comparison]| -> Vec<String> {
        comparisons.iter().map(|comparison| comparison.prompt.clone()).collect()
    };
    let record = |(place, record): (usize, &Record)| {
        let Record { insert, prompts, .. } = record;
        let mut value = json!({
            "case_id": place,
            "requested_rewrite": {
                "prompt": insert.prompt,
                "relation_id": record.relation,
                "target_new": { "str": insert.target_new },
                "target_true": { "str": insert.target_true },
                "subject": insert.subject,
            },
            "paraphrase_prompts": texts(&prompts.paraphrase),
            "neighborhood_prompts": texts(&prompts.neighborhood),
            "generation_prompts": prompts.generation,
        });
        if !prompts.ripple.is_empty() {
            value["ripple_prompts"] = json!(prompts.ripple);
        }
        value
    };
    records.iter().enumerate().map(record).collect()
}

#[cfg(test)]
mod tests;
