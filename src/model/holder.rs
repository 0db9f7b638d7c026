//! The place in a decoder that holds the tensor of each slot, which editing and training replace.

use candle_core::{Device, Result, Tensor};

use super::decoder::{Decoder, DecoderLayer};
use super::mlp::Projection;
use super::norm::RowNorm;
use super::parameters::Slot;
use super::role::Role;
use crate::ops::Weight;

/// The place in a decoder where the tensors of a role are.
pub(super) enum Holder<'a> {
    /// The embedding, or a head of its own.
    Table(&'a mut Weight),
    /// Learned positions, or the bias of a head.
    Tensor(&'a mut Tensor),
    Norm(&'a mut RowNorm),
    Linear(&'a mut Projection),
}

impl<'a> Holder<'a> {
    /// The weight, or the bias.
    pub(super) fn place(self, is_bias: bool) -> Place<'a> {
        Place::Tensor(match self {
            Self::Table(weight) => return Place::Weight(weight),
            Self::Tensor(tensor) => tensor,
            Self::Norm(RowNorm::Layer { bias, .. }) if is_bias => bias,
            Self::Norm(RowNorm::Rms { weight, .. } | RowNorm::Layer { weight, .. }) => weight,
            Self::Linear(projection) if is_bias => {
                projection.bias.as_mut().expect("the table lists only biases that are there")
            }
            Self::Linear(projection) => return Place::Weight(&mut projection.weight),
        })
    }
}

/// The place of one tensor, which may be stored in the type of the file.
pub(super) enum Place<'a> {
    Tensor(&'a mut Tensor),
    Weight(&'a mut Weight),
}

impl Place<'_> {
    /// What is there, as a weight.
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Tensor(tensor) => Weight::Tensor((**tensor).clone()),
            Self::Weight(weight) => (**weight).clone(),
        }
    }

    /// The f32 values of what is there.
    pub(super) fn tensor(&self) -> Result<Tensor> {
        self.weight().tensor()
    }

    /// The device of what is there.
    pub(super) fn device(&self) -> &Device {
        match self {
            Self::Tensor(tensor) => tensor.device(),
            Self::Weight(weight) => weight.device(),
        }
    }

    /// Puts a tensor there.
    pub(super) fn set(&mut self, tensor: Tensor) {
        match self {
            Self::Tensor(place) => **place = tensor,
            Self::Weight(place) => **place = tensor.into(),
        }
    }
}

impl Decoder {
    /// The f32 values of each slot, one after the other: none is kept.
    pub fn tensors(&self) -> impl Iterator<Item = Result<(&Slot, Tensor)>> {
        let mut decoder = self.clone();
        let tensor = move |slot| Ok((slot, decoder.holder(slot).place(slot.is_bias).tensor()?));
        self.parameters().iter().map(tensor)
    }

    /// The place that holds a slot's tensor.
    pub(super) fn holder(&mut self, slot: &Slot) -> Holder<'_> {
        let there = "the table lists only what is there";
        let layer = slot.layer.map(|layer| &mut self.layers[layer]);
        match (slot.role, layer) {
            (Role::Embedding, _) => Holder::Table(&mut self.embedding),
            (Role::Positions, _) => Holder::Tensor(self.positions.as_mut().expect(there)),
            (Role::FinalNorm, _) => Holder::Norm(&mut self.final_norm),
            (Role::Head, _) if slot.is_bias => {
                Holder::Tensor(self.head_bias.as_mut().expect(there))
            }
            (Role::Head, _) => Holder::Table(&mut self.head),
            (role, layer) => layer.expect("all other roles belong to a layer").holder(role),
        }
    }

    /// A tied head follows its embedding.
    pub(super) fn tie_head(&mut self) {
        if self.config.is_tied {
            self.head = self.embedding.clone();
        }
    }
}

impl DecoderLayer {
    /// The place that holds a role's tensors.
    fn holder(&mut self, role: Role) -> Holder<'_> {
        let there = "the table lists only what is there";
        let (attention, mlp) = (&mut self.attention, &mut self.mlp);
        match role {
            Role::AttentionNorm => Holder::Norm(self.attention_norm.as_mut().expect(there)),
            Role::MlpNorm => Holder::Norm(self.mlp_norm.as_mut().expect(there)),
            Role::PostAttentionNorm => {
                Holder::Norm(self.after_attention.norm.as_mut().expect(there))
            }
            Role::PostMlpNorm => Holder::Norm(self.after_mlp.norm.as_mut().expect(there)),
            Role::QueryNorm => Holder::Norm(attention.query_norm.as_mut().expect(there)),
            Role::KeyNorm => Holder::Norm(attention.key_norm.as_mut().expect(there)),
            Role::Query => Holder::Linear(&mut attention.query),
            Role::Key => Holder::Linear(&mut attention.key),
            Role::Value => Holder::Linear(&mut attention.value),
            Role::Output => Holder::Linear(&mut attention.output),
            Role::Gate => Holder::Linear(mlp.gate.as_mut().expect(there)),
            Role::Up => Holder::Linear(&mut mlp.up),
            Role::Down => Holder::Linear(&mut mlp.down),
            Role::Embedding | Role::Positions | Role::FinalNorm | Role::Head => {
                unreachable!("{role:?} belongs to no layer")
            }
        }
    }
}
