//! A decoder whose chosen weights are copies that an optimiser may change in place.
//!
//! Matrices of the layers collect their gradients in buffers of their own; norms and biases are
//! variables of candle; the embedding and the head are left to the caller, who knows the tokens.
//! A parameter is named as the file stores it, so that what was learnt can be written back.

mod walk;

use candle_core::{Result, Tensor};

use super::decoder::Decoder;
use super::holder::Holder;
use super::mlp::Projection;
use super::norm::RowNorm;
use super::parameters::{Slice, Slot};
use super::{Model, ModelError};
use crate::delta::{Change, WeightDelta};
use crate::ops::{Gradient, Weight, WeightLayout, with_values, with_values_mut};

/// Which weights are trained, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TrainRule {
    /// Which kinds of weights.
    pub trained: Trained,
    /// Only in these layers; then neither embedding nor head nor last norm.
    pub layers: Option<Vec<usize>>,
    /// Instead of the matrices, low-rank changes of this rank that are added to them; nothing else.
    pub rank: Option<usize>,
    /// Seed of the first factors.
    pub seed: u64,
}

/// Kinds of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// All weights.
    #[default]
    All,
    /// The matrices and biases of the MLPs.
    Mlp,
}

/// One trained tensor.
#[derive(Clone)]
pub struct Parameter {
    /// What it is in the decoder, and where that is stored.
    pub slot: Slot,
    /// Its values, whose storage the decoder shares.
    pub values: Tensor,
    /// The sum of its gradients.
    pub gradient: Gradient,
    /// The values before; shared with the decoder from which the training began.
    start: Weight,
    factor: Factor,
}

impl Parameter {
    /// Whether weight decay applies: to matrices, not to norms and biases.
    pub fn decays(&self) -> bool {
        self.slot.is_matrix()
    }

    /// The axis of its values that meets what the linear map reads: of the whole matrix, or of the
    /// factor that comes first. None for all else.
    pub fn input_axis(&self) -> Option<usize> {
        if !self.slot.is_matrix() || !self.slot.role.is_linear() {
            return None;
        }
        match (self.slot.layout, self.factor) {
            (WeightLayout::OutIn, Factor::Whole | Factor::Right) => Some(1),
            (WeightLayout::InOut, Factor::Whole | Factor::Left) => Some(0),
            _ => None,
        }
    }
}

/// What a parameter is of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    Whole,
    /// The first factor of a low-rank change.
    Left,
    /// The second factor.
    Right,
}

impl TrainRule {
    /// Whether a slot is trained, itself or by a low-rank change.
    pub fn trains(&self, slot: &Slot) -> bool {
        let is_chosen = match (slot.layer, &self.layers) {
            (Some(layer), Some(layers)) => layers.contains(&layer),
            (Some(_), None) => true,
            (None, layers) => layers.is_none(),
        };
        let is_low_rank = slot.role.is_linear() && slot.is_matrix();
        is_chosen
            && (self.trained == Trained::All || slot.role.is_mlp())
            && (self.rank.is_none() || is_low_rank)
    }
}

/// A decoder in training.
pub struct Trainable {
    /// The decoder that is run with gradients.
    pub decoder: Decoder,
    /// A decoder with the trained weights but without gradients, for measuring.
    pub frozen: Decoder,
    /// What is trained, in the order of the decoder.
    pub parameters: Vec<Parameter>,
}

impl Model {
    /// A decoder with its own copies of the weights that `rule` names; the model stays as it is.
    pub fn trainable(&self, rule: &TrainRule) -> std::result::Result<Trainable, ModelError> {
        self.trainable_from(&self.decoder, rule)
    }

    /// A decoder in training that starts from a changed decoder of this model.
    pub fn trainable_from(
        &self,
        start: &Decoder,
        rule: &TrainRule,
    ) -> std::result::Result<Trainable, ModelError> {
        for layer in rule.layers.iter().flatten() {
            self.check_layer(*layer)?;
        }
        if !self.decoder.device().is_cpu() {
            let message = "training runs on the CPU; leave out --device".to_owned();
            return Err(candle_core::Error::Msg(message).into());
        }
        let mut decoder = start.clone();
        let parameters = walk::make_trainable(&mut decoder, rule)?;
        Ok(Trainable { frozen: frozen(&decoder), decoder, parameters })
    }
}

impl Trainable {
    /// A view of these weights with gradients of its own: what another thread adds to.
    pub(crate) fn replica(&self) -> Self {
        let (mut decoder, mut parameters) = (self.decoder.clone(), self.parameters.clone());
        for parameter in &mut parameters {
            let own = Gradient::zeros(parameter.values.elem_count());
            if let Holder::Linear(projection) = decoder.holder(&parameter.slot)
                && parameter.factor == Factor::Whole
                && parameter.slot.is_matrix()
            {
                projection.gradient = Some(own.clone());
            }
            parameter.gradient = own;
        }
        Self { decoder, frozen: self.frozen.clone(), parameters }
    }

    /// Every stored tensor that is trained, as it is now; low-rank changes are left out.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.joined(|parameter| Ok(parameter.values.detach()))
    }

    fn joined(
        &self,
        values: impl Fn(&Parameter) -> Result<Tensor>,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for parameter in &self.parameters {
            if parameter.factor != Factor::Whole {
                continue;
            }
            let slot = &parameter.slot;
            let earlier = tensors.iter_mut().find(|(name, _)| *name == slot.name);
            match (slot.slice, earlier) {
                (Some(slice), Some((_, joined))) => {
                    *joined = slice.join(joined, &values(parameter)?)?;
                }
                _ => tensors.push((slot.name.clone(), values(parameter)?)),
            }
        }
        Ok(tensors)
    }

    /// What training changed in the decoder from which it began.
    pub fn delta(&self) -> Result<WeightDelta> {
        let changed =
            self.joined(|parameter| parameter.values.detach() - parameter.start.tensor()?)?;
        let changes = changed.into_iter().map(|(name, change)| (name, Change::Dense(change)));
        let mut delta = WeightDelta { changes: changes.collect() };
        for pair in self.parameters.windows(2) {
            if [pair[0].factor, pair[1].factor] != [Factor::Left, Factor::Right] {
                continue;
            }
            // A slice of the rows belongs to the left factor, one of the columns to the right.
            let along = |axis| pair[0].slot.slice.filter(|slice| slice.axis == axis);
            let change = Change::LowRank {
                left: padded(&pair[0].values.detach(), along(0))?,
                right: padded(&pair[1].values.detach(), along(1))?,
            };
            let one = WeightDelta { changes: [(pair[0].slot.name.clone(), change)].into() };
            delta = delta.plus(&one)?;
        }
        Ok(delta)
    }

    /// Multiplies what training changed, from where it began, by `factor`.
    pub fn scale_change(&self, factor: f32) -> Result<()> {
        for parameter in &self.parameters {
            match parameter.factor {
                Factor::Whole => {
                    with_values(&parameter.start.tensor()?, "start", |start| {
                        with_values_mut(&parameter.values, |values| {
                            for (value, start) in values.iter_mut().zip(start) {
                                *value = start + factor * (*value - start);
                            }
                        })
                    })?;
                }
                // One factor of two: their product is what changed.
                Factor::Left => with_values_mut(&parameter.values, |values| {
                    values.iter_mut().for_each(|value| *value *= factor);
                })?,
                Factor::Right => {}
            }
        }
        Ok(())
    }

    /// A copy of all trained values.
    pub fn values(&self) -> Result<Vec<Vec<f32>>> {
        let copy = |parameter: &Parameter| {
            with_values(&parameter.values, "values", |values| Ok(values.to_vec()))
        };
        self.parameters.iter().map(copy).collect()
    }

    /// Does something to each trained value and its place in `copy`.
    pub fn with_each(
        &self,
        copy: &mut [Vec<f32>],
        mut change: impl FnMut(&mut f32, &mut f32),
    ) -> Result<()> {
        for (parameter, copy) in self.parameters.iter().zip(copy) {
            with_values_mut(&parameter.values, |values| {
                values.iter_mut().zip(copy).for_each(|(value, copy)| change(value, copy));
            })?;
        }
        Ok(())
    }

    /// Sets all trained values to a copy of them.
    pub fn set_values(&self, copy: &[Vec<f32>]) -> Result<()> {
        for (parameter, copy) in self.parameters.iter().zip(copy) {
            with_values_mut(&parameter.values, |values| values.copy_from_slice(copy))?;
        }
        Ok(())
    }

    /// Number of trained values.
    pub fn elements(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.values.elem_count()).sum()
    }
}

/// A factor of a slice, with zeros for the rest of the stored tensor.
fn padded(factor: &Tensor, slice: Option<Slice>) -> Result<Tensor> {
    // A copy, because the storage of a parameter goes on changing.
    let factor = factor.copy()?;
    slice.map_or(Ok(factor.clone()), |slice| slice.padded(&factor))
}

/// A view of the same storage without gradients.
fn frozen(decoder: &Decoder) -> Decoder {
    let mut view = decoder.clone();
    for slot in decoder.parameters().iter() {
        match view.holder(slot) {
            Holder::Tensor(bias) if slot.is_bias => *bias = bias.detach(),
            // Its gradient is left to the caller.
            Holder::Table(_) | Holder::Tensor(_) => {}
            Holder::Norm(norm) => freeze_norm(norm),
            Holder::Linear(projection) => freeze_projection(projection),
        }
    }
    view
}

fn freeze_norm(norm: &mut RowNorm) {
    match norm {
        RowNorm::Rms { weight, .. } => *weight = weight.detach(),
        RowNorm::Layer { weight, bias, .. } => {
            (*weight, *bias) = (weight.detach(), bias.detach());
        }
    }
}

fn freeze_projection(projection: &mut Projection) {
    projection.gradient = None;
    projection.bias = projection.bias.as_ref().map(Tensor::detach);
    if let Some(adapter) = &mut projection.adapter {
        (adapter.left, adapter.right) = (adapter.left.detach(), adapter.right.detach());
    }
}
