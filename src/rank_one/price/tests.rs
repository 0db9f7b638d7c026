//! The price against its formula, and against the divergence that small changes cause.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::*;
use crate::math::Random;
use crate::model::{Batch, Decoder, Model};
use crate::ops::divergence;
use crate::progress::Silent;
use crate::rank_one::gradient_moment::accumulate_gradients;
use crate::rank_one::second_moment::accumulate;

/// f64 sums in another order.
const TOLERANCE: f64 = 1e-9;

fn obtained(moment: SecondMoment) -> Obtained {
    Obtained { moment, file: PathBuf::new(), was_cached: false }
}

fn factors(keys: SecondMoment, gradients: SecondMoment) -> PriceFactors {
    PriceFactors::new(obtained(keys), obtained(gradients), &Silent)
}

fn matrix(rows: usize, columns: usize, random: &mut Random) -> Tensor {
    let numbers: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).expect("a matrix")
}

/// The sums of some random rows.
fn moment(width: usize, random: &mut Random) -> SecondMoment {
    let rows = matrix(9, width, random).flatten_all().expect("rows");
    let mut moment = SecondMoment::empty(width);
    moment.add(&rows.to_vec1::<f32>().expect("rows"));
    moment
}

#[test]
fn the_cheap_form_is_the_trace_in_either_layout() -> Result<()> {
    let (outputs, inputs, rank) = (5, 7, 2);
    let mut random = Random::new(1);
    let (c, s) = (moment(inputs, &mut random), moment(outputs, &mut random));
    let (left, right) = (matrix(outputs, rank, &mut random), matrix(rank, inputs, &mut random));
    let whole = left.matmul(&right)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let mut trace = 0.;
    for (i, j) in (0..outputs).flat_map(|i| (0..outputs).map(move |j| (i, j))) {
        for (a, b) in (0..inputs).flat_map(|a| (0..inputs).map(move |b| (a, b))) {
            trace += s.sum[i * outputs + j] * whole[i][a] * c.sum[a * inputs + b] * whole[j][b];
        }
    }
    let wanted = 0.5 * trace / 81.;
    let factors = factors(c, s);
    let (turned_left, turned_right) = (right.t()?.contiguous()?, left.t()?.contiguous()?);
    let dense = left.matmul(&right)?;
    let forms = [
        (Change::Dense(dense.t()?.contiguous()?), WeightLayout::InOut, 1e-5),
        (Change::Dense(dense), WeightLayout::OutIn, 1e-5),
        (Change::LowRank { left, right }, WeightLayout::OutIn, TOLERANCE),
        (
            Change::LowRank { left: turned_left, right: turned_right },
            WeightLayout::InOut,
            TOLERANCE,
        ),
    ];
    for (change, layout, tolerance) in forms {
        let price = factors.price(&change, layout)?;
        // The product itself is rounded to f32.
        assert!((price / wanted - 1.).abs() < tolerance.max(1e-6), "{price} for {wanted}");
    }
    Ok(())
}

#[test]
fn prices_of_layers_add_up_and_an_unknown_layer_has_none() -> Result<()> {
    let mut random = Random::new(2);
    let one = factors(moment(4, &mut random), moment(3, &mut random));
    let layers = ["a", "b"].map(|name| (name.to_owned(), one.clone()));
    let prices = Prices::new(layers.into(), WeightLayout::OutIn);
    let change = |random: &mut Random| Change::Dense(matrix(3, 4, random));
    let (first, second) = (change(&mut random), change(&mut random));
    let each = [&first, &second].map(|it| one.price(it, WeightLayout::OutIn));
    let delta = |changes: [(&str, &Change); 2]| WeightDelta {
        changes: changes.map(|(name, change)| (name.to_owned(), change.clone())).into(),
    };
    let both = prices.of(&delta([("a", &first), ("b", &second)]))?.expect("both are known");
    let [first_price, second_price] = each;
    assert!((both - first_price? - second_price?).abs() < TOLERANCE * both);
    assert!(prices.of(&delta([("a", &first), ("c", &second)]))?.is_none());
    assert_eq!(prices.of(&WeightDelta::default())?, Some(0.));
    Ok(())
}

/// Sequences of tokens of which none tells what follows.
fn sequences(vocabulary: usize) -> Vec<Vec<u32>> {
    let mut random = Random::new(3);
    (0..96).map(|_| (0..24).map(|_| random.below(vocabulary) as u32).collect()).collect()
}

/// Mean KL(base ‖ edited) a token, in nats.
fn measured(base: &Decoder, edited: &Decoder, sequences: &[Vec<u32>]) -> Result<f64> {
    let (mut sum, mut tokens) = (0., 0);
    let vocabulary = base.config().vocabulary;
    for sequences in sequences.chunks(8) {
        let batch = Batch::new(sequences);
        let rows: Vec<usize> = (0..batch.rows()).collect();
        let logits = |decoder: &Decoder| -> Result<Vec<f32>> {
            decoder.logits(&decoder.forward(&batch, None)?, &rows)?.flatten_all()?.to_vec1()
        };
        let (p, q) = (logits(base)?, logits(edited)?);
        let pairs = p.chunks(vocabulary).zip(q.chunks(vocabulary));
        sum += pairs.map(|(p, q)| divergence(p, q)).sum::<f64>();
        tokens += batch.rows();
    }
    Ok(sum / tokens as f64)
}

/// To second order the divergence grows with the square of the change, and is what the price says up
/// to what the price leaves out: the tokens of a sequence act together.
#[test]
fn a_small_change_costs_its_price() -> Result<()> {
    for name in ["llama", "gpt2", "gemma2"] {
        let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
        let model = Model::open(Path::new(&folder), &Device::Cpu, &Silent).expect("a fixture");
        let (decoder, config) = (&model.decoder, model.decoder.config());
        let sequences = sequences(config.vocabulary);
        let mut keys = SecondMoment::empty(config.intermediate);
        accumulate(decoder, 0, &sequences, &mut keys, &Silent).expect("runs");
        let mut gradients = [SecondMoment::empty(config.hidden)];
        let label = |place| Random::new(place as u64);
        accumulate_gradients(decoder, &[0], (&sequences, label), &mut gradients, &Silent)
            .expect("runs");
        let [gradients] = gradients;
        let factors = factors(keys, gradients);
        let (weight, layout) = decoder.down_projection(0);
        let weight = weight.tensor()?;
        let (rows, columns) = weight.dims2()?;
        let mut random = Random::new(4);
        let (left, right) = (matrix(rows, 2, &mut random), matrix(2, columns, &mut random));
        let size = (left.matmul(&right)?.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
        let norm = weight.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt();
        let ratio = |share: f32| -> Result<(f64, f64)> {
            let left = (&left * f64::from(share * norm / size))?;
            let change = Change::LowRank { left, right: right.clone() };
            let edited = decoder.with_down_projection(0, change.add_to(&weight)?);
            let measured = measured(decoder, &edited, &sequences)?;
            Ok((measured, measured / factors.price(&change, layout)?))
        };
        let (large, small) = (ratio(0.04)?, ratio(0.02)?);
        let quarter = large.0 / small.0;
        assert!((quarter - 4.).abs() < 0.2, "{name}: {quarter} times the divergence");
        assert!((0.5..2.).contains(&small.1), "{name}: measured over predicted is {}", small.1);
        assert!((large.1 / small.1 - 1.).abs() < 0.05, "{name}: {large:?} against {small:?}");
    }
    Ok(())
}
