//! Trainings that processes share out: the same bits on any number of them, and less memory on each.

use serde_json::json;

use super::general::general;
use super::passages::{options, sets};
use super::{examples, open};
use crate::gradient::*;
use crate::model::{Model, TrainRule};
use crate::progress::Silent;
use crate::ranks::threads::on_ranks;
use crate::ranks::{ALONE, Ranks};
use crate::spec::{ForgetMethod, GradientOptions, PassageVerb};

const SHARES: usize = 4;

fn settings(shares: usize) -> TrainerSettings {
    TrainerSettings { rate: 2.4e-3, shares, micro_rows: 20, ..TrainerSettings::default() }
}

fn bits(trainable: &crate::model::Trainable) -> Vec<Vec<u32>> {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    trainable.values().expect("read").into_iter().map(bits).collect()
}

fn begin<'a>(model: &Model, ranks: &'a Ranks) -> Trainer<'a> {
    let trainable = model.trainable(&TrainRule::default()).expect("trainable");
    Trainer::over(ranks, trainable, settings(SHARES))
}

/// Bits of weights, and what each step said, after steps of all kinds.
fn trained(model: &Model, ranks: &Ranks, shares: usize) -> (Vec<Vec<u32>>, Vec<StepReport>, usize) {
    let trainable = model.trainable(&TrainRule::default()).expect("trainable");
    let mut trainer = Trainer::over(ranks, trainable, settings(shares));
    let all = examples(model);
    let lesson = |at: usize| vec![Example { loss: TokenLoss::Mean, scale: 1., ..all[at].clone() }];
    let mut reports = Vec::new();
    for step in 0..3 {
        reports.push(trainer.step(&all[step..], &Silent).expect("a step"));
    }
    trainer.look_ahead(&[lesson(0), lesson(2)], 1e-3, &lesson(4), &Silent).expect("looks ahead");
    for (is_new, at) in [(true, 1), (false, 3)] {
        trainer.follow(is_new, (&lesson(at), 1e-3), &lesson(4), &Silent).expect("follows");
    }
    let (first, second) = all.split_at(2);
    reports.push(trainer.step_without_conflict(first, second, &Silent).expect("a step"));
    let left = trainer.trainable().parameters.iter();
    assert!(left.flat_map(|it| it.gradient.lock().clone()).all(|slope| slope == 0.));
    let moments = trainer.moments();
    (bits(trainer.trainable()), reports, moments)
}

#[test]
fn a_training_in_shares_has_the_same_bits_on_any_number_of_ranks_and_falls_in_memory() {
    let model = open("llama");
    let (weights, reports, all) = trained(&model, &ALONE, SHARES);
    for size in [1, 2, 4] {
        let found = on_ranks(size, |ranks| trained(&model, ranks, SHARES));
        for (own, said, _) in &found {
            assert!(*own == weights, "{size} ranks");
            assert_eq!(*said, reports, "{size} ranks");
        }
        let held: Vec<usize> = found.iter().map(|(.., moments)| *moments).collect();
        assert_eq!(held.iter().sum::<usize>(), all, "every tensor belongs to one rank");
        // The largest tensor is a sixth of all.
        let most = held.iter().max().expect("ranks");
        assert!(most * size <= all * 5 / 4, "{held:?} of {all}");
    }
    // Another order of sums, and so other bits, but the same training.
    let (whole, one, _) = trained(&model, &ALONE, 1);
    assert_ne!(whole, weights);
    for (one, several) in one.iter().zip(&reports) {
        assert!((one.loss - several.loss).abs() < 1e-4, "{} {}", one.loss, several.loss);
    }
}

#[test]
fn a_training_that_ranks_saved_goes_on_on_another_number_of_them() {
    let model = open("gpt2");
    let all = examples(&model);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let steps = |trainer: &mut Trainer<'_>, count: usize| {
        for _ in 0..count {
            trainer.step(&all, &Silent).expect("a step");
        }
    };
    let mut alone = begin(&model, &ALONE);
    steps(&mut alone, 2);
    alone.save(&folder.path().join("alone"), &json!("here")).expect("saved");
    steps(&mut alone, 2);
    for (before, after) in [(4, 1), (1, 2), (2, 4)] {
        let file = folder.path().join(format!("on {before}"));
        on_ranks(before, |ranks| {
            let mut trainer = begin(&model, ranks);
            steps(&mut trainer, 2);
            trainer.save(&file, &json!("here")).expect("saved");
        });
        let read = |file: &std::path::Path| std::fs::read(file).expect("a file");
        assert!(
            read(&file) == read(&folder.path().join("alone")),
            "the file says not who saved it"
        );
        let found = on_ranks(after, |ranks| {
            let mut trainer = begin(&model, ranks);
            assert_eq!(trainer.restore(&file).expect("restored"), json!("here"));
            steps(&mut trainer, 2);
            bits(trainer.trainable())
        });
        assert!(found.iter().all(|it| *it == bits(alone.trainable())), "{before}, then {after}");
    }
}

/// Every method, from the draws to the budget.
#[test]
fn learning_and_forgetting_end_in_the_same_bits_on_any_number_of_ranks() {
    let model = open("llama");
    let all = PassageSets { general: general(), ..sets(&model) };
    let trained = |ranks: &Ranks, verb, given: &GradientOptions| {
        let settings = PassageSettings::new(given, verb, &Extent::new(&all, 48, 2, true));
        let rate = settings.rates()[0];
        let run = train(&model, &model.decoder, &all, &settings, rate, None, (ranks, &Silent));
        let run = run.expect("trained");
        (bits(&run.trainable), format!("{:?}", run.path), run.stopped, run.share)
    };
    let base = |method| GradientOptions { shares: Some(SHARES), steps: Some(3), ..options(method) };
    let (plain, project) = (base(ForgetMethod::Simnpo), Some(true));
    for (verb, given) in [
        (PassageVerb::Learn, GradientOptions { rank: Some(2), ..plain.clone() }),
        (PassageVerb::Forget, GradientOptions { project, precondition: Some(true), ..plain }),
        (PassageVerb::Forget, base(ForgetMethod::LookAhead)),
        (PassageVerb::Forget, GradientOptions { steps: None, ..base(ForgetMethod::Repselect) }),
        (PassageVerb::Forget, base(ForgetMethod::Undo)),
    ] {
        let alone = trained(&ALONE, verb, &given);
        for size in [2, 4] {
            let found = on_ranks(size, |ranks| trained(ranks, verb, &given));
            assert!(found.iter().all(|it| *it == alone), "{verb:?}, {:?}, {size}", given.method);
        }
    }
}
