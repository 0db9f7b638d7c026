//! A decoder as it computes after its matrices went through a quantised file: what a user of a GGUF
//! build gets.
//!
//! Each row is cut into blocks of 32 weights w, which share a scale: Q8_0 stores round(w / d) of
//! eight bits with d = max |w| / 127, Q4_0 four bits with d = max |w| / 8. Candle rounds them. Which
//! tensors are rounded is llama.cpp's choice: all matrices but learned positions; norms and biases
//! stay as they are. A Q4_0 file keeps the head, or the embedding that serves as one, in Q6_K.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::parameters::Slot;
use super::role::Role;
use crate::ops::WeightLayout;

/// A kind of quantised file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantisation {
    /// Eight bits a weight.
    Q8_0,
    /// Four bits a weight.
    Q4_0,
}

impl Quantisation {
    /// Both, the finer one first.
    pub const ALL: [Self; 2] = [Self::Q8_0, Self::Q4_0];

    /// The name that GGUF files give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
        }
    }

    /// How a file of this kind stores rows of `width` weights; those that fill no whole blocks are
    /// stored as halves.
    fn stored(self, is_head: bool, width: usize) -> GgmlDType {
        let wanted = match (self, is_head) {
            (Self::Q4_0, false) => GgmlDType::Q4_0,
            (Self::Q4_0, true) if width.is_multiple_of(GgmlDType::Q6K.block_size()) => {
                GgmlDType::Q6K
            }
            _ => GgmlDType::Q8_0,
        };
        if width.is_multiple_of(wanted.block_size()) { wanted } else { GgmlDType::F16 }
    }
}

impl Decoder {
    /// This decoder with its matrices rounded to `kind` and back.
    pub fn quantised(&self, kind: Quantisation) -> Result<Self> {
        let mut decoder = self.clone();
        let is_tied = self.config.is_tied;
        for slot in self.parameters().iter().filter(|slot| is_quantised(slot)) {
            let is_head = slot.role == Role::Head || slot.role == Role::Embedding && is_tied;
            let mut place = decoder.holder(slot).place(slot.is_bias);
            let tensor = place.tensor()?;
            let width = slot.layout.widths(tensor.dims2()?).0;
            place.set(rounded(&tensor, slot.layout, kind.stored(is_head, width))?);
        }
        decoder.tie_head();
        Ok(decoder)
    }
}

/// Weights whose code in a quantised file of this kind differs between two decoders of one shape, and
/// all weights that such a file stores as codes; blocks of another type than the kind's own do not
/// count.
///
/// A change that moves no code is undone by the file.
pub fn changed_codes(
    before: &Decoder,
    after: &Decoder,
    kind: Quantisation,
) -> Result<(usize, usize)> {
    let (mut changed, mut all) = (0, 0);
    let wanted = kind.stored(false, 32);
    for (old, new) in before.tensors().zip(after.tensors()) {
        let ((slot, old), (_, new)) = (old?, new?);
        if !is_quantised(slot) {
            continue;
        }
        let width = slot.layout.widths(old.dims2()?).0;
        if kind.stored(false, width) != wanted {
            continue;
        }
        all += old.elem_count();
        let (old, new) = (codes(&old, slot.layout, wanted)?, codes(&new, slot.layout, wanted)?);
        changed += old.iter().zip(&new).filter(|(old, new)| old != new).count();
    }
    Ok((changed, all))
}

/// The codes of a matrix, in the order of its blocks.
fn codes(matrix: &Tensor, layout: WeightLayout, stored: GgmlDType) -> Result<Vec<u8>> {
    /// Bytes of the scale at the beginning of a block.
    const SCALE: usize = 2;
    let is_turned = layout == WeightLayout::InOut;
    let rows = if is_turned { matrix.t()?.contiguous()? } else { matrix.contiguous()? };
    let quantised = QTensor::quantize(&rows, stored)?;
    let bytes = quantised.data()?;
    let bytes = bytes.chunks_exact(stored.type_size()).flat_map(|block| &block[SCALE..]);
    Ok(match stored {
        GgmlDType::Q4_0 => bytes.flat_map(|byte| [byte & 15, byte >> 4]).collect(),
        _ => bytes.copied().collect(),
    })
}

fn is_quantised(slot: &Slot) -> bool {
    slot.is_matrix() && slot.role != Role::Positions
}

/// A matrix rounded along its rows of inputs, in which the blocks lie.
fn rounded(matrix: &Tensor, layout: WeightLayout, stored: GgmlDType) -> Result<Tensor> {
    let is_turned = layout == WeightLayout::InOut;
    let rows = if is_turned { matrix.t()?.contiguous()? } else { matrix.contiguous()? };
    let back = match stored {
        GgmlDType::F16 => rows.to_dtype(DType::F16)?.to_dtype(DType::F32)?,
        stored => QTensor::quantize(&rows, stored)?.dequantize(matrix.device())?,
    };
    if is_turned { back.t()?.contiguous() } else { Ok(back) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::math::Random;
    use crate::model::Model;
    use crate::ops::Weight;
    use crate::progress::Silent;

    fn open(name: &str) -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Model::open(&folder.join("model"), &Device::Cpu, &Silent).expect("a fixture")
    }

    /// Blocks of Q8_0 end at their largest weight, so that half a step is all that a weight can
    /// lose. Those of Q4_0 reach eight steps on the side of the largest weight and seven on the
    /// other, where one whole step is. Scales are halves, of eleven bits.
    #[test]
    fn weights_stay_within_a_step_of_their_block() {
        let mut random = Random::new(7);
        let weights: Vec<f32> = (0..5 * 64).map(|_| random.normal() as f32).collect();
        let rows = Tensor::from_vec(weights, (5, 64), &Device::Cpu).expect("a matrix");
        for (stored, steps, lost) in [(GgmlDType::Q8_0, 127., 0.5), (GgmlDType::Q4_0, 8., 1.)] {
            let after = rounded(&rows, WeightLayout::OutIn, stored).expect("rounded");
            let turned = rows.t().and_then(|it| rounded(&it, WeightLayout::InOut, stored));
            let turned = turned.and_then(|it| it.t()).expect("rounded");
            let numbers = |tensor: &Tensor| tensor.to_vec2::<f32>().expect("f32").concat();
            assert_eq!(numbers(&turned), numbers(&after), "blocks lie along the inputs");
            let mut changed = 0;
            for (before, after) in numbers(&rows).chunks(32).zip(numbers(&after).chunks(32)) {
                let largest = before.iter().map(|weight| weight.abs()).fold(0., f32::max);
                let allowed = lost * largest / steps + 1e-3 * largest;
                for (before, after) in before.iter().zip(after) {
                    let difference = (before - after).abs();
                    assert!(difference <= allowed, "{stored:?}: {before} became {after}");
                    changed += usize::from(difference > 0.);
                }
            }
            assert!(changed > 200, "{stored:?} rounds: {changed}");
        }
    }

    #[test]
    fn a_code_moves_with_its_weight_and_not_with_its_scale() {
        let mut random = Random::new(11);
        let values: Vec<f32> = (0..3 * 64).map(|_| random.normal() as f32).collect();
        let rows = |values: Vec<f32>| Tensor::from_vec(values, (3, 64), &Device::Cpu);
        let of = |values: Vec<f32>, stored| {
            rows(values).and_then(|it| codes(&it, WeightLayout::OutIn, stored)).expect("codes")
        };
        // The opposite of a block's largest weight is another code.
        let mut moved = values.clone();
        let largest = (32..64).max_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()));
        moved[largest.expect("a block")] *= -1.;
        let doubled: Vec<f32> = values.iter().map(|weight| weight * 2.).collect();
        let before = of(values.clone(), GgmlDType::Q8_0);
        let differ = |after: Vec<u8>| before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(before.len(), values.len());
        assert_eq!(differ(of(moved, GgmlDType::Q8_0)), 1);
        assert_eq!(differ(of(doubled, GgmlDType::Q8_0)), 0);
        let nibbles = of(values.clone(), GgmlDType::Q4_0);
        assert!(nibbles.len() == values.len() && nibbles.iter().all(|code| *code < 16));
        let decoder = open("granite").decoder;
        let (changed, all) = changed_codes(&decoder, &decoder, Quantisation::Q8_0).expect("codes");
        assert!(changed == 0 && all > 0, "{changed} of {all}");
    }

    #[test]
    fn norms_positions_and_biases_stay_and_a_tied_head_follows() {
        for name in ["llama", "gpt2", "llama_tied_bf16_sharded"] {
            let decoder = open(name).decoder;
            let mut quantised = decoder.quantised(Quantisation::Q4_0).expect("quantised");
            let mut whole = decoder.clone();
            for slot in decoder.parameters().iter().filter(|slot| !is_quantised(slot)) {
                let values = |decoder: &mut Decoder| {
                    let tensor = decoder.holder(slot).place(slot.is_bias).tensor();
                    tensor.and_then(|it| it.flatten_all()?.to_vec1::<f32>()).expect("f32")
                };
                assert_eq!(values(&mut quantised), values(&mut whole), "{name}: {}", slot.name);
            }
            if decoder.config.is_tied {
                let table = |weight: &Weight| {
                    weight.tensor().and_then(|it| it.to_vec2::<f32>()).expect("f32")
                };
                assert_eq!(table(&quantised.head), table(&quantised.embedding), "{name}");
            }
        }
    }

    #[test]
    fn rows_that_fill_no_blocks_are_halves_and_a_head_keeps_more_bits() {
        let rows = [
            (Quantisation::Q4_0, false, 576, GgmlDType::Q4_0),
            (Quantisation::Q4_0, true, 576, GgmlDType::Q8_0),
            (Quantisation::Q4_0, true, 512, GgmlDType::Q6K),
            (Quantisation::Q8_0, true, 512, GgmlDType::Q8_0),
            (Quantisation::Q4_0, false, 48, GgmlDType::F16),
            (Quantisation::Q8_0, true, 48, GgmlDType::F16),
        ];
        for (kind, is_head, width, expected) in rows {
            assert_eq!(kind.stored(is_head, width), expected, "{kind:?} {is_head} {width}");
        }
    }
}
