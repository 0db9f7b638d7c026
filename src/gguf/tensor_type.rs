//! The tensor types of GGUF by number, and which of them can be turned into numbers.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};
use half::f16;

use crate::model::weights::element::Element;

/// A tensor type as the file numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorType(pub(super) u32);

/// A type in which matrices of a GGUF file can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufType {
    /// Single precision.
    F32,
    /// Half precision, 11 significant bits.
    F16,
    /// Half precision with the range of a single, 8 significant bits.
    Bf16,
    /// Eight bits a weight, and a scale for each 32.
    Q8_0,
    /// Four bits a weight, and a scale for each 32.
    Q4_0,
    /// Four bits a weight, and a scale and an offset for each 32.
    Q4_1,
}

impl GgufType {
    pub(super) fn stored(self) -> TensorType {
        TensorType(match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 8,
            Self::Bf16 => 30,
        })
    }
}

/// How the edited matrices of a GGUF file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EditedAs {
    /// As the others, but for quantised ones, which become F16: their codes could not hold a small
    /// change.
    #[default]
    Usual,
    /// As they were before they were edited.
    Stored,
    /// In one type.
    Type(GgufType),
}

/// Number, name and, where supported, the type that dequantises it.
///
/// Numbers and names: `ggml_type` in ggml.h. Q8_1 and Q8_K are intermediate
/// results of matrix products and never stored in a model.
const TABLE: &[(u32, &str, Option<Reading>)] = &[
    (0, "F32", Some(Reading::Candle(GgmlDType::F32))),
    (1, "F16", Some(Reading::Candle(GgmlDType::F16))),
    (2, "Q4_0", Some(Reading::Candle(GgmlDType::Q4_0))),
    (3, "Q4_1", Some(Reading::Candle(GgmlDType::Q4_1))),
    (6, "Q5_0", Some(Reading::Candle(GgmlDType::Q5_0))),
    (7, "Q5_1", Some(Reading::Candle(GgmlDType::Q5_1))),
    (8, "Q8_0", Some(Reading::Candle(GgmlDType::Q8_0))),
    (9, "Q8_1", None),
    (10, "Q2_K", Some(Reading::Candle(GgmlDType::Q2K))),
    (11, "Q3_K", Some(Reading::Candle(GgmlDType::Q3K))),
    (12, "Q4_K", Some(Reading::Candle(GgmlDType::Q4K))),
    (13, "Q5_K", Some(Reading::Candle(GgmlDType::Q5K))),
    (14, "Q6_K", Some(Reading::Candle(GgmlDType::Q6K))),
    (15, "Q8_K", None),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (20, "IQ4_NL", Some(Reading::Iq4Nl)),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (23, "IQ4_XS", Some(Reading::Iq4Xs)),
    (24, "I8", None),
    (25, "I16", None),
    (26, "I32", None),
    (27, "I64", None),
    (28, "F64", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(Reading::Candle(GgmlDType::BF16))),
    (34, "TQ1_0", None),
    (35, "TQ2_0", None),
    (39, "MXFP4", None),
];

/// How blocks of a type become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By candle.
    Candle(GgmlDType),
    /// Here: 32 indices into [`LEVELS`], after one scale.
    Iq4Nl,
    /// Here: eight groups of such indices, each with a scale of six bits.
    Iq4Xs,
}

/// The numbers that an index of four bits stands for (`kvalues_iq4nl` in ggml).
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl Reading {
    /// Numbers in one block.
    pub(super) fn block_size(self) -> usize {
        match self {
            Self::Candle(dtype) => dtype.block_size(),
            Self::Iq4Nl => 32,
            Self::Iq4Xs => 256,
        }
    }

    /// Bytes of one block.
    pub(super) fn type_size(self) -> usize {
        match self {
            Self::Candle(dtype) => dtype.type_size(),
            Self::Iq4Nl => 2 + 16,
            Self::Iq4Xs => 2 + 2 + 4 + 128,
        }
    }
}

/// The 32 numbers of 16 bytes: their low halves, then their high ones.
fn levels(bytes: &[u8], scale: f32, out: &mut Vec<f32>) {
    let level = |index: u8| scale * f32::from(LEVELS[usize::from(index)]);
    out.extend(bytes.iter().map(|byte| level(byte & 15)));
    out.extend(bytes.iter().map(|byte| level(byte >> 4)));
}

/// The numbers of whole IQ4_NL blocks.
pub(super) fn iq4_nl(blocks: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(blocks.len() / 18 * 32);
    for block in blocks.chunks_exact(18) {
        levels(&block[2..], f16::from_le_bytes([block[0], block[1]]).to_f32(), &mut out);
    }
    out
}

/// The numbers of whole IQ4_XS blocks.
pub(super) fn iq4_xs(blocks: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(blocks.len() / 136 * 256);
    for block in blocks.chunks_exact(136) {
        let whole = f16::from_le_bytes([block[0], block[1]]).to_f32();
        let high = u16::from_le_bytes([block[2], block[3]]);
        for (group, bytes) in block[8..].chunks_exact(16).enumerate() {
            let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
            let top = (high >> (2 * group) & 3) as u8;
            let scale = whole * (f32::from(low | top << 4) - 32.);
            levels(bytes, scale, &mut out);
        }
    }
    out
}

impl TensorType {
    fn row(self) -> Option<&'static (u32, &'static str, Option<Reading>)> {
        TABLE.iter().find(|(number, ..)| *number == self.0)
    }

    /// As ggml spells it, such as `Q4_1`.
    pub(super) fn name(self) -> String {
        self.row().map_or_else(|| format!("number {}", self.0), |(_, name, _)| (*name).to_owned())
    }

    /// The type of tensors that hold such numbers as they are.
    pub(super) fn of(element: Element) -> Self {
        match element {
            Element::F32 => Self(0),
            Element::F16 => Self(1),
            Element::BF16 => Self(30),
        }
    }

    /// The number that `general.file_type` has for files whose matrices are mostly of this type
    /// (`llama_ftype` in llama.h).
    pub(super) fn of_file(self) -> Option<u32> {
        match self.name().as_str() {
            "F32" => Some(0),
            "F16" => Some(1),
            "Q4_0" => Some(2),
            "Q4_1" => Some(3),
            "Q8_0" => Some(7),
            "BF16" => Some(32),
            _ => None,
        }
    }

    /// The type that stores a row of `columns` numbers: this one, or F16 where its blocks do not
    /// fill the row, as llama.cpp does.
    pub(super) fn fitting(self, columns: usize) -> Self {
        let fits = self.readable().is_some_and(|it| columns.is_multiple_of(it.block_size()));
        if fits { self } else { Self::of(Element::F16) }
    }

    /// Bytes of `elements` numbers in whole blocks.
    pub(super) fn bytes(self, elements: u64) -> u64 {
        let reading = self.readable().expect("only types that are read are written");
        elements / reading.block_size() as u64 * reading.type_size() as u64
    }

    /// The type of an edited matrix that was stored in this one.
    pub(super) fn edited(self, edited_as: EditedAs) -> Self {
        let is_plain = [Element::F32, Element::F16, Element::BF16].map(Self::of).contains(&self);
        match edited_as {
            EditedAs::Type(kind) => kind.stored(),
            EditedAs::Usual if !is_plain => Self::of(Element::F16),
            EditedAs::Usual | EditedAs::Stored => self,
        }
    }

    /// Whether numbers can be stored in it.
    pub(super) fn is_writable(self) -> bool {
        matches!(self.readable(), Some(Reading::Candle(_)))
    }

    /// Rows of `columns` numbers, rounded to this type, which is [writable](Self::is_writable).
    pub(super) fn encode(self, values: Vec<f32>, columns: usize) -> Result<Vec<u8>> {
        let plain = [Element::F32, Element::F16, Element::BF16];
        if let Some(element) = plain.into_iter().find(|it| Self::of(*it) == self) {
            let mut bytes = Vec::new();
            element.round_into(&values, &mut bytes);
            return Ok(bytes);
        }
        let Some(Reading::Candle(dtype)) = self.readable() else {
            candle_core::bail!("numbers cannot be stored as {}", self.name())
        };
        let rows = (values.len() / columns, columns);
        let blocks = QTensor::quantize(&Tensor::from_vec(values, rows, &Device::Cpu)?, dtype)?;
        Ok(blocks.data()?.into_owned())
    }

    /// How it is dequantised, if there is one.
    pub(super) fn readable(self) -> Option<Reading> {
        self.row().and_then(|(.., reading)| *reading)
    }

    /// Names of the supported types, for messages.
    pub(super) fn readable_names() -> String {
        let names: Vec<&str> =
            TABLE.iter().filter(|(.., dtype)| dtype.is_some()).map(|(_, name, _)| *name).collect();
        names.join(", ")
    }
}
