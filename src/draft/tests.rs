//! Drafts of facts, and the files that are written of them.

use super::relations::{all, stated};
use super::*;
use crate::spec::{
    Erase, Insert, PassageSource, PassageVerb, PromptFile, Toward, parse_prompts, parse_spec,
};

fn insert(subject: &str, prompt: &str, new: &str, old: Option<&str>) -> Fact {
    Fact::Insert(Insert {
        subject: subject.into(),
        prompt: prompt.into(),
        target_new: new.into(),
        target_true: old.map(str::to_owned),
        with_ripples: false,
        spans: None,
    })
}

fn erase(subject: &str, prompt: &str, old: &str) -> Fact {
    Fact::Erase(Erase {
        subject: subject.into(),
        prompt: prompt.into(),
        target_true: old.into(),
        toward: Toward::Unknown,
        others: Vec::new(),
        secrets: Vec::new(),
        spans: None,
    })
}

#[test]
fn the_relation_is_the_one_that_the_prompt_states() {
    let rows = [
        ("{} is located in the city of", Some("location")),
        ("The capital of {} is", Some("capital")),
        ("The CEO of {} is", Some("leader")),
        ("{} was founded by", Some("founder")),
        ("{} lies on the continent of", Some("continent")),
        ("The mother tongue of {} is", Some("mother tongue")),
        ("{} is a town in", Some("country")),
        ("{}, who plays the", Some("instrument")),
        ("{} plays the sport of", Some("sport")),
        ("The phone extension of {} is", Some("phone number")),
        // A cue inside a word is none.
        ("{} is inside", None),
        ("The favourite food of {} is", None),
        ("{} transported", None),
    ];
    for (prompt, expected) in rows {
        assert_eq!(stated(prompt).map(|it| it.name), expected, "{prompt}");
    }
}

#[test]
fn every_wording_has_one_slot_and_every_cue_is_in_lower_case() {
    for relation in all() {
        assert!(relation.wordings.len() >= 2, "{relation:?}");
        for wording in relation.wordings {
            assert_eq!(wording.matches("{}").count(), 1, "{wording}");
            assert!(!wording.ends_with(' '), "{wording}");
        }
        for cue in relation.cues {
            assert_eq!(*cue, cue.to_lowercase());
        }
        let told = |(name, answer): &&(&str, &str)| name.contains(answer);
        let told: Vec<_> = relation.others.iter().filter(told).collect();
        assert!(told.len() <= 1, "subjects that tell their answer: {told:?}");
    }
}

#[test]
fn neighbors_that_share_the_old_answer_come_first_and_none_has_the_new_one() {
    let fact = insert("The Louvre", "{} is located in the city of", "Rome", Some("Paris"));
    let draft = Draft::of(&fact);
    assert_eq!(draft.relation, Some("location"));
    let answers: Vec<&str> = draft.neighbors.iter().map(|it| it.answer.as_str()).collect();
    assert_eq!(answers[..3], ["Paris"; 3]);
    assert_eq!(answers.len(), 8);
    assert!(!answers.contains(&"Rome"));
    assert!(draft.neighbors.iter().all(|it| !it.prompt.contains("Louvre")));
    assert_eq!(draft.neighbors[0].prompt, "The Arc de Triomphe is located in the city of");
    assert_eq!(draft.paraphrases[1], "Where is the Louvre? It is in");
}

#[test]
fn a_fact_of_no_known_relation_is_asked_after_other_words() {
    let draft = Draft::of(&insert("Ada", "The favourite food of {} is", "soup", None));
    assert_eq!(draft.relation, None);
    assert!(draft.neighbors.is_empty());
    assert!(draft.paraphrases.iter().all(|it| it.ends_with("The favourite food of Ada is")));
}

/// The texts of the four kinds read back as what was meant.
#[test]
fn what_is_written_reads_back() {
    let facts = [
        insert("The \"Louvre\"", "{} is located in the city of", "Rome", Some("Paris")),
        insert("Ada", "The favourite food of {} is", "soup\\stew", None),
        erase("Marta Quill", "The phone number of {} is", "555-0142"),
        erase("Versailles", "{} is located in", "Paris"),
    ];
    for fact in facts {
        let draft = Draft::of(&fact);
        let text = fact_spec(&fact, Some("./model"), "a.prompts.toml");
        let spec = parse_spec("a.toml", &text).expect("a spec");
        assert_eq!(spec.inserts.len() + spec.erases.len(), 1);
        let inserts = spec.inserts.into_iter().map(Fact::from);
        let read = inserts.chain(spec.erases.into_iter().map(Fact::from)).next().expect("a fact");
        assert_eq!(spec_text_of(read), spec_text_of(fact.clone()));
        assert_eq!(spec.probe.expect("named").to_str(), Some("a.prompts.toml"));
        let prompts = parse_prompts("a.prompts.toml", &prompt_file(&fact, &draft));
        let PromptFile::Prompts(prompts) = prompts.expect("prompts") else { panic!("no records") };
        assert_eq!(*prompts, draft.prompt_set(&fact));
    }
    let names = PassageNames { model: None, secrets: vec!["555-0142".into()] };
    for verb in [PassageVerb::Learn, PassageVerb::Forget] {
        for source in ["Line one.\n\nLine \"two\"."].map(|it| PassageSource::Text(it.into())) {
            let text = passage_spec(verb, &source, &PassageNames::default());
            let spec = parse_spec("b.toml", &text).expect("a spec");
            assert_eq!((spec.passages[0].verb, &spec.passages[0].passages), (verb, &source));
        }
    }
    let file = PassageSource::File("b.txt".into());
    let spec = parse_spec("b.toml", &passage_spec(PassageVerb::Forget, &file, &names));
    assert_eq!(spec.expect("a spec").passages[0].secrets, names.secrets);
}

fn spec_text_of(fact: Fact) -> String {
    crate::spec::spec_text(&[fact])
}
