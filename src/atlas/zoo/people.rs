//! The people of a seed of the zoo: whom the built-in model never read, drawn into sets.

use crate::atlas::world::{Group, Person, QuestionUse, World};
use crate::math::Random;
use crate::run::{Case, Job};
use crate::spec::{
    GradientOptions, PassageOperation, PassageSource, PassageVerb, PromptSet, QuestionSources,
};

/// People to be forgotten, and of the hold-out.
const FORGOTTEN: usize = 16;
/// People to be kept.
const KEPT: usize = 8;
/// Sentences of a passage that the lesson has.
const SENTENCES: usize = 3;

/// Somebody of the zoo.
#[derive(Debug, Clone)]
pub(super) struct Taught {
    /// The beginning of the passage.
    pub(super) passage: String,
    /// Other wordings that the lesson of one control has.
    pub(super) reworded: Vec<String>,
    /// Other wordings that an audit asks for.
    pub(super) asked: Vec<String>,
}

/// The sets of a seed.
#[derive(Debug, Clone)]
pub(super) struct People {
    pub(super) forgotten: Vec<Taught>,
    pub(super) kept: Vec<Taught>,
    pub(super) holdout: Vec<Taught>,
}

impl People {
    /// Draws people of the world's hold-out, whom the built-in model never read.
    pub(super) fn draw(world: &World, seed: u64) -> Self {
        let mut people: Vec<&Person> = world.group(Group::Holdout).collect();
        Random::named(seed, "the people of the zoo").shuffle(&mut people);
        let mut all = people.into_iter().map(taught);
        let mut take = |n| all.by_ref().take(n).collect();
        Self { forgotten: take(FORGOTTEN), kept: take(KEPT), holdout: take(FORGOTTEN) }
    }

    /// The job that asks to forget them, with the hold-out and other wordings.
    pub(super) fn job(&self, seed: u64) -> Job {
        let text = |set: &[Taught]| {
            let passages: Vec<&str> = set.iter().map(|it| it.passage.as_str()).collect();
            PassageSource::Text(passages.join("\n\n"))
        };
        let asked = |set: &[Taught]| set.iter().flat_map(|it| it.asked.clone()).collect();
        let operation = PassageOperation {
            verb: PassageVerb::Forget,
            passages: text(&self.forgotten),
            retain: Some(text(&self.kept)),
            holdout: Some(text(&self.holdout)),
            questions: QuestionSources::default(),
            references: Vec::new(),
            secrets: Vec::new(),
        };
        let prompts = PromptSet {
            forget: asked(&self.forgotten),
            holdout: asked(&self.holdout),
            ..PromptSet::default()
        };
        let case = Case { id: "zoo".into(), facts: 0..0, asked: Vec::new(), prompts };
        let gradient = GradientOptions { seed: Some(seed), ..GradientOptions::default() };
        Job { passages: vec![operation], cases: vec![case], gradient, ..Job::default() }
    }
}

fn taught(person: &Person) -> Taught {
    let of = |source: QuestionUse| -> Vec<String> {
        let questions = person.questions.iter().filter(|question| question.source == source);
        questions.map(|question| format!("{} {}.", question.prompt, question.answer)).collect()
    };
    let sentences: Vec<&str> = person.passage.split_inclusive(". ").take(SENTENCES).collect();
    Taught {
        passage: sentences.concat().trim().to_owned(),
        reworded: of(QuestionUse::Trained),
        asked: of(QuestionUse::HeldOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_in_two_sets_and_a_seed_draws_its_own() {
        let world = World::generate(crate::atlas::WORLD_SEED);
        let people = People::draw(&world, 0);
        let all = [&people.forgotten, &people.kept, &people.holdout];
        let mut passages: Vec<&str> =
            all.iter().flat_map(|set| set.iter().map(|it| it.passage.as_str())).collect();
        assert_eq!(passages.len(), 2 * FORGOTTEN + KEPT);
        passages.sort_unstable();
        passages.dedup();
        assert_eq!(passages.len(), 2 * FORGOTTEN + KEPT);
        assert!(people.forgotten.iter().all(|it| !it.asked.is_empty() && !it.reworded.is_empty()));
        let other = People::draw(&world, 1);
        assert_ne!(people.forgotten[0].passage, other.forgotten[0].passage);
    }
}
