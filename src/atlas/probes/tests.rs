//! Laws of the probes.

use super::*;
use crate::spec::{BadRecords, EditInput, read_edit_input};

const COUNT: usize = 50;

#[test]
fn counterfactuals_are_false_have_neighbors_and_come_from_many_relations() {
    let world = World::generate(0);
    let records = counterfactuals(&world, COUNT, 0);
    assert_eq!(records.len(), COUNT);
    let relations: BTreeSet<_> = records.iter().map(|record| &record.relation).collect();
    assert!(relations.len() >= 8, "{relations:?}");
    let subjects: BTreeSet<_> =
        records.iter().map(|record| (&record.insert.subject, &record.relation)).collect();
    assert_eq!(subjects.len(), COUNT);
    for record in &records {
        let Record { insert, prompts, .. } = record;
        let relation = record.relation.as_deref().and_then(Relation::of_name).expect("a relation");
        let truth = world.object(&insert.subject, relation);
        assert_eq!(truth, insert.target_true.as_deref(), "{record:?}");
        assert_ne!(truth, Some(insert.target_new.as_str()), "{record:?}");
        assert_eq!(prompts.rewrite[0].prompt, insert.rendered());
        assert!(prompts.paraphrase.len() >= 2, "{record:?}");
        let neighbors = prompts.neighborhood.len();
        assert!((FEWEST_NEIGHBORS..=MOST_NEIGHBORS).contains(&neighbors), "{record:?}");
        for ripple in &prompts.ripple {
            assert_ne!(ripple.target_new, ripple.target_true, "{record:?}");
        }
    }
    assert!(records.iter().any(|record| !record.prompts.ripple.is_empty()));
}

#[test]
fn counterfactuals_belong_to_their_seed() {
    let world = World::generate(0);
    assert_eq!(counterfactuals(&world, 20, 1), counterfactuals(&world, 20, 1));
    assert_ne!(counterfactuals(&world, 20, 1), counterfactuals(&world, 20, 2));
}

#[test]
fn the_json_is_read_back_as_the_same_records() {
    let records = counterfactuals(&World::generate(0), COUNT, 4);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("records.json");
    std::fs::write(&path, counterfact_json(&records).to_string()).expect("written");
    match read_edit_input(&path, BadRecords::Refuse).expect("records") {
        EditInput::Records(read) => assert_eq!(read.records, records),
        EditInput::Spec(_) => panic!("read as a spec"),
    }
}

#[test]
fn every_fact_and_every_question_is_asked() {
    let world = World::generate(0);
    let asked = of_facts(&world, TemplateUse::HeldOut);
    assert!(asked.contains(&Recall {
        prompt: "The capital of the country of France is".to_owned(),
        answer: "Paris".to_owned(),
        relation: Some(Relation::Capital),
    }));
    for group in [Group::Forget, Group::Retain, Group::Holdout] {
        assert_eq!(passages(&world, group).len(), 40);
        for source in [QuestionUse::Trained, QuestionUse::HeldOut, QuestionUse::Inferred] {
            assert!(of_people(&world, group, source).len() >= 20, "{group:?} {source:?}");
        }
    }
}
