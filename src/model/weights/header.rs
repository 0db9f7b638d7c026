//! The header of a safetensors file: untrusted bytes to names, shapes and places that are safe to
//! use.
//!
//! A file is `length: u64`, `length` bytes of JSON, then the data. The JSON maps
//! each name to a dtype, a shape and a range of the data; the ranges must tile
//! the data without gap or overlap. Everything is checked here, once, so that
//! whoever holds a [`Header`] may slice without a further look. The `safetensors`
//! crate accepts duplicate names, overflows on sums of ranges, and does not say
//! which tensor is wrong; so its reader is not used.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The format's own limit on the length of the JSON.
const MAX_HEADER: u64 = 100_000_000;
const LENGTH_BYTES: usize = 8;
const METADATA: &str = "__metadata__";

/// One tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How an element is stored.
    pub(crate) dtype: Dtype,
    /// Extent of each dimension, the last one contiguous.
    pub(crate) shape: Vec<usize>,
    /// Where the bytes are, counted from the start of the file.
    pub(crate) range: Range<usize>,
}

/// A checked header: every range lies inside the file and fits its shape and dtype.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Free text by key.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub(crate) tensors: BTreeMap<String, Entry>,
}

/// What is wrong with a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not even the length of the header is there.
    #[error(
        "the file has {found} bytes, and a safetensors file has at least 10; it may be truncated"
    )]
    TooShort {
        /// Bytes in the file.
        found: usize,
    },
    /// The header claims to be longer than the file or the format allows.
    #[error(
        "the header claims {claimed} bytes, but {limit} are possible; the file is truncated or no safetensors file"
    )]
    Length {
        /// Length that the file states.
        claimed: u64,
        /// Most that the file or the format can hold.
        limit: u64,
    },
    /// The header is not JSON of the right form, or a name occurs twice.
    #[error("the header is malformed: {0}")]
    Json(serde_json::Error),
    /// Shape and dtype ask for another number of bytes than the range has.
    #[error(
        "tensor {tensor:?} is {dtype} {shape:?}, which takes {expected}, but its range has {found} bytes"
    )]
    Size {
        /// Name of the tensor.
        tensor: String,
        /// Dtype of the tensor.
        dtype: Dtype,
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// Bytes that shape and dtype need, in words where no number holds them.
        expected: String,
        /// Bytes in the tensor's range.
        found: usize,
    },
    /// The range overlaps the one before it, leaves a gap, or runs backward.
    #[error(
        "tensor {tensor:?} has the byte range {start}..{end}, expected one that starts at {expected}"
    )]
    Range {
        /// Name of the tensor.
        tensor: String,
        /// First byte of the range that the header gives.
        start: usize,
        /// End of the range that the header gives.
        end: usize,
        /// End of the tensor before it, where the range should start.
        expected: usize,
    },
    /// The file ends inside a tensor.
    #[error(
        "the file is truncated: tensor {tensor:?} ends at data byte {end}, but the file has {found}"
    )]
    Truncated {
        /// The first tensor that is not all there.
        tensor: String,
        /// End of the tensor's range.
        end: usize,
        /// Data bytes in the file.
        found: usize,
    },
    /// The file goes on after the last tensor.
    #[error("{extra} bytes follow the last tensor, expected the file to end there")]
    Trailing {
        /// How many bytes follow.
        extra: usize,
    },
}

impl Header {
    /// Length of the longest header that a reader of the format accepts, with its length field.
    pub(crate) const MAX_BYTES: usize = MAX_HEADER as usize + LENGTH_BYTES;

    /// Reads and checks the header of the file whose whole contents are `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(HeaderError::TooShort { found: bytes.len() });
        };
        let claimed = u64::from_le_bytes(*length);
        let limit = MAX_HEADER.min(rest.len() as u64);
        if claimed > limit {
            return Err(HeaderError::Length { claimed, limit });
        }
        // At most `rest.len()`, so it fits.
        let (json, data) = rest.split_at(claimed as usize);
        let raw: RawHeader = serde_json::from_slice(json).map_err(HeaderError::Json)?;
        let start = LENGTH_BYTES + json.len();
        Ok(Self { tensors: place(raw.tensors, start, data.len())?, metadata: raw.metadata })
    }

    /// The bytes of a file up to its data: length and JSON, padded so that the data is aligned.
    ///
    /// `tensors` follow each other in the data in the order given.
    pub(crate) fn write<'a>(
        metadata: &BTreeMap<String, String>,
        tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize], usize)>,
    ) -> Vec<u8> {
        let mut json = serde_json::Map::new();
        let mut start = 0;
        json.insert(METADATA.into(), serde_json::json!(metadata));
        for (name, dtype, shape, length) in tensors {
            let data_offsets = (start, start + length);
            let entry = RawEntry { dtype, shape: shape.to_vec(), data_offsets };
            json.insert(name.into(), serde_json::json!(entry));
            start += length;
        }
        let mut json = serde_json::Value::Object(json).to_string().into_bytes();
        json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
        [&(json.len() as u64).to_le_bytes()[..], &json].concat()
    }
}

/// Checks that the ranges tile `length` bytes of data, which start at byte `start` of the file.
fn place(
    raw: Vec<(String, RawEntry)>,
    start: usize,
    length: usize,
) -> Result<BTreeMap<String, Entry>, HeaderError> {
    let mut raw = raw;
    raw.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut expected = 0;
    let mut tensors = BTreeMap::new();
    for (tensor, RawEntry { dtype, shape, data_offsets: (from, to) }) in raw {
        if from != expected || to < from {
            return Err(HeaderError::Range { tensor, start: from, end: to, expected });
        }
        if to > length {
            return Err(HeaderError::Truncated { tensor, end: to, found: length });
        }
        check_size(&tensor, dtype, &shape, to - from)?;
        expected = to;
        tensors.insert(tensor, Entry { dtype, shape, range: start + from..start + to });
    }
    match length - expected {
        0 => Ok(tensors),
        extra => Err(HeaderError::Trailing { extra }),
    }
}

fn check_size(name: &str, dtype: Dtype, shape: &[usize], found: usize) -> Result<(), HeaderError> {
    let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &n| bits.checked_mul(n));
    if bits.is_some_and(|bits| bits.is_multiple_of(8) && bits / 8 == found) {
        return Ok(());
    }
    let expected = match bits {
        Some(bits) => format!("{} bytes", bits.div_ceil(8)),
        None => "more bytes than any file has".to_owned(),
    };
    Err(HeaderError::Size {
        tensor: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        expected,
        found,
    })
}

#[derive(Deserialize, Serialize)]
struct RawEntry {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

#[derive(Default)]
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawEntry)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format!("the name {name:?} occurs twice")));
            }
            if name == METADATA {
                header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
            } else {
                let entry = map
                    .next_value()
                    .map_err(|error| de::Error::custom(format!("tensor {name:?}: {error}")))?;
                header.tensors.push((name, entry));
            }
        }
        Ok(header)
    }
}

/// Reads a JSON object of strings in which every key may occur once.
pub(crate) fn unique_strings<'de, D: de::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Strings;
    impl<'de> Visitor<'de> for Strings {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut strings = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if strings.insert(key.clone(), value).is_some() {
                    return Err(de::Error::custom(format!("the name {key:?} occurs twice")));
                }
            }
            Ok(strings)
        }
    }
    deserializer.deserialize_map(Strings)
}

#[cfg(test)]
mod tests;
