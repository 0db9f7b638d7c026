//! Bytes of a patch file to a [`Patch`] and back; reading trusts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use super::seal::{self, Broken, SEAL};
use super::{Patch, Recipe, SCHEMA};
use crate::delta::{Change, WeightDelta};
use crate::files::Sha256Hasher;
use crate::model::weights::element::Element;
use crate::model::weights::header::{Entry, Header};
use crate::model::weights::{self, HeaderError};

/// Metadata key of the recipe.
const RECIPE: &str = "rescribe";
/// Metadata entry that tells a composed file from a single patch; its value is the form's version.
pub(super) const PARTS: &str = "rescribe.parts";
const LEFT: &str = "left";
const RIGHT: &str = "right";
const DENSE: &str = "dense";
const KEYS: &str = "keys";

/// Why a patch is malformed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The file is not a complete safetensors file.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// Another kind of file stands where a patch should.
    #[error("{0}")]
    Mistaken(&'static str),
    /// The recipe is missing, too long, or not of the right form.
    #[error("its recipe {0}")]
    Recipe(String),
    /// The recipe has a form that this version does not know.
    #[error(
        "its recipe has schema {found}, expected {SCHEMA}; another version of rescribe made it"
    )]
    Schema {
        /// The schema number found.
        found: u64,
    },
    /// The file is not as it was written.
    #[error("its digest {0}")]
    Seal(#[from] Broken),
    /// The list of the patches in a composed file cannot be used.
    #[error("its list of parts {0}")]
    Parts(String),
    /// A patch inside a composed file cannot be used.
    #[error("its part {digest} is damaged")]
    Part {
        /// The digest under which the part is listed.
        digest: String,
        /// What is wrong with it.
        source: Box<Malformed>,
    },
    /// A tensor of the patch cannot be used.
    #[error("tensor {tensor:?} {reason}")]
    Tensor {
        /// Name of the edited tensor, or of the tensor in the patch.
        tensor: String,
        /// What was found and what was expected.
        reason: String,
    },
}

fn refuse(tensor: &str, reason: impl Into<String>) -> Malformed {
    Malformed::Tensor { tensor: tensor.to_owned(), reason: reason.into() }
}

/// Whether a file is marked as a patch, single or composed; its tensors are not read.
pub(super) fn is_patch(path: &Path) -> bool {
    let Ok(map) = weights::map_file(path) else { return false };
    Header::parse(&map)
        .is_ok_and(|header| [RECIPE, PARTS].iter().any(|key| header.metadata.contains_key(*key)))
}

/// Reads the contents of a file that holds one patch.
pub(super) fn read(bytes: &[u8]) -> Result<Patch, Malformed> {
    let header = Header::parse(bytes)?;
    if header.metadata.contains_key(PARTS) {
        return Err(Malformed::Parts("makes it a composed patch, expected a single one".into()));
    }
    let recipe = read_recipe(&header.metadata)?;
    let mut parts = BTreeMap::<&str, BTreeMap<&str, Tensor>>::new();
    for (name, entry) in &header.tensors {
        let (tensor, part) = name
            .rsplit_once('.')
            .filter(|(_, part)| [LEFT, RIGHT, DENSE, KEYS].contains(part))
            .ok_or_else(|| refuse(name, "ends in none of .left, .right, .dense and .keys"))?;
        let value = read_part(name, entry, &bytes[entry.range.clone()])?;
        parts.entry(tensor).or_default().insert(part, value);
    }
    let (mut delta, mut keys) = (WeightDelta::default(), BTreeMap::new());
    for (name, mut parts) in parts {
        keys.extend(parts.remove(KEYS).map(|found| (name.to_owned(), found)));
        delta.changes.insert(name.to_owned(), assemble(name, parts)?);
    }
    let patch = Patch { delta, keys, recipe };
    check(&patch)?;
    seal::check(bytes, &header)?;
    Ok(patch)
}

fn read_recipe(metadata: &BTreeMap<String, String>) -> Result<Recipe, Malformed> {
    let text = metadata
        .get(RECIPE)
        .ok_or_else(|| Malformed::Recipe(format!("is missing (metadata entry {RECIPE:?})")))?;
    let malformed = |error: serde_json::Error| Malformed::Recipe(format!("is malformed: {error}"));
    let value: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    // Looked at before the rest, because another schema has other fields.
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA) => Err(Malformed::Schema { found }),
        _ => serde_json::from_value(value).map_err(malformed),
    }
}

fn read_part(name: &str, entry: &Entry, bytes: &[u8]) -> Result<Tensor, Malformed> {
    if entry.dtype != Dtype::F32 {
        return Err(refuse(name, format!("is {}, expected F32", entry.dtype)));
    }
    if bytes.is_empty() {
        return Err(refuse(name, format!("is empty: its shape is {:?}", entry.shape)));
    }
    let mut values = vec![0.0; bytes.len() / Element::F32.size()];
    match Element::F32.widen(bytes, &mut values) {
        0 => Tensor::from_vec(values, entry.shape.as_slice(), &Device::Cpu)
            .map_err(|error| refuse(name, format!("cannot be placed: {error}"))),
        bad => Err(refuse(name, format!("has {bad} NaN or infinite values, expected none"))),
    }
}

fn assemble(name: &str, mut parts: BTreeMap<&str, Tensor>) -> Result<Change, Malformed> {
    match (parts.remove(LEFT), parts.remove(RIGHT), parts.remove(DENSE)) {
        (Some(left), Some(right), None) => Ok(Change::LowRank { left, right }),
        (None, None, Some(change)) => Ok(Change::Dense(change)),
        _ => Err(refuse(name, "needs either both .left and .right, or .dense alone")),
    }
}

/// The recipe as JSON in the form that reading and writing it again leaves as it is.
///
/// The parser need not give a decimal fraction back to the last bit, so that a few rounds may be
/// needed until its text stays.
pub(super) fn recipe_text(recipe: &Recipe) -> serde_json::Result<String> {
    const ROUNDS: usize = 16;
    let mut text = serde_json::to_string(recipe)?;
    for _ in 0..ROUNDS {
        let again = serde_json::from_str::<serde_json::Value>(&text)?.to_string();
        if again == text {
            break;
        }
        text = again;
    }
    Ok(text)
}

/// Checks the conditions that hold for every patch, read or written.
fn check(patch: &Patch) -> Result<(), Malformed> {
    for (name, change) in &patch.delta.changes {
        if let Change::LowRank { left, right } = change {
            let (left, right) = (left.dims(), right.dims());
            let is_product = left.len() == 2 && right.len() == 2 && left[1] == right[0];
            if !is_product {
                let reason = format!(
                    "has factors {left:?} and {right:?}, expected [rows, r] and [r, columns]"
                );
                return Err(refuse(name, reason));
            }
        }
    }
    for (name, keys) in &patch.keys {
        let width = |shape: &Vec<usize>| keys.rank() == 2 && shape.contains(&keys.dims()[1]);
        if !patch.delta.changes.get(name).is_some_and(|change| width(&change.shape())) {
            let shape = keys.dims();
            return Err(refuse(name, format!("has keys {shape:?}, which its change does not fit")));
        }
    }
    for (name, tensor) in all_parts(patch) {
        if tensor.dtype() != DType::F32 {
            return Err(refuse(&name, format!("is {:?}, expected F32", tensor.dtype())));
        }
    }
    if !patch.recipe.is_in_order() {
        return Err(Malformed::Recipe("starts from edits that it does not hold".into()));
    }
    let changed: BTreeSet<_> = patch.delta.changes.keys().collect();
    let hashed: BTreeSet<_> = patch.recipe.base.tensors.keys().collect();
    match changed.symmetric_difference(&hashed).next() {
        Some(name) if changed.contains(name) => Err(refuse(name, "has no base hash in the recipe")),
        Some(name) => Err(refuse(name, "has a base hash in the recipe but no change")),
        None => Ok(()),
    }
}

/// Names and tensors of a patch file, in the order of the file.
pub(super) fn all_parts(patch: &Patch) -> impl Iterator<Item = (String, &Tensor)> {
    let keys = patch.keys.iter().map(|(name, keys)| (format!("{name}.{KEYS}"), keys));
    parts(&patch.delta).chain(keys)
}

/// Names and tensors of a change, in the order of the file.
pub(super) fn parts(delta: &WeightDelta) -> impl Iterator<Item = (String, &Tensor)> {
    delta.changes.iter().flat_map(|(name, change)| {
        let parts = match change {
            Change::LowRank { left, right } => vec![(LEFT, left), (RIGHT, right)],
            Change::Dense(change) => vec![(DENSE, change)],
        };
        parts.into_iter().map(move |(part, tensor)| (format!("{name}.{part}"), tensor))
    })
}

/// The little-endian bytes of an f32 tensor, in row order.
pub(super) fn bytes_of(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    let mut bytes = Vec::new();
    Element::F32.round_into(&values, &mut bytes);
    Ok(bytes)
}

/// Refuses what [`read_part`] would refuse.
fn check_values(name: &str, tensor: &Tensor) -> Result<(), Malformed> {
    if tensor.elem_count() == 0 {
        return Err(refuse(name, format!("is empty: its shape is {:?}", tensor.dims())));
    }
    let values: Vec<f32> = tensor
        .flatten_all()
        .and_then(|flat| flat.to_vec1())
        .map_err(|error| refuse(name, format!("cannot be copied: {error}")))?;
    match values.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(()),
        bad => Err(refuse(name, format!("has {bad} NaN or infinite values, expected none"))),
    }
}

/// A checked patch with the bytes that come before its data.
pub(super) struct Layout<'a> {
    header: Vec<u8>,
    patch: &'a Patch,
}

/// Checks a patch and lays out its file.
pub(super) fn lay_out(patch: &Patch) -> Result<Layout<'_>, Malformed> {
    check(patch)?;
    all_parts(patch).try_for_each(|(name, tensor)| check_values(&name, tensor))?;
    let recipe = recipe_text(&patch.recipe)
        .map_err(|error| Malformed::Recipe(format!("is not JSON: {error}")))?;
    let metadata = BTreeMap::from([
        ("format".into(), "pt".into()),
        (RECIPE.into(), recipe),
        (SEAL.into(), seal::PLACE.into()),
    ]);
    let parts: Vec<_> = all_parts(patch).collect();
    let tensors = parts.iter().map(|(name, tensor)| {
        let length = tensor.elem_count() * Element::F32.size();
        (name.as_str(), Dtype::F32, tensor.dims(), length)
    });
    let header = Header::write(&metadata, tensors);
    if header.len() > Header::MAX_BYTES {
        return Err(Malformed::Recipe(format!(
            "is too long: the header takes {} bytes of at most {}",
            header.len(),
            Header::MAX_BYTES
        )));
    }
    let mut layout = Layout { header, patch };
    let mut hasher = Sha256Hasher::default();
    let hash = &mut |bytes: &[u8]| {
        hasher.update(bytes);
        Ok(())
    };
    layout.pieces(hash).expect("f32 tensors can be copied to the host");
    seal::put(&mut layout.header, hasher.finish());
    Ok(layout)
}

impl Layout<'_> {
    /// Writes the patch file.
    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.pieces(&mut |bytes| out.write_all(bytes))
    }

    /// The bytes of the file, piece by piece.
    fn pieces(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        take(&self.header)?;
        for (_, tensor) in all_parts(self.patch) {
            take(&bytes_of(tensor).map_err(io::Error::other)?)?;
        }
        Ok(())
    }
}
