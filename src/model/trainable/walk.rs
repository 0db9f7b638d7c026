//! Goes through a decoder once and replaces what is trained by copies.

use candle_core::{Device, Result, Tensor, Var};

use super::{Parameter, Part, Place, Role, Slice, TrainRule, Trained, place_of, projections};
use crate::math::Random;
use crate::model::decoder::{Decoder, DecoderLayer};
use crate::model::family::TensorNames;
use crate::model::mlp::{LowRank, Projection};
use crate::model::norm::RowNorm;
use crate::ops::{AttentionShape, Gradient, WeightLayout};

pub(super) fn make_trainable(
    decoder: &mut Decoder,
    names: &'static TensorNames,
    prefix: &'static str,
    rule: &TrainRule,
) -> Result<Vec<Parameter>> {
    let mut walk =
        Walk { names, prefix, rule, random: Random::new(rule.seed), parameters: Vec::new() };
    let is_whole = rule.trained == Trained::All && rule.layers.is_none() && rule.rank.is_none();
    if is_whole {
        walk.embeddings(decoder)?;
    }
    let shape = decoder.config.attention;
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        if rule.layers.as_ref().is_none_or(|layers| layers.contains(&index)) {
            walk.layer(index, layer, shape)?;
        }
    }
    if is_whole {
        let stem = walk.name(names.final_norm, 0);
        walk.norm(Place::FinalNorm, &stem, &mut decoder.final_norm)?;
        if !decoder.config.is_tied {
            decoder.head = walk.matrix(Place::Head, names.head.into(), &decoder.head)?;
        }
    }
    Ok(walk.parameters)
}

struct Walk<'a> {
    names: &'static TensorNames,
    prefix: &'static str,
    rule: &'a TrainRule,
    random: Random,
    parameters: Vec<Parameter>,
}

impl Walk<'_> {
    fn name(&self, role: &str, layer: usize) -> String {
        format!("{}{}", self.prefix, role.replace("{}", &layer.to_string()))
    }

    fn embeddings(&mut self, decoder: &mut Decoder) -> Result<()> {
        let name = self.name(self.names.embedding, 0);
        decoder.embedding = self.matrix(Place::Embedding, name, &decoder.embedding)?;
        if decoder.config.is_tied {
            decoder.head = decoder.embedding.clone();
        }
        if let Some(positions) = &mut decoder.positions {
            let name = self.name(self.names.position, 0);
            *positions = self.matrix(Place::Positions, name, positions)?;
        }
        Ok(())
    }

    fn layer(
        &mut self,
        index: usize,
        layer: &mut DecoderLayer,
        shape: AttentionShape,
    ) -> Result<()> {
        let place = Place::Layer(index);
        let norms = self.rule.trained == Trained::All && self.rule.rank.is_none();
        if norms {
            let stem = self.name(self.names.attention_norm, index);
            self.norm(place, &stem, &mut layer.attention_norm)?;
            let stem = self.name(self.names.mlp_norm, index);
            self.norm(place, &stem, &mut layer.mlp_norm)?;
        }
        for (role, projection) in projections(layer) {
            let is_mlp = matches!(role, Role::Gate | Role::Up | Role::Down);
            if self.rule.trained == Trained::All || is_mlp {
                self.projection(index, role, projection, shape)?;
            }
        }
        Ok(())
    }

    fn projection(
        &mut self,
        index: usize,
        role: Role,
        projection: &mut Projection,
        shape: AttentionShape,
    ) -> Result<()> {
        let (role, slice) = place_of(self.names, role, projection.layout, shape);
        let stem = self.name(role, index);
        let (place, name) = (Place::Layer(index), format!("{stem}.weight"));
        if let Some(rank) = self.rule.rank {
            return self.adapter(place, name, slice, projection, rank);
        }
        let part = slice.map_or(Part::Whole, Part::Slice);
        let start = projection.weight.clone();
        projection.weight = start.force_contiguous()?;
        let gradient = self.push(place, name, (&projection.weight, start), part, true);
        projection.gradient = Some(gradient);
        if let Some(bias) = &mut projection.bias {
            let part = slice.map_or(Part::Whole, |slice| Part::Slice(Slice { axis: 0, ..slice }));
            let start = bias.clone();
            *bias = Var::from_tensor(&start)?.into_inner();
            self.push(place, format!("{stem}.bias"), (bias, start), part, false);
        }
        Ok(())
    }

    /// W + left · right: what x meets first is random, the other is zero, so nothing changes yet.
    fn adapter(
        &mut self,
        place: Place,
        name: String,
        slice: Option<Slice>,
        projection: &mut Projection,
        rank: usize,
    ) -> Result<()> {
        let (rows, columns) = projection.weight.dims2()?;
        let width_in = projection.layout.widths((rows, columns)).0;
        let bound = 1. / (width_in as f64).sqrt();
        let random = &mut self.random;
        let drawn: Vec<f32> =
            (0..width_in * rank).map(|_| ((2. * random.uniform() - 1.) * bound) as f32).collect();
        let zeros = |shape| Var::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        let drawn = |shape| Var::from_vec(drawn, shape, &Device::Cpu);
        let (left, right) = match projection.layout {
            WeightLayout::OutIn => (zeros((rows, rank))?, drawn((rank, columns))?),
            WeightLayout::InOut => (drawn((rows, rank))?, zeros((rank, columns))?),
        };
        let (left, right) = (left.into_inner(), right.into_inner());
        // A slice along the rows belongs to the left factor, one along the columns to the right.
        let along = |axis| slice.filter(|slice| slice.axis == axis);
        self.push(place, name.clone(), (&left, left.detach()), Part::Left(along(0)), true);
        self.push(place, name, (&right, right.detach()), Part::Right(along(1)), true);
        projection.adapter = Some(LowRank { left, right });
        Ok(())
    }

    fn norm(&mut self, place: Place, stem: &str, norm: &mut RowNorm) -> Result<()> {
        let mut vector = |part: &str, tensor: &mut Tensor| -> Result<()> {
            let start = tensor.clone();
            *tensor = Var::from_tensor(&start)?.into_inner();
            self.push(place, format!("{stem}.{part}"), (tensor, start), Part::Whole, false);
            Ok(())
        };
        match norm {
            RowNorm::Rms { weight, .. } => vector("weight", weight),
            RowNorm::Layer { weight, bias, .. } => {
                vector("weight", weight)?;
                vector("bias", bias)
            }
        }
    }

    fn matrix(&mut self, place: Place, name: String, tensor: &Tensor) -> Result<Tensor> {
        let own = tensor.force_contiguous()?;
        self.push(place, name, (&own, tensor.clone()), Part::Whole, true);
        Ok(own)
    }

    fn push(
        &mut self,
        place: Place,
        name: String,
        (values, start): (&Tensor, Tensor),
        part: Part,
        decays: bool,
    ) -> Gradient {
        let gradient = Gradient::zeros(values.elem_count());
        let (values, collected) = (values.clone(), gradient.clone());
        self.parameters.push(Parameter { name, place, values, gradient, decays, start, part });
        collected
    }
}
