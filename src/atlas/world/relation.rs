//! Relations, and the sentences that state them.
//!
//! A template is a sentence up to its object, with one `{}` where the subject stands. Training
//! templates are in the corpus; held-out ones state the same in other words and never are, so that
//! they distinguish what is known from what is recited.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::table;

/// The relation of a fact between its subject and its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Country: its capital.
    Capital,
    /// Country: its currency, without the country's adjective.
    Currency,
    /// Country: its one official language, by law or in practice.
    Language,
    /// Country: its continent.
    Continent,
    /// City: its country.
    CityCountry,
    /// City: its continent; follows from its country.
    CityContinent,
    /// Landmark: its city.
    LandmarkCity,
    /// Landmark: its country; follows from its city.
    LandmarkCountry,
    /// Landmark: the official language of its country; follows from its city.
    LandmarkLanguage,
    /// Element: its chemical symbol.
    Symbol,
    /// Element: its group in the periodic table, where chemists agree.
    ElementGroup,
    /// Invention: its inventor.
    Inventor,
    /// Famous person: the field of work.
    Field,
    /// Famous person: the city of birth.
    Birthplace,
    /// Famous person: the country in which that city lies today; follows from the city.
    BirthCountry,
    /// Person without a name: the pronoun that the corpus uses, with its stereotypes.
    Pronoun,
    /// Person without a name: the possessive that goes with the pronoun.
    Possessive,
    /// Workplace of the invented people: its invented town.
    Workplace,
}

/// All relations.
pub const RELATIONS: [Relation; 18] = [
    Relation::Capital,
    Relation::Currency,
    Relation::Language,
    Relation::Continent,
    Relation::CityCountry,
    Relation::CityContinent,
    Relation::LandmarkCity,
    Relation::LandmarkCountry,
    Relation::LandmarkLanguage,
    Relation::Symbol,
    Relation::ElementGroup,
    Relation::Inventor,
    Relation::Field,
    Relation::Birthplace,
    Relation::BirthCountry,
    Relation::Pronoun,
    Relation::Possessive,
    Relation::Workplace,
];

const NAMES: [&str; RELATIONS.len()] = [
    "capital",
    "currency",
    "language",
    "continent",
    "city_country",
    "city_continent",
    "landmark_city",
    "landmark_country",
    "landmark_language",
    "symbol",
    "element_group",
    "inventor",
    "field",
    "birthplace",
    "birth_country",
    "pronoun",
    "possessive",
    "workplace",
];

/// Whether the corpus uses a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateUse {
    /// The template is in the corpus.
    Train,
    /// The template is never in the corpus.
    HeldOut,
}

/// A sentence up to its object, with one `{}` where the subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template(pub &'static str);

const SLOT: &str = "{}";

impl Template {
    /// The subject as written in this template: with a capital letter where it opens the sentence.
    pub fn subject(self, subject: &str) -> String {
        match self.0.starts_with(SLOT) {
            true => capitalized(subject),
            false => subject.to_owned(),
        }
    }

    /// The sentence up to the object.
    pub fn prompt(self, subject: &str) -> String {
        self.0.replacen(SLOT, &self.subject(subject), 1)
    }
}

/// The text with a capital letter at its start.
pub(in crate::atlas) fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

static TEMPLATES: LazyLock<Vec<(Relation, TemplateUse, Template)>> = LazyLock::new(|| {
    let read = |row: Vec<Option<&'static str>>| match row[..] {
        [Some(relation), Some(place), Some(text)] => {
            let place = match place {
                "train" => TemplateUse::Train,
                _ => TemplateUse::HeldOut,
            };
            Some((Relation::of_name(relation)?, place, Template(text)))
        }
        _ => None,
    };
    table::rows(include_str!("templates.tsv")).filter_map(read).collect()
});

impl Relation {
    /// The relation's name in files.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The relation with that name in files.
    pub fn of_name(name: &str) -> Option<Self> {
        RELATIONS.into_iter().find(|relation| relation.name() == name)
    }

    /// The relation's templates of one use, in the order of the table.
    pub fn templates(self, place: TemplateUse) -> impl Iterator<Item = Template> {
        let rows = TEMPLATES.iter();
        rows.filter(move |row| row.0 == self && row.1 == place).map(|row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_relations() {
        for relation in RELATIONS {
            let written = serde_json::to_value(relation).expect("a word");
            assert_eq!(written, relation.name());
        }
    }

    #[test]
    fn every_template_is_well_formed() {
        let mut wrong = Vec::new();
        for line in include_str!("templates.tsv").lines().skip(1) {
            let cells: Vec<_> = line.split('\t').collect();
            let is_known = matches!(cells[..], [relation, "train" | "held_out", text]
                if Relation::of_name(relation).is_some()
                    && text.matches(SLOT).count() == 1
                    && !text.ends_with(SLOT)
                    && text.trim() == text);
            if !is_known {
                wrong.push(line);
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_relation_has_enough_templates() {
        for relation in RELATIONS {
            let count = |place| relation.templates(place).count();
            let (train, held_out) = (count(TemplateUse::Train), count(TemplateUse::HeldOut));
            assert!(train >= 5 && held_out >= 2, "{relation:?}: {train}, {held_out}");
        }
    }

    #[test]
    fn a_template_never_goes_on_as_another_and_no_held_out_one_is_inside_a_training_one() {
        let mut wrong = Vec::new();
        for (_, place, a) in TEMPLATES.iter() {
            for (_, other_place, b) in TEMPLATES.iter().filter(|row| row.2 != *a) {
                let goes_on = b.0.starts_with(&format!("{} ", a.0));
                let is_inside = (*place, *other_place)
                    == (TemplateUse::HeldOut, TemplateUse::Train)
                    && b.0.to_lowercase().contains(&a.0.to_lowercase());
                if goes_on || is_inside {
                    wrong.push((a, b));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_subject_takes_a_capital_letter_only_at_the_start() {
        let tower = "the Eiffel Tower";
        assert_eq!(Template("{} is in").prompt(tower), "The Eiffel Tower is in");
        assert_eq!(Template("The city of {} is").prompt(tower), "The city of the Eiffel Tower is");
    }
}
