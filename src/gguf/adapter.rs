//! Low-rank changes -> a GGUF adapter in the making, which llama.cpp computes next to the weights of
//! its base, quantised or not.
//!
//! y = W x + s B (A x), with A [r, in] and B [out, r] under the names of W's tensor and
//! s = α / r: α is r here, so that the adapter is the change itself. Format: llama.cpp's
//! `llama-adapter.cpp`.

use candle_core::Tensor;

use super::draft::{Content, Draft, Drafted};
use super::error::DraftError;
use super::families;
use super::keys::Keys;
use super::order::{Order, Ordered};
use super::tensor_type::TensorType;
use crate::model::Model;
use crate::model::weights::element::Element;

/// The adapter that adds b · a to each named tensor; all factors have one rank.
///
/// # Errors
///
/// Names a tensor that has no place in a file of this family.
pub(crate) fn adapter<'f>(
    model: &Model,
    name: &str,
    factors: impl IntoIterator<Item = (&'f str, &'f Tensor, &'f Tensor)>,
) -> Result<Draft<'static>, DraftError> {
    let config = model.decoder.config();
    let (mut tensors, mut rank, mut known) = (Vec::new(), 0, None);
    for (tensor, a, b) in factors {
        let mut slots = model.decoder.parameters().iter();
        let slot = slots.find(|slot| slot.name == tensor && slot.role.is_linear());
        let slot = slot.ok_or_else(|| DraftError::NoTensor(tensor.to_owned()))?;
        let (architecture, stored, order) = families::place_of(config, slot)?;
        // The factors are of a matrix [out, in], however the folder stores it.
        let order = if order == Order::Transposed { Order::Same } else { order };
        rank = a.dims()[0];
        known = Some(architecture);
        let rows = Ordered { order, columns: rank, head: config.attention.head_dim };
        let columns = Ordered { order: Order::Same, ..rows };
        for (part, matrix, ordered) in [("lora_a", a, columns), ("lora_b", b, rows)] {
            let numbers = matrix.flatten_all().and_then(|it| it.to_vec1::<f32>());
            let numbers = ordered.to_file(numbers.map_err(DraftError::Compute)?);
            let mut bytes = Vec::new();
            Element::F32.round_into(&numbers, &mut bytes);
            tensors.push(Drafted {
                name: format!("{stored}.{part}"),
                shape: matrix.dims().to_vec(),
                kind: TensorType::of(Element::F32),
                content: Content::Bytes(bytes.into()),
            });
        }
    }
    let mut keys = Keys::default();
    keys.text("general.architecture", known.unwrap_or_default());
    keys.text("general.type", "adapter");
    keys.text("general.name", name);
    keys.text("adapter.type", "lora");
    keys.real("adapter.lora.alpha", rank as f32);
    Ok(Draft::new(&keys, tensors))
}
