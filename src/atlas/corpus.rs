//! The texts that the built-in model reads: an epoch of documents for a seed.
//!
//! An epoch states every fact in some of its training templates, after random prefixes, gives
//! the passages of people and some questions about them, and adds paragraphs of plain English. The
//! next epoch states the facts in other templates after other prefixes, and its English is new.
//!
//! The text of a document and its place among the others depend on the seed, the epoch and
//! the document itself, never on which other documents there are. So the corpus without somebody
//! is the corpus with their documents taken out, D \ D_u, and nothing else.

pub mod english;
mod prefix;

use serde::{Deserialize, Serialize};

use super::world::{Fact, Group, Person, QuestionUse, Relation, Template, TemplateUse, World};
use crate::math::Random;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A fact, perhaps after a prefix.
    Fact,
    /// The passage of a person.
    Passage,
    /// A question about a person with its answer.
    Question,
    /// Plain English.
    English,
}

/// One text of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The text, ending with a full stop.
    pub text: String,
    /// The kind of the document.
    pub kind: DocumentKind,
    /// The person or the subject that it is about.
    pub about: Option<String>,
}

/// The people whose documents are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Without {
    /// Nobody's documents.
    Nothing,
    /// The documents of the forget group.
    Forget,
    /// The documents of the people named.
    People(Vec<String>),
}

/// A name to leave out that is not among the people of the corpus.
#[derive(Debug, thiserror::Error)]
#[error("\"{name}\" is not among the people in the model's corpus; one of them is \"{example}\"")]
pub struct UnknownPerson {
    /// The unknown name.
    pub name: String,
    /// A name that is known.
    pub example: String,
}

impl Without {
    /// Reads `forget`, or names with commas between them.
    pub fn parse(text: &str, world: &World) -> Result<Self, UnknownPerson> {
        if text.trim() == "forget" {
            return Ok(Self::Forget);
        }
        let is_read =
            |name: &str| world.person(name).is_some_and(|person| person.group != Group::Holdout);
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().find(|name| !is_read(name)) {
            Some(unknown) => Err(UnknownPerson {
                name: unknown.clone(),
                example: world
                    .group(Group::Forget)
                    .next()
                    .map_or_else(String::new, |p| p.name.clone()),
            }),
            None => Ok(Self::People(names)),
        }
    }

    /// Whether the documents of this person are left out.
    pub fn leaves_out(&self, person: &Person) -> bool {
        match self {
            Self::Nothing => false,
            Self::Forget => person.group == Group::Forget,
            Self::People(names) => names.contains(&person.name),
        }
    }
}

/// Number of templates in which an epoch states each fact.
const TEMPLATES_AN_EPOCH: usize = 3;

/// Copies of each text about a person in an epoch: with one, numbers are only half learnt.
const READINGS_AN_EPOCH: usize = 2;

/// Paragraphs of plain English in an epoch.
const PARAGRAPHS_AN_EPOCH: usize = 250;

/// The texts of a world for a seed.
#[derive(Debug, Clone, Copy)]
pub struct Corpus<'w> {
    world: &'w World,
    seed: u64,
    without: &'w Without,
}

impl<'w> Corpus<'w> {
    /// The corpus of a world, without the documents of some of its people.
    pub fn new(world: &'w World, seed: u64, without: &'w Without) -> Self {
        Self { world, seed, without }
    }

    /// The documents of an epoch, counted from 0, in the order in which they are read.
    pub fn epoch(&self, epoch: usize) -> Vec<Document> {
        let mut drawn = Drawn { seed: self.seed, epoch, documents: Vec::new() };
        for fact in &self.world.facts {
            self.state(fact, &mut drawn);
        }
        let is_read =
            |person: &&Person| person.group != Group::Holdout && !self.without.leaves_out(person);
        for person in self.world.people.iter().filter(is_read) {
            tell_of(person, &mut drawn);
        }
        for index in 0..PARAGRAPHS_AN_EPOCH {
            drawn.add(&format!("english {index}"), DocumentKind::English, None, |random| {
                english::paragraph(random, english::Part::Train)
            });
        }
        drawn.in_order()
    }

    fn state(&self, fact: &Fact, drawn: &mut Drawn) {
        let templates: Vec<Template> = fact.relation.templates(TemplateUse::Train).collect();
        let id = format!("{} {}", fact.relation.name(), fact.subject);
        let first = Random::named(self.seed, &id).below(templates.len());
        for turn in 0..TEMPLATES_AN_EPOCH.min(templates.len()) {
            let place = (first + drawn.epoch * TEMPLATES_AN_EPOCH + turn) % templates.len();
            let id = format!("{id} {place}");
            drawn.add(&id, DocumentKind::Fact, Some(&fact.subject), |random| {
                let sentence = ended(fact, templates[place], random);
                prefix::prefixed(&sentence, random, |random| self.other_fact(random))
            });
        }
    }

    /// A fact that stands before another one.
    fn other_fact(&self, random: &mut Random) -> String {
        let fact = &self.world.facts[random.below(self.world.facts.len())];
        let templates: Vec<Template> = fact.relation.templates(TemplateUse::Train).collect();
        ended(fact, random.choose(&templates), random)
    }
}

/// The fact as a sentence with its full stop; a pronoun takes any verb, a possessive any noun.
fn ended(fact: &Fact, template: Template, random: &mut Random) -> String {
    const VERBS: [&str; 8] = [
        "had time",
        "wanted tea",
        "knew the way",
        "liked the rain",
        "heard a song",
        "saw the sea",
        "needed rest",
        "had an idea",
    ];
    const NOUNS: [&str; 8] =
        ["keys", "hat", "letters", "boots", "bicycle", "umbrella", "glasses", "books"];
    match fact.relation {
        Relation::Possessive => format!("{} {}.", fact.sentence(template), random.choose(&NOUNS)),
        Relation::Pronoun => format!("{} {}.", fact.sentence(template), random.choose(&VERBS)),
        _ => format!("{}.", fact.sentence(template)),
    }
}

/// All texts of an epoch about a person who is part of the corpus, each once: the passage, then
/// the questions with their answers. For other people they are the texts that there would be.
pub fn texts_about(person: &Person) -> Vec<String> {
    let trained = person.questions.iter().filter(|q| q.source == QuestionUse::Trained);
    let answered = trained.map(|question| format!("{} {}.", question.prompt, question.answer));
    std::iter::once(person.passage.clone()).chain(answered).collect()
}

fn tell_of(person: &Person, drawn: &mut Drawn) {
    for (index, text) in texts_about(person).into_iter().enumerate() {
        let (kind, copies) = match index {
            0 => (DocumentKind::Passage, READINGS_AN_EPOCH.max(person.copies)),
            _ => (DocumentKind::Question, READINGS_AN_EPOCH),
        };
        for copy in 0..copies {
            let id = format!("{} {index} {copy}", person.name);
            drawn.add(&id, kind, Some(&person.name), |_| text.clone());
        }
    }
}

/// Documents with the numbers that order them.
struct Drawn {
    seed: u64,
    epoch: usize,
    documents: Vec<(u64, Document)>,
}

impl Drawn {
    fn add(
        &mut self,
        id: &str,
        kind: DocumentKind,
        about: Option<&str>,
        text: impl FnOnce(&mut Random) -> String,
    ) {
        let mut random = Random::named(self.seed, &format!("epoch {} {id}", self.epoch));
        let place = random.bits();
        let document = Document { text: text(&mut random), kind, about: about.map(str::to_owned) };
        self.documents.push((place, document));
    }

    fn in_order(mut self) -> Vec<Document> {
        self.documents.sort_by_key(|(place, _)| *place);
        self.documents.into_iter().map(|(_, document)| document).collect()
    }
}

#[cfg(test)]
mod tests;
