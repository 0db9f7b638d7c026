//! First versions of specs and prompt files, from a fact or a text that somebody states in a line.
//!
//! A fact that nobody measures in other words, and beside its neighbors, has not been shown to
//! hold. A [`Draft`] has both, from templates of the relation that the prompt states; a person
//! corrects them, and [`fact_spec`], [`prompt_file`] and [`passage_spec`] write the files.

mod files;
mod relation;
mod relations;

use crate::spec::{Comparison, Fact, PromptSet, SLOT};

pub use files::{PassageNames, fact_spec, passage_spec, prompt_file};
use relation::Relation;

/// Other wordings of a fact, and facts about other subjects that should stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The relation that the prompt states, such as "place of birth"; nothing where none is known.
    pub relation: Option<&'static str>,
    /// The fact in other words, each up to where its target follows.
    pub paraphrases: Vec<String>,
    /// Prompts about other subjects, with the answers that should stay.
    pub neighbors: Vec<Neighbor>,
}

/// A prompt about another subject, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbor {
    /// The text up to the answer.
    pub prompt: String,
    /// The answer, without a blank before it.
    pub answer: String,
}

/// Most characters of a file's name without its ending.
const LONGEST_STEM: usize = 40;
/// Most neighbors of a draft; up to this many of them have the answer that the fact had.
const NEIGHBORS: (usize, usize) = (8, 4);

impl Draft {
    /// Drafts the probes of `fact`.
    pub fn of(fact: &Fact) -> Self {
        let prompt = fact.prompt();
        let Some(relation) = relations::stated(prompt) else {
            return Self {
                paraphrases: relation::any_wording(&fact.rendered()),
                ..Self::default()
            };
        };
        let own = fact.rendered().to_lowercase();
        let wordings = relation.wordings.iter().map(|it| relation::placed(it, fact.subject()));
        Self {
            relation: Some(relation.name),
            paraphrases: wordings.filter(|it| it.to_lowercase() != own).collect(),
            neighbors: neighbors(fact, relation),
        }
    }

    /// The probes as an edit measures them.
    pub fn prompt_set(&self, fact: &Fact) -> PromptSet {
        PromptSet {
            paraphrase: self.paraphrases.iter().map(Comparison::of_edit).collect(),
            neighborhood: self.comparisons(fact).collect(),
            generation: self.paraphrases.iter().take(2).cloned().collect(),
            ..PromptSet::default()
        }
    }

    /// Each neighbor with an answer that it should not get: that of the fact, or where an erased
    /// fact has none, another neighbor's.
    fn comparisons(&self, fact: &Fact) -> impl Iterator<Item = Comparison> {
        self.neighbors.iter().map(move |it| {
            let others = self.neighbors.iter().map(|other| other.answer.as_str());
            let wrong = fact.target_new().into_iter().chain(others).find(|new| *new != it.answer);
            Comparison {
                prompt: it.prompt.clone(),
                target_new: wrong.or(fact.target_true()).map(str::to_owned),
                target_true: Some(it.answer.clone()),
            }
        })
    }
}

/// The prompt with `{}` where it names its subject, if it has none yet and names it once.
pub fn with_slot(prompt: &str, subject: &str) -> String {
    let name = subject.trim();
    match prompt.contains(SLOT) || name.is_empty() || prompt.matches(name).count() != 1 {
        true => prompt.to_owned(),
        false => prompt.replacen(name, SLOT, 1),
    }
}

/// A name for files about a subject: its letters and numbers, small, with dashes between words.
pub fn file_stem(subject: &str) -> String {
    let subject = subject.trim().to_lowercase();
    let subject = subject.strip_prefix("the ").unwrap_or(&subject);
    let words = subject.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let stem: String = words.collect::<Vec<_>>().join("-").chars().take(LONGEST_STEM).collect();
    match stem.trim_end_matches('-') {
        "" => "fact".to_owned(),
        stem => stem.to_owned(),
    }
}

/// Other subjects of the relation under the fact's own prompt, those first whose answer the fact
/// had: an edit changes them most easily.
fn neighbors(fact: &Fact, relation: &Relation) -> Vec<Neighbor> {
    let subject = fact.subject().to_lowercase();
    let is_same = |a: &str, b: Option<&str>| b.is_some_and(|b| a.eq_ignore_ascii_case(b.trim()));
    let (had, others): (Vec<_>, Vec<_>) = relation
        .others
        .iter()
        .filter(|(name, answer)| {
            let name = name.to_lowercase();
            let is_own = name.contains(&subject) || subject.contains(&name);
            !is_own && !is_same(answer, fact.target_new())
        })
        .partition(|(_, answer)| is_same(answer, fact.target_true()));
    let (most, most_had) = NEIGHBORS;
    let chosen = had.into_iter().take(most_had).chain(others).take(most);
    let neighbor = |(name, answer): &(&str, &str)| Neighbor {
        prompt: relation::placed(fact.prompt(), name),
        answer: (*answer).to_owned(),
    };
    chosen.map(neighbor).collect()
}

#[cfg(test)]
mod tests;
