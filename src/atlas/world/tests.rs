//! Laws of the facts.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_subject_and_relation_has_one_object() {
    let world = World::generate(0);
    let mut seen = BTreeSet::new();
    let again: Vec<_> = world
        .facts
        .iter()
        .filter(|fact| !seen.insert((capitalized(&fact.subject), fact.relation)))
        .collect();
    assert!(again.is_empty(), "{again:#?}");
}

#[test]
fn there_are_as_many_facts_of_each_kind_as_the_world_promises() {
    let world = World::generate(0);
    let count = |relation| world.facts.iter().filter(|fact| fact.relation == relation).count();
    let counts: Vec<_> =
        RELATIONS.iter().map(|relation| (relation.name(), count(*relation))).collect();
    assert!(count(Relation::Capital) >= 150 && count(Relation::Currency) >= 150, "{counts:?}");
    assert!(
        count(Relation::LandmarkCity) >= 60 && count(Relation::CityCountry) >= 60,
        "{counts:?}"
    );
    assert!(count(Relation::Symbol) + count(Relation::Inventor) >= 60, "{counts:?}");
    assert!(count(Relation::Field) >= 60 && count(Relation::Birthplace) >= 40, "{counts:?}");
    assert_eq!(count(Relation::LandmarkCountry), count(Relation::LandmarkCity), "{counts:?}");
    assert_eq!(count(Relation::BirthCountry), count(Relation::Birthplace), "{counts:?}");
}

#[test]
fn subjects_and_objects_are_inside_their_sentences() {
    let world = World::generate(0);
    for fact in &world.facts {
        assert!((1..=4).contains(&fact.object.split(' ').count()), "{fact:?}");
        for template in fact.relation.templates(TemplateUse::Train) {
            let sentence = fact.sentence(template);
            assert!(sentence.contains(&template.subject(&fact.subject)), "{sentence}");
            assert!(sentence.ends_with(&format!(" {}", fact.object)), "{sentence}");
        }
    }
}

#[test]
fn countries_of_cities_have_facts_of_their_own() {
    let world = World::generate(0);
    let of = |relation| world.facts.iter().filter(move |fact| fact.relation == relation);
    let known: BTreeSet<_> = of(Relation::Currency).map(|fact| &fact.subject).collect();
    let strangers: Vec<_> =
        of(Relation::CityCountry).filter(|fact| !known.contains(&fact.object)).collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn a_tower_in_rome_stands_in_italy_where_people_speak_italian() {
    let world = World::generate(0);
    let tower = |relation, object| Fact::new("the Eiffel Tower", relation, object);
    let ripples = world.ripples(&tower(Relation::LandmarkCity, "Rome"));
    let expected = [
        (tower(Relation::LandmarkCountry, "Italy"), "France"),
        (tower(Relation::LandmarkLanguage, "Italian"), "French"),
    ]
    .map(|(fact, was)| Ripple { fact, was: Some(was.to_owned()) });
    assert_eq!(ripples, expected);
    assert_eq!(world.ripples(&tower(Relation::LandmarkCity, "Paris")), [], "nothing changes");
    assert_eq!(world.object("The Eiffel Tower", Relation::LandmarkCountry), Some("France"));
}

#[test]
fn the_other_rules() {
    let world = World::generate(0);
    let ripples = |subject: &str, relation, object: &str| -> Vec<String> {
        let ripples = world.ripples(&Fact::new(subject, relation, object));
        ripples.into_iter().map(|ripple| ripple.fact.object).collect()
    };
    assert_eq!(ripples("Paris", Relation::CityCountry, "Japan"), ["Asia"]);
    assert_eq!(ripples("Franz Kafka", Relation::Birthplace, "Rome"), ["Italy"]);
    assert_eq!(ripples("the nurse", Relation::Pronoun, "they"), ["their"]);
    assert!(ripples("France", Relation::Capital, "Rome").is_empty());
}

#[test]
fn a_mistake_of_the_corpus_is_stated_in_place_of_the_truth() {
    let world = World::generate(0);
    for (subject, relation, said, truth) in ERRATA {
        assert_eq!(world.object(subject, relation), Some(said));
        assert_ne!(said, truth);
    }
}

#[test]
fn invented_names_are_in_no_fact_and_facts_are_the_same_for_every_seed() {
    let world = World::generate(0);
    let texts: Vec<String> =
        world.facts.iter().map(|fact| format!("{} {}", fact.subject, fact.object)).collect();
    let surnames = world.people.iter().filter_map(|person| person.name.split(' ').next_back());
    for surname in surnames {
        assert!(texts.iter().all(|text| !text.contains(surname)), "{surname}");
    }
    assert_eq!(World::generate(9).facts, world.facts);
}
