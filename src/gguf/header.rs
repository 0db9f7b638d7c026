//! Bytes of a GGUF file -> its metadata and the list of its tensors.
//!
//! Nothing in the file is trusted: every count and length is checked against
//! the bytes of the file before memory is allocated, and every tensor is known to
//! lie inside the file, apart from the others, before it is handed on. Format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    error::GgufFault,
    metadata::{ARRAY, List, Metadata, STRING, Scalar, Value},
    tensor_type::TensorType,
};
use crate::files::mistaken;

const DEFAULT_ALIGNMENT: u64 = 32;
/// Larger alignments are not in use; a bound keeps the arithmetic away from overflow.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays of arrays are skipped, not used; a bound keeps the recursion shallow.
const MAX_NESTING: u32 = 8;

/// The metadata and the tensor list of a GGUF file.
#[derive(Debug)]
pub(super) struct GgufHeader<'a> {
    pub(super) metadata: Metadata<'a>,
    /// The tensors by name.
    pub(super) tensors: BTreeMap<&'a str, TensorEntry>,
    /// The keys with their values, as they are stored.
    pub(super) keys: StoredKeys<'a>,
    /// The bytes of the file, or of all the files that a model is split into.
    files: Vec<&'a [u8]>,
}

/// What precedes the list of tensors.
#[derive(Debug)]
pub(super) struct StoredKeys<'a> {
    /// The version of the format.
    pub(super) version: u32,
    pub(super) bytes: &'a [u8],
    pub(super) count: u64,
    /// The numbers of each tensor start at a multiple of so many bytes.
    pub(super) alignment: u64,
}

/// Where the numbers of one tensor are.
#[derive(Debug, Clone)]
pub(super) struct TensorEntry {
    /// Slowest dimension first: [rows, columns] (the file stores the reverse).
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorType,
    /// Where its numbers start, in bytes from the start of the file.
    pub(super) start: u64,
    /// Size in bytes.
    pub(super) length: u64,
    /// Its place in the list of tensors.
    pub(super) index: u64,
    /// The file that holds it, of those that a model is split into.
    file: usize,
}

impl<'a> GgufHeader<'a> {
    /// Reads and checks everything before the tensor data.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<GgufHeader<'a>, GgufFault> {
        let mut cursor = Cursor { bytes, at: 0 };
        let version = cursor.magic_and_version()?;
        let tensor_count = cursor.u64("the number of tensors")?;
        let count = cursor.u64("the number of keys")?;
        let (start, mut metadata) = (cursor.at, Metadata::default());
        for index in 0..count {
            let key = cursor.text(&format!("the name of key {index}"))?;
            let kind = cursor.u32(&format!("the type of key {key:?}"))?;
            let value = cursor.value(kind, key)?;
            metadata.insert(key, value)?;
        }
        let end = cursor.at;
        let mut entries = Vec::new();
        for index in 0..tensor_count {
            entries.push(cursor.entry(index)?);
        }
        let alignment = alignment(&metadata)?;
        let data = (cursor.at as u64).next_multiple_of(alignment);
        let tensors = place(entries, data, bytes.len() as u64)?;
        let keys = StoredKeys { version, bytes: &bytes[start..end], count, alignment };
        Ok(GgufHeader { metadata, tensors, keys, files: vec![bytes] })
    }

    /// The header of a model that is split into files: the keys of the first, the tensors of all.
    pub(super) fn joined(files: &[&'a [u8]]) -> Result<GgufHeader<'a>, GgufFault> {
        let mut parts = files.iter().map(|bytes| Self::parse(bytes));
        let mut whole = parts.next().expect("a model has a file")?;
        for part in parts {
            let part = part?;
            for (name, entry) in part.tensors {
                let entry = TensorEntry { file: whole.files.len(), ..entry };
                if whole.tensors.insert(name, entry).is_some() {
                    let what = format!("tensor {name:?}");
                    return Err(GgufFault::invalid(what, "in two files of the model", "in one"));
                }
            }
            whole.files.extend(part.files);
        }
        Ok(whole)
    }

    /// In how many files the model is, as the file says.
    pub(super) fn split_count(&self) -> Result<u64, GgufFault> {
        Ok(self.metadata.unsigned("split.count")?.unwrap_or(1).max(1))
    }

    /// How many files there are.
    pub(super) fn file_count(&self) -> u64 {
        self.files.len() as u64
    }

    /// The numbers of a tensor as they are stored.
    pub(super) fn data(&self, entry: &TensorEntry) -> &'a [u8] {
        // The span was checked against the file in `place`.
        &self.files[entry.file][entry.start as usize..][..entry.length as usize]
    }
}

fn alignment(metadata: &Metadata<'_>) -> Result<u64, GgufFault> {
    const KEY: &str = "general.alignment";
    let alignment = metadata.unsigned(KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT {
        return Ok(alignment);
    }
    Err(GgufFault::invalid(KEY, alignment, format!("a power of two up to {MAX_ALIGNMENT}")))
}

/// Turns offsets into places, and refuses tensors that leave the file or share bytes.
fn place(
    entries: Vec<(&str, TensorEntry)>,
    data: u64,
    size: u64,
) -> Result<BTreeMap<&str, TensorEntry>, GgufFault> {
    let mut tensors = BTreeMap::new();
    for (name, mut entry) in entries {
        let offset = entry.start;
        let truncated = || GgufFault::Truncated {
            what: format!("tensor {name:?}"),
            offset: data.saturating_add(offset),
            needed: entry.length,
            size,
        };
        let start = data.checked_add(offset).ok_or_else(truncated)?;
        if start.checked_add(entry.length).is_none_or(|end| end > size) {
            return Err(truncated());
        }
        entry.start = start;
        if tensors.insert(name, entry).is_some() {
            return Err(GgufFault::invalid(format!("tensor {name:?}"), "listed twice", "once"));
        }
    }
    let spans: BTreeSet<_> =
        tensors.iter().map(|(name, entry)| (entry.start, entry.length, *name)).collect();
    for ((start, length, first), (next, _, second)) in spans.iter().zip(spans.iter().skip(1)) {
        if start + length > *next {
            return Err(GgufFault::invalid(
                format!("the offset of tensor {second:?}"),
                next,
                format!("at least {}, the end of tensor {first:?}", start + length),
            ));
        }
    }
    Ok(tensors)
}

/// A place in the file; every step forward is checked against its end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], GgufFault> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = usize::try_from(count).ok().and_then(|count| rest.get(..count)) else {
            return Err(GgufFault::Truncated {
                what: what.to_owned(),
                offset: self.at as u64,
                needed: count,
                size: self.bytes.len() as u64,
            });
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufFault> {
        let taken = self.take(N as u64, what)?;
        Ok(taken.try_into().expect("take returns as many bytes as were asked for"))
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufFault> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufFault> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn magic_and_version(&mut self) -> Result<u32, GgufFault> {
        let found = &self.bytes[..self.bytes.len().min(4)];
        if found != b"GGUF" {
            let magic = || GgufFault::Magic { found: found.to_vec() };
            return Err(mistaken(self.bytes).map_or_else(magic, GgufFault::Mistaken));
        }
        self.at = found.len();
        match self.u32("the version")? {
            version @ (2 | 3) => Ok(version),
            version => Err(GgufFault::Version(version)),
        }
    }

    fn text(&mut self, what: &str) -> Result<&'a str, GgufFault> {
        let length = self.u64(what)?;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|error| GgufFault::invalid(what, error, "UTF-8"))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value<'a>, GgufFault> {
        let what = format!("the value of key {key:?}");
        Ok(match kind {
            STRING => Value::Text(self.text(&what)?),
            ARRAY => self.list(&what, 0)?,
            kind => {
                let scalar = scalar_type(kind, &what)?;
                Value::Scalar(scalar.read(self.take(scalar.size(), &what)?))
            }
        })
    }

    fn list(&mut self, what: &str, depth: u32) -> Result<Value<'a>, GgufFault> {
        let kind = self.u32(what)?;
        let count = self.u64(what)?;
        match kind {
            STRING => {
                let mut texts = Vec::new();
                for _ in 0..count {
                    texts.push(self.text(what)?);
                }
                Ok(Value::List(List::Texts(texts)))
            }
            ARRAY if depth >= MAX_NESTING => {
                Err(GgufFault::invalid(what, "nested too deeply", format!("{MAX_NESTING} levels")))
            }
            ARRAY => {
                for _ in 0..count {
                    self.list(what, depth + 1)?;
                }
                Ok(Value::List(List::Nested))
            }
            kind => {
                let scalar = scalar_type(kind, what)?;
                let bytes = self.take(count.saturating_mul(scalar.size()), what)?;
                Ok(Value::List(List::Scalars(scalar, bytes)))
            }
        }
    }

    /// A tensor's description; `start` is still relative to the tensor data.
    fn entry(&mut self, index: u64) -> Result<(&'a str, TensorEntry), GgufFault> {
        let name = self.text(&format!("the name of tensor {index}"))?;
        let what = format!("the description of tensor {name:?}");
        let dimensions = self.u32(&what)?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            let expected = format!("1 to {MAX_DIMENSIONS}");
            let what = format!("the number of dimensions of tensor {name:?}");
            return Err(GgufFault::invalid(what, dimensions, expected));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.u64(&what)?);
        }
        shape.reverse();
        let kind = TensorType(self.u32(&what)?);
        let start = self.u64(&what)?;
        let (shape, length) = measure(name, &shape, kind)?;
        Ok((name, TensorEntry { shape, kind, start, length, index, file: 0 }))
    }
}

/// The shape in machine words, and the size in bytes: each row is a whole number of blocks.
fn measure(name: &str, shape: &[u64], kind: TensorType) -> Result<(Vec<usize>, u64), GgufFault> {
    let Some(dtype) = kind.readable() else {
        return Err(GgufFault::TensorType {
            tensor: name.to_owned(),
            kind: kind.name(),
            known: TensorType::readable_names(),
        });
    };
    let block = dtype.block_size();
    let wrong = |expected: String| {
        GgufFault::invalid(format!("the shape of tensor {name:?}"), format!("{shape:?}"), expected)
    };
    let sizes: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let elements = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    let (Some(sizes), Some(elements @ 1..)) = (sizes, elements) else {
        return Err(wrong("sizes above 0 whose product fits into 64 bits".to_owned()));
    };
    let columns = sizes.last().copied().unwrap_or(1);
    if !columns.is_multiple_of(block) {
        return Err(wrong(format!("a last size divisible by {block} (type {})", kind.name())));
    }
    let length = (elements / block as u64).checked_mul(dtype.type_size() as u64);
    Ok((sizes, length.ok_or_else(|| wrong("a size in bytes that fits into 64 bits".to_owned()))?))
}

fn scalar_type(kind: u32, what: &str) -> Result<Scalar, GgufFault> {
    Scalar::numbered(kind).ok_or_else(|| {
        GgufFault::invalid(format!("the type of {what}"), kind, "a number from 0 to 12")
    })
}
