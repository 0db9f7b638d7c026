//! The safetensors files of a model folder, mapped: each tensor by name, as it is stored or widened
//! to `f32`.
//!
//! Nothing is read on opening but the headers. Whatever passes through all numbers of a tensor
//! gives its mapped pages back at once, piece by piece: what stays in memory is what products read,
//! and the `f32` copies that the caller keeps.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::Dtype;
use serde::Deserialize;

pub(crate) mod element;
mod error;
pub(crate) mod header;
mod stored;

use element::Element;
pub use error::WeightsError;
pub use header::HeaderError;
use header::{Entry, Header};

pub(crate) use crate::files::map_regular as map_file;
use crate::files::{Sha256, Sha256Hasher, mistaken, mistaken_tensors, open_regular};

/// File name of weights that are in one piece.
pub const SINGLE: &str = "model.safetensors";
/// File name of the index, which lists the shard that holds each tensor.
pub const INDEX: &str = "model.safetensors.index.json";

/// The longest index that is read; that of a model with a million tensors has about 100 MB.
const MAX_INDEX: u64 = 256 << 20;
/// Elements that are widened, or bytes that are hashed, before their pages are given back.
const PIECE: usize = 1 << 20;

/// The weights of one model folder. A clone shares the maps.
#[derive(Debug, Clone)]
pub struct Weights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    shards: Vec<Shard>,
    /// Name → shard.
    shard_of: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    header: Header,
}

impl Weights {
    /// Maps the weights of `folder` and checks every header.
    ///
    /// `model.safetensors` is preferred to `model.safetensors.index.json`, as in
    /// Hugging Face transformers. The files must not change while they are mapped.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        // A dangling link counts as there, so that the message names it.
        let (shards, shard_of) = if single.symlink_metadata().is_ok() {
            let shard = Shard::open(single)?;
            let shard_of = shard.header.tensors.keys().map(|name| (name.clone(), 0)).collect();
            (vec![shard], shard_of)
        } else if index.symlink_metadata().is_ok() {
            open_shards(folder, &index)?
        } else {
            return Err(WeightsError::NoWeights { folder: folder.to_owned() });
        };
        Ok(Self(Arc::new(Inner { folder: folder.to_owned(), shards, shard_of })))
    }

    /// The folder they were opened from.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Gives the pages that were read back to the system; those that are needed come back.
    pub(crate) fn release_pages(&self) {
        #[cfg(unix)]
        for shard in &self.0.shards {
            // SAFETY: the mapping is of a file and never written to, so that a page which was
            // dropped is read from the file again.
            let released =
                unsafe { shard.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // Where the system refuses, the pages stay: slower for others, wrong for nobody.
            let _ = released;
        }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.shard_of.keys().map(String::as_str)
    }

    /// Bytes of all tensors.
    pub fn stored_bytes(&self) -> usize {
        let shards = self.0.shards.iter();
        let entries = shards.flat_map(|shard| shard.header.tensors.values());
        entries.map(|entry| entry.range.len()).sum()
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.shard_of.contains_key(name)
    }

    /// Extent of each dimension, the last one contiguous.
    pub fn shape(&self, name: &str) -> Result<&[usize], WeightsError> {
        Ok(&self.find(name)?.1.shape)
    }

    /// How an element is stored.
    pub fn dtype(&self, name: &str) -> Result<Dtype, WeightsError> {
        Ok(self.find(name)?.1.dtype)
    }

    /// The tensor's bytes as they are in the file; they may lie at any alignment.
    pub fn bytes(&self, name: &str) -> Result<&[u8], WeightsError> {
        let (shard, entry) = self.find(name)?;
        Ok(&shard.map[entry.range.clone()])
    }

    /// The file that holds the tensor.
    pub fn shard_of(&self, name: &str) -> Result<&Path, WeightsError> {
        Ok(&self.find(name)?.0.path)
    }

    /// All files that hold weights, each once.
    pub fn shards(&self) -> impl Iterator<Item = &Path> {
        self.0.shards.iter().map(|shard| shard.path.as_path())
    }

    /// Header and bytes of one of the files, by the path that [`shards`](Self::shards) gives.
    pub(crate) fn shard(&self, path: &Path) -> Option<(&Header, &[u8])> {
        let shard = self.0.shards.iter().find(|shard| shard.path == path)?;
        Some((&shard.header, &shard.map))
    }

    /// The place of the tensor's bytes in its file.
    pub(crate) fn range(&self, name: &str) -> Result<Range<usize>, WeightsError> {
        Ok(self.find(name)?.1.range.clone())
    }

    /// The element type of the tensor, where weights of it are supported.
    pub(crate) fn element(&self, name: &str) -> Result<Element, WeightsError> {
        let (shard, entry) = self.find(name)?;
        Element::of(entry.dtype).ok_or_else(|| WeightsError::Dtype {
            path: shard.path.clone(),
            tensor: name.to_owned(),
            dtype: entry.dtype,
        })
    }

    /// The tensor widened to `f32`, of its stored shape; fails where a weight is NaN or infinite.
    pub fn load_f32(&self, name: &str, device: &Device) -> Result<Tensor, WeightsError> {
        let values = self.load_vec(name)?;
        Tensor::from_vec(values, self.shape(name)?, device)
            .map_err(|e| WeightsError::Device { tensor: name.to_owned(), source: e.into() })
    }

    /// Fails where a weight of the tensor is NaN or infinite.
    pub(crate) fn check_finite(&self, name: &str) -> Result<(), WeightsError> {
        let element = self.element(name)?;
        let (shard, entry) = self.find(name)?;
        let piece = PIECE * element.size();
        let starts: Vec<usize> = entry.range.clone().step_by(piece).collect();
        let count = |start: usize| {
            let range = start..entry.range.end.min(start + piece);
            let bad = element.not_finite(&shard.map[range.clone()]);
            shard.give_back(range);
            bad
        };
        let bad = starts.into_par_iter().map(count).sum();
        shard.finite(name, bad, entry.range.len() / element.size())
    }

    /// As [`Self::load_f32`], as a plain vector.
    pub(crate) fn load_vec(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let element = self.element(name)?;
        let (shard, entry) = self.find(name)?;
        let count = entry.range.len() / element.size();
        let mut values = vec![0.0; count];
        let bad = AtomicUsize::new(0);
        values.par_chunks_mut(PIECE).enumerate().for_each(|(index, out)| {
            let start = entry.range.start + index * PIECE * element.size();
            let range = start..start + out.len() * element.size();
            bad.fetch_add(element.widen(&shard.map[range.clone()], out), Ordering::Relaxed);
            shard.give_back(range);
        });
        shard.finite(name, bad.into_inner(), count)?;
        Ok(values)
    }

    /// Some elements of the tensor, widened as in [`Self::load_f32`].
    pub(crate) fn load_elements(
        &self,
        name: &str,
        elements: Range<usize>,
    ) -> Result<Vec<f32>, WeightsError> {
        let element = self.element(name)?;
        let (shard, entry) = self.find(name)?;
        let mut values = vec![0.0; elements.len()];
        let start = entry.range.start + elements.start * element.size();
        let range = start..start + elements.len() * element.size();
        let bad = element.widen(&shard.map[range.clone()], &mut values);
        shard.give_back(range);
        shard.finite(name, bad, entry.range.len() / element.size())?;
        Ok(values)
    }

    /// The digest of dtype, shape and bytes: of `"F32 [2, 3]\n"` followed by the tensor as stored.
    pub fn sha256(&self, name: &str) -> Result<Sha256, WeightsError> {
        let (shard, entry) = self.find(name)?;
        let mut hasher = Sha256Hasher::default();
        hasher.update(format!("{:?} {:?}\n", entry.dtype, entry.shape));
        for start in entry.range.clone().step_by(PIECE) {
            let range = start..entry.range.end.min(start + PIECE);
            hasher.update(&shard.map[range.clone()]);
            shard.give_back(range);
        }
        Ok(hasher.finish())
    }

    /// SHA-256 over the digests of all tensors, in the order of their names.
    pub fn digest(&self) -> Result<Sha256, WeightsError> {
        let names: Vec<&str> = self.names().collect();
        let hash = |name: &&str| self.sha256(name);
        let hashes: Vec<Sha256> = names.par_iter().map(hash).collect::<Result<_, _>>()?;
        let lines = names.iter().zip(hashes).map(|(name, hash)| format!("{hash} {name}\n"));
        Ok(Sha256::of(lines.collect::<String>()))
    }

    fn find(&self, name: &str) -> Result<(&Shard, &Entry), WeightsError> {
        let unknown =
            || WeightsError::Unknown { folder: self.0.folder.clone(), tensor: name.to_owned() };
        let shard = &self.0.shards[*self.0.shard_of.get(name).ok_or_else(unknown)?];
        Ok((shard, shard.header.tensors.get(name).ok_or_else(unknown)?))
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, WeightsError> {
        let map =
            map_file(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
        let header = Header::parse(&map).map_err(|error| match mistaken_tensors(&map) {
            Some(what) => WeightsError::Mistaken { path: path.clone(), what },
            None => WeightsError::Header { path: path.clone(), source: error.into() },
        })?;
        Ok(Self { path, map, header })
    }

    /// An error where `bad` of the `count` weights of a tensor are not finite.
    fn finite(&self, tensor: &str, bad: usize, count: usize) -> Result<(), WeightsError> {
        let (path, tensor) = (self.path.clone(), tensor.to_owned());
        match bad {
            0 => Ok(()),
            bad => Err(WeightsError::NotFinite { path, tensor, bad, count }),
        }
    }

    /// Lets the system drop the pages of `range`; a later access reads them again.
    fn give_back(&self, range: Range<usize>) {
        #[cfg(unix)]
        // SAFETY: the map is read-only and backed by a file, so dropped pages come back with the
        // same bytes. The range lies inside the map because the header was checked against its
        // length.
        let _ = unsafe {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            self.map.unchecked_advise_range(advice, range.start, range.len())
        };
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Whether bytes are a whole safetensors file, as far as its header says.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    header::Header::parse(bytes).is_ok()
}

#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "header::unique_strings")]
    weight_map: BTreeMap<String, String>,
}

type Shards = (Vec<Shard>, BTreeMap<String, usize>);

fn open_shards(folder: &Path, index: &Path) -> Result<Shards, WeightsError> {
    let mut by_file = BTreeMap::<String, Vec<String>>::new();
    for (tensor, file) in read_index(index)?.weight_map {
        by_file.entry(file).or_default().push(tensor);
    }
    let mut shards = Vec::new();
    let mut shard_of = BTreeMap::new();
    for (file, tensors) in by_file {
        let path = folder.join(&file);
        if !path.exists() {
            let (folder, tensor) = (folder.to_owned(), tensors[0].clone());
            let others = tensors.len() - 1;
            return Err(WeightsError::MissingShard { folder, shard: file, tensor, others });
        }
        let shard = Shard::open(path)?;
        for tensor in tensors {
            if !shard.header.tensors.contains_key(&tensor) {
                return Err(WeightsError::NotInShard { path: shard.path, tensor });
            }
            shard_of.insert(tensor, shards.len());
        }
        shards.push(shard);
    }
    Ok((shards, shard_of))
}

fn read_index(path: &Path) -> Result<Index, WeightsError> {
    let malformed = |reason: String| WeightsError::Index { path: path.to_owned(), reason };
    let fail = |source| WeightsError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = open_regular(path).map_err(fail)?;
    file.take(MAX_INDEX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_INDEX {
        return Err(malformed(format!("it is longer than {} MB", MAX_INDEX >> 20)));
    }
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(mistaken(&bytes).map_or_else(|| error.to_string(), str::to_owned))
    })?;
    for (tensor, file) in &index.weight_map {
        let is_plain = Path::new(file).file_name() == Some(file.as_ref());
        if !is_plain || !file.ends_with(".safetensors") {
            return Err(malformed(format!(
                "tensor {tensor:?} is placed in {file:?}, expected the name of a .safetensors file"
            )));
        }
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
