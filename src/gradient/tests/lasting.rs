//! Methods that aim at forgetting that lasts, against naive formulas on a tiny model.

use super::general::general;
use super::open;
use super::passages::{options, sets};
use crate::gradient::general::Drift;
use crate::gradient::little_read::little_read;
use crate::gradient::repselect::collapse;
use crate::gradient::undo::disturb;
use crate::gradient::*;
use crate::math::{Random, SymmetricEigen};
use crate::model::{Batch, Model, TrainRule};
use crate::ops::with_values;
use crate::progress::Silent;
use crate::ranks::ALONE;
use crate::spec::{ForgetMethod, GradientOptions, PassageVerb};

fn settled(given: &GradientOptions, sets: &PassageSets, model: &Model) -> PassageSettings {
    let config = model.decoder.config();
    let extent = Extent::new(sets, config.hidden, config.layers, true);
    PassageSettings::new(given, PassageVerb::Forget, &extent)
}

/// A matrix [rows, columns] in f64.
type Matrix = Vec<Vec<f64>>;

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let entry = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(x, b)| x * b[j]).sum();
    a.iter().map(|row| (0..b[0].len()).map(|j| entry(row, j)).collect()).collect()
}

fn transposed(a: &Matrix) -> Matrix {
    (0..a[0].len()).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

/// (the leading singular vectors of the columns' side, as columns; how far each leads the last).
fn leading(g: &Matrix, q: usize) -> (Matrix, Vec<f64>) {
    let gram = product(&transposed(g), g);
    let n = gram.len();
    let eigen = SymmetricEigen::new(gram.concat(), n).expect("finite");
    let rows: Matrix = eigen.vectors.chunks_exact(n).skip(n - q).map(<[f64]>::to_vec).collect();
    let sizes: Vec<f64> = eigen.values[n - q..].iter().map(|value| value.sqrt()).collect();
    (transposed(&rows), sizes.iter().map(|size| size / sizes[0]).collect())
}

/// G − (G V − G V / s) Vᵀ.
fn taken_back(g: &Matrix, (v, s): (&Matrix, &[f64])) -> Matrix {
    let along = product(g, v);
    let part = |row: &Vec<f64>| row.iter().zip(s).map(|(x, s)| x - x / s).collect();
    let part: Matrix = along.iter().map(part).collect();
    let gone = product(&part, &transposed(v));
    let minus = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    g.iter().zip(&gone).map(minus).collect()
}

/// As published: on the side of the inputs, then on that of the outputs.
fn naive_collapse(g: &Matrix, q: usize) -> Matrix {
    let (v, s) = leading(g, q);
    let (u, _) = leading(&transposed(g), q);
    let first = taken_back(g, (&v, &s));
    transposed(&taken_back(&transposed(&first), (&u, &s)))
}

fn matrix(values: &[f32], columns: usize) -> Matrix {
    values.chunks_exact(columns).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

#[test]
fn a_collapse_divides_the_leading_directions_on_both_sides() {
    let mut random = Random::new(3);
    for (rows, columns, q) in [(6, 9, 3), (9, 6, 2), (5, 5, 5), (4, 7, 0), (3, 8, 1)] {
        let given: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
        let expected = match q {
            0 => matrix(&given, columns),
            q => naive_collapse(&matrix(&given, columns), q),
        };
        let mut found = given.clone();
        collapse(&mut found, (rows, columns), q).expect("finite");
        for (found, expected) in found.iter().zip(expected.concat()) {
            let error = (f64::from(*found) - expected).abs();
            // Two f32 products of some ten numbers near 1.
            assert!(error < 2e-5, "{rows} x {columns}, {q}: {found} {expected}");
        }
    }
    let mut nothing = vec![0f32; 12];
    collapse(&mut nothing, (3, 4), 2).expect("finite");
    assert_eq!(nothing, vec![0.; 12], "a gradient of zero has no directions");
}

/// The law: each MLP matrix moves along the collapsed gradient at the adversary's weights, all by
/// the same multiple, and as far as the budget of drift allows.
#[test]
fn a_step_of_repselect_is_a_multiple_of_the_collapsed_gradient() {
    let model = open("llama");
    // Without a hold-out, at which it would end.
    let all = PassageSets { general: general(), holdout: Vec::new(), ..sets(&model) };
    let given = GradientOptions {
        collapse: Some(4),
        steps: None,
        max_drift: Some(0.01),
        ..options(ForgetMethod::Repselect)
    };
    let settings = settled(&given, &all, &model);
    assert_eq!((settings.steps, settings.retain_weight), (1, 0.));
    let run = train(&model, &model.decoder, &all, &settings, 1., None, (&ALONE, &Silent))
        .expect("trained");
    let drift = run.budget.expect("text to check").drift;
    assert!(drift > 0.008 && drift <= 0.01, "{drift}");
    assert!(
        run.path[0].passages
            > memory(&model.decoder, &all.passages, &Silent)
                .expect("measured")
                .expect("not empty")
                .nll
                .mean
    );

    let other = model.trainable(&settings.rule).expect("trainable");
    let n = all.passages.len();
    let learn = |set: &[Example], scale: f32, loss: TokenLoss| -> Vec<Example> {
        set.iter().map(|it| Example { scale, loss: loss.clone(), ..it.clone() }).collect()
    };
    for batch in all.passages.chunks(settings.batch) {
        let lesson = learn(batch, 1. / batch.len() as f32, TokenLoss::Mean);
        backward::accumulate(&other, &lesson, false).expect("runs");
        for parameter in &other.parameters {
            let gradient = std::mem::take(&mut *parameter.gradient.lock());
            let size = gradient.len();
            crate::ops::with_values_mut(&parameter.values, |values| {
                for (value, slope) in values.iter_mut().zip(gradient) {
                    let sign = if slope == 0. { 0. } else { slope.signum() };
                    *value -= settings.relearn_rate as f32 * sign;
                }
            })
            .expect("written");
            *parameter.gradient.lock() = vec![0.; size];
        }
    }
    let ascent = TokenLoss::Forget(ForgetLoss::Ascent);
    let watched = learn(&all.passages, 1. / n as f32, ascent);
    backward::accumulate(&other, &watched, false).expect("runs");
    let start = model.trainable(&settings.rule).expect("trainable");
    let mut alpha: Option<f64> = None;
    let trained = run.trainable.parameters.iter().zip(&other.parameters).zip(&start.parameters);
    for ((after, gradient), before) in trained {
        let columns = after.values.dims()[1];
        let expected = naive_collapse(&matrix(&gradient.gradient.lock(), columns), 4).concat();
        let values = |tensor| with_values(tensor, "values", |x| Ok(x.to_vec())).expect("f32");
        let moved: Vec<f64> = values(&after.values)
            .iter()
            .zip(values(&before.values))
            .map(|(after, before)| f64::from(before) - f64::from(*after))
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let own = dot(&moved, &expected) / dot(&expected, &expected);
        let all = *alpha.get_or_insert(own);
        assert!((own / all - 1.).abs() < 1e-2, "{}: {own}, {all}", after.slot.name);
        let cosine =
            dot(&moved, &expected) / (dot(&moved, &moved) * dot(&expected, &expected)).sqrt();
        assert!(cosine > 0.999, "{}: {cosine}", after.slot.name);
    }
}

#[test]
fn what_undo_gives_up_is_replaced_by_noise_of_a_new_model() {
    let model = open("llama");
    let before = model.trainable(&TrainRule::default()).expect("trainable");
    let after = model.trainable(&TrainRule::default()).expect("trainable");
    disturb(&after, (0.4, 0.5), 7).expect("written");
    let values = |tensor| with_values(tensor, "values", |x| Ok(x.to_vec())).expect("f32");
    let mut drawn = Vec::new();
    for (before, after) in before.parameters.iter().zip(&after.parameters) {
        let shape = &before.slot.shape;
        let bound = (6. / shape.iter().sum::<usize>() as f64).sqrt();
        for (old, new) in values(&before.values).iter().zip(values(&after.values)) {
            // θ' = (1 − α) θ + α β N.
            let noise = (f64::from(new) - 0.6 * f64::from(*old)) / (0.4 * 0.5);
            match before.slot.is_matrix() {
                true => drawn.push(noise / bound),
                false => assert!(noise.abs() < 1e-5, "{}: {noise}", before.slot.name),
            }
        }
    }
    let n = drawn.len() as f64;
    let (mean, square) =
        (drawn.iter().sum::<f64>() / n, drawn.iter().map(|x| x * x).sum::<f64>() / n);
    assert!(drawn.iter().all(|x| x.abs() < 1.001), "within the bounds");
    assert!(mean.abs() < 0.02 && (square - 1. / 3.).abs() < 0.02, "{mean} {square}");
    let again = model.trainable(&TrainRule::default()).expect("trainable");
    disturb(&again, (0.4, 0.5), 7).expect("written");
    for (after, again) in after.parameters.iter().zip(&again.parameters) {
        assert_eq!(values(&after.values), values(&again.values), "the noise is seeded");
    }
}

/// Passages that were learnt, then undone: they are forgotten, general text comes back, and all
/// steps are taken.
#[test]
fn undo_forgets_and_learns_general_text_again() {
    let model = open("llama");
    let all = PassageSets { general: general(), ..sets(&model) };
    let given = GradientOptions { steps: Some(40), ..options(ForgetMethod::Simnpo) };
    let learnt = super::passages::run(&model, &all, PassageVerb::Learn, &given);
    let start = &learnt.trainable.frozen;
    let nll = |decoder: &crate::model::Decoder, set: &[Example]| {
        memory(decoder, set, &Silent).expect("measured").expect("not empty").nll.mean
    };
    let undone = |steps| {
        let given =
            GradientOptions { steps: Some(steps), noise: Some(0.5), ..options(ForgetMethod::Undo) };
        let settings = settled(&given, &all, &model);
        train(&model, start, &all, &settings, 1e-2, None, (&ALONE, &Silent)).expect("trained")
    };
    let (short, long) = (undone(1), undone(60));
    assert_eq!((long.path.len(), long.stopped), (60, Stopped::Steps));
    // Half of the noise is no smaller change: it stays whole, and what it costs is said.
    let budget = short.budget.expect("text to check");
    assert!(
        budget.share == 1. && budget.drift > budget.max_drift && !budget.is_kept(),
        "{budget:?}"
    );
    let (known, gone) = (nll(start, &all.passages), nll(&short.trainable.frozen, &all.passages));
    assert!(gone > known + 0.2, "{known} to {gone}");
    // The few sequences of this test say little of others: what comes back is the text that is drawn.
    let drawn = Drift::new(start, &all.general.trained).expect("runs");
    let [disturbed, again] =
        [&short, &long].map(|run| drawn.of(&run.trainable.frozen).expect("runs"));
    assert!(again < 0.5 * disturbed, "{again} of {disturbed}");
}

#[test]
fn a_little_that_was_read_is_what_the_decoder_says_after_four_tokens() {
    let model = open("llama");
    let passages = sets(&model).passages;
    let found = little_read(&model.decoder, &passages, 5).expect("runs");
    for (passage, found) in passages.iter().zip(&found) {
        assert_eq!(found.targets(), passage.targets());
        for (at, target) in (passage.first_target..passage.ids.len()).enumerate() {
            let window = passage.ids[target.saturating_sub(4)..target].to_vec();
            let batch = Batch::new(&[window]);
            let hidden = model.decoder.forward(&batch, None).expect("runs");
            let logits = model.decoder.logits(&hidden, &batch.last_rows()).expect("runs");
            let row: Vec<f32> = logits.flatten_all().and_then(|x| x.to_vec1()).expect("f32");
            // A row diverges by nothing from itself.
            let divergence = found.divergence(at, &row);
            assert!(divergence.abs() < 1e-5, "target {target}: {divergence}");
        }
    }
}

#[test]
fn jensun_forgets_without_a_rule_to_stop() {
    let model = open("llama");
    let all = sets(&model);
    let given = GradientOptions { steps: Some(40), ..options(ForgetMethod::Simnpo) };
    let learnt = super::passages::run(&model, &all, PassageVerb::Learn, &given);
    let start = &learnt.trainable.frozen;
    let endless = PassageSets { holdout: Vec::new(), ..all.clone() };
    let given = GradientOptions {
        steps: Some(60),
        retain_weight: Some(0.),
        ..options(ForgetMethod::Jensun)
    };
    let settings = settled(&given, &endless, &model);
    let run =
        train(&model, start, &endless, &settings, 2e-3, None, (&ALONE, &Silent)).expect("trained");
    let (first, last) = (run.path[0].passages, run.path[59].passages);
    assert!(last > first, "{first} to {last}");
    assert!(run.path.iter().all(|point| point.loss <= std::f64::consts::LN_2), "bounded");
}
