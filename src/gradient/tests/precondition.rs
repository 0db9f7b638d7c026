//! Preconditioned steps against AdamW in the variable A of W = W₀ + A P.

use super::*;
use crate::gradient::precondition::Preconditioner;
use crate::math::{AdamW, Moments, Step};

/// `x` P along an axis, by its definition.
fn times(x: &[f32], p: &[f32], n: usize, axis: usize) -> Vec<f32> {
    let m = x.len() / n;
    let entry = |at: usize| -> f32 {
        let (i, j) = if axis == 0 { (at / m, at % m) } else { (at / n, at % n) };
        let terms = (0..n).map(|k| match axis {
            0 => f64::from(p[i * n + k]) * f64::from(x[k * m + j]),
            _ => f64::from(x[i * n + k]) * f64::from(p[k * n + j]),
        });
        terms.sum::<f64>() as f32
    };
    (0..x.len()).map(entry).collect()
}

#[test]
fn steps_are_those_of_adamw_in_other_variables() {
    const STEPS: u64 = 3;
    const RATE: f64 = 1e-3;
    for (name, rank) in [("llama", None), ("gpt2", None), ("llama", Some(3)), ("gpt2", Some(3))] {
        let model = open(name);
        let general = examples(&model);
        let taught = general[..1].to_vec();
        let rule = TrainRule { rank, ..TrainRule::default() };
        let make = || model.trainable(&rule).expect("trainable");
        // With the usual ε a gradient near zero is a whole step of either sign, and rounding decides.
        let optimiser = AdamW { epsilon: 1e-2, ..AdamW::default() };
        let settings =
            TrainerSettings { rate: RATE, clip: None, optimiser, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(make(), settings.clone());
        let parameters = &trainer.trainable().parameters;
        let found = Preconditioner::new(&model.decoder, (&general, &[]), parameters, &Silent);
        let preconditioner = found.expect("inputs");
        let mut metrics = Vec::new();
        for (at, parameter) in parameters.iter().enumerate() {
            let Some((axis, side)) = parameter.input_axis().zip(preconditioner.side(at)) else {
                assert_eq!(parameter.input_axis(), None, "{name}: {}", parameter.slot.name);
                metrics.push(None);
                continue;
            };
            let n = parameter.values.dims()[axis];
            // P itself: that of the parameter, applied to the identity.
            let mut p: Vec<f32> =
                (0..n * n).map(|at| f32::from(u8::from(at % (n + 1) == 0))).collect();
            side.apply(&mut p);
            metrics.push(Some((axis, n, p)));
        }
        assert!(metrics.iter().flatten().count() >= 6, "{name}");
        trainer.precondition(preconditioner);
        let plain = make();
        let start = plain.values().expect("values");
        let mut a: Vec<Vec<f32>> = start.iter().map(|it| vec![0.; it.len()]).collect();
        let mut moments: Vec<Moments> = a.iter().map(|it| Moments::zeros(it.len())).collect();
        let mut weights = start.clone();
        for number in 1..=STEPS {
            trainer.step(&taught, &Silent).expect("a step");
            plain.set_values(&weights).expect("set");
            backward::accumulate(&plain, &taught, false).expect("runs");
            for (at, parameter) in plain.parameters.iter().enumerate() {
                let step = Step { number, rate: RATE, scale: 1., decays: false };
                let mut gradient = parameter.gradient.lock();
                let decay =
                    if parameter.decays() { 1. - RATE * optimiser.weight_decay } else { 1. };
                match &metrics[at] {
                    None => {
                        let step = Step { decays: parameter.decays(), ..step };
                        optimiser.update(&mut weights[at], &mut gradient, &mut moments[at], step);
                    }
                    Some((axis, n, p)) => {
                        let mut of_a = times(&gradient, p, *n, *axis);
                        gradient.fill(0.);
                        let before = times(&a[at], p, *n, *axis);
                        optimiser.update(&mut a[at], &mut of_a, &mut moments[at], step);
                        let after = times(&a[at], p, *n, *axis);
                        let changes = before.iter().zip(&after).map(|(b, a)| a - b);
                        for (weight, change) in weights[at].iter_mut().zip(changes) {
                            *weight = decay as f32 * *weight + change;
                        }
                    }
                }
            }
        }
        let found = trainer.trainable().values().expect("values");
        let (mut worst, mut moved) = (0f32, 0f32);
        for ((found, expected), start) in found.iter().zip(&weights).zip(&start) {
            for ((found, expected), start) in found.iter().zip(expected).zip(start) {
                worst = worst.max((found - expected).abs());
                moved = moved.max((expected - start).abs());
            }
        }
        assert!(moved > 1e-4 && worst < 1e-3 * moved, "{name} {rank:?}: {worst} of {moved}");
    }
}
