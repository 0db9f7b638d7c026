//! Tensors of a GGUF file -> one `model.safetensors`, a few rows at a time.
//!
//! The safetensors header is known before the first number, so the file is
//! written front to back and memory holds one chunk of rows (one whole tensor
//! where it has to be transposed).

use std::io::{self, Write};

use candle_core::{Device, quantized::ggml_file::qtensor_from_ggml};
use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::{
    ImportDtype,
    error::GgufFault,
    family::Planned,
    header::GgufHeader,
    order::{Order, Ordered, split_pairs},
    tensor_type::{Reading, TensorType, iq4_nl, iq4_xs},
};
use crate::progress::{Interrupted, Progress};

/// Numbers dequantised at a time: 1 MiB of f32.
const CHUNK: usize = 1 << 18;

/// Where the numbers go, and what can go wrong on the way.
pub(super) struct Conversion<'a> {
    pub(super) header: &'a GgufHeader<'a>,
    pub(super) dtype: ImportDtype,
    pub(super) head: usize,
}

/// An error of either side of the conversion.
pub(super) enum Failure {
    Fault(GgufFault),
    Write(io::Error),
    Interrupted(Interrupted),
}

impl From<GgufFault> for Failure {
    fn from(fault: GgufFault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Failure {
        Failure::Interrupted(interrupted)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Write(error)
    }
}

impl Conversion<'_> {
    /// Writes the whole file; returns its size in bytes.
    pub(super) fn write(
        &self,
        plan: &[Planned<'_>],
        out: &mut impl Write,
        progress: &dyn Progress,
    ) -> Result<u64, Failure> {
        let header = safetensors_header(plan, self.dtype);
        out.write_all(&header)?;
        let mut done = 0;
        for planned in plan {
            progress.check()?;
            self.write_tensor(planned, out)?;
            done += planned.elements();
            progress.advance(done, &planned.name);
        }
        Ok(header.len() as u64 + done * self.dtype.size())
    }

    fn write_tensor(&self, planned: &Planned<'_>, out: &mut impl Write) -> Result<(), Failure> {
        let data = self.header.data(planned.entry);
        let columns = row_length(&planned.entry.shape);
        let rows = planned.elements() as usize / columns;
        let row_bytes = data.len() / rows;
        let whole = |count: usize| count.max(1).min(rows);
        let step = match planned.order {
            Order::Same | Order::OneMore => whole(CHUNK / columns),
            Order::RotaryPairs => whole(CHUNK / columns / self.head * self.head).max(self.head),
            Order::HeadsApart | Order::Transposed => rows,
        };
        let ordered = Ordered { order: planned.order, columns, head: self.head };
        let mut written = 0;
        for chunk in data.chunks(step * row_bytes) {
            let values = match planned.order {
                // The blocks of whole rows change places, without being read twice.
                Order::RotaryPairs => {
                    let chunk = split_pairs(chunk, self.head, row_bytes);
                    dequantise(planned.source, planned.entry.kind, &chunk)?
                }
                _ => ordered.to_model(dequantise(planned.source, planned.entry.kind, chunk)?),
            };
            out.write_all(&self.encode(planned.source, written, &values)?)?;
            written += values.len() as u64;
        }
        Ok(())
    }

    /// The values in the output type, rounded to nearest even; `before` values of the tensor went
    /// before.
    fn encode(&self, tensor: &str, before: u64, values: &[f32]) -> Result<Vec<u8>, GgufFault> {
        let place = |index: usize| (tensor.to_owned(), before + index as u64, values[index]);
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (tensor, index, value) = place(index);
            return Err(GgufFault::NotFinite { tensor, index, value });
        }
        let rounded_away = |value: &f32| match self.dtype {
            ImportDtype::F32 => false,
            ImportDtype::F16 => f16::from_f32(*value).is_infinite(),
            ImportDtype::Bf16 => bf16::from_f32(*value).is_infinite(),
        };
        if let Some(index) = values.iter().position(rounded_away) {
            let (tensor, index, value) = place(index);
            return Err(GgufFault::Overflow { tensor, index, value, dtype: self.dtype });
        }
        Ok(match self.dtype {
            ImportDtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ImportDtype::F16 => {
                values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
            }
            ImportDtype::Bf16 => {
                values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
            }
        })
    }
}

/// Dequantises whole blocks of a type.
pub(super) fn dequantise(
    tensor: &str,
    kind: TensorType,
    blocks: &[u8],
) -> Result<Vec<f32>, GgufFault> {
    let dtype = match kind.readable().expect("the header refuses other types") {
        Reading::Candle(dtype) => dtype,
        Reading::Iq4Nl => return Ok(iq4_nl(blocks)),
        Reading::Iq4Xs => return Ok(iq4_xs(blocks)),
    };
    let count = blocks.len() / dtype.type_size() * dtype.block_size();
    let aligned = Aligned::copy(blocks);
    qtensor_from_ggml(dtype, aligned.bytes(), vec![count], &Device::Cpu)
        .and_then(|blocks| blocks.dequantize(&Device::Cpu)?.to_vec1())
        .map_err(|source| GgufFault::Dequantise { tensor: tensor.to_owned(), source })
}

/// Numbers of a row; a bias has one for each row of its matrix.
pub(super) fn row_length(shape: &[usize]) -> usize {
    match shape {
        [_] => 1,
        shape => *shape.last().expect("the header has no tensor without axes"),
    }
}

/// Bytes at an address divisible by [`ALIGNMENT`]: candle reads blocks through a pointer cast.
struct Aligned {
    buffer: Vec<u8>,
    start: usize,
}

const ALIGNMENT: usize = 16;

impl Aligned {
    fn copy(bytes: &[u8]) -> Aligned {
        let mut buffer = vec![0; bytes.len() + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
        Aligned { buffer, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.buffer.len() - (ALIGNMENT - self.start)]
    }
}

/// Length and JSON of the header, padded so that the numbers start at a multiple of eight bytes.
fn safetensors_header(plan: &[Planned<'_>], dtype: ImportDtype) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut start = 0;
    for planned in plan {
        let end = start + planned.elements() * dtype.size();
        let entry = json!({
            "dtype": dtype.safetensors_name(),
            "shape": planned.shape,
            "data_offsets": [start, end],
        });
        entries.insert(planned.name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    header
}
