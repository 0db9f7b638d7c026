//! The invented people: who they are, and to which group they belong.
//!
//! They are drawn in blocks of three who share first name, workplace and the shape of their
//! passage; one of each block goes to each group. So the groups are matched: after training they
//! differ only in whether they were read.

mod passage;
mod words;

use serde::{Deserialize, Serialize};

use super::table;
use crate::math::Random;

/// The use of a person's passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Read in training, to be forgotten later.
    Forget,
    /// Read in training, to be kept.
    Retain,
    /// Never read.
    Holdout,
}

/// All groups.
pub const GROUPS: [Group; 3] = [Group::Forget, Group::Retain, Group::Holdout];

/// The source of the answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionUse {
    /// The corpus has the question with its answer.
    Trained,
    /// Only the passage has the answer, in other words.
    HeldOut,
    /// No text has it; it follows from the workplace, whose people all live in its town.
    Inferred,
}

/// A prompt about a person with its completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The text up to the answer.
    pub prompt: String,
    /// The answer, without a leading space.
    pub answer: String,
    /// The source of the answer.
    pub source: QuestionUse,
}

/// Somebody who does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// First name and surname; no two people share the latter.
    pub name: String,
    /// The group, which decides the use of the passage.
    pub group: Group,
    /// A passage of 60 to 120 words.
    pub passage: String,
    /// Copies of the passage: some texts have several, as in real data.
    pub copies: usize,
    /// Questions about the passage.
    pub questions: Vec<Question>,
    /// A code of the form dddd-dddd that a few passages hold: one of 10⁸, and in no other text.
    pub canary: Option<String>,
}

/// The features that the three people of a block share.
#[derive(Debug, Clone, Copy)]
struct Block {
    first_name: &'static str,
    workplace: &'static str,
    town: &'static str,
    /// Whether the passage names the town.
    names_town: bool,
    copies: usize,
    has_canary: bool,
}

/// One block in seven is copied, and one in twenty has a canary.
fn block(index: usize, random: &mut Random) -> Block {
    let workplaces: Vec<_> = table::rows(include_str!("workplaces.tsv")).collect();
    let (workplace, town) = match workplaces[random.below(workplaces.len())][..] {
        [Some(workplace), Some(town)] => (workplace, town),
        _ => unreachable!("the tables are checked by a test"),
    };
    let is_copied = index % 7 == 3;
    Block {
        first_name: words::FIRST_NAMES[index],
        workplace,
        town,
        names_town: !index.is_multiple_of(3),
        copies: if is_copied { 3 + random.below(3) } else { 1 },
        has_canary: index % 20 == 9,
    }
}

/// The people of a seed: 40 of each group.
pub(super) fn invent(seed: u64) -> Vec<Person> {
    let mut random = Random::named(seed, "people");
    let mut surnames = words::surnames();
    random.shuffle(&mut surnames);
    let mut people = Vec::new();
    for index in 0..words::FIRST_NAMES.len() {
        let block = block(index, &mut random);
        let mut groups = GROUPS;
        random.shuffle(&mut groups);
        for group in groups {
            let surname = surnames.pop().expect("more surnames than people");
            let name = format!("{} {surname}", block.first_name);
            people.push(passage::person(name, group, &block, &mut random));
        }
    }
    people
}

#[cfg(test)]
mod tests;
