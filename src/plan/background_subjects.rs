//! Background subjects: names that stand for whatever else a prompt can be asked about.
//!
//! The effect of a write on a prompt about someone or something else depends on how far its key
//! lies along the subject's. The second moment covers the keys of all tokens; the ones that matter
//! here are those at the ends of names, after the same words. A few dozen names of many kinds stand
//! for them: a write keeps their values. A probe counts how many answers about other names stay.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::names::{NameUse, background_subjects};
use super::near_subjects::near_subjects;
use super::{PlanError, PlannedEdit, WritePlan, tokenise};
use crate::model::Model;
use crate::spec::Fact;

/// The prompt about another name, up to the end of the name.
#[derive(Debug, Clone, Serialize)]
pub struct BackgroundPrompt {
    /// The name that the prompt is about.
    pub subject: String,
    /// Tokens of the prompt; the last is the lookup token.
    pub ids: Vec<u32>,
}

/// Most names that one write keeps; those of several prompts are thinned out evenly.
const MOST: usize = 512;

/// The background of all facts of a plan, each sequence of tokens once.
#[derive(Default)]
pub(super) struct BackgroundPrompts {
    pub(super) all: Vec<BackgroundPrompt>,
    places: HashMap<Vec<u32>, usize>,
}

impl BackgroundPrompts {
    /// The places of the prompt of `fact` about each name that is not the subject's, or part of it.
    pub(super) fn of(&mut self, model: &Model, fact: &Fact) -> Result<Vec<usize>, PlanError> {
        let subject = fact.subject().to_lowercase();
        let is_other = |name: &&str| !overlap(&subject, &name.to_lowercase());
        let names = background_subjects(NameUse::Held).iter().copied();
        self.about(model, fact, names.filter(is_other))
    }

    /// The places of the prompt of `fact` about near subjects of its subject.
    pub(super) fn near(&mut self, model: &Model, fact: &Fact) -> Result<Vec<usize>, PlanError> {
        let names = near_subjects(fact.subject(), NameUse::Held);
        self.about(model, fact, names.iter().map(String::as_str))
    }

    /// The places of the prompt of `fact` about each of `names`.
    ///
    /// A name whose end is the first token is left out: its key carries the attention sink.
    fn about<'n>(
        &mut self,
        model: &Model,
        fact: &Fact,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Vec<usize>, PlanError> {
        let mut places = Vec::new();
        for name in names {
            let prompt = tokenise(model, "", fact.prompt(), name)?;
            if prompt.lookup > 0 {
                let ids = prompt.ids[..=prompt.lookup].to_vec();
                places.push(*self.places.entry(ids).or_insert_with_key(|ids| {
                    self.all.push(BackgroundPrompt { subject: name.to_owned(), ids: ids.clone() });
                    self.all.len() - 1
                }));
            }
        }
        Ok(places)
    }
}

/// Whether one of two names, in lower case, is part of the other.
pub fn overlap(a: &str, b: &str) -> bool {
    a.contains(b) || b.contains(a)
}

impl WritePlan {
    /// The prompts that `edits`, written together, should leave unchanged: their background,
    /// without the names of their subjects, and no more than 512.
    pub fn background_of(&self, edits: &[&PlannedEdit]) -> Vec<&[u32]> {
        self.about_others(edits, |edit| &edit.background, overlap)
    }

    /// The prompts about near subjects that `edits`, written together, should leave unchanged, no
    /// more than 512. Near subjects often have a subject as a part, but none is one.
    pub fn near_of(&self, edits: &[&PlannedEdit]) -> Vec<&[u32]> {
        self.about_others(edits, |edit| &edit.near, |subject, name| subject == name)
    }

    fn about_others(
        &self,
        edits: &[&PlannedEdit],
        places: impl Fn(&PlannedEdit) -> &[usize],
        is_same: impl Fn(&str, &str) -> bool,
    ) -> Vec<&[u32]> {
        let subjects: Vec<String> = edits.iter().map(|edit| edit.subject.to_lowercase()).collect();
        let places: BTreeSet<usize> =
            edits.iter().flat_map(|edit| places(edit).iter().copied()).collect();
        let is_other = |prompt: &&BackgroundPrompt| {
            let name = prompt.subject.to_lowercase();
            !subjects.iter().any(|subject| is_same(subject, &name))
        };
        let others = places.iter().map(|at| &self.background[*at]).filter(is_other);
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

    /// The number of names that a write keeps.
    fn held() -> usize {
        background_subjects(NameUse::Held).len()
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
    fn the_subject_is_not_in_its_own_background() {
        let model = tiny();
        let mut background = BackgroundPrompts::default();
        let fact = fact("isaac newton", "The home of {} is");
        let places = background.of(&model, &fact).expect("tokenised");
        assert_eq!(places, (0..held() - 1).collect::<Vec<_>>());
        assert!(background.all.iter().all(|it| it.subject != "Isaac Newton"));
        for BackgroundPrompt { subject, ids } in background.all {
            let read = model.tokenizer.decode(&ids).expect("decoded");
            assert!(read.trim_end().ends_with(&subject), "{read:?} ends with {subject}");
        }
    }

    #[test]
    fn facts_written_together_share_a_background_and_leave_all_their_subjects_out() {
        let model = tiny();
        let prompts = ["The home of {} is", "The home of {} was", "Where {} lives:"];
        let facts = [("Isaac Newton", 0), ("Rome", 1), ("Nobody", 2)]
            .map(|(subject, prompt)| fact(subject, prompts[prompt]));
        let options = RankOneOptions { near_weight: Some(0.), ..RankOneOptions::default() };
        let plan = crate::plan::plan(&model, "tiny", &facts, &options, &Silent).expect("a plan");
        // The first two prompts are the same up to the name.
        assert_eq!(plan.background.len(), 2 * held());
        let edits: Vec<&PlannedEdit> = plan.edits.iter().collect();
        assert_eq!(plan.background_of(&edits[..1]).len(), held() - 1);
        assert_eq!(plan.background_of(&edits).len(), 2 * (held() - 2));
    }
}
