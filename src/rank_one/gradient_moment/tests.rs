//! The gradients of one pass against those of candle, one position at a time.

use std::path::Path;

use candle_core::{D, DType, Device, Var};

use super::*;
use crate::model::{AddToRows, Model, Site};
use crate::ops::token_nll;
use crate::progress::Silent;

/// One fixture of each family.
const FAMILIES: [&str; 16] = include!("../../../tests/fixtures/families.rs");

/// f32 sums of all layers in another order, relative to the largest entry.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> Decoder {
    let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
    Model::open(Path::new(&folder), &Device::Cpu, &Silent).expect("a fixture").decoder
}

fn sequences() -> Vec<Vec<u32>> {
    vec![vec![3, 14, 15, 9, 2, 6], vec![5, 3, 8], vec![7, 7, 20, 1]]
}

fn label(place: usize) -> Random {
    Random::new(40 + place as u64)
}

/// The labels of a sequence, drawn from the whole distribution of each row.
fn labels(decoder: &Decoder, ids: &[u32], mut random: Random) -> Result<Vec<u32>> {
    let batch = Batch::new(&[ids]);
    let rows: Vec<usize> = (0..ids.len()).collect();
    let logits = decoder.logits(&decoder.forward(&batch, None)?, &rows)?;
    let rows = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2::<f32>()?;
    let drawn = rows.iter().map(|row| {
        let mut left = random.uniform();
        let at = row.iter().position(|p| {
            left -= f64::from(*p);
            left < 0.
        });
        at.expect("probabilities sum to one") as u32
    });
    Ok(drawn.collect())
}

/// g at one position: candle's gradient of the summed loss with respect to what is added there.
fn naive(decoder: &Decoder, layer: usize, (ids, labels): (&[u32], &[u32]), at: usize) -> Vec<f64> {
    let gradient = || -> Result<Vec<f32>> {
        let added = Var::zeros(decoder.config().hidden, DType::F32, &Device::Cpu)?;
        let batch = Batch::new(&[ids]);
        let mut add = AddToRows::new((layer, Site::Value), &[at], ids.len(), &added)?;
        let hidden = decoder.observe(&batch, None, &mut add)?.expect("not stopped");
        let logits = decoder.logits(&hidden, &(0..ids.len()).collect::<Vec<_>>())?;
        let loss = token_nll(&logits, labels)?.sum_all()?;
        loss.backward()?.get(&added).expect("the loss depends on it").to_vec1::<f32>()
    };
    gradient().expect("candle runs").into_iter().map(f64::from).collect()
}

#[test]
fn the_moment_is_that_of_one_position_at_a_time() -> Result<()> {
    for name in FAMILIES {
        let decoder = &fixture(name);
        let (width, layers) = (decoder.config().hidden, [0, decoder.config().layers - 1]);
        let mut moments = layers.map(|_| SecondMoment::empty(width));
        accumulate_gradients(decoder, &layers, (&sequences(), label), &mut moments, &Silent)
            .expect("runs");
        for (layer, moment) in layers.iter().zip(&moments) {
            let (mut sum, mut tokens) = (vec![0.; width * width], 0);
            for (place, ids) in sequences().iter().enumerate() {
                let labels = labels(decoder, ids, label(place))?;
                for at in 1..ids.len() {
                    let g = naive(decoder, *layer, (ids, &labels), at);
                    let entries = sum.iter_mut().enumerate();
                    entries.for_each(|(ij, sum)| *sum += g[ij / width] * g[ij % width]);
                    tokens += 1;
                }
            }
            assert_eq!(moment.tokens, tokens, "{name}");
            let largest = sum.iter().fold(0f64, |most, entry| most.max(entry.abs()));
            assert!(largest > 0., "{name}: a gradient");
            for (found, wanted) in moment.sum.iter().zip(&sum) {
                let error = (found - wanted).abs() / largest;
                assert!(error < TOLERANCE, "{name}, layer {layer}: {found} for {wanted}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_split_does_not_change_what_is_drawn() {
    let decoder = &fixture("llama");
    let width = decoder.config().hidden;
    let of = |sequences: &[Vec<u32>], first: usize| {
        let mut moment = [SecondMoment::empty(width)];
        let label = |place| label(first + place);
        accumulate_gradients(decoder, &[1], (sequences, label), &mut moment, &Silent)
            .expect("runs");
        let [moment] = moment;
        moment
    };
    let all = sequences();
    let (whole, first, rest) = (of(&all, 0), of(&all[..1], 0), of(&all[1..], 1));
    let largest = whole.sum.iter().fold(0f64, |most, entry| most.max(entry.abs()));
    for ((whole, first), rest) in whole.sum.iter().zip(&first.sum).zip(&rest.sum) {
        assert!((whole - first - rest).abs() < TOLERANCE * largest, "{whole}: {first} + {rest}");
    }
}

#[test]
fn a_label_is_the_token_at_its_draw() {
    let logits: [f32; 3] = [0.5f32.ln(), 0.25f32.ln(), 0.25f32.ln()];
    for (draw, label) in [(0., 0), (0.49, 0), (0.51, 1), (0.76, 2), (1.1, 0)] {
        let mut row = logits;
        sampled_loss_gradient(&mut row, draw);
        for (at, (found, p)) in row.iter().zip([0.5f32, 0.25, 0.25]).enumerate() {
            let wanted = if at == label { p - 1. } else { p };
            assert!((found - wanted).abs() < 1e-6, "draw {draw}: {row:?}");
        }
    }
}
