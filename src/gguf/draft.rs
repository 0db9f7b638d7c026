//! A GGUF file in the making: the keys and tensors of another file, or those of a model folder, some
//! of them with other numbers.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use super::convert::{dequantise, row_length};
use super::error::{GgufError, GgufFault};
use super::header::GgufHeader;
use super::keys::{Keys, put_text};
use super::order::Ordered;
use super::tensor_type::{EditedAs, TensorType};
use super::{Model, map};
use crate::progress::{Interrupted, Progress};

/// The version of the format that is written.
const VERSION: u32 = 3;
/// The numbers of each tensor start at a multiple of so many bytes.
const ALIGNMENT: u64 = 32;

/// A GGUF file on this disk, mapped.
pub(crate) struct GgufFile {
    map: Mmap,
}

/// A file that is to be written.
pub(crate) struct Draft<'a> {
    pub(super) version: u32,
    pub(super) keys: Cow<'a, [u8]>,
    pub(super) key_count: u64,
    pub(super) alignment: u64,
    pub(super) tensors: Vec<Drafted<'a>>,
    /// What a user of the file should know.
    pub(crate) warnings: Vec<String>,
}

/// One tensor of the file.
#[derive(Clone)]
pub(super) struct Drafted<'a> {
    /// Its name in the file.
    pub(super) name: String,
    /// Its shape in the file, rows first.
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorType,
    pub(super) content: Content<'a>,
}

/// Where the numbers of a tensor come from.
#[derive(Clone)]
pub(super) enum Content<'a> {
    /// They are taken over as they are stored.
    Bytes(Cow<'a, [u8]>),
    /// They are those of a tensor of the model, by its name there.
    Numbers(String, Ordered),
}

/// The numbers of a model's tensors, and what became of them.
pub(crate) trait Contents {
    /// Why there are none.
    type Error;

    /// Some numbers of a tensor, as the model's folder stores it: whole rows, from the first on.
    fn numbers(&mut self, tensor: &str, elements: Range<usize>) -> Result<Vec<f32>, Self::Error>;

    /// Whether [`stored`](Self::stored) is to be told how a tensor was rounded.
    fn watches(&self, tensor: &str) -> bool;

    /// Receives the numbers of a watched tensor that were given last, as they will be read back.
    fn stored(&mut self, tensor: &str, read: &[f32]) -> Result<(), Self::Error>;

    /// A watched tensor was written whole; `kind` is the type in which it is stored.
    fn finished(&mut self, tensor: &str, kind: &str) -> Result<(), Self::Error>;
}

/// Why a draft could not be written.
pub(crate) enum DraftFailure<E> {
    /// Of the numbers.
    Contents(E),
    /// Of a tensor, by its name in the file.
    Encode(String, candle_core::Error),
    /// A number that the type of its tensor cannot hold.
    TooLarge {
        /// The tensor's name in the file.
        tensor: String,
        /// The type's name.
        kind: String,
        /// The number, or a neighbor in its block.
        value: f32,
    },
    /// Of the file.
    Write(std::io::Error),
    /// The user stopped it.
    Interrupted(Interrupted),
}

impl<E> From<std::io::Error> for DraftFailure<E> {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

impl GgufFile {
    pub(crate) fn open(path: &Path) -> Result<Self, GgufError> {
        Ok(Self { map: map(path)? })
    }

    /// The file again, but for the `edited` tensors of the model that it holds, by their names in
    /// the folder that it is imported to.
    ///
    /// # Errors
    ///
    /// Names a tensor that the file lacks, or whose type cannot be written again.
    pub(crate) fn edited<'t>(
        &self,
        edited: impl IntoIterator<Item = &'t str>,
        edited_as: EditedAs,
    ) -> Result<Draft<'_>, GgufFault> {
        let header = GgufHeader::parse(&self.map)?;
        let model = Model::describe(&header)?;
        let mut entries: Vec<_> = header.tensors.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.index);
        let kept = entries.into_iter().map(|(name, entry)| Drafted {
            name: (*name).to_owned(),
            shape: entry.shape.clone(),
            kind: entry.kind,
            content: Content::Bytes(header.data(entry).into()),
        });
        let mut tensors: Vec<_> = kept.collect();
        for name in edited {
            for place in model.places(name)? {
                let known = tensors.iter_mut().find(|tensor| tensor.name == place.source);
                let drafted = known.expect("a planned tensor is one of the file");
                let columns = row_length(&drafted.shape);
                if drafted.shape.len() > 1 {
                    drafted.kind = drafted.kind.edited(edited_as).fitting(columns);
                }
                if !drafted.kind.is_writable() {
                    let (tensor, kind) = (place.source.to_owned(), drafted.kind.name());
                    return Err(GgufFault::Unwritable { tensor, kind });
                }
                let ordered = Ordered { order: place.order, columns, head: model.sizes.head };
                drafted.content = Content::Numbers(name.to_owned(), ordered);
            }
        }
        let keys = header.keys;
        Ok(Draft {
            version: keys.version,
            keys: keys.bytes.into(),
            key_count: keys.count,
            alignment: keys.alignment,
            tensors,
            warnings: Vec::new(),
        })
    }
}

impl<'a> Draft<'a> {
    /// A file with these keys and tensors.
    pub(super) fn new(keys: &Keys, tensors: Vec<Drafted<'a>>) -> Self {
        Self {
            version: VERSION,
            keys: keys.bytes().to_vec().into(),
            key_count: keys.count(),
            alignment: ALIGNMENT,
            tensors,
            warnings: Vec::new(),
        }
    }

    /// How many tensors there are.
    pub(crate) fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Writes the whole file; returns its size in bytes.
    pub(crate) fn write<C: Contents>(
        &self,
        out: &mut impl Write,
        contents: &mut C,
        progress: &dyn Progress,
    ) -> Result<u64, DraftFailure<C::Error>> {
        let header = self.header();
        out.write_all(&header)?;
        let mut done = header.len() as u64;
        progress.phase("export", Some(done + self.tensors.iter().map(Drafted::bytes).sum::<u64>()));
        for tensor in &self.tensors {
            done += self.pad(done, out)?;
            progress.check().map_err(DraftFailure::Interrupted)?;
            done += tensor.write(out, contents, progress)?;
            progress.advance(done, &tensor.name);
        }
        Ok(done + self.pad(done, out)?)
    }

    /// The whole of a file that has no numbers of a model.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        for tensor in &self.tensors {
            let Content::Bytes(own) = &tensor.content else { continue };
            bytes.resize((bytes.len() as u64).next_multiple_of(self.alignment) as usize, 0);
            bytes.extend(own.as_ref());
        }
        bytes
    }

    fn pad(&self, at: u64, out: &mut impl Write) -> std::io::Result<u64> {
        let missing = at.next_multiple_of(self.alignment) - at;
        out.write_all(&vec![0; missing as usize])?;
        Ok(missing)
    }

    /// Everything before the numbers.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.key_count.to_le_bytes());
        bytes.extend(self.keys.as_ref());
        let mut offset = 0u64;
        for tensor in &self.tensors {
            put_text(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
            bytes.extend(tensor.kind.0.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset = (offset + tensor.bytes()).next_multiple_of(self.alignment);
        }
        bytes
    }
}

impl Drafted<'_> {
    /// Bytes of its numbers.
    fn bytes(&self) -> u64 {
        self.kind.bytes(self.shape.iter().map(|&size| size as u64).product())
    }

    fn write<C: Contents>(
        &self,
        out: &mut impl Write,
        contents: &mut C,
        progress: &dyn Progress,
    ) -> Result<u64, DraftFailure<C::Error>> {
        let (tensor, ordered) = match &self.content {
            Content::Numbers(tensor, ordered) => (tensor, *ordered),
            Content::Bytes(bytes) => {
                for piece in bytes.chunks(PIECE) {
                    progress.check().map_err(DraftFailure::Interrupted)?;
                    out.write_all(piece)?;
                }
                return Ok(bytes.len() as u64);
            }
        };
        let (is_watched, elements) = (contents.watches(tensor), self.shape.iter().product());
        let step = ordered.step(elements, STEP);
        let mut written = 0;
        for start in (0..elements).step_by(step) {
            let range = start..elements.min(start + step);
            let given = contents.numbers(tensor, range).map_err(DraftFailure::Contents)?;
            let mut read = Vec::new();
            for rows in ordered.to_file(given).chunks(ordered.rows(STEP)) {
                progress.check().map_err(DraftFailure::Interrupted)?;
                let (bytes, values) = self.rounded(rows, ordered.columns)?;
                out.write_all(&bytes)?;
                written += bytes.len() as u64;
                if is_watched {
                    read.extend(values);
                }
            }
            if is_watched {
                let read = ordered.to_model(read);
                contents.stored(tensor, &read).map_err(DraftFailure::Contents)?;
            }
        }
        if is_watched {
            contents.finished(tensor, &self.kind.name()).map_err(DraftFailure::Contents)?;
        }
        Ok(written)
    }

    /// Some rows as they are stored, and as they are read back.
    fn rounded<E>(
        &self,
        rows: &[f32],
        columns: usize,
    ) -> Result<(Vec<u8>, Vec<f32>), DraftFailure<E>> {
        let encode = |error| DraftFailure::Encode(self.name.clone(), error);
        let bytes = self.kind.encode(rows.to_vec(), columns).map_err(encode)?;
        let read = dequantise(&self.name, self.kind, &bytes);
        let read = read.map_err(|fault| encode(candle_core::Error::Msg(fault.to_string())))?;
        match read.iter().position(|value| !value.is_finite()) {
            None => Ok((bytes, read)),
            Some(at) => Err(DraftFailure::TooLarge {
                tensor: self.name.clone(),
                kind: self.kind.name(),
                value: rows[at],
            }),
        }
    }
}

/// Numbers that are rounded at once.
const STEP: usize = 1 << 20;
/// Bytes between two looks at whether the user wants to stop.
const PIECE: usize = 32 << 20;
