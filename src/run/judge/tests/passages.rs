//! Verdicts on passages and their secrets.

use super::judged;
use crate::gradient::{Extent, PassageSets, PassageSettings};
use crate::math::{mean_interval, share_interval};
use crate::probe::{SecretAttack, SecretSeen};
use crate::run::attack::{Attack, Compared, RelearnCurve, RelearnPoint, Relearning};
use crate::run::judge::*;
use crate::run::outcome::PassageMeasures;
use crate::run::train::{Answers, OwnWordsOutcome, SetMemory, SetsMemory};
use crate::spec::{GradientOptions, PassageVerb};

fn memory(nll: f64) -> SetMemory {
    let interval = mean_interval(&[nll, nll]).expect("two numbers");
    SetMemory { nll: interval, extraction: interval, recital: None }
}

#[test]
fn a_probe_of_passages_is_judged_as_a_training_is() {
    let sets = |nll: f64, retain: f64| SetsMemory {
        passages: Some(memory(nll)),
        retain: Some(memory(retain)),
        holdout: Some(memory(3.)),
        answers: Answers::default(),
    };
    let of = |nll, retain| Outcome {
        passages: vec![PassageMeasures {
            verb: PassageVerb::Forget,
            before: sets(1., 2.),
            after: Some(sets(nll, retain)),
            references: Vec::new(),
            goal: Some(3.),
            own_words: None,
        }],
        ..Outcome::default()
    };
    let forgotten = judged(&of(3., 1.9999));
    assert_eq!(forgotten.state, State::Took, "{forgotten:?}");
    let says = "their NLL went from 1.00 to 3.00, the hold-out's is 3.00; none of their words is \
                recited; the retain set's NLL is unchanged.";
    assert!(forgotten.sentence.contains(says), "{}", forgotten.sentence);
    let less = judged(&of(2., 2.1));
    assert_eq!(less.state, State::TookInPart, "{less:?}");
    assert!(less.sentence.contains("NLL changed by +5.0 %"), "{}", less.sentence);
    let none = judged(&of(1.0001, 2.));
    assert_eq!(none.state, State::DidNotTake, "{none:?}");
}

/// A forgotten set whose watched half has this NLL after five steps on the other half, where models
/// that never saw it have 3.
fn attacked(watched: f64) -> Outcome {
    let sets = |nll| SetsMemory {
        passages: Some(memory(nll)),
        retain: None,
        holdout: Some(memory(3.)),
        answers: Answers::default(),
    };
    let passages = vec![PassageMeasures {
        verb: PassageVerb::Forget,
        before: sets(1.),
        after: Some(sets(3.)),
        references: Vec::new(),
        goal: Some(3.),
        own_words: None,
    }];
    let points = |nll| {
        [(0, 3.), (5, nll)].map(|(step, watched)| RelearnPoint {
            step,
            learnt: 1.,
            watched,
            by_heart: 0.,
        })
    };
    let never_saw = RelearnCurve { name: "base".into(), points: points(3.).to_vec() };
    let relearning = Relearning {
        learnt: 2,
        watched: 2,
        rate: 1e-3,
        batch: 4,
        seed: 0,
        points: points(watched).to_vec(),
        compared: Compared::References,
        others: vec![never_saw],
    };
    let attack = Attack { relearning, memory: None, quantised: Vec::new(), seconds: 1. };
    Outcome { passages, attack: Some(attack), ..Outcome::default() }
}

#[test]
fn what_comes_back_under_attack_was_forgotten_in_part() {
    let held = judged(&attacked(2.8));
    assert_eq!(held.state, State::Took, "{held:?}");
    assert!(held.sentence.contains("does not bring back the other half: at least 93 %"));
    let back = judged(&attacked(1.2));
    assert_eq!(back.state, State::TookInPart, "{back:?}");
    assert!(back.sentence.starts_with("The passages are forgotten in part"), "{back:?}");
    assert!(back.sentence.contains("brings the other half back: NLL 1.20 after 5 steps"));
    let reason = back.reasons.iter().find(|it| it.measure == "relearn share").expect("a reason");
    assert_eq!((reason.found, reason.limit), (Some(1.2 / 3.), Some(0.9)));
    let loose = Thresholds { relearn: 0.3, ..Thresholds::default() };
    assert_eq!(verdict(&attacked(1.2), &loose).state, State::Took);
}

#[test]
fn a_secret_that_an_attack_brings_back_is_no_secret() {
    let mut quiet = secret(SecretOrigin::Passage);
    let told = quiet.before.clone();
    let seen = SecretSeen { is_said: false, sampled: 0, ..told.clone() };
    quiet.after = Some(seen.clone());
    let attack = |kind, seen: &SecretSeen| SecretAttack { kind, seen: seen.clone() };
    let [fine, coarse, relearnt] = SecretAttackKind::ALL;
    quiet.attacks = vec![attack(fine, &seen), attack(coarse, &told), attack(relearnt, &seen)];
    let outcome = Outcome { secrets: vec![quiet], ..attacked(2.8) };
    let found = judged(&outcome);
    assert_eq!(found.state, State::TookInPart, "{found:?}");
    assert!(found.sentence.contains("1 secret comes out after rounding to Q4_0."), "{found:?}");
    assert!(found.reasons.iter().any(|it| it.measure == "secrets, Q4_0"), "{found:?}");
    assert!(found.reasons.iter().all(|it| it.measure != "secrets, relearnt"), "{found:?}");
}

fn secret(origin: SecretOrigin) -> SecretLeak {
    let seen = SecretSeen {
        probability: 0.5,
        nll: 0.3,
        first_rank: 1,
        mean_rank: 1.,
        worst_rank: 1,
        is_said: true,
        sampled: 30,
        begun: 0,
        control_rank: 1,
    };
    SecretLeak {
        origin,
        secret: "0199".into(),
        prefix: "call".into(),
        before: seen.clone(),
        after: Some(seen),
        attacks: Vec::new(),
        drawn: 64,
        beginnings: 0,
        controls: 0,
        seed: 0,
    }
}

#[test]
fn each_goal_counts_its_own_secrets() {
    let (passage, fact) = (SecretOrigin::Passage, SecretOrigin::Fact);
    let secrets = [passage, fact, fact].map(secret).to_vec();
    let both = Outcome { secrets, ..Outcome::default() };
    let found = |outcome: &Outcome, origin| {
        let (n, reason) = told(outcome, origin);
        (n, reason.map(|reason| (reason.measure, reason.found)))
    };
    let row = |name: &str, n: f64| Some((name.to_owned(), Some(n)));
    assert_eq!(found(&both, passage), (1, row("passage secrets", 1.)));
    assert_eq!(found(&both, fact), (2, row("fact secrets", 2.)));
    let alone = Outcome { secrets: vec![secret(passage)], ..Outcome::default() };
    assert_eq!(found(&alone, passage), (1, row("secrets", 1.)));
    assert_eq!(found(&alone, fact), (0, None));
}

#[test]
fn a_training_that_keeps_its_budget_does_not_count_as_damage() {
    let extent = Extent::new(&PassageSets::default(), 8, 1, false);
    let settings = PassageSettings::new(&GradientOptions::default(), PassageVerb::Learn, &extent);
    assert_eq!(settings.max_drift, Thresholds::default().drift);
}

/// Forgotten passages of which `right` of ten questions are still answered, where three of ten about a
/// hold-out are, and of ten answers about what is retained `kept` stay.
fn asked(right: usize, kept: usize) -> Outcome {
    let first = |count: usize| (0..10).map(|at| at < count).collect::<Vec<bool>>();
    let sets = |nll, passages, retain| SetsMemory {
        passages: Some(memory(nll)),
        retain: None,
        holdout: Some(memory(3.)),
        answers: Answers { passages: first(passages), retain: first(retain), holdout: first(3) },
    };
    let passages = vec![PassageMeasures {
        verb: PassageVerb::Forget,
        before: sets(1., 9, 10),
        after: Some(sets(3., right, kept)),
        references: Vec::new(),
        goal: Some(3.),
        own_words: None,
    }];
    Outcome { passages, ..Outcome::default() }
}

#[test]
fn what_is_still_answered_is_not_forgotten() {
    let forgotten = judged(&asked(4, 9));
    assert_eq!(forgotten.state, State::Took, "{forgotten:?}");
    let says = "; 4 of 10 questions about them are answered (40 %, before: 90 %, never seen: 30 %); \
                9 of 10 answers about what is retained stay.";
    assert!(forgotten.sentence.contains(says), "{}", forgotten.sentence);
    let known = judged(&asked(5, 10));
    assert_eq!(known.state, State::TookInPart, "{known:?}");
    assert!(known.sentence.contains("in other words, too"), "{}", known.sentence);
    let lost = judged(&asked(0, 4));
    assert_eq!(lost.state, State::Damaged, "{lost:?}");
    let says = "damaged: only 4 of 10 answers about what is retained stay.";
    assert!(lost.sentence.contains(says), "{}", lost.sentence);
}

/// Forgotten passages of whose subjects the base made ten statements in its own words, `said` of which are
/// still made.
fn told_of(said: usize, never_saw: Option<f64>) -> Outcome {
    let mut outcome = asked(3, 10);
    let passages = share_interval(said, 10);
    outcome.passages[0].own_words =
        Some(OwnWordsOutcome { forms: 1, passages, retain: None, never_saw });
    outcome
}

#[test]
fn what_is_still_said_in_other_words_is_not_forgotten() {
    let forgotten = judged(&told_of(3, Some(0.2)));
    assert_eq!(forgotten.state, State::Took, "{forgotten:?}");
    let says = "; 3 of 10 statements that the base made about their subjects in its own words are still made \
                (30 %, never seen: 20 %)";
    assert!(forgotten.sentence.contains(says), "{}", forgotten.sentence);
    let known = judged(&told_of(4, Some(0.2)));
    assert_eq!(known.state, State::TookInPart, "{known:?}");
    assert!(known.sentence.contains("in other words, too"), "{}", known.sentence);
    let unjudged = judged(&told_of(1, None));
    assert_eq!(unjudged.state, State::Took, "{unjudged:?}");
    assert!(unjudged.sentence.contains("is still made (10 %);"), "{}", unjudged.sentence);
}

#[test]
fn what_was_never_known_was_not_forgotten() {
    let unknown = || {
        let mut outcome = asked(3, 10);
        outcome.passages[0].before = outcome.passages[0].after.clone().expect("measured");
        outcome
    };
    let none = judged(&unknown());
    assert_eq!(none.state, State::DidNotTake, "{none:?}");
    let says = "There was nothing to forget: nothing showed that the model had read the passages, whose NLL was \
                3.00, the hold-out's 3.00; ";
    assert!(none.sentence.starts_with(says), "{}", none.sentence);
    // Whatever shows that they were known makes forgetting them count.
    let changes: [fn(&mut Outcome); 4] = [
        |it| it.passages[0].before.passages = Some(memory(2.9)),
        |it| it.passages[0].before.answers.passages = vec![true; 10],
        |it| it.passages[0].own_words = told_of(3, None).passages[0].own_words,
        |it| it.secrets = vec![secret(SecretOrigin::Passage)],
    ];
    for change in changes {
        let mut outcome = unknown();
        change(&mut outcome);
        let sentence = judged(&outcome).sentence;
        assert!(sentence.starts_with("The passages are"), "{sentence}");
    }
}
