//! From the tensors of a folder to a decoder, by the family's table of names.

use candle_core::{Device, Tensor};

use super::ModelError;
use super::attention::Attention;
use super::config::{DecoderConfig, Mlp, Norm, Position};
use super::decoder::{Decoder, DecoderLayer};
use super::family::{Family, QueryKeyValue, TensorNames};
use super::mlp::{MlpBlock, Projection};
use super::norm::RowNorm;
use super::weights::Weights;
use crate::progress::Progress;

/// Reads the tensors of one model.
pub(super) struct Loader<'a> {
    pub(super) weights: &'a Weights,
    pub(super) names: &'static TensorNames,
    pub(super) config: &'a DecoderConfig,
    pub(super) device: &'a Device,
    pub(super) prefix: &'static str,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        weights: &'a Weights,
        family: &'static Family,
        config: &'a DecoderConfig,
        device: &'a Device,
    ) -> Self {
        let names = &family.names;
        let holds = |prefix: &&&str| weights.contains(&format!("{prefix}{}", names.embedding));
        let prefix = names.prefixes.iter().find(holds).unwrap_or(&names.prefixes[0]);
        Self { weights, names, config, device, prefix }
    }

    /// The stored name of a role's tensor.
    pub(super) fn name(&self, role: &str, layer: usize) -> String {
        format!("{}{}", self.prefix, role.replace("{}", &layer.to_string()))
    }

    pub(super) fn decoder(&self, progress: &dyn Progress) -> Result<Decoder, ModelError> {
        let config = self.config;
        progress.phase("load", Some(config.layers as u64));
        let embedding =
            self.tensor(&self.name(self.names.embedding, 0), &[config.vocabulary, config.hidden])?;
        let positions = (config.position == Position::Learned)
            .then(|| {
                let name = self.name(self.names.position, 0);
                self.tensor(&name, &[config.context, config.hidden])
            })
            .transpose()?;
        let layers = (0..config.layers)
            .map(|layer| {
                progress.check()?;
                progress.advance(layer as u64, "");
                self.layer(layer)
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        let head = if config.is_tied {
            embedding.clone()
        } else {
            self.tensor(self.names.head, &[config.vocabulary, config.hidden])?
        };
        let final_norm = self.norm(self.names.final_norm, 0)?;
        Ok(Decoder { config: config.clone(), embedding, positions, layers, final_norm, head })
    }

    fn layer(&self, layer: usize) -> Result<DecoderLayer, ModelError> {
        let (config, names) = (self.config, self.names);
        let (hidden, inner) = (config.hidden, config.intermediate);
        let [query, key, value] = self.query_key_value(layer)?;
        let width = config.attention.heads * config.attention.head_dim;
        let biased = config.has_attention_bias;
        let projection = |role, shape, biased| self.projection(role, layer, shape, biased);
        let gate = match config.mlp {
            Mlp::Plain => None,
            Mlp::Gated => Some(projection(names.gate, (hidden, inner), config.has_mlp_bias)?),
        };
        Ok(DecoderLayer {
            attention_norm: self.norm(names.attention_norm, layer)?,
            attention: Attention {
                query,
                key,
                value,
                output: projection(names.output, (width, hidden), biased)?,
                shape: config.attention,
            },
            mlp_norm: self.norm(names.mlp_norm, layer)?,
            mlp: MlpBlock {
                gate,
                up: projection(names.up, (hidden, inner), config.has_mlp_bias)?,
                down: projection(names.down, (inner, hidden), config.has_mlp_bias)?,
                activation: config.activation,
            },
        })
    }

    fn query_key_value(&self, layer: usize) -> Result<[Projection; 3], ModelError> {
        let config = self.config;
        let shape = config.attention;
        let (width, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let biased = config.has_attention_bias;
        match &self.names.query_key_value {
            QueryKeyValue::Split([query, key, value]) => {
                let part =
                    |role, width| self.projection(role, layer, (config.hidden, width), biased);
                Ok([part(query, width)?, part(key, kv)?, part(value, kv)?])
            }
            QueryKeyValue::Fused(role) => {
                let all = (config.hidden, width + 2 * kv);
                let fused = self.projection(role, layer, all, biased)?;
                let part = |start: usize, width: usize| -> candle_core::Result<Projection> {
                    let axis = match fused.layout {
                        crate::ops::WeightLayout::OutIn => 0,
                        crate::ops::WeightLayout::InOut => 1,
                    };
                    let bias = fused.bias.as_ref();
                    let weight = fused.weight.narrow(axis, start, width)?.contiguous()?;
                    let bias = bias.map(|bias| bias.narrow(0, start, width)).transpose()?;
                    Ok(Projection::new(weight, fused.layout, bias))
                };
                Ok([part(0, width)?, part(width, kv)?, part(width + kv, kv)?])
            }
        }
    }

    fn projection(
        &self,
        role: &str,
        layer: usize,
        (width_in, width_out): (usize, usize),
        is_biased: bool,
    ) -> Result<Projection, ModelError> {
        let stem = self.name(role, layer);
        let layout = self.names.layout;
        let shape = match layout {
            crate::ops::WeightLayout::OutIn => [width_out, width_in],
            crate::ops::WeightLayout::InOut => [width_in, width_out],
        };
        let weight = self.tensor(&format!("{stem}.weight"), &shape)?;
        let bias = is_biased.then(|| self.tensor(&format!("{stem}.bias"), &[width_out]));
        Ok(Projection::new(weight, layout, bias.transpose()?))
    }

    fn norm(&self, role: &str, layer: usize) -> Result<RowNorm, ModelError> {
        let stem = self.name(role, layer);
        let vector = |part: &str| self.tensor(&format!("{stem}.{part}"), &[self.config.hidden]);
        Ok(match self.config.norm {
            Norm::Rms(epsilon) => RowNorm::Rms { weight: vector("weight")?, epsilon },
            Norm::Layer(epsilon) => {
                RowNorm::Layer { weight: vector("weight")?, bias: vector("bias")?, epsilon }
            }
        })
    }

    fn tensor(&self, name: &str, expected: &[usize]) -> Result<Tensor, ModelError> {
        let found = self.weights.shape(name)?;
        if found != expected {
            return Err(ModelError::Shape {
                tensor: name.into(),
                found: found.to_vec(),
                expected: expected.to_vec(),
            });
        }
        Ok(self.weights.load_f32(name, self.device)?)
    }
}
