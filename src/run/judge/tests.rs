//! Verdicts on outcomes made by hand.

mod erased;
mod passages;

use super::*;
use crate::math::{mean_interval, share_interval};
use crate::probe::{PromptKind, Said};
use crate::run::earlier::EarlierFacts;
use crate::run::outcome::{CaseMeasures, CaseOutcome, FactOutcome, GroupOutcome};

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
