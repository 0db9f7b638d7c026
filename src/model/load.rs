//! From the tensors of a folder to a decoder, by its parameter table.
//!
//! On the CPU, matrices stay in the mapped file; norms, biases and learned positions, a thousandth
//! of the numbers, are widened to f32. Other devices get all of them in f32.

use std::cell::RefCell;
use std::collections::BTreeSet;
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
use crate::ops::Weight;
use crate::progress::Progress;

/// Reads the tensors of one model.
pub(super) struct Loader<'a> {
    weights: &'a Weights,
    config: &'a DecoderConfig,
    device: &'a Device,
    parameters: Arc<Parameters>,
    /// The latest weight and bias of which a slot was a slice: the slots that follow share them.
    shared: RefCell<Vec<(String, Tensor)>>,
    /// Stored tensors whose numbers are known to be finite.
    finite: RefCell<BTreeSet<String>>,
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
        let (shared, finite) = Default::default();
        Self { weights, config, device, parameters, shared, finite, tied_head }
    }

    pub(super) fn decoder(&self, progress: &dyn Progress) -> Result<Decoder> {
        let config = self.config;
        self.check(progress)?;
        progress.phase("load", Some(config.layers as u64));
        let (embedding, _) = self.matrix(Role::Embedding, None)?.expect("every decoder has one");
        let positions = self.tensors(Role::Positions, None)?.map(|(table, _)| table);
        let layers = (0..config.layers)
            .map(|layer| {
                progress.check()?;
                progress.advance(layer as u64, "");
                self.layer(layer)
            })
            .collect::<Result<Vec<_>>>()?;
        let head = self.matrix(Role::Head, None)?;
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

    /// Refuses a second head and a missing one, and warns of what no part of the decoder reads.
    fn check(&self, progress: &dyn Progress) -> Result<()> {
        let tied_head = self.tied_head.as_deref();
        let mut embedding = self.parameters.of(Role::Embedding, None);
        let embedding = &embedding.next().expect("every decoder has one").name;
        if let Some(head) = tied_head {
            contradictions::check_head(self.weights, head, embedding)?;
        } else if let Some(head) = self.parameters.of(Role::Head, None).next() {
            contradictions::require_head(self.weights, &head.name, embedding)?;
        }
        contradictions::warn_of_unread(self.weights, &self.parameters, tied_head, progress);
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
        let Some((weight, bias)) = self.matrix(role, Some(layer))? else { return Ok(None) };
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

    /// As [`tensors`](Self::tensors), with a weight that stays as it is stored.
    fn matrix(&self, role: Role, layer: Option<usize>) -> Result<Option<(Weight, Option<Tensor>)>> {
        let mut slots = self.parameters.of(role, layer);
        let Some(weight) = slots.next() else { return Ok(None) };
        let weight = self.weight(weight)?;
        Ok(Some((weight, slots.next().map(|slot| self.tensor(slot)).transpose()?)))
    }

    fn weight(&self, slot: &Slot) -> Result<Weight> {
        let &[rows, columns] = slot.shape.as_slice() else {
            unreachable!("the weight of {:?} is a matrix", slot.role)
        };
        if !self.device.is_cpu() {
            return Ok(self.tensor(slot)?.into());
        }
        self.check_shape(slot)?;
        if self.finite.borrow_mut().insert(slot.name.clone()) {
            self.weights.check_finite(&slot.name)?;
        }
        Ok(self.weights.matrix(&slot.name, (rows, columns), &slot.runs())?)
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
        self.check_shape(slot)?;
        Ok(self.weights.load_f32(&slot.name, self.device)?)
    }

    fn check_shape(&self, slot: &Slot) -> Result<()> {
        let (found, expected) = (self.weights.shape(&slot.name)?, slot.stored_shape());
        if found != expected {
            let (tensor, found) = (slot.name.clone(), found.to_vec());
            return Err(ModelError::Shape { tensor, found, expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::super::weights::element::Element;
    use super::super::weights::header::Header;
    use super::*;
    use crate::model::{Batch, FrozenHead, FrozenPass, Model};
    use crate::progress::Silent;

    /// The fixture with its weights rounded to `rounded` and stored in `stored`.
    fn copy(fixture: &Path, rounded: Element, stored: Element) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(fixture.join(file), folder.path().join(file)).expect("copied");
        }
        let weights = Weights::open(fixture).expect("a fixture");
        let tensor = |name: &str| {
            let (mut short, mut bytes) = (Vec::new(), Vec::new());
            let mut values = weights.load_vec(name).expect("finite");
            rounded.round_into(&values, &mut short);
            rounded.widen(&short, &mut values);
            stored.round_into(&values, &mut bytes);
            (name.to_owned(), weights.shape(name).expect("known").to_vec(), bytes)
        };
        let tensors: Vec<_> = weights.names().map(tensor).collect();
        let list = tensors
            .iter()
            .map(|(name, shape, bytes)| (name.as_str(), stored.dtype(), &shape[..], bytes.len()));
        let mut file = Header::write(&BTreeMap::new(), list);
        tensors.iter().for_each(|(.., bytes)| file.extend(bytes));
        std::fs::write(folder.path().join("model.safetensors"), file).expect("written");
        folder
    }

    /// Logits at every token, and the gradient of a frozen pass before its first layer.
    fn computed(folder: &Path) -> Vec<u32> {
        let model = Model::open(folder, &Device::Cpu, &Silent).expect("a model");
        let (decoder, batch) =
            (&model.decoder, Batch::new(&[[5u32, 9, 2, 11, 40], [7, 3, 3, 8, 1]]));
        let hidden = decoder.forward(&batch, None).expect("a forward pass");
        let logits = decoder.head_logits(&hidden).expect("logits");
        let mut bits: Vec<f32> = logits.flatten_all().and_then(|x| x.to_vec1()).expect("numbers");
        let read = (0..batch.rows()).collect();
        let layers = 0..decoder.config().layers;
        let mut pass = FrozenPass::new(decoder, layers, (&batch, read), None).expect("a pass");
        let mut head = FrozenHead::new(decoder, batch.rows());
        let embedded = decoder.embed(&batch).and_then(|x| x.flatten_all()?.to_vec1::<f32>());
        let embedded = embedded.expect("numbers");
        let start = |stream: &mut [f32]| {
            stream.copy_from_slice(&embedded);
            Ok(())
        };
        let stream = pass.forward(start).expect("a forward pass").to_vec();
        let logits = head.forward(&stream).expect("logits");
        logits.iter_mut().enumerate().for_each(|(i, logit)| *logit = (i as f32).sin());
        let gradient = pass.backward(|gradient| head.backward(gradient)).expect("a backward pass");
        bits.extend(gradient);
        bits.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn weights_in_half_precision_compute_as_their_widened_copy() {
        for name in ["llama", "gpt2", "phi3", "gpt_neox"] {
            let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            let fixture: PathBuf = fixture.join(name).join("model");
            for element in [Element::F16, Element::BF16] {
                let (short, wide) =
                    (copy(&fixture, element, element), copy(&fixture, element, Element::F32));
                let equal = computed(short.path()) == computed(wide.path());
                assert!(equal, "{name} in {element:?}");
            }
        }
    }
}
