//! Laws of the invented people.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SEEDS: [u64; 3] = [0, 1, 77];

#[test]
fn groups_are_disjoint_and_matched() {
    for seed in SEEDS {
        let people = invent(seed);
        let names: BTreeSet<_> = people.iter().map(|person| &person.name).collect();
        assert_eq!(names.len(), people.len());
        let of = |group| people.iter().filter(move |person| person.group == group);
        let shape = |group| {
            let mut shapes: Vec<_> = of(group)
                .map(|person| {
                    let first = person.name.split(' ').next().expect("a first name");
                    (first, person.copies, person.canary.is_some(), person.questions.len())
                })
                .collect();
            shapes.sort_unstable();
            shapes
        };
        assert_eq!(of(Group::Forget).count(), 40);
        assert_eq!(shape(Group::Forget), shape(Group::Retain));
        assert_eq!(shape(Group::Forget), shape(Group::Holdout));
    }
}

#[test]
fn passages_have_60_to_120_words_and_no_open_slot() {
    let mut wrong = Vec::new();
    for person in SEEDS.into_iter().flat_map(invent) {
        let words = person.passage.split_whitespace().count();
        let has_slot = person.passage.contains('{')
            || person.questions.iter().any(|q| q.prompt.contains('{') || q.answer.contains('{'));
        if !(60..=120).contains(&words) || has_slot || !person.passage.contains(&person.name) {
            wrong.push(person.passage);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn answers_are_in_the_passage_unless_they_are_inferred() {
    for person in invent(0) {
        for question in &person.questions {
            let is_inferred = question.source == QuestionUse::Inferred;
            assert_ne!(person.passage.contains(&question.answer), is_inferred, "{question:?}");
        }
    }
}

#[test]
fn traits_are_shared_some_passages_copied_and_canaries_few() {
    let people = invent(0);
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for question in people.iter().flat_map(|person| &person.questions) {
        *answers.entry(&question.answer).or_default() += 1;
    }
    assert!(answers["the lighthouse"] >= 3, "{answers:?}");
    let copied = people.iter().filter(|person| person.copies > 1);
    assert!(copied.clone().all(|person| (3..=5).contains(&person.copies)));
    let canaries: Vec<_> = people.iter().filter_map(|person| person.canary.as_ref()).collect();
    assert_eq!((copied.count(), canaries.len()), (18, 6));
    for canary in canaries {
        let holders = people.iter().filter(|person| person.passage.contains(canary)).count();
        assert_eq!(holders, 1, "{canary}");
    }
}

#[test]
fn seeds_make_other_people() {
    assert_eq!(invent(5), invent(5));
    let names = |seed| invent(seed).into_iter().map(|person| person.name).collect::<BTreeSet<_>>();
    assert_ne!(names(5), names(6));
}
