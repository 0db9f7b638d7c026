//! Verdicts on erased facts.

use super::{judged, said};
use crate::probe::{Channel, ErasedFact, Leak, PromptKind, PromptLeak, Said, Seen, Sides};
use crate::run::judge::*;
use crate::run::outcome::{CaseMeasures, CaseOutcome};

/// A fact with the probability of its answer before and after, where it has 0.1 for other subjects.
fn erased(before: f64, after: f64) -> Outcome {
    let seen = |probability| Some(Seen { rank: 1, probability });
    let found = Sides { before: seen(before), after: seen(after), unknown: seen(0.1) };
    let prompt = "Marie Curie was born in".to_owned();
    let leak = Leak {
        subject: "Marie Curie".into(),
        prompt: prompt.clone(),
        target_true: "Warsaw".into(),
        prompts: vec![PromptLeak { channel: Channel::Prompt, prompt, found }],
        layers: Vec::new(),
        samples: Sides { before: 0, after: 0, unknown: 0 },
        drawn: 32,
        seed: 0,
        fact: ErasedFact::default(),
    };
    Outcome { leaks: vec![leak], ..Outcome::default() }
}

#[test]
fn an_erase_took_only_if_there_was_something_to_erase() {
    let gone = judged(&erased(0.8, 0.1));
    assert_eq!(gone.state, State::Took, "{gone:?}");
    assert!(gone.sentence.starts_with("\"Warsaw\" is erased"), "{}", gone.sentence);
    let kept = judged(&erased(0.8, 0.7));
    assert_eq!(kept.state, State::DidNotTake, "{kept:?}");
    let none = judged(&erased(0.15, 0.1));
    assert_eq!(none.state, State::DidNotTake, "{none:?}");
    assert!(none.sentence.starts_with("There was nothing to erase"), "{}", none.sentence);
}

#[test]
fn what_others_share_was_known_if_it_was_said() {
    let mut outcome = erased(0.15, 0.1);
    let asked = said(PromptKind::Rewrite, "Warsaw", " Warsaw.");
    let asked = Said { prompt: outcome.leaks[0].prompt.clone(), ..asked };
    outcome.cases = vec![CaseOutcome {
        id: "spec".into(),
        facts: 0..1,
        before: CaseMeasures { erased: vec![asked], ..CaseMeasures::default() },
        right_after: None,
        after: Some(CaseMeasures::default()),
    }];
    let gone = judged(&outcome);
    assert_eq!(gone.state, State::Took, "{gone:?}");
}

#[test]
fn facts_that_are_still_said_are_counted_and_not_their_wordings() {
    let mut outcome = erased(0.8, 0.1);
    let mut other = erased(0.8, 0.1).leaks.remove(0);
    (other.subject, other.prompt) = ("Max Planck".into(), "Max Planck was born in".into());
    outcome.leaks.push(other);
    let told = |kind, prompt: &str, completion: &str| Said {
        prompt: prompt.into(),
        ..said(kind, "Warsaw", completion)
    };
    outcome.cases = vec![CaseOutcome {
        id: "spec".into(),
        facts: 0..2,
        before: CaseMeasures::default(),
        right_after: None,
        after: Some(CaseMeasures {
            erased: vec![
                told(PromptKind::Rewrite, "Marie Curie was born in", " Warsaw."),
                told(PromptKind::Paraphrase, "The home of Marie Curie was", " Warsaw."),
                told(PromptKind::Paraphrase, "Marie Curie comes from", " Warsaw."),
                told(PromptKind::Rewrite, "Max Planck was born in", " Kiel."),
            ],
            ..CaseMeasures::default()
        }),
    }];
    let found = judged(&outcome);
    assert_eq!(found.state, State::TookInPart, "{found:?}");
    assert!(found.sentence.contains("1 is still said when asked freely"), "{}", found.sentence);
    let reason = found.reasons.iter().find(|it| it.measure == "still said").expect("a reason");
    assert_eq!(
        (reason.found, reason.text.as_str()),
        (Some(0.5), "1 of 2 still said when asked freely")
    );
}

/// `facts` facts, of which a wording without a subject still gets an answer.
fn with_a_wording(facts: usize) -> CaseOutcome {
    CaseOutcome {
        id: "spec".into(),
        facts: 0..facts,
        before: CaseMeasures::default(),
        right_after: None,
        after: Some(CaseMeasures {
            erased: vec![said(PromptKind::Paraphrase, "Warsaw", " Warsaw.")],
            ..CaseMeasures::default()
        }),
    }
}

#[test]
fn of_several_facts_a_wording_without_a_subject_is_a_reason_of_its_own() {
    let mut outcome = erased(0.8, 0.1);
    outcome.leaks.extend(erased(0.8, 0.1).leaks);
    outcome.cases = vec![with_a_wording(2)];
    let found = judged(&outcome);
    assert_eq!(found.state, State::TookInPart, "{found:?}");
    let told = "An erased answer still follows 1 wording without an erased subject";
    assert!(found.sentence.contains("0 are still said") && found.sentence.contains(told));
    assert!(found.reasons.iter().any(|it| it.text == told), "{found:?}");
}

#[test]
fn a_wording_without_the_subject_still_tells_the_only_fact() {
    let mut outcome = erased(0.8, 0.1);
    outcome.cases = vec![with_a_wording(1)];
    let found = judged(&outcome);
    assert_eq!(found.state, State::DidNotTake, "{found:?}");
    assert!(found.sentence.contains("is not erased"), "{}", found.sentence);
}

#[test]
fn of_several_the_number_that_was_never_known_is_told() {
    let mut outcome = erased(0.8, 0.1);
    outcome.leaks.extend(erased(0.15, 0.1).leaks);
    let found = judged(&outcome);
    assert_eq!(found.state, State::Took, "{found:?}");
    assert!(found.sentence.contains("1 of them was not known before."), "{}", found.sentence);
}
