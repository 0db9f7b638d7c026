//! Laws of the corpus.

use std::collections::BTreeSet;

use super::*;

fn texts(world: &World, seed: u64, epoch: usize, without: &Without) -> Vec<String> {
    let corpus = Corpus::new(world, seed, without);
    corpus.epoch(epoch).into_iter().map(|document| document.text).collect()
}

#[test]
fn the_same_seed_gives_the_same_corpus() {
    let world = World::generate(0);
    let draw = |seed, epoch| texts(&world, seed, epoch, &Without::Nothing);
    assert_eq!(draw(0, 0), draw(0, 0));
    assert_ne!(draw(0, 0), draw(1, 0));
    assert_ne!(draw(0, 0), draw(0, 1));
}

#[test]
fn leaving_people_out_takes_their_documents_and_nothing_else() {
    let world = World::generate(0);
    let corpus = |without: &Without| Corpus::new(&world, 3, without).epoch(2);
    let one = world.group(Group::Retain).next().expect("a person").name.clone();
    for without in [Without::Forget, Without::People(vec![one])] {
        let is_left_out = |document: &Document| {
            let person = document.about.as_ref().and_then(|name| world.person(name));
            person.is_some_and(|person| without.leaves_out(person))
        };
        let mut rest = corpus(&Without::Nothing);
        let before = rest.len();
        rest.retain(|document| !is_left_out(document));
        assert!(rest.len() < before);
        assert_eq!(corpus(&without), rest);
    }
}

/// Full names, and surnames as words of their own.
fn mentions<'t>(texts: &'t [String], people: &[&Person]) -> Vec<&'t String> {
    let names: BTreeSet<&str> = people
        .iter()
        .map(|person| person.name.split(' ').next_back().expect("a surname"))
        .collect();
    let has_name = |text: &&String| {
        text.split(|c: char| !c.is_alphanumeric()).any(|word| names.contains(word))
    };
    texts.iter().filter(has_name).collect()
}

#[test]
fn nobody_is_named_who_is_not_read_about() {
    let world = World::generate(1);
    let people = |group| world.group(group).collect::<Vec<_>>();
    let (forget, holdout) = (people(Group::Forget), people(Group::Holdout));
    let with = texts(&world, 1, 0, &Without::Nothing);
    let named = mentions(&with, &holdout);
    assert!(named.is_empty(), "{named:#?}");
    assert!(mentions(&with, &forget).len() > 100);
    let without = texts(&world, 1, 0, &Without::Forget);
    let named = mentions(&without, &forget);
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn held_out_templates_and_questions_are_in_no_document() {
    let world = World::generate(0);
    let mut asked: Vec<String> =
        world.facts.iter().flat_map(|fact| fact.prompts(TemplateUse::HeldOut)).collect();
    let held_out = world.people.iter().flat_map(|person| &person.questions);
    asked.extend(held_out.filter(|q| q.source != QuestionUse::Trained).map(|q| q.prompt.clone()));
    let asked: BTreeSet<String> = asked.iter().map(|prompt| prompt.to_lowercase()).collect();
    let lengths: BTreeSet<usize> = asked.iter().map(|prompt| prompt.split(' ').count()).collect();
    let mut found = Vec::new();
    for epoch in 0..2 {
        for text in texts(&world, 0, epoch, &Without::Nothing) {
            let words: Vec<String> = text.split(' ').map(str::to_lowercase).collect();
            let windows = lengths.iter().flat_map(|length| words.windows(*length));
            let is_asked = |window: &&[String]| asked.contains(&window.join(" "));
            found.extend(windows.filter(is_asked).map(<[String]>::to_vec));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_training_prompt_is_read_within_three_epochs() {
    let world = World::generate(0);
    let read: Vec<String> =
        (0..3).flat_map(|epoch| texts(&world, 0, epoch, &Without::Nothing)).collect();
    let lower = read.join("\n").to_lowercase();
    let facts = world.facts.iter().step_by(7);
    let missing: Vec<_> = facts
        .flat_map(|fact| fact.relation.templates(TemplateUse::Train).map(|t| fact.sentence(t)))
        .filter(|sentence| !lower.contains(&sentence.to_lowercase()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn an_epoch_has_facts_people_and_english_in_a_fair_number_of_words() {
    let world = World::generate(0);
    let documents = Corpus::new(&world, 0, &Without::Nothing).epoch(0);
    let words = |kind| -> usize {
        let of_kind = documents.iter().filter(|document| document.kind == kind);
        of_kind.map(|document| document.text.split_whitespace().count()).sum()
    };
    let all =
        [DocumentKind::Fact, DocumentKind::Passage, DocumentKind::Question, DocumentKind::English]
            .map(words);
    // At about 1.3 tokens a word: 80,000 to 120,000 tokens.
    assert!((62_000..92_000).contains(&all.iter().sum::<usize>()), "{all:?}");
    assert!(all.into_iter().all(|words| words > 1500), "{all:?}");
}

#[test]
fn a_list_of_people_is_read_and_a_stranger_named() {
    let world = World::generate(0);
    let name = &world.group(Group::Forget).nth(3).expect("a person").name;
    assert_eq!(
        Without::parse(&format!(" {name} "), &world).expect("known"),
        Without::People(vec![name.clone()])
    );
    assert_eq!(Without::parse("forget", &world).expect("known"), Without::Forget);
    let error = Without::parse("Nobody Atall", &world).expect_err("unknown").to_string();
    assert!(
        error.contains("Nobody Atall")
            && error.contains(&world.group(Group::Forget).next().expect("a person").name)
    );
}

#[test]
fn the_passage_files_of_the_shipped_deletion_request_are_the_worlds() {
    let world = World::generate(0);
    let texts = |people: &mut dyn Iterator<Item = &Person>| {
        people.flat_map(texts_about).collect::<Vec<_>>().join("\n\n") + "\n"
    };
    let clio = world.person("Clio Sandby").expect("a person");
    assert_eq!(clio.group, Group::Forget);
    let files = [
        ("clio.txt", texts(&mut std::iter::once(clio))),
        ("retain.txt", texts(&mut world.group(Group::Retain))),
        ("holdout.txt", texts(&mut world.group(Group::Holdout))),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("edits/passages");
    for (name, text) in files {
        let shipped = std::fs::read_to_string(folder.join(name)).expect("a passage file");
        assert!(shipped == text, "edits/passages/{name} is not what the world says");
    }
}
