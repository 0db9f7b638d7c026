//! Verdicts on outcomes made by hand.

use super::*;
use crate::math::{mean_interval, share_interval};
use crate::probe::{PromptKind, Said};
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
        loss: nll,
        nll,
        value_change: 1.,
        relative_norm,
        seconds: 1.,
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
fn sentences_say_what_was_measured() {
    let took = judged(&outcome(&[("Rome", " Rome.", 0.1)], &[("Rome", " Rome.")], 63));
    assert_eq!(
        took.sentence,
        "The edit took: asked freely, the model says \"Rome\"; 1 of 1 paraphrase follows it. 63 of \
         64 other subjects keep their answer."
    );
    let missed = judged(&outcome(&[("Rome", " the city of Paris", 0.1)], &[], 64));
    assert!(missed.sentence.contains("says \"the city of Paris\" and not \"Rome\""), "{missed:?}");
    let unchanged = judged(&outcome(&[("Rome", " Paris.", 0.)], &[], 64));
    assert!(unchanged.sentence.contains("no weight was changed"), "{unchanged:?}");
    let cut = judged(&outcome(&[("Halden Labs", " Halden Labskota is", 0.1)], &[], 64));
    assert!(cut.sentence.contains("last word runs on, as in \"Halden Labskota is\""), "{cut:?}");
    let mut open = outcome(&[("Rome", " Rome.", 0.1)], &[], 64);
    open.groups[0].facts[0].nll = 3.03;
    let open = judged(&open);
    assert!(open.sentence.contains("did not converge (NLL 3.03 after 25 steps)"), "{open:?}");
    assert!(open.reasons.iter().any(|reason| reason.measure == "nll"), "{open:?}");
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
}

#[test]
fn nothing_measured_is_no_verdict() {
    let found = judged(&Outcome::default());
    assert_eq!(found.state, State::NotMeasured);
    assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
}
