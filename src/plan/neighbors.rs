//! Names that stand for whatever else a prompt can be asked about.
//!
//! What a write does to a prompt about someone or something else depends on how far its key lies
//! along the subject's. The second moment holds the keys of all tokens; the ones that matter here are
//! those at the ends of names, behind the same words. A few dozen names of many kinds stand for them.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{PlanError, PlannedEdit, WritePlan, tokenise};
use crate::model::Model;
use crate::spec::Fact;

/// The prompt about another name, up to the end of the name.
#[derive(Debug, Clone, Serialize)]
pub struct Neighbor {
    /// The name.
    pub subject: String,
    /// Tokens; the last is the lookup token.
    pub ids: Vec<u32>,
}

/// People, places, makers and works, known widely enough that models have read of them.
const NAMES: [&str; 64] = [
    "Albert Einstein",
    "Marie Curie",
    "William Shakespeare",
    "Napoleon Bonaparte",
    "Mahatma Gandhi",
    "Pablo Picasso",
    "Ludwig van Beethoven",
    "Nelson Mandela",
    "Leonardo da Vinci",
    "Charles Darwin",
    "Abraham Lincoln",
    "Queen Victoria",
    "Muhammad Ali",
    "Leo Tolstoy",
    "Jane Austen",
    "Vladimir Lenin",
    "Frida Kahlo",
    "Akira Kurosawa",
    "Serena Williams",
    "Jean-Paul Sartre",
    "London",
    "Paris",
    "Tokyo",
    "New York City",
    "Berlin",
    "Moscow",
    "Cairo",
    "Sydney",
    "Mumbai",
    "Rio de Janeiro",
    "Germany",
    "France",
    "Japan",
    "Canada",
    "Brazil",
    "Nigeria",
    "India",
    "Antarctica",
    "California",
    "Bavaria",
    "The Great Wall of China",
    "The Statue of Liberty",
    "Mount Everest",
    "The Amazon River",
    "Lake Victoria",
    "Buckingham Palace",
    "Stanford University",
    "The University of Oxford",
    "Microsoft",
    "Toyota",
    "Sony",
    "IBM",
    "Volkswagen",
    "Boeing",
    "The New York Times",
    "The Beatles",
    "Metallica",
    "Manchester United",
    "Harry Potter",
    "Star Wars",
    "The Simpsons",
    "Windows 95",
    "iPhone",
    "Wikipedia",
];

/// Names that the facts of one write keep, at most; those of several prompts are thinned out evenly.
const MOST: usize = 512;

/// What the facts of a plan have in view, each sequence of tokens once.
#[derive(Default)]
pub(super) struct Neighbors {
    pub(super) all: Vec<Neighbor>,
    places: HashMap<Vec<u32>, usize>,
}

impl Neighbors {
    /// The places of the prompt of `fact` about each name that is not the subject's, or part of it.
    ///
    /// A name whose end is the first token is left out: its key carries the attention sink.
    pub(super) fn of(&mut self, model: &Model, fact: &Fact) -> Result<Vec<usize>, PlanError> {
        let subject = fact.subject().to_lowercase();
        let mut places = Vec::new();
        for name in NAMES.iter().filter(|name| !overlap(&subject, &name.to_lowercase())) {
            let prompt = tokenise(model, "", fact.prompt(), name)?;
            if prompt.lookup > 0 {
                let ids = prompt.ids[..=prompt.lookup].to_vec();
                places.push(*self.places.entry(ids).or_insert_with_key(|ids| {
                    self.all.push(Neighbor { subject: (*name).to_owned(), ids: ids.clone() });
                    self.all.len() - 1
                }));
            }
        }
        Ok(places)
    }
}

/// Whether one of two names, in lower case, is part of the other.
fn overlap(a: &str, b: &str) -> bool {
    a.contains(b) || b.contains(a)
}

impl WritePlan {
    /// The tokens of what `edits`, written together, are to leave alone: their neighbors, without the
    /// names of their subjects, and no more than 512.
    pub fn neighbors_of(&self, edits: &[&PlannedEdit]) -> Vec<&[u32]> {
        let subjects: Vec<String> = edits.iter().map(|edit| edit.subject.to_lowercase()).collect();
        let places: BTreeSet<usize> =
            edits.iter().flat_map(|edit| edit.neighbors.iter().copied()).collect();
        let is_other = |neighbor: &&Neighbor| {
            let name = neighbor.subject.to_lowercase();
            !subjects.iter().any(|subject| overlap(subject, &name))
        };
        let others = places.iter().map(|at| &self.neighbors[*at]).filter(is_other);
        let others: Vec<&[u32]> = others.map(|it| it.ids.as_slice()).collect();
        let step = others.len().div_ceil(MOST).max(1);
        others.into_iter().step_by(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::{Insert, RankOneOptions};

    fn tiny() -> Model {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture")
    }

    fn fact(subject: &str, prompt: &str) -> Fact {
        let insert = Insert {
            subject: subject.into(),
            prompt: prompt.into(),
            target_new: "Rome".into(),
            target_true: None,
            with_ripples: false,
            spans: None,
        };
        insert.into()
    }

    #[test]
    fn the_subject_is_no_neighbor_of_its_own() {
        let model = tiny();
        let mut neighbors = Neighbors::default();
        let fact = fact("marie curie", "The home of {} is");
        let places = neighbors.of(&model, &fact).expect("tokenised");
        assert_eq!(places, (0..NAMES.len() - 1).collect::<Vec<_>>());
        assert!(neighbors.all.iter().all(|it| it.subject != "Marie Curie"));
        for Neighbor { subject, ids } in neighbors.all {
            let read = model.tokenizer.decode(&ids).expect("decoded");
            assert!(read.trim_end().ends_with(&subject), "{read:?} ends with {subject}");
        }
    }

    #[test]
    fn facts_written_together_share_neighbors_and_leave_all_their_subjects_out() {
        let model = tiny();
        let prompts = ["The home of {} is", "The home of {} was", "Where {} lives:"];
        let facts = [("Marie Curie", 0), ("Paris", 1), ("Nobody", 2)]
            .map(|(subject, prompt)| fact(subject, prompts[prompt]));
        let options = RankOneOptions::default();
        let plan = crate::plan::plan(&model, "tiny", &facts, &options, &Silent).expect("a plan");
        // The first two prompts are the same up to the name.
        assert_eq!(plan.neighbors.len(), 2 * NAMES.len());
        let edits: Vec<&PlannedEdit> = plan.edits.iter().collect();
        assert_eq!(plan.neighbors_of(&edits[..1]).len(), NAMES.len() - 1);
        assert_eq!(plan.neighbors_of(&edits).len(), 2 * (NAMES.len() - 2));
    }
}
