//! The tensor types of GGUF by number, and which of them can be turned into numbers.

use candle_core::quantized::GgmlDType;

/// A tensor type as the file numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorType(pub(super) u32);

/// Number, name and, where supported, the type that dequantises it.
///
/// Numbers and names: `ggml_type` in ggml.h. Q8_1 and Q8_K are intermediate
/// results of matrix products and never stored in a model.
const TABLE: &[(u32, &str, Option<GgmlDType>)] = &[
    (0, "F32", Some(GgmlDType::F32)),
    (1, "F16", Some(GgmlDType::F16)),
    (2, "Q4_0", Some(GgmlDType::Q4_0)),
    (3, "Q4_1", Some(GgmlDType::Q4_1)),
    (6, "Q5_0", Some(GgmlDType::Q5_0)),
    (7, "Q5_1", Some(GgmlDType::Q5_1)),
    (8, "Q8_0", Some(GgmlDType::Q8_0)),
    (9, "Q8_1", None),
    (10, "Q2_K", Some(GgmlDType::Q2K)),
    (11, "Q3_K", Some(GgmlDType::Q3K)),
    (12, "Q4_K", Some(GgmlDType::Q4K)),
    (13, "Q5_K", Some(GgmlDType::Q5K)),
    (14, "Q6_K", Some(GgmlDType::Q6K)),
    (15, "Q8_K", None),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (20, "IQ4_NL", None),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (23, "IQ4_XS", None),
    (24, "I8", None),
    (25, "I16", None),
    (26, "I32", None),
    (27, "I64", None),
    (28, "F64", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(GgmlDType::BF16)),
    (34, "TQ1_0", None),
    (35, "TQ2_0", None),
    (39, "MXFP4", None),
];

impl TensorType {
    fn row(self) -> Option<&'static (u32, &'static str, Option<GgmlDType>)> {
        TABLE.iter().find(|(number, ..)| *number == self.0)
    }

    /// As ggml spells it, such as `Q4_1`.
    pub(super) fn name(self) -> String {
        self.row().map_or_else(|| format!("number {}", self.0), |(_, name, _)| (*name).to_owned())
    }

    /// The type that dequantises it, if there is one.
    pub(super) fn readable(self) -> Option<GgmlDType> {
        self.row().and_then(|(.., dtype)| *dtype)
    }

    /// Names of the supported types, for messages.
    pub(super) fn readable_names() -> String {
        let names: Vec<&str> =
            TABLE.iter().filter(|(.., dtype)| dtype.is_some()).map(|(_, name, _)| *name).collect();
        names.join(", ")
    }
}
