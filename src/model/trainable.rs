//! A decoder whose chosen weights are copies that an optimiser may change in place.
//!
//! Matrices of the layers collect their gradients in buffers beside them; norms and biases are
//! variables of candle; the embedding and the head are left to the caller, who knows the tokens.
//! A parameter is named as the file stores it, so that what was learnt can be written back.

mod walk;

use candle_core::{Result, Tensor};

use super::decoder::Decoder;
use super::family::{QueryKeyValue, TensorNames};
use super::mlp::Projection;
use super::norm::RowNorm;
use super::{Model, ModelError};
use crate::delta::{Change, WeightDelta};
use crate::ops::{AttentionShape, Gradient, WeightLayout, with_values, with_values_mut};

/// Which weights are trained, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TrainRule {
    /// Which kinds of weights.
    pub trained: Trained,
    /// Only in these layers; then neither embedding nor head nor last norm.
    pub layers: Option<Vec<usize>>,
    /// Instead of the matrices, low-rank changes of this rank beside them; nothing else.
    pub rank: Option<usize>,
    /// Seed of the first factors.
    pub seed: u64,
}

/// Kinds of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// All of them.
    #[default]
    All,
    /// The matrices and biases of the MLPs.
    Mlp,
}

/// The part of a decoder to which a parameter belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Token embedding, also the head where that is tied.
    Embedding,
    /// Learned positions.
    Positions,
    /// A layer.
    Layer(usize),
    /// The norm before the head.
    FinalNorm,
    /// An untied head.
    Head,
}

/// One trained tensor.
#[derive(Clone)]
pub struct Parameter {
    /// The stored tensor to which it belongs.
    pub name: String,
    /// Where it is used.
    pub place: Place,
    /// Its values, whose storage the decoder shares.
    pub values: Tensor,
    /// The sum of its gradients.
    pub gradient: Gradient,
    /// Whether weight decay applies: matrices, not norms and biases.
    pub decays: bool,
    /// The values before; shared with the decoder from which the training began.
    start: Tensor,
    part: Part,
}

/// What a parameter is of its stored tensor.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Whole,
    /// A slice along an axis.
    Slice(Slice),
    /// The first factor of a low-rank change.
    Left(Option<Slice>),
    /// The second.
    Right(Option<Slice>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slice {
    pub(super) axis: usize,
    pub(super) start: usize,
    /// Length of the stored tensor along the axis.
    pub(super) of: usize,
}

/// A decoder in training.
pub struct Trainable {
    /// Runs with gradients.
    pub decoder: Decoder,
    /// The same weights without gradients, for measuring.
    pub frozen: Decoder,
    /// What is trained, in the order of the decoder.
    pub parameters: Vec<Parameter>,
}

impl Model {
    /// A decoder with its own copies of the weights that `rule` names; the model stays as it is.
    pub fn trainable(&self, rule: &TrainRule) -> std::result::Result<Trainable, ModelError> {
        self.trainable_from(&self.decoder, rule)
    }

    /// The same from a changed decoder of this model.
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
        let parameters = walk::make_trainable(&mut decoder, &self.family.names, self.prefix, rule)?;
        Ok(Trainable { frozen: frozen(&decoder), decoder, parameters })
    }
}

impl Trainable {
    /// The same weights with gradients of their own: what another thread adds to.
    pub(crate) fn replica(&self) -> Self {
        let (mut decoder, mut parameters) = (self.decoder.clone(), self.parameters.clone());
        for parameter in &mut parameters {
            let own = Gradient::zeros(parameter.values.elem_count());
            let layers = decoder.layers.iter_mut();
            for (_, projection) in layers.flat_map(projections) {
                if projection.gradient.as_ref().is_some_and(|it| it.is(&parameter.gradient)) {
                    projection.gradient = Some(own.clone());
                }
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
            let earlier = tensors.iter_mut().find(|(name, _)| *name == parameter.name);
            match (&parameter.part, earlier) {
                (Part::Slice(slice), Some((_, joined))) => {
                    *joined = Tensor::cat(&[&*joined, &values(parameter)?], slice.axis)?;
                }
                (Part::Whole | Part::Slice(_), _) => {
                    tensors.push((parameter.name.clone(), values(parameter)?));
                }
                (Part::Left(_) | Part::Right(_), _) => {}
            }
        }
        Ok(tensors)
    }

    /// What training changed in the decoder from which it began.
    pub fn delta(&self) -> Result<WeightDelta> {
        let changed = self.joined(|parameter| parameter.values.detach() - &parameter.start)?;
        let changes = changed.into_iter().map(|(name, change)| (name, Change::Dense(change)));
        let mut delta = WeightDelta { changes: changes.collect() };
        for pair in self.parameters.windows(2) {
            let (Part::Left(left), Part::Right(right)) = (&pair[0].part, &pair[1].part) else {
                continue;
            };
            let change = Change::LowRank {
                left: padded(&pair[0].values.detach(), *left)?,
                right: padded(&pair[1].values.detach(), *right)?,
            };
            let one = WeightDelta { changes: [(pair[0].name.clone(), change)].into() };
            delta = delta.plus(&one)?;
        }
        Ok(delta)
    }

    /// Multiplies what training changed, from where it began, by `factor`.
    pub fn scale_change(&self, factor: f32) -> Result<()> {
        for parameter in &self.parameters {
            match &parameter.part {
                Part::Whole | Part::Slice(_) => {
                    with_values(&parameter.start, "start", |start| {
                        with_values_mut(&parameter.values, |values| {
                            for (value, start) in values.iter_mut().zip(start) {
                                *value = start + factor * (*value - start);
                            }
                        })
                    })?;
                }
                // One factor of two: their product is what changed.
                Part::Left(_) => with_values_mut(&parameter.values, |values| {
                    values.iter_mut().for_each(|value| *value *= factor);
                })?,
                Part::Right(_) => {}
            }
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
    let Some(Slice { axis, start, of }) = slice else { return Ok(factor) };
    let width = factor.dim(axis)?;
    factor.pad_with_zeros(axis, start, of - start - width)
}

/// The same storage, seen without gradients.
fn frozen(decoder: &Decoder) -> Decoder {
    let mut view = decoder.clone();
    for layer in &mut view.layers {
        for norm in [&mut layer.attention_norm, &mut layer.mlp_norm] {
            freeze_norm(norm);
        }
        for (_, projection) in projections(layer) {
            freeze_projection(projection);
        }
    }
    freeze_norm(&mut view.final_norm);
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

/// What a projection of a layer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// 0 for the query, 1 for the key, 2 for the value.
    Input(usize),
    Output,
    Gate,
    Up,
    Down,
}

pub(super) fn projections(
    layer: &mut super::decoder::DecoderLayer,
) -> Vec<(Role, &mut Projection)> {
    let (attention, mlp) = (&mut layer.attention, &mut layer.mlp);
    let mut found = vec![
        (Role::Input(0), &mut attention.query),
        (Role::Input(1), &mut attention.key),
        (Role::Input(2), &mut attention.value),
        (Role::Output, &mut attention.output),
    ];
    found.extend(mlp.gate.as_mut().map(|gate| (Role::Gate, gate)));
    found.extend([(Role::Up, &mut mlp.up), (Role::Down, &mut mlp.down)]);
    found
}

/// The stem, with `{}` for the layer, of a projection's stored tensors, and which slice it is.
pub(super) fn place_of(
    names: &TensorNames,
    role: Role,
    layout: WeightLayout,
    shape: AttentionShape,
) -> (&'static str, Option<Slice>) {
    let stem = match (role, &names.query_key_value) {
        (Role::Input(which), QueryKeyValue::Split(stems)) => stems[which],
        (Role::Input(which), QueryKeyValue::Fused(stem)) => {
            let (width, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
            let start = [0, width, width + kv][which];
            let axis = match layout {
                WeightLayout::OutIn => 0,
                WeightLayout::InOut => 1,
            };
            return (stem, Some(Slice { axis, start, of: width + 2 * kv }));
        }
        (Role::Output, _) => names.output,
        (Role::Gate, _) => names.gate,
        (Role::Up, _) => names.up,
        (Role::Down, _) => names.down,
    };
    (stem, None)
}
