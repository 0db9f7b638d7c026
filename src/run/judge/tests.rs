//! Verdicts on outcomes made by hand.

use super::*;
use crate::gradient::{Extent, PassageSets, PassageSettings, Stopped};
use crate::math::{mean_interval, share_interval};
use crate::probe::{PromptKind, Said, SecretAttack, SecretSeen};
use crate::run::attack::{Attack, Compared, RelearnCurve, RelearnPoint, Relearning};
use crate::run::earlier::EarlierFacts;
use crate::run::outcome::{CaseMeasures, CaseOutcome, FactOutcome, GroupOutcome, PassageMeasures};
use crate::run::train::{Answers, OwnWordsOutcome, SetMemory, SetsMemory, TrainingOutcome};
use crate::spec::{GradientOptions, PassageVerb};

fn said(kind: PromptKind, target: &str, completion: &str) -> Said {
    let is_said = completion.trim_start_matches(' ').starts_with(&format!("{target}."));
    Said {
        kind,
        prompt: format!("{kind:?} prompt for {target}"),
        target: target.into(),
        completion: completion.into(),
        is_said,
        is_contained: is_said,
        runs_on: false,
        probability: if is_said { 0.9 } else { 0.01 },
        nll: 0.1,
    }
}

fn fact(target: &str, relative_norm: f64, nll: f64) -> FactOutcome {
    FactOutcome {
        id: target.into(),
        prompt: format!("Rewrite prompt for {target}"),
        target_new: target.into(),
        is_erased: false,
        steps: 25,
        path: Vec::new(),
        loss: nll,
        nll,
        value_change: 1.,
        relative_norm,
        seconds: 1.,
        unwritten: None,
    }
}

/// A target, what the model says, and ‖ΔW‖/‖W‖.
type Written = (&'static str, &'static str, f64);
/// A target and what the model says to another wording.
type Reworded = (&'static str, &'static str);

/// Facts with what is said of each, and how many of 64 other subjects keep their answer.
fn outcome(facts: &[Written], paraphrases: &[Reworded], kept: usize) -> Outcome {
    let rewrites = facts.iter().map(|(target, says, _)| said(PromptKind::Rewrite, target, says));
    let others =
        paraphrases.iter().map(|(target, says)| said(PromptKind::Paraphrase, target, says));
    let background = Background {
        others: share_interval(kept, 64),
        near: None,
        own_prompts: None,
        moved: Vec::new(),
        margins: Vec::new(),
    };
    let after = CaseMeasures {
        said: rewrites.chain(others).collect(),
        background: Some(background),
        ..CaseMeasures::default()
    };
    let case = CaseOutcome {
        id: "spec".into(),
        facts: 0..facts.len(),
        before: CaseMeasures::default(),
        right_after: None,
        after: Some(after),
    };
    let group = GroupOutcome {
        facts: facts.iter().map(|(target, _, norm)| fact(target, *norm, 0.1)).collect(),
        relative_norms: vec![0.1],
        reached: None,
        damage: None,
        price: None,
        fluency: None,
        seconds: 1.,
    };
    Outcome { cases: vec![case], groups: vec![group], ..Outcome::default() }
}

fn damage(drift: f64, perplexity_after: f64) -> Damage {
    Damage {
        drift: mean_interval(&[drift, drift]).expect("two numbers"),
        perplexity_before: 20.,
        perplexity_after,
        tokens: 2,
        worst: Vec::new(),
    }
}

fn judged(outcome: &Outcome) -> Verdict {
    verdict(outcome, &Thresholds::default())
}

#[test]
fn an_edit_took_only_if_the_model_says_it_when_asked_freely() {
    let rows: [(&[Written], &[Reworded], State); 7] = [
        (&[("Rome", " Rome.", 0.1)], &[("Rome", " Rome."), ("Rome", " Paris.")], State::Took),
        (&[("Rome", " Rome.", 0.1)], &[], State::Took),
        (&[("Rome", " Rome.", 0.1)], &[("Rome", " Paris.")], State::TookInPart),
        (&[("Rome", " Paris.", 0.1)], &[("Rome", " Rome.")], State::DidNotTake),
        (&[("Rome", " Rome.", 0.)], &[], State::DidNotTake),
        (&[("Rome", " Rome.", 0.1), ("Oslo", " Bern.", 0.1)], &[], State::TookInPart),
        (&[("Rome", " Bern.", 0.1), ("Oslo", " Bern.", 0.1)], &[], State::DidNotTake),
    ];
    for (facts, paraphrases, expected) in rows {
        let found = judged(&outcome(facts, paraphrases, 64));
        assert_eq!(found.state, expected, "{facts:?} {paraphrases:?}: {}", found.sentence);
    }
}

#[test]
fn a_fact_that_was_left_out_is_no_success_even_if_it_is_said() {
    let mut both = outcome(&[("Rome", " Rome.", 0.1), ("Oslo", " Oslo.", 0.1)], &[], 64);
    assert_eq!(judged(&both).state, State::Took);
    let fact = &mut both.groups[0].facts[1];
    (fact.unwritten, fact.relative_norm) = (Some("it costs too much".into()), 0.);
    let found = judged(&both);
    assert_eq!(found.state, State::TookInPart);
    let named = "Nothing was written for \"Oslo\", 1 of 2 facts: it costs too much.";
    assert!(found.sentence.contains(named), "{}", found.sentence);
}

#[test]
fn sentences_say_what_was_measured() {
    let took = judged(&outcome(&[("Rome", " Rome.", 0.1)], &[("Rome", " Rome.")], 63));
    assert_eq!(
        took.sentence,
        "The edit took: asked freely, the model says \"Rome\"; 1 of 1 paraphrase follows it. 63 of \
         64 other subjects keep their answer."
    );
    let missed = judged(&outcome(&[("Rome", " the city of Paris", 0.1)], &[], 64));
    assert!(missed.sentence.contains("says \"the city of Paris\" and not \"Rome\""), "{missed:?}");
    let mut rare = outcome(&[("Rome", " the city of Paris", 0.1)], &[], 1);
    let case = &mut rare.cases[0];
    let now = case.after.as_mut().expect("measured").said.first_mut().expect("a prompt");
    now.probability = 3e-6;
    case.before.said = vec![Said { probability: 2e-9, ..now.clone() }];
    let rare = judged(&rare).sentence;
    assert!(rare.contains("(P 2e-9 before, 3e-6 after)"), "{rare}");
    let unchanged = judged(&outcome(&[("Rome", " Paris.", 0.)], &[], 64));
    assert!(unchanged.sentence.contains("no weight was changed"), "{unchanged:?}");
    let cut = judged(&outcome(&[("Halden Labs", " Halden Labskota is", 0.1)], &[], 64));
    assert!(cut.sentence.contains("last word runs on, as in \"Halden Labskota is\""), "{cut:?}");
    let mut open = outcome(&[("Rome", " Rome.", 0.1)], &[], 64);
    open.groups[0].facts[0].nll = 3.03;
    let open = judged(&open);
    assert!(open.sentence.contains("did not converge (NLL 3.03 after 25 steps)"), "{open:?}");
    assert!(open.reasons.iter().any(|reason| reason.measure == "value NLL"), "{open:?}");
}

#[test]
fn damage_outweighs_what_is_said() {
    let facts = [("Rome", " Rome.", 0.1)];
    let rows = [
        (64, damage(0.01, 20.1), State::Took),
        (64, damage(0.2, 20.1), State::Damaged),
        (64, damage(0.01, 23.), State::Damaged),
        (64, damage(f64::NAN, 20.), State::Damaged),
        (40, damage(0.01, 20.1), State::Damaged),
        // Six of 64 may be chance.
        (57, damage(0.01, 20.1), State::Took),
    ];
    for (kept, damage, expected) in rows {
        let outcome = Outcome { damage: Some(damage), ..outcome(&facts, &[], kept) };
        let found = judged(&outcome);
        assert_eq!(found.state, expected, "{kept}: {}", found.sentence);
    }
}

#[test]
fn thresholds_can_be_set() {
    let strict = Thresholds { paraphrases: 1., ..Thresholds::default() };
    let half = outcome(&[("Rome", " Rome.", 0.1)], &[("Rome", " Rome."), ("Rome", " Oslo.")], 64);
    assert_eq!(verdict(&half, &strict).state, State::TookInPart);
    let lax = Thresholds { background: 0.5, ..Thresholds::default() };
    let lost = outcome(&[("Rome", " Rome.", 0.1)], &[], 40);
    assert_eq!(verdict(&lost, &lax).state, State::Took);
    let mut near = outcome(&[("Rome", " Rome.", 0.1)], &[], 64);
    let background = near.cases[0].after.as_mut().and_then(|after| after.background.as_mut());
    background.expect("measured").near = share_interval(2, 12);
    assert_eq!(verdict(&near, &Thresholds::default()).state, State::Took);
    let found = verdict(&near, &Thresholds { near: 0.5, ..Thresholds::default() });
    assert_eq!(found.state, State::Damaged);
    assert_eq!(found.reasons[0].measure, "near subjects");
    assert!(found.sentence.contains("only 2 of 12 names that end as an edited one does stay"));
}

#[test]
fn nothing_measured_is_no_verdict() {
    let found = judged(&Outcome::default());
    assert_eq!(found.state, State::NotMeasured);
    assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
}

#[test]
fn prompts_that_are_not_met_are_named() {
    let written = [("Rome", " Rome.", 0.1), ("Oslo", " Bern.", 0.1)];
    let mut asked = outcome(&written, &[("Rome", " Rome.")], 64);
    let rows = [
        (
            0..2,
            "The edits took in part: asked freely, the model says 1 of 2 targets, all but \
                \"Oslo\"; 1 of 1 paraphrase follows it.",
        ),
        (
            0..0,
            "Asked freely, the model says 1 of 2 targets (0 before), all but \"Oslo\"; after \
                other wordings, 1 of 1.",
        ),
    ];
    // A probe writes nothing; of a spec it knows the facts, of a prompt file none.
    asked.groups.clear();
    for (facts, says) in rows {
        asked.cases[0].facts = facts;
        let found = judged(&asked);
        assert_eq!(found.state, State::TookInPart);
        assert!(found.sentence.starts_with(says), "{}", found.sentence);
    }
}

#[test]
fn one_of_a_kind_is_singular() {
    let mut one = outcome(&[("Rome", " Rome.", 0.1)], &[], 64);
    let after = one.cases[0].after.as_mut().expect("measured");
    let background = after.background.as_mut().expect("measured");
    (background.others, background.near) = (share_interval(1, 1), share_interval(0, 1));
    let sentence = judged(&one).sentence;
    assert!(sentence.contains("1 of 1 other subject keeps its answer"), "{sentence}");
    assert!(sentence.contains("0 of 1 that ends as an edited one does"), "{sentence}");
}

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
    }];
    let points =
        |nll| [(0, 3.), (5, nll)].map(|(step, watched)| RelearnPoint { step, learnt: 1., watched });
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

#[test]
fn an_earlier_fact_that_is_lost_is_damage() {
    let earlier = |before: usize, after: usize, lost: usize| EarlierFacts {
        before: share_interval(before, 3).expect("three facts"),
        after: share_interval(after, 3).expect("three facts"),
        lost,
    };
    let rows = [
        (earlier(3, 3, 0), State::Took, "all 3 earlier facts still hold"),
        (earlier(2, 2, 0), State::Took, "2 of 3 earlier facts hold, as before"),
        (earlier(3, 2, 1), State::Damaged, "1 of 3 earlier facts no longer holds"),
        // One that did not hold before does by chance; that makes up for none that is lost.
        (earlier(2, 2, 1), State::Damaged, "1 of 2 earlier facts no longer holds"),
    ];
    for (earlier, state, says) in rows {
        let base = outcome(&[("Rome", " Rome.", 0.1)], &[], 64);
        let found = judged(&Outcome { earlier: Some(earlier), ..base });
        assert_eq!(found.state, state, "{}", found.sentence);
        assert!(found.sentence.contains(says), "{}", found.sentence);
    }
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

/// A training that took, after which `said` of ten statements that the base made of the subjects are
/// still made.
fn trained(said: usize, never_saw: Option<f64>) -> Outcome {
    let PassageMeasures { before, after, references, goal, .. } = asked(3, 10).passages.remove(0);
    let extent = Extent::new(&PassageSets::default(), 8, 1, false);
    let training = TrainingOutcome {
        settings: PassageSettings::new(&GradientOptions::default(), PassageVerb::Forget, &extent),
        rate: 1e-3,
        trials: Vec::new(),
        trained: 1,
        stopped: Stopped::Reference,
        goal,
        share: 1.,
        budget: None,
        seconds_per_step: 1.,
        seconds: 1.,
        closure: Vec::new(),
        own_words: Some(OwnWordsOutcome {
            forms: 1,
            passages: share_interval(said, 10),
            retain: None,
            never_saw,
        }),
        before,
        after: after.expect("measured"),
        references,
        path: Vec::new(),
    };
    Outcome { trainings: vec![training], ..Outcome::default() }
}

#[test]
fn what_is_still_said_in_other_words_is_not_forgotten() {
    let forgotten = judged(&trained(3, Some(0.2)));
    assert_eq!(forgotten.state, State::Took, "{forgotten:?}");
    let says = "; 3 of 10 statements of the base about their subjects, in its own words, are still made \
                (30 %, never seen: 20 %)";
    assert!(forgotten.sentence.contains(says), "{}", forgotten.sentence);
    let known = judged(&trained(4, Some(0.2)));
    assert_eq!(known.state, State::TookInPart, "{known:?}");
    assert!(known.sentence.contains("in other words, too"), "{}", known.sentence);
    let unjudged = judged(&trained(1, None));
    assert_eq!(unjudged.state, State::Took, "{unjudged:?}");
    assert!(unjudged.sentence.contains("is still made (10 %);"), "{}", unjudged.sentence);
}
