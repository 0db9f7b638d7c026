//! General text in a training: it stays where it was, and a budget of drift is kept.

use super::open;
use super::passages::{options, run, sets};
use crate::gradient::general::Steering;
use crate::gradient::*;
use crate::model::Model;
use crate::spec::{ForgetMethod, GradientOptions, PassageVerb};

/// Sequences of ids that the passages do not have.
pub(super) fn general() -> GeneralText {
    let sequence = |seed: u32| Example {
        ids: (0..12).map(|at| 60 + (seed * 31 + at * at * 7) % 40).collect(),
        first_target: 1,
        loss: TokenLoss::Mean,
        scale: 1.,
    };
    GeneralText {
        trained: (0..24).map(sequence).collect(),
        checked: (24..32).map(sequence).collect(),
    }
}

fn learnt(model: &Model, given: GradientOptions) -> PassageRun {
    let sets = PassageSets { general: general(), retain: Vec::new(), ..sets(model) };
    let given = GradientOptions { steps: Some(31), ..given };
    run(model, &sets, PassageVerb::Learn, &given)
}

/// A budget that no change reaches.
const LARGE: Option<f64> = Some(100.);

#[test]
fn general_text_in_the_steps_keeps_other_general_text_where_it_was() {
    let model = open("llama");
    let given = |general_batch| GradientOptions {
        general_batch: Some(general_batch),
        max_drift: LARGE,
        ..options(ForgetMethod::Simnpo)
    };
    let drift = |run: &PassageRun| run.budget.expect("text to check").drift;
    let (free, kept) = (learnt(&model, given(0)), learnt(&model, given(6)));
    assert!(drift(&kept) < 0.7 * drift(&free), "{} of {}", drift(&kept), drift(&free));
    assert_eq!(free.path[0].drift, None);
    // It is measured after each tenth step on the text that no step draws.
    let seen: Vec<f64> = kept.path.iter().filter_map(|point| point.drift).collect();
    assert_eq!((seen.len(), seen[30]), (31, drift(&kept)));
    assert!(seen[..10].iter().all(|drift| *drift == seen[0]) && seen[10] != seen[9], "{seen:?}");
}

#[test]
fn general_text_weighs_more_while_the_drift_is_near_its_budget() {
    let mut steering = Steering::new(4, 2., 0);
    let mut weight = |drift| {
        steering.observe(drift, 0.1);
        (steering.drift(), steering.weight())
    };
    assert_eq!(weight(0.05), (0.05, 2.));
    let (_, risen) = weight(0.09);
    assert!(risen > 2. && risen < 3., "{risen}");
    let highest = (0..9).map(|_| weight(1.)).last();
    assert_eq!(highest, Some((1., 8.)));
    assert!(weight(0.).1 < 8.);
}

#[test]
fn a_change_beyond_its_budget_is_cut_to_it() {
    let model = open("llama");
    let given = |max_drift| GradientOptions {
        general_batch: Some(0),
        max_drift,
        ..options(ForgetMethod::Simnpo)
    };
    let whole = learnt(&model, given(LARGE)).budget.expect("text to check");
    assert_eq!((whole.share, whole.cut), (1., None));
    let limit = 0.3 * whole.drift;
    let run = learnt(&model, given(Some(limit)));
    let budget = run.budget.expect("text to check");
    assert!(budget.drift <= limit && budget.drift > 0.8 * limit, "{budget:?}");
    assert!(budget.share > 0.3 && budget.share < 0.8, "{budget:?}");
    assert_eq!(budget.cut.map(|cut| cut.drift), Some(whole.drift));
    // What is reported is what the decoder does.
    let found = references(&model.decoder, &general().checked, usize::MAX).expect("runs");
    let sum = |(text, reference): (Example, Reference)| Example {
        loss: TokenLoss::Divergence(std::sync::Arc::new(reference)),
        ..text
    };
    let asked: Vec<Example> = general().checked.into_iter().zip(found).map(sum).collect();
    let outcomes = super::backward::accumulate(&run.trainable, &asked, false).expect("runs");
    let mean = outcomes.iter().map(|it| it.loss).sum::<f64>() / outcomes.len() as f64;
    assert!((mean - budget.drift).abs() < 1e-5, "{mean} {}", budget.drift);
}

#[test]
fn text_that_repeats_the_passages_is_not_kept() {
    let example =
        |ids: Vec<u32>| Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. };
    let passage = [example((0..20).collect())];
    let repeats = [vec![99; 3], (5..13).collect(), vec![98; 3]].concat();
    let nearly = [vec![99; 3], (5..12).collect(), vec![98; 3]].concat();
    let mut sequences = vec![example(repeats), example(nearly.clone()), example(vec![7; 4])];
    without_runs_of(&mut sequences, &passage);
    let kept: Vec<Vec<u32>> = sequences.into_iter().map(|it| it.ids).collect();
    assert_eq!(kept, [nearly, vec![7; 4]]);
}
