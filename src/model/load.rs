//! From the tensors of a folder to a decoder, by its parameter table.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::ModelError;
use super::attention::Attention;
use super::branch_end::BranchEnd;
use super::config::DecoderConfig;
use super::contradictions;
use super::decoder::{Decoder, DecoderLayer};
use super::family::TensorNames;
use super::mlp::{MlpBlock, Projection};
use super::norm::RowNorm;
use super::parameters::{Parameters, Slot};
use super::role::Role;
use super::weights::Weights;
use crate::progress::Progress;

/// Reads the tensors of one model.
pub(super) struct Loader<'a> {
    weights: &'a Weights,
    config: &'a DecoderConfig,
    device: &'a Device,
    parameters: Arc<Parameters>,
    /// The latest weight and bias of which a slot was a slice: the slots that follow share them.
    shared: RefCell<Vec<(String, Tensor)>>,
    /// Name that the head has in files with one of its own, where the embedding is the head.
    tied_head: Option<String>,
}

type Result<T> = std::result::Result<T, ModelError>;

impl<'a> Loader<'a> {
    pub(super) fn new(
        weights: &'a Weights,
        names: &'static TensorNames,
        config: &'a DecoderConfig,
        device: &'a Device,
    ) -> Self {
        let prefix = names.prefix_in(weights.names());
        let parameters = Arc::new(Parameters::new(names, config, prefix));
        let head = || names.stored_under(prefix, Role::Head, false, None);
        let tied_head = config.is_tied.then(head);
        Self { weights, config, device, parameters, shared: RefCell::default(), tied_head }
    }

    pub(super) fn decoder(&self, progress: &dyn Progress) -> Result<Decoder> {
        let config = self.config;
        self.check(progress)?;
        progress.phase("load", Some(config.layers as u64));
        let embedding = self.required(Role::Embedding, None)?;
        let positions = self.tensors(Role::Positions, None)?.map(|(table, _)| table);
        let layers = (0..config.layers)
            .map(|layer| {
                progress.check()?;
                progress.advance(layer as u64, "");
                self.layer(layer)
            })
            .collect::<Result<Vec<_>>>()?;
        let head = self.tensors(Role::Head, None)?;
        let (head, head_bias) = head.unwrap_or_else(|| (embedding.clone(), None));
        Ok(Decoder {
            config: config.clone(),
            parameters: self.parameters.clone(),
            positions,
            layers,
            final_norm: self.norm(Role::FinalNorm, None)?.expect("every decoder has one"),
            head,
            head_bias,
            embedding,
        })
    }

    /// Refuses a second head and a missing one, and notes what no part of the decoder reads.
    fn check(&self, progress: &dyn Progress) -> Result<()> {
        let tied_head = self.tied_head.as_deref();
        let mut embedding = self.parameters.of(Role::Embedding, None);
        let embedding = &embedding.next().expect("every decoder has one").name;
        if let Some(head) = tied_head {
            contradictions::check_head(self.weights, head, embedding)?;
        } else if let Some(head) = self.parameters.of(Role::Head, None).next() {
            contradictions::require_head(self.weights, &head.name, embedding)?;
        }
        contradictions::note_unread(self.weights, &self.parameters, tied_head, progress);
        Ok(())
    }

    fn layer(&self, layer: usize) -> Result<DecoderLayer> {
        let config = self.config;
        let norm = |role| self.norm(role, Some(layer));
        let linear = |role| self.projection(role, layer);
        let end = |role| {
            Ok::<_, ModelError>(BranchEnd { norm: norm(role)?, scale: config.residual_scale })
        };
        let there = "every layer has one";
        Ok(DecoderLayer {
            attention_norm: norm(Role::AttentionNorm)?,
            attention: Attention {
                query: linear(Role::Query)?.expect(there),
                key: linear(Role::Key)?.expect(there),
                value: linear(Role::Value)?.expect(there),
                output: linear(Role::Output)?.expect(there),
                query_norm: norm(Role::QueryNorm)?,
                key_norm: norm(Role::KeyNorm)?,
                rule: config.attention_rule(layer),
                rotation: config.sight[layer].rotation,
            },
            after_attention: end(Role::PostAttentionNorm)?,
            mlp_norm: norm(Role::MlpNorm)?,
            mlp: MlpBlock {
                gate: linear(Role::Gate)?,
                up: linear(Role::Up)?.expect(there),
                down: linear(Role::Down)?.expect(there),
                activation: config.activation,
            },
            after_mlp: end(Role::PostMlpNorm)?,
            is_parallel: config.is_parallel,
        })
    }

    fn projection(&self, role: Role, layer: usize) -> Result<Option<Projection>> {
        let Some((weight, bias)) = self.tensors(role, Some(layer))? else { return Ok(None) };
        let layout = self.parameters.of(role, Some(layer)).next().expect("it was read").layout;
        Ok(Some(Projection::new(weight, layout, bias)))
    }

    fn norm(&self, role: Role, layer: Option<usize>) -> Result<Option<RowNorm>> {
        let read = self.tensors(role, layer)?;
        Ok(read.map(|(weight, bias)| RowNorm::new(self.config.norm, weight, bias)))
    }

    /// A role's weight and bias; nothing where the model does not have the role.
    fn tensors(
        &self,
        role: Role,
        layer: Option<usize>,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        let mut slots = self.parameters.of(role, layer);
        let Some(weight) = slots.next() else { return Ok(None) };
        let weight = self.tensor(weight)?;
        Ok(Some((weight, slots.next().map(|slot| self.tensor(slot)).transpose()?)))
    }

    fn required(&self, role: Role, layer: Option<usize>) -> Result<Tensor> {
        Ok(self.tensors(role, layer)?.expect("every decoder has one").0)
    }

    fn tensor(&self, slot: &Slot) -> Result<Tensor> {
        if slot.slice.is_none() {
            return self.stored(slot);
        }
        let mut shared = self.shared.borrow_mut();
        let known = shared.iter().find(|(name, _)| *name == slot.name).map(|(_, t)| t.clone());
        let stored = match known {
            Some(stored) => stored,
            None => {
                let stored = self.stored(slot)?;
                shared.push((slot.name.clone(), stored.clone()));
                let past = shared.len().saturating_sub(2);
                shared.drain(..past);
                stored
            }
        };
        Ok(slot.part_of(&stored)?.contiguous()?)
    }

    /// The stored tensor of a slot, whole.
    fn stored(&self, slot: &Slot) -> Result<Tensor> {
        let (found, expected) = (self.weights.shape(&slot.name)?, slot.stored_shape());
        if found != expected {
            let (tensor, found) = (slot.name.clone(), found.to_vec());
            return Err(ModelError::Shape { tensor, found, expected });
        }
        Ok(self.weights.load_f32(&slot.name, self.device)?)
    }
}
