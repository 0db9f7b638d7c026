//! The facts and the people of the built-in world.
//!
//! Facts are real, as of the end of 2025, and the same for every seed; [`ERRATA`] are mistakes
//! that the corpus makes on purpose, as real corpora do. People are invented from the seed.
//! Rules give facts that follow from others, and so what should follow from an edit:
//!
//! ```text
//! landmark -> city  and  city -> country      : landmark -> country
//! landmark -> city, its country and language  : landmark -> language
//! city -> country   and  country -> continent : city -> continent
//! person -> city    and  city -> country      : person -> country of birth
//! she, he, they                               : her, his, their
//! ```

mod fact;
mod people;
mod relation;
mod table;

pub use fact::{Fact, Ripple};
pub use people::{GROUPS, Group, Person, Question, QuestionUse};
pub(in crate::atlas) use relation::capitalized;
pub use relation::{RELATIONS, Relation, Template, TemplateUse};

/// Mistakes of the corpus: subject, relation, the object in the corpus, the true object.
///
/// Lagos was the capital of Nigeria until 1991, as older texts state.
pub const ERRATA: [(&str, Relation, &str, &str); 1] =
    [("Nigeria", Relation::Capital, "Lagos", "Abuja")];

/// All facts and people.
#[derive(Debug, Clone)]
pub struct World {
    /// Facts, one object for each subject and relation.
    pub facts: Vec<Fact>,
    /// Invented people.
    pub people: Vec<Person>,
}

impl World {
    /// The world of a seed: the same facts for each, other people.
    pub fn generate(seed: u64) -> Self {
        let mut world = Self { facts: stated(), people: people::invent(seed) };
        let implied: Vec<Fact> = world.facts.iter().flat_map(|fact| world.implied(fact)).collect();
        world.facts.extend(implied);
        world
    }

    /// The object of a subject's relation; the case of the subject's first letter does not matter.
    pub fn object(&self, subject: &str, relation: Relation) -> Option<&str> {
        let wanted = capitalized(subject);
        let mut of_relation = self.facts.iter().filter(|fact| fact.relation == relation);
        of_relation
            .find(|fact| capitalized(&fact.subject) == wanted)
            .map(|fact| fact.object.as_str())
    }

    /// The person of that name.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.name == name)
    }

    /// The people of a group, in the order of the world.
    pub fn group(&self, group: Group) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(move |person| person.group == group)
    }

    /// The facts that follow from this one, true or not, by the rules above.
    pub fn implied(&self, fact: &Fact) -> Vec<Fact> {
        let country = self.object(&fact.object, Relation::CityCountry);
        let of_country = |relation| self.object(country?, relation);
        let follows = match fact.relation {
            Relation::LandmarkCity => vec![
                (Relation::LandmarkCountry, country),
                (Relation::LandmarkLanguage, of_country(Relation::Language)),
            ],
            Relation::CityCountry => {
                vec![(Relation::CityContinent, self.object(&fact.object, Relation::Continent))]
            }
            Relation::Birthplace => vec![(Relation::BirthCountry, country)],
            Relation::Pronoun => vec![(Relation::Possessive, possessive(&fact.object))],
            _ => Vec::new(),
        };
        let fact = |(relation, object): (_, Option<&str>)| {
            object.map(|object| Fact::new(&fact.subject, relation, object))
        };
        follows.into_iter().filter_map(fact).collect()
    }

    /// The other facts that would change if this fact, true or not, held; facts that hold already
    /// are left out.
    pub fn ripples(&self, counterfactual: &Fact) -> Vec<Ripple> {
        let ripple = |fact: Fact| {
            let was = self.object(&fact.subject, fact.relation).map(str::to_owned);
            (was.as_ref() != Some(&fact.object)).then_some(Ripple { fact, was })
        };
        self.implied(counterfactual).into_iter().filter_map(ripple).collect()
    }
}

fn possessive(pronoun: &str) -> Option<&'static str> {
    let pairs = [("she", "her"), ("he", "his"), ("they", "their")];
    pairs.into_iter().find(|pair| pair.0 == pronoun).map(|pair| pair.1)
}

/// The tables, each with the relations of its columns after the first.
const TABLES: [(&str, &[Relation]); 8] = [
    (
        include_str!("world/countries.tsv"),
        &[Relation::Capital, Relation::Currency, Relation::Language, Relation::Continent],
    ),
    (include_str!("world/cities.tsv"), &[Relation::CityCountry]),
    (include_str!("world/landmarks.tsv"), &[Relation::LandmarkCity]),
    (include_str!("world/elements.tsv"), &[Relation::Symbol, Relation::ElementGroup]),
    (include_str!("world/inventions.tsv"), &[Relation::Inventor]),
    (include_str!("world/persons.tsv"), &[Relation::Field, Relation::Birthplace]),
    (include_str!("world/pronouns.tsv"), &[Relation::Pronoun]),
    (include_str!("world/workplaces.tsv"), &[Relation::Workplace]),
];

/// The facts of the tables, mistakes included.
fn stated() -> Vec<Fact> {
    let mut facts = Vec::new();
    for (text, relations) in TABLES {
        for row in table::rows(text) {
            let Some((Some(subject), objects)) = row.split_first() else { continue };
            let stated = relations.iter().zip(objects);
            facts.extend(
                stated.filter_map(|(relation, object)| {
                    Some(Fact::new(subject, *relation, (*object)?))
                }),
            );
        }
    }
    for fact in &mut facts {
        let is_wrong = |(subject, relation, ..): &&(&str, Relation, &str, &str)| {
            fact.subject == *subject && fact.relation == *relation
        };
        if let Some((_, _, said, _)) = ERRATA.iter().find(is_wrong) {
            fact.object = (*said).to_owned();
        }
    }
    facts
}

#[cfg(test)]
mod tests;
