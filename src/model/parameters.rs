//! The parameter table: what each stored tensor of a model is for, from its family and config.
//!
//! Loading, editing, training, memory counts and adapter modules all go through this one table: a
//! new kind of tensor is one [`Role`], one line in the table of the family that has it, and one
//! place in the decoder (`Decoder::holder`).

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::config::DecoderConfig;
use super::family::{Family, Fusion, TensorNames};
use super::role::{Kind, Role};
use crate::ops::WeightLayout;

/// Roles that belong to no layer and come before them.
const BEFORE: [Role; 2] = [Role::Embedding, Role::Positions];
/// Roles of each layer, in the order in which a table lists them.
const LAYER: [Role; 13] = [
    Role::AttentionNorm,
    Role::MlpNorm,
    Role::Query,
    Role::Key,
    Role::Value,
    Role::Output,
    Role::Gate,
    Role::Up,
    Role::Down,
    Role::QueryNorm,
    Role::KeyNorm,
    Role::PostAttentionNorm,
    Role::PostMlpNorm,
];
/// Roles that belong to no layer and come after them.
const AFTER: [Role; 2] = [Role::FinalNorm, Role::Head];

/// The part of a stored tensor that several roles share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The axis along which the roles follow each other.
    pub axis: usize,
    /// How often they do: once, or once a head.
    pub repeats: usize,
    /// Where this role's part begins in each of the repeats.
    pub start: usize,
    /// Length of the stored tensor along the axis.
    pub of: usize,
}

impl Slice {
    /// The part of `stored` that is `width` long.
    fn part_of(self, stored: &Tensor, width: usize) -> Result<Tensor> {
        let width = width / self.repeats;
        self.in_repeats(&[stored], |stored, axis| stored[0].narrow(axis, self.start, width))
    }

    /// A part, with zeros for the rest of the stored tensor.
    pub(super) fn padded(self, part: &Tensor) -> Result<Tensor> {
        let after = self.of / self.repeats - self.start - part.dim(self.axis)? / self.repeats;
        self.in_repeats(&[part], |part, axis| part[0].pad_with_zeros(axis, self.start, after))
    }

    /// A part and the one that follows it.
    pub(super) fn join(self, first: &Tensor, second: &Tensor) -> Result<Tensor> {
        self.in_repeats(&[first, second], Tensor::cat)
    }

    /// What `combine` makes of the tensors along the axis of one repeat.
    fn in_repeats(
        self,
        tensors: &[&Tensor],
        combine: impl Fn(&[Tensor], usize) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Self { axis, repeats, .. } = self;
        if repeats == 1 {
            let whole: Vec<Tensor> = tensors.iter().map(|&tensor| tensor.clone()).collect();
            return combine(&whole, axis);
        }
        let apart = |tensor: &&Tensor| {
            let mut shape = tensor.dims().to_vec();
            shape[axis] /= repeats;
            shape.insert(axis, repeats);
            tensor.reshape(shape)
        };
        let apart: Vec<Tensor> = tensors.iter().map(apart).collect::<Result<_>>()?;
        combine(&apart, axis + 1)?.flatten(axis, axis + 1)
    }
}

/// One tensor of the decoder, and where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// What the tensor is for.
    pub role: Role,
    /// The bias of the role rather than its weight.
    pub is_bias: bool,
    /// The layer that it belongs to.
    pub layer: Option<usize>,
    /// Name of the stored tensor.
    pub name: String,
    /// The part of the stored tensor that it is, where it is not the whole.
    pub slice: Option<Slice>,
    /// Shape of the decoder's tensor.
    pub shape: Vec<usize>,
    /// How a matrix is stored.
    pub layout: WeightLayout,
}

impl Slot {
    /// Number of its values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Shape of the stored tensor, of which it may be a slice.
    pub fn stored_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(slice) = self.slice {
            shape[slice.axis] = slice.of;
        }
        shape
    }

    /// The slot's part of a tensor of the stored shape.
    pub fn part_of(&self, stored: &Tensor) -> Result<Tensor> {
        match self.slice {
            None => Ok(stored.clone()),
            Some(slice) => slice.part_of(stored, self.shape[slice.axis]),
        }
    }

    /// The runs of the stored tensor's numbers that the slot consists of, in order.
    pub(super) fn runs(&self) -> Vec<Range<usize>> {
        let whole = 0..self.elements();
        let Some(Slice { axis, repeats, start, of }) = self.slice else { return vec![whole] };
        let before: usize = self.shape[..axis].iter().product();
        let after: usize = self.shape[axis + 1..].iter().product();
        let (length, apart) = (self.shape[axis] / repeats * after, of / repeats * after);
        let first = |run| run * apart + start * after;
        let runs = (0..before * repeats).map(|run| first(run)..first(run) + length);
        if length == apart { vec![whole] } else { runs.collect() }
    }

    /// A matrix, which weight decay applies to; neither a norm nor a bias.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() > 1
    }
}

/// Every tensor of a decoder: tables, then layer by layer, then the last norm and the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    slots: Vec<Slot>,
    prefix: String,
    module_prefix: &'static str,
}

impl Parameters {
    /// The table of a model whose files name tensors with `prefix`.
    pub(super) fn new(names: &'static TensorNames, config: &DecoderConfig, prefix: &str) -> Self {
        let outside = |roles: [Role; 2]| roles.into_iter().map(|role| (role, None));
        let inside = (0..config.layers).flat_map(|layer| LAYER.map(|role| (role, Some(layer))));
        let all = outside(BEFORE).chain(inside).chain(outside(AFTER));
        let slots = all.filter(|(role, _)| role.exists(config)).flat_map(|(role, layer)| {
            let tensors: &[bool] = if role.has_bias(config) { &[false, true] } else { &[false] };
            tensors.iter().map(move |is_bias| slot(names, config, prefix, (role, *is_bias, layer)))
        });
        let module_prefix = names.module_prefix(prefix);
        Self { slots: slots.collect(), prefix: prefix.to_owned(), module_prefix }
    }

    /// The table of a family's model without files, under the first of its prefixes.
    pub fn of_family(family: &'static Family, config: &DecoderConfig) -> Self {
        let names = &family.names;
        Self::new(names, config, names.prefixes.first().copied().unwrap_or_default())
    }

    /// All slots, in order; a tied head is the embedding and has none.
    pub fn iter(&self) -> std::slice::Iter<'_, Slot> {
        self.slots.iter()
    }

    /// The slots of a role: its weight, then its bias.
    pub fn of(&self, role: Role, layer: Option<usize>) -> impl Iterator<Item = &Slot> {
        self.iter().filter(move |slot| slot.role == role && slot.layer == layer)
    }

    /// Path, in the Hugging Face model, of the linear map of a layer whose matrix is stored as
    /// `tensor`. Files may leave out the first prefix, which the path has.
    pub fn linear_module(&self, tensor: &str) -> Option<String> {
        let is_matrix = |slot: &&Slot| slot.role.is_linear() && slot.is_matrix();
        let slot = self.iter().filter(is_matrix).find(|slot| slot.name == tensor)?;
        let stem = slot.name.strip_prefix(&self.prefix)?.strip_suffix(".weight")?;
        Some(format!("{}{stem}", self.module_prefix))
    }
}

fn slot(
    names: &TensorNames,
    config: &DecoderConfig,
    prefix: &str,
    (role, is_bias, layer): (Role, bool, Option<usize>),
) -> Slot {
    let (width_in, width_out) = role.widths(config);
    let layout = if role.is_linear() { names.layout } else { WeightLayout::OutIn };
    let shape = match (role.kind(), is_bias, layout) {
        (Kind::Norm, ..) | (_, true, _) => vec![width_out],
        (_, false, WeightLayout::OutIn) => vec![width_out, width_in],
        (_, false, WeightLayout::InOut) => vec![width_in, width_out],
    };
    let output = if shape.len() > 1 && layout == WeightLayout::InOut { 1 } else { 0 };
    let name = names.stored_under(prefix, role, is_bias, layer);
    let slice = slice(names, config, role, output);
    Slot { role, is_bias, layer, name, slice, shape, layout }
}

/// Roles with one stem share one tensor, in the order of the table, along the output.
fn slice(names: &TensorNames, config: &DecoderConfig, role: Role, axis: usize) -> Option<Slice> {
    let sharing: Vec<Role> = names.sharing(role).filter(|role| role.exists(config)).collect();
    if sharing.len() == 1 {
        return None;
    }
    let width = |roles: &[Role]| roles.iter().map(|role| role.widths(config).1).sum::<usize>();
    let own = sharing.iter().position(|other| *other == role)?;
    let repeats = match names.fusion {
        Fusion::Blocks => 1,
        Fusion::Heads => config.attention.heads,
    };
    Some(Slice { axis, repeats, start: width(&sharing[..own]) / repeats, of: width(&sharing) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::family::Family;
    use serde_json::json;

    fn table(config: serde_json::Value, prefix: usize) -> Parameters {
        let config = config.as_object().expect("an object");
        let (family, config) = Family::recognise(config).expect("a known family");
        Parameters::new(&family.names, &config, family.names.prefixes[prefix])
    }

    fn llama() -> Parameters {
        let config = json!({
            "model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "vocab_size": 10, "hidden_act": "silu", "max_position_embeddings": 32,
        });
        table(config, 0)
    }

    fn gpt2(prefix: usize) -> Parameters {
        let config = json!({
            "model_type": "gpt2", "n_embd": 8, "n_layer": 4, "n_head": 2, "vocab_size": 10,
            "n_positions": 32, "activation_function": "gelu_new",
        });
        table(config, prefix)
    }

    #[test]
    fn roles_that_share_a_tensor_are_slices_of_it() {
        let table = gpt2(1);
        let shown = |role, is_bias| {
            let slot = table.of(role, Some(3)).find(|slot| slot.is_bias == is_bias);
            let slot = slot.expect("a slot");
            let slice = slot.slice.map(|slice| (slice.axis, slice.start, slice.of));
            (slot.name.clone(), slot.shape.clone(), slice)
        };
        let name = |part: &str| format!("h.3.attn.c_attn.{part}");
        assert_eq!(shown(Role::Value, false), (name("weight"), vec![8, 8], Some((1, 16, 24))));
        assert_eq!(shown(Role::Key, true), (name("bias"), vec![8], Some((0, 8, 24))));
        let value = table.of(Role::Value, Some(3)).next().expect("a weight");
        assert_eq!(value.runs()[..2], [16..24, 40..48], "columns of a row, then of the next");
        let down = shown(Role::Down, false);
        assert_eq!(down, ("h.3.mlp.c_proj.weight".to_owned(), vec![32, 8], None));
        assert_eq!(table.of(Role::Head, None).count(), 0, "a tied head");
        assert_eq!(llama().of(Role::Key, Some(1)).next().map(|slot| slot.elements()), Some(4 * 8));
    }

    /// Heads of two numbers: rows q0 q0 k0 k0 v0 v0 q1 q1 ..., each marked by its number.
    #[test]
    fn roles_that_follow_each_other_head_by_head_are_told_apart() -> Result<()> {
        let table = table(
            json!({
                "model_type": "gpt_neox", "hidden_size": 4, "intermediate_size": 8,
                "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 10,
                "hidden_act": "gelu", "max_position_embeddings": 32, "rotary_pct": 1.0,
            }),
            0,
        );
        let stored = Tensor::arange(0f32, 12., &candle_core::Device::Cpu)?.reshape((12, 1))?;
        let roles = [Role::Query, Role::Key, Role::Value];
        let slots = roles.map(|role| table.of(role, Some(0)).next().expect("a weight"));
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let parts = slots.iter().map(|slot| {
            let slice = slot.slice.expect("a part");
            slice.part_of(&stored, 4)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let expected = [[0., 1., 6., 7.], [2., 3., 8., 9.], [4., 5., 10., 11.]];
        for ((part, expected), slot) in parts.iter().zip(expected).zip(&slots) {
            assert_eq!(numbers(part)?, expected);
            // The numbers of one column are those of their places.
            let column = Slot { shape: vec![4, 1], ..(*slot).clone() };
            let runs = column.runs().into_iter().flatten().map(|at| at as f32);
            assert_eq!(runs.collect::<Vec<_>>(), expected);
        }
        let slice = slots[1].slice.expect("a part");
        let joined = slice.join(&slice.join(&parts[0], &parts[1])?, &parts[2])?;
        assert_eq!(numbers(&joined)?, numbers(&stored)?);
        let padded = numbers(&slice.padded(&parts[1])?)?;
        assert_eq!(padded, [0., 0., 2., 3., 0., 0., 0., 0., 8., 9., 0., 0.]);
        Ok(())
    }

    #[test]
    fn modules_are_told_from_other_tensors() {
        let rows = [
            (llama(), "model.layers.1.mlp.down_proj", ".weight", true),
            (llama(), "model.layers.0.self_attn.q_proj", ".weight", true),
            (llama(), "model.layers.2.self_attn.q_proj", ".weight", false),
            (llama(), "model.embed_tokens", ".weight", false),
            (llama(), "model.layers.0.input_layernorm", ".weight", false),
            (llama(), "lm_head", ".weight", false),
            (gpt2(0), "transformer.h.3.attn.c_attn", ".weight", true),
            (gpt2(0), "transformer.h.3.mlp.c_proj", ".bias", false),
            (gpt2(0), "transformer.wpe", ".weight", false),
        ];
        for (table, module, part, is_module) in rows {
            let found = table.linear_module(&format!("{module}{part}"));
            assert_eq!(found.as_deref(), is_module.then_some(module), "{module}{part}");
        }
        let found = gpt2(1).linear_module("h.3.mlp.c_proj.weight");
        assert_eq!(found.as_deref(), Some("transformer.h.3.mlp.c_proj"), "the prefix is added");
    }
}
