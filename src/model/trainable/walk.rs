//! Goes through the parameter table once and replaces what is trained by copies.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{Factor, Parameter, TrainRule};
use crate::math::Random;
use crate::model::decoder::Decoder;
use crate::model::holder::Holder;
use crate::model::mlp::{LowRank, Projection};
use crate::model::parameters::Slot;
use crate::ops::{Gradient, Weight, WeightLayout};

pub(super) fn make_trainable(decoder: &mut Decoder, rule: &TrainRule) -> Result<Vec<Parameter>> {
    let mut random = Random::new(rule.seed);
    let mut parameters = Vec::new();
    let table = decoder.parameters.clone();
    for slot in table.iter().filter(|slot| rule.trains(slot)) {
        match (decoder.holder(slot), rule.rank) {
            (Holder::Linear(projection), Some(rank)) => {
                parameters.extend(adapter(projection, slot, rank, &mut random)?);
            }
            (Holder::Linear(projection), None) if slot.is_matrix() => {
                let start = projection.weight.clone();
                let values = start.copied()?;
                let parameter = parameter(slot, &values, start, Factor::Whole);
                projection.weight = values.into();
                projection.gradient = Some(parameter.gradient.clone());
                parameters.push(parameter);
            }
            (holder, _) => {
                let mut place = holder.place(slot.is_bias);
                let start = place.weight();
                let values = match slot.is_matrix() {
                    true => start.copied()?,
                    // What is no matrix gets its gradient from candle.
                    false => Var::from_tensor(&start.tensor()?)?.into_inner(),
                };
                parameters.push(parameter(slot, &values, start, Factor::Whole));
                place.set(values);
            }
        }
    }
    decoder.tie_head();
    Ok(parameters)
}

/// W + left · right: what x meets first is random, the other is zero, so nothing changes yet.
fn adapter(
    projection: &mut Projection,
    slot: &Slot,
    rank: usize,
    random: &mut Random,
) -> Result<[Parameter; 2]> {
    let (rows, columns) = projection.weight.dims2()?;
    let width_in = projection.layout.widths((rows, columns)).0;
    let bound = 1. / (width_in as f64).sqrt();
    let drawn: Vec<f32> =
        (0..width_in * rank).map(|_| ((2. * random.uniform() - 1.) * bound) as f32).collect();
    let zeros = |shape| Var::zeros(shape, DType::F32, &Device::Cpu);
    let drawn = |shape| Var::from_vec(drawn, shape, &Device::Cpu);
    let (left, right) = match projection.layout {
        WeightLayout::OutIn => (zeros((rows, rank))?, drawn((rank, columns))?),
        WeightLayout::InOut => (drawn((rows, rank))?, zeros((rank, columns))?),
    };
    let (left, right) = (left.into_inner(), right.into_inner());
    let parameters = [(&left, Factor::Left), (&right, Factor::Right)]
        .map(|(values, factor)| parameter(slot, values, values.detach().into(), factor));
    projection.adapter = Some(LowRank { left, right });
    Ok(parameters)
}

fn parameter(slot: &Slot, values: &Tensor, start: Weight, factor: Factor) -> Parameter {
    Parameter {
        slot: slot.clone(),
        values: values.clone(),
        gradient: Gradient::zeros(values.elem_count()),
        start,
        factor,
    }
}
