//! Verdicts on findings that were made by hand.

use super::*;
use crate::audit::{
    Form, FormRecall, Inference, Integrity, LayerLens, Membership, Sampled, SetScores, Stratum,
    StratumKind,
};
use crate::files::Sha256;
use crate::math::Interval;
use crate::run::{Compared, RelearnCurve, RelearnPoint, Relearning};

fn exactly(mean: f64) -> Interval {
    Interval { mean, low: mean, high: mean, n: 12 }
}

fn scores(nll: f64, recital: f64) -> SetScores {
    let of = |value: f64| vec![value; 12];
    SetScores { nll: of(nll), extraction: of(recital), recital: of(recital) }
}

fn recall(nll: f64, recital: f64) -> FormRecall {
    let (forgotten, holdout) = (scores(nll, recital), scores(3., 0.1));
    FormRecall { form: Form::Verbatim, forgotten, holdout, references: Vec::new() }
}

fn membership(auc: f64) -> Membership {
    let (remembered, hole) = (exactly(0.), exactly(0.));
    let (inference, references) = (Inference::Loss, Vec::new());
    Membership { inference, auc: exactly(auc), remembered, hole, references, holdout: 12 }
}

fn lens(auc: f64) -> LayerLens {
    LayerLens { layer: 2, auc: exactly(auc), references: Vec::new(), probe: None }
}

fn stratum(kind: StratumKind, drift: f64, factor: f64) -> Stratum {
    Stratum { kind, drift: exactly(drift), before: 10., after: 10. * factor, references: vec![] }
}

/// The watched half falls to `share` of the control's NLL, the learnt one to half in `steps`.
fn relearning(share: f64, steps: u64) -> Relearning {
    let point = |step, learnt, watched| RelearnPoint { step, learnt, watched, by_heart: 0. };
    let control = vec![point(0, 3., 3.), point(10, 1.5, 3.)];
    Relearning {
        learnt: 6,
        watched: 6,
        rate: 1e-3,
        batch: 4,
        seed: 0,
        points: vec![point(0, 3., 3.), point(steps, 1.5, 3. * share)],
        compared: Compared::Holdout,
        others: vec![RelearnCurve { name: "hold-out".into(), points: control }],
    }
}

/// A model that nothing speaks against.
fn clean() -> Findings {
    Findings {
        recall: vec![recall(3., 0.1)],
        membership: vec![membership(0.5)],
        depth: vec![lens(0.5)],
        strata: vec![stratum(StratumKind::General, 0.01, 1.01)],
        relearned: Some(relearning(1., 10)),
        ..Findings::default()
    }
}

fn judged(findings: &Findings, not_run: &[NotRun], counts: [usize; 2]) -> AuditVerdict {
    let (limits, equivalence, seed) = (&Limits::default(), &[][..], 0);
    let all = verdicts(&Evidence { findings, equivalence, not_run, limits, counts, seed });
    let [verdict] = all.as_slice() else { panic!("one verdict, found {}", all.len()) };
    verdict.clone()
}

#[test]
fn each_kind_of_evidence_speaks_for_its_state() {
    use AuditState::{Damaged, NotForgotten, OverForgotten, ReferenceFree, Suppressed};
    type Change = fn(&mut Findings);
    let rows: [(&str, Change, AuditState); 13] = [
        ("nothing", |_| (), ReferenceFree),
        ("probable", |it| it.recall = vec![recall(1., 0.1)], NotForgotten),
        ("recited", |it| it.recall = vec![recall(3., 0.9)], NotForgotten),
        ("improbable", |it| it.recall = vec![recall(9., 0.1)], OverForgotten),
        ("members", |it| it.membership = vec![membership(0.9)], NotForgotten),
        ("a hole", |it| it.membership = vec![membership(0.1)], OverForgotten),
        ("deep", |it| it.depth = vec![lens(0.95)], Suppressed),
        ("drifts", |it| it.strata = vec![stratum(StratumKind::General, 5., 1.)], Damaged),
        ("perplexed", |it| it.strata = vec![stratum(StratumKind::Retained, 0., 3.)], Damaged),
        ("comes back", |it| it.relearned = Some(relearning(0.5, 10)), Suppressed),
        ("comes soon", |it| it.relearned = Some(relearning(1., 2)), Suppressed),
        ("low rank", |it| it.low_rank = Some(relearning(0.5, 10)), Suppressed),
        (
            "samples",
            |it| {
                let (forgotten, holdout) = (vec![0.9; 4], vec![0.1; 4]);
                it.sampled = Some(Sampled { drawn: 64, forgotten, holdout, seed: 0 });
            },
            NotForgotten,
        ),
    ];
    for (name, change, expected) in rows {
        let mut findings = clean();
        change(&mut findings);
        let verdict = judged(&findings, &[], [12, 12]);
        assert_eq!(verdict.state, expected, "{name}: {:?}", verdict.reasons);
        assert_eq!(verdict.reasons.is_empty(), expected == ReferenceFree, "{name}");
    }
}

#[test]
fn one_very_improbable_statement_of_many_is_no_hole() {
    let mut findings = clean();
    let mut few = recall(3., 0.1);
    few.forgotten.nll[0] = 60.;
    findings.recall = vec![few];
    let verdict = judged(&findings, &[], [12, 12]);
    assert_eq!(verdict.state, AuditState::ReferenceFree, "{:?}", verdict.reasons);
}

#[test]
fn what_was_not_tried_or_is_too_few_is_no_more_than_suppressed() {
    let not_run = [NotRun { check: Check::Relearned, reason: "the budget".into() }];
    let verdict = judged(&clean(), &not_run, [12, 12]);
    assert_eq!(verdict.state, AuditState::Suppressed);
    assert_eq!(verdict.reasons[0].reason.text, "relearning was not run: the budget");
    let silent = [NotRun { check: Check::Verbatim, reason: "the budget".into() }];
    let verdict = judged(&Findings::default(), &[&not_run[..], &silent].concat(), [12, 12]);
    assert_eq!(verdict.state, AuditState::NotTested);
    assert_eq!(verdict.reasons[0].reason.text, "recall, verbatim was not run: the budget");
    let harmless = [NotRun { check: Check::Secrets, reason: "none".into() }];
    assert_eq!(judged(&clean(), &harmless, [12, 12]).state, AuditState::ReferenceFree);
    assert_eq!(judged(&clean(), &[], [12, 5]).state, AuditState::Suppressed);
}

#[test]
fn the_worst_state_decides_and_every_reason_stays() {
    let mut findings = clean();
    findings.depth = vec![lens(0.95)];
    findings.recall = vec![recall(1., 0.9)];
    let verdict = judged(&findings, &[], [12, 12]);
    let states: Vec<AuditState> = verdict.reasons.iter().map(|it| it.state).collect();
    assert_eq!(states[0], AuditState::NotForgotten);
    assert_eq!(states.last(), Some(&AuditState::Suppressed));
    assert!(!verdict.state.passes() && verdict.reasons.len() == 3);
}

#[test]
fn equal_weights_are_exact_and_equivalence_is_of_all_measures() {
    let sha256 = Sha256::of("");
    let integrity = Integrity {
        weights: sha256,
        computed: sha256,
        equal_to: Some("reference".into()),
        tokenizer: sha256,
        config: sha256,
        parameters: 1,
        not_finite: 0,
        changed: None,
        codes: Vec::new(),
    };
    let findings = Findings { integrity: Some(integrity), ..clean() };
    assert_eq!(judged(&findings, &[], [12, 12]).state, AuditState::Exact);
    let test = |is_equivalent| {
        let tested = crate::math::equivalence(&[0.1, 0.1], 0.2).expect("two pairs");
        EquivalenceTest { measure: "NLL, verbatim".into(), tested, is_equivalent }
    };
    let (limits, not_run, counts) = (&Limits::default(), &[][..], [12, 12]);
    let state = |tests: &[EquivalenceTest]| {
        let findings = &clean();
        let evidence = Evidence { findings, equivalence: tests, not_run, limits, counts, seed: 0 };
        verdicts(&evidence)[0].state
    };
    assert_eq!(state(&[test(true), test(true)]), AuditState::ReferenceEquivalent);
    assert_eq!(state(&[test(true), test(false)]), AuditState::ReferenceFree);
}
