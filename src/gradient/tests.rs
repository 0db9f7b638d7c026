//! Gradients of every kind of weight against differences of the loss, and resuming to the bit.

mod general;
mod lasting;
mod own_words;
mod passages;
mod precondition;
mod relearn;
mod shares;

use std::path::Path;

use candle_core::Device;
use serde_json::json;

use super::*;
use crate::model::{Model, TrainRule, Trainable, Trained};
use crate::ops::{with_values, with_values_mut};
use crate::progress::Silent;

/// One fixture of each family.
const FAMILIES: [&str; 16] = include!("../../tests/fixtures/families.rs");

pub(super) fn open(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Model::open(&folder.join("model"), &Device::Cpu, &Silent).expect("a fixture")
}

/// Sequences of unequal length with every kind of loss; ids below 60.
fn examples(model: &Model) -> Vec<Example> {
    let ids = |from: u32, count: u32| (0..count).map(|i| (from + 7 * i * i) % 60).collect();
    let example = |ids, first_target, loss, scale| Example { ids, first_target, loss, scale };
    let retain = example(ids(5, 9), 2, TokenLoss::Mean, 1.);
    // Not the model's own logits, where the divergence would have no slope.
    let other = model.trainable(&TrainRule::default()).expect("trainable");
    for parameter in &other.parameters {
        with_values_mut(&parameter.values, |values| values.iter_mut().for_each(|v| *v *= 0.8))
            .expect("written");
    }
    let mut reference = references(&other.frozen, std::slice::from_ref(&retain), 5).expect("runs");
    let reference = std::sync::Arc::new(reference.remove(0));
    let npo = ForgetLoss::Npo { beta: 0.1, reference: -20. };
    let weights = vec![0.5, 0., 2., 1., 0.25];
    let toward = (0..model.decoder.config().hidden).map(|i| (i as f32).cos()).collect();
    let steer = Steer { layer: 1, toward: std::sync::Arc::new(toward) };
    vec![
        example(ids(1, 12), 1, TokenLoss::Mean, 0.7),
        example(ids(2, 8), 3, TokenLoss::Weights(weights), 0.3),
        example(ids(3, 10), 1, TokenLoss::Forget(npo), 0.5),
        example(ids(4, 7), 2, TokenLoss::Steer(steer), 2.),
        Example { loss: TokenLoss::Divergence(reference), ..retain },
    ]
}

fn loss(trainable: &Trainable, examples: &[Example]) -> f64 {
    let outcomes = backward::accumulate(trainable, examples, false).expect("runs");
    outcomes.iter().zip(examples).map(|(o, e)| f64::from(e.scale) * o.loss).sum()
}

/// (name, largest error) of each parameter, over entries with the largest gradient and some others.
fn worst_errors(model: &Model, rule: &TrainRule) -> Vec<(String, f64)> {
    let trainable = model.trainable(rule).expect("trainable");
    if rule.rank.is_some() {
        // A first factor of zero would leave the other without a gradient.
        for (i, parameter) in trainable.parameters.iter().enumerate() {
            with_values_mut(&parameter.values, |values| {
                for (j, value) in values.iter_mut().enumerate() {
                    *value = 0.2 * ((i + 3 * j) as f32).sin();
                }
            })
            .expect("written");
        }
    }
    let examples = examples(model);
    loss(&trainable, &examples);
    let gradients: Vec<Vec<f32>> =
        trainable.parameters.iter().map(|p| p.gradient.lock().clone()).collect();
    let mut errors = Vec::new();
    for (parameter, gradient) in trainable.parameters.iter().zip(&gradients) {
        let largest = (0..gradient.len())
            .max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()))
            .expect("not empty");
        let mut worst = 0f64;
        for entry in [largest, gradient.len() / 3] {
            let at = |delta: f32| {
                let move_by = |delta: f32| {
                    with_values_mut(&parameter.values, |values| values[entry] += delta)
                        .expect("written");
                };
                let before = with_values(&parameter.values, "test", |values| Ok(values[entry]))
                    .expect("read");
                move_by(delta);
                let loss = loss(&trainable, &examples);
                with_values_mut(&parameter.values, |values| values[entry] = before)
                    .expect("written");
                loss
            };
            let step = 4e-3;
            let slope = (at(step) - at(-step)) / (2. * f64::from(step));
            let found = f64::from(gradient[entry]);
            worst = worst.max((slope - found).abs() / (0.1 + slope.abs()));
        }
        errors.push((parameter.slot.name.clone(), worst));
    }
    errors
}

/// PyTorch's gradients are stored as halves, of 11 bits; relative to the largest entry of a tensor.
const HALF: f32 = 1e-3;
/// The size below which a tensor's gradient is rounding: a bias of all keys changes nothing.
const ROUNDING: f32 = 1e-4;

/// The gradient of every tensor for the mean NLL of one prompt, as PyTorch computes it.
#[test]
fn gradients_of_a_training_step_are_those_of_pytorch() {
    for name in FAMILIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let golden = std::fs::read(folder.join("golden.json")).expect("a fixture");
        let golden: serde_json::Value = serde_json::from_slice(&golden).expect("JSON");
        let ids = serde_json::from_value(golden["prompts"][0]["ids"].clone()).expect("ids");
        let file = folder.join("golden_gradients.safetensors");
        let expected = candle_core::safetensors::load(file, &Device::Cpu).expect("a fixture");
        let trainable = open(name).trainable(&TrainRule::default()).expect("trainable");
        let example = Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. };
        backward::accumulate(&trainable, &[example], false).expect("runs");
        let mut seen = std::collections::BTreeSet::new();
        for parameter in &trainable.parameters {
            let slot = &parameter.slot;
            let whole = &expected[&slot.name];
            let wanted = slot.part_of(whole).and_then(|part| {
                part.flatten_all()?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()
            });
            let (wanted, found) = (wanted.expect("readable"), parameter.gradient.lock());
            let largest = wanted.iter().fold(0f32, |most, g| most.max(g.abs()));
            let differences = wanted.iter().zip(found.iter()).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0f32, f32::max) / largest.max(ROUNDING);
            assert!(worst < HALF, "{name}, {}: {worst:e} of {largest}", slot.name);
            seen.insert(slot.name.clone());
        }
        assert_eq!(seen.len(), expected.len(), "{name}: every tensor is trained");
    }
}

/// Second differences of order step² and the rounding of an f32 loss of about 10 over the step.
const TOLERANCE: f64 = 8e-3;

#[test]
fn weight_gradients_are_differences_of_the_loss() {
    for name in ["llama", "gpt2", "gemma2", "gptj"] {
        let model = open(name);
        for rule in [
            TrainRule::default(),
            TrainRule { trained: Trained::Mlp, layers: Some(vec![1]), ..TrainRule::default() },
            TrainRule { rank: Some(3), ..TrainRule::default() },
        ] {
            let errors = worst_errors(&model, &rule);
            assert!(errors.len() > 2, "{name}: something is trained");
            let wrong: Vec<_> = errors.iter().filter(|(_, error)| *error > TOLERANCE).collect();
            assert!(wrong.is_empty(), "{name}, {rule:?}: {wrong:#?}");
        }
    }
}

#[test]
fn running_a_layer_twice_changes_nothing() {
    let model = open("llama");
    let sums = |recompute| {
        let trainable = model.trainable(&TrainRule::default()).expect("trainable");
        backward::accumulate(&trainable, &examples(&model), recompute).expect("runs");
        let all: Vec<Vec<f32>> =
            trainable.parameters.iter().map(|p| p.gradient.lock().clone()).collect();
        all
    };
    assert_eq!(sums(false), sums(true));
}

fn trainer(model: &Model) -> Trainer<'static> {
    // A rate that a parser of decimals which is not exact reads as another number.
    let schedule = Schedule { warm_up: 2, total: 9, end: End::Cosine(0.1) };
    let settings =
        TrainerSettings { rate: 2.4e-3, schedule, micro_rows: 20, ..TrainerSettings::default() };
    Trainer::new(model.trainable(&TrainRule::default()).expect("trainable"), settings)
}

fn bits(trainer: &Trainer<'_>) -> Vec<Vec<u32>> {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let tensors = trainer.tensors().expect("readable").into_iter();
    tensors.map(|(_, t)| bits(t.flatten_all().and_then(|t| t.to_vec1()).expect("f32"))).collect()
}

/// The law: an adversary is as far from the weights as its own steps led it, wherever the weights went
/// meanwhile; a new one begins at them; and what is saved in between goes on with the same one.
#[test]
fn an_adversary_keeps_its_distance_and_goes_on_after_a_break() {
    let model = open("llama");
    let all = examples(&model);
    let lesson = |at: usize| vec![Example { loss: TokenLoss::Mean, scale: 1., ..all[at].clone() }];
    let (watched, rate) = (lesson(4), 2e-3f32);
    let values = |trainer: &Trainer<'_>| trainer.trainable().values().expect("read");
    let mut trainer = trainer(&model);
    let follow = |trainer: &mut Trainer<'_>, is_new, at| {
        let taught = (&lesson(at)[..], f64::from(rate));
        trainer.follow(is_new, taught, &watched, &Silent).expect("follows")
    };
    follow(&mut trainer, true, 0);
    trainer.step(&lesson(1), &Silent).expect("a step");
    let here = values(&trainer);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("training.safetensors");
    trainer.save(&file, &json!(0)).expect("saved");
    let found = follow(&mut trainer, false, 2);
    assert_eq!(values(&trainer), here);

    // Its first step was taken at the weights of before, its second where the weights are now and it
    // was then.
    let other = model.trainable(&TrainRule::default()).expect("trainable");
    let signs = |other: &crate::model::Trainable, at: usize| -> Vec<Vec<f32>> {
        loss(other, &lesson(at));
        let take = |it: &crate::model::Parameter| {
            let mut gradient = it.gradient.lock();
            let signs = gradient.iter().map(|g| if *g == 0. { 0. } else { g.signum() }).collect();
            gradient.fill(0.);
            signs
        };
        other.parameters.iter().map(take).collect()
    };
    let shift = |signs: Vec<Vec<f32>>| {
        let mut signs = signs;
        other.with_each(&mut signs, |value, sign| *value -= rate * *sign).expect("written");
    };
    let first = signs(&other, 0);
    other.set_values(&here).expect("written");
    shift(first);
    shift(signs(&other, 2));
    let expected = backward::accumulate(&other, &watched, false).expect("runs");
    let nll = |outcomes: &[Outcome]| outcomes[0].nll.iter().sum::<f32>();
    assert!((nll(&found) - nll(&expected)).abs() < 1e-4 * nll(&expected));

    trainer.forget_gradients();
    let mut resumed = self::trainer(&model);
    resumed.restore(&file).expect("restored");
    assert_eq!(follow(&mut resumed, false, 2), found);
    resumed.forget_gradients();
    let fresh = follow(&mut resumed, true, 2);
    assert_ne!(fresh, found);
    resumed.forget_gradients();
    let again = resumed.look_ahead(&[lesson(2)], f64::from(rate), &watched, &Silent);
    assert_eq!(fresh, again.expect("looks ahead"));
}

#[test]
fn a_resumed_training_is_the_same_to_the_bit_on_any_number_of_threads() {
    let model = open("llama_tied_bf16_sharded");
    let all = examples(&model);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("training.safetensors");
    let mut straight = trainer(&model);
    let mut order = Order::new(all.len(), 5);
    let mut losses = Vec::new();
    for step in 0..6 {
        if step == 3 {
            straight.save(&file, &json!({ "order": order })).expect("saved");
        }
        let chosen: Vec<Example> = order.take(2).into_iter().map(|i| all[i].clone()).collect();
        losses.push(straight.step(&chosen, &Silent).expect("a step").loss);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
    let resumed = pool.install(|| {
        let mut resumed = trainer(&model);
        let cursor = resumed.restore(&file).expect("restored");
        let mut order: Order = serde_json::from_value(cursor["order"].clone()).expect("as written");
        for expected in &losses[3..] {
            let chosen: Vec<Example> = order.take(2).into_iter().map(|i| all[i].clone()).collect();
            let report = resumed.step(&chosen, &Silent).expect("a step");
            assert_eq!(report.loss.to_bits(), expected.to_bits());
        }
        resumed
    });
    assert_eq!(resumed.steps(), 6);
    assert_eq!(bits(&resumed), bits(&straight));
    let other = model.trainable(&TrainRule { rank: Some(2), ..TrainRule::default() });
    let mut other = Trainer::new(other.expect("trainable"), TrainerSettings::default());
    let error = other.restore(&file).expect_err("refused").to_string();
    assert!(error.contains("other settings"), "{error}");
}

#[test]
fn a_trained_sequence_becomes_probable_and_the_model_stays() {
    let model = open("gpt2");
    let passage = vec![examples(&model).remove(0)];
    let before = measure(&model.decoder, &passage).expect("runs");
    let mut trainer = trainer(&model);
    for _ in 0..8 {
        trainer.step(&passage, &Silent).expect("a step");
    }
    let mean = |nll: &[Vec<f32>]| nll[0].iter().sum::<f32>() / nll[0].len() as f32;
    let after = measure(trainer.current(), &passage).expect("runs");
    assert!(mean(&after) < 0.8 * mean(&before), "{before:?} {after:?}");
    assert_eq!(measure(&model.decoder, &passage).expect("runs"), before);
    // What is written back is what was trained, fused matrices included.
    let delta = trainer.trainable().delta().expect("a delta");
    let names: Vec<&str> = delta.changes.keys().map(String::as_str).collect();
    assert!(names.iter().any(|name| name.ends_with("attn.c_attn.weight")), "{names:?}");
    for (name, change) in &delta.changes {
        assert_eq!(change.shape(), model.weights.shape(name).expect("stored"), "{name}");
    }
}

#[test]
fn a_protected_gradient_is_not_worked_against() {
    let model = open("llama");
    let all = examples(&model);
    let protected = Example { scale: 1., ..all[0].clone() };
    // The same sequence upward: everything of it that the protected one forbids goes.
    let against = Example { loss: TokenLoss::Forget(ForgetLoss::Ascent), ..protected.clone() };
    let mut trainer = trainer(&model);
    let one = std::slice::from_ref(&protected);
    let before = measure(trainer.current(), one).expect("runs");
    for _ in 0..4 {
        trainer
            .step_without_conflict(std::slice::from_ref(&against), one, &Silent)
            .expect("a step");
    }
    let after = measure(trainer.current(), one).expect("runs");
    assert!(after[0].iter().sum::<f32>() < before[0].iter().sum::<f32>());
}

/// The law: the gradient after relearning is that of the watched passage where steps of sign descent
/// lead, and the weights are where they were.
#[test]
fn looking_ahead_takes_the_gradient_elsewhere_and_comes_back() {
    let model = open("llama");
    let all = examples(&model);
    let lesson = |at: usize| vec![Example { loss: TokenLoss::Mean, scale: 1., ..all[at].clone() }];
    let (lessons, watched) = ([lesson(0), lesson(2), lesson(0)], lesson(4));
    let mut trainer = trainer(&model);
    let before = trainer.trainable().values().expect("read");
    let rate = 1e-3f32;
    let outcomes =
        trainer.look_ahead(&lessons, f64::from(rate), &watched, &Silent).expect("looks ahead");
    assert_eq!(trainer.trainable().values().expect("read"), before);

    let other = model.trainable(&TrainRule::default()).expect("trainable");
    for lesson in &lessons {
        loss(&other, lesson);
        for parameter in &other.parameters {
            let gradient = std::mem::take(&mut *parameter.gradient.lock());
            let size = gradient.len();
            with_values_mut(&parameter.values, |values| {
                for (value, slope) in values.iter_mut().zip(gradient) {
                    *value -= rate * if slope == 0. { 0. } else { slope.signum() };
                }
            })
            .expect("written");
            *parameter.gradient.lock() = vec![0.; size];
        }
    }
    let expected = backward::accumulate(&other, &watched, false).expect("runs");
    assert_eq!(outcomes, expected);
    for (found, expected) in trainer.trainable().parameters.iter().zip(&other.parameters) {
        assert_eq!(*found.gradient.lock(), *expected.gradient.lock(), "{}", found.slot.name);
    }
    // The next step has both gradients, and leaves none.
    trainer.step(&watched, &Silent).expect("a step");
    let left =
        trainer.trainable().parameters.iter().all(|it| it.gradient.lock().iter().all(|g| *g == 0.));
    assert!(left);
}
