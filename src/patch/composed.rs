//! Several patches in one file, each still whole, so that any of them can be taken out again.
//!
//! The file is a safetensors file with one tensor for each part: its name is the
//! part's digest, its bytes are the part's own file, unchanged. The sum Σ ΔT is
//! formed only where it is applied, over all parts in the order of their digests
//! ([`compose`](super::compose)). So composing is the union of sets: it does not
//! depend on order or nesting, and taking a part out leaves exactly the bytes that
//! would be there had it never been added. A set of one is that patch's own file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;

use super::format::PARTS;
use super::seal::{self, SEAL};
use super::{Malformed, Patch, PatchError, check_together};
use crate::files::{self, Overwrite, Sha256, mistaken_tensors};
use crate::model::weights;
use crate::model::weights::header::Header;

/// Version of the form of a composed file.
const FORM: &str = "2";

/// Patches for one base, none twice, sorted by digest; at least one.
#[derive(Debug, Clone)]
pub struct Composed {
    parts: BTreeMap<Sha256, Part>,
}

/// A patch and the file that it came from.
#[derive(Debug, Clone)]
struct Part {
    patch: Patch,
    bytes: Vec<u8>,
}

impl Composed {
    /// Reads a patch file, composed or single.
    pub fn read(path: &Path) -> Result<Self, PatchError> {
        let map = weights::map_file(path)
            .map_err(|source| PatchError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&map)
            .map_err(|e| PatchError::Malformed { path: path.to_owned(), source: e.into() })
    }

    /// Reads the contents of a patch file, composed or single.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = Header::parse(bytes).map_err(|error| match mistaken_tensors(bytes) {
            Some(what) => Malformed::Mistaken(what),
            None => error.into(),
        })?;
        let mut parts = BTreeMap::new();
        match header.metadata.get(PARTS).map(String::as_str) {
            None => {
                let part = Part::from_bytes(bytes)?;
                parts.insert(part.patch.sha256(), part);
            }
            Some(FORM) => {
                for (name, entry) in &header.tensors {
                    let (digest, part) = listed(name, &bytes[entry.range.clone()])?;
                    parts.insert(digest, part);
                }
                seal::check(bytes, &header)?;
            }
            Some(other) => {
                let message = format!(
                    "has form {other:?}, expected {FORM:?}; another version of rescribe made it"
                );
                return Err(Malformed::Parts(message));
            }
        }
        let composed = Self { parts };
        if composed.parts.is_empty() {
            return Err(Malformed::Parts("is empty".into()));
        }
        composed.check().map_err(|error| Malformed::Parts(format!("is not sound: {error}")))?;
        Ok(composed)
    }

    /// All parts of several files' patches together; refuses other bases and repeats.
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Result<Self, PatchError> {
        let mut union = Self { parts: BTreeMap::new() };
        for (digest, part) in sets.into_iter().flat_map(|set| set.parts) {
            if union.parts.insert(digest, part).is_some() {
                return Err(PatchError::Twice(digest));
            }
        }
        union.check()?;
        Ok(union)
    }

    /// The composed patch without these parts.
    pub fn without(mut self, parts: &[Sha256]) -> Result<Self, PatchError> {
        let whole = self.sha256();
        let all: Vec<Sha256> = self.parts.keys().copied().collect();
        for part in parts {
            if self.parts.remove(part).is_none() {
                return Err(PatchError::NotAPart { part: *part, whole, parts: all });
            }
        }
        if self.parts.is_empty() { Err(PatchError::NothingLeft(whole)) } else { Ok(self) }
    }

    /// The digest of a single part, or of the digests of all parts.
    pub fn sha256(&self) -> Sha256 {
        if let (1, Some(only)) = (self.parts.len(), self.parts.keys().next()) {
            return *only;
        }
        Sha256::of(self.parts.keys().map(|digest| format!("{digest}\n")).collect::<String>())
    }

    /// The parts, in the order in which they are summed.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&Sha256, &Patch)> {
        self.parts.iter().map(|(digest, part)| (digest, &part.patch))
    }

    /// The parts, in the order in which they are summed.
    pub fn into_patches(self) -> Vec<Patch> {
        self.parts.into_values().map(|part| part.patch).collect()
    }

    /// Writes the file whole or not at all. Equal sets give equal bytes.
    pub fn write(&self, path: &Path, overwrite: Overwrite) -> Result<(), PatchError> {
        files::check_target(path, overwrite, &super::PATCH_FILE, &[])?;
        files::write_atomically(path, overwrite, |out| out.write_all(&self.to_bytes()))?;
        Ok(())
    }

    /// The contents of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        if let (1, Some(only)) = (self.parts.len(), self.parts.values().next()) {
            return only.bytes.clone();
        }
        let metadata = BTreeMap::from([
            ("format".into(), "pt".into()),
            (PARTS.into(), FORM.into()),
            (SEAL.into(), seal::PLACE.into()),
        ]);
        let named: Vec<(String, [usize; 1], &[u8])> = self
            .parts
            .iter()
            .map(|(digest, part)| (digest.to_string(), [part.bytes.len()], part.bytes.as_slice()))
            .collect();
        let tensors = named
            .iter()
            .map(|(name, shape, bytes)| (name.as_str(), Dtype::U8, shape.as_slice(), bytes.len()));
        let mut file = Header::write(&metadata, tensors);
        let header = file.len();
        named.iter().for_each(|(.., bytes)| file.extend_from_slice(bytes));
        let digest = Sha256::of(&file);
        seal::put(&mut file[..header], digest);
        file
    }

    /// The same patches without the texts of what they remove: see [`Recipe::redacted`].
    ///
    /// [`Recipe::redacted`]: super::Recipe::redacted
    pub fn redacted(self) -> Result<Self, PatchError> {
        let redacted = |part: Part| -> Result<(Sha256, Part), PatchError> {
            if !part.patch.recipe.names_removed() {
                return Ok((part.patch.sha256(), part));
            }
            let patch = part.patch.redacted();
            let bytes = patch.to_bytes().map_err(|error| PatchError::Unwritable(error.into()))?;
            Ok((patch.sha256(), Part { patch, bytes }))
        };
        let parts = self.parts.into_values().map(redacted).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    fn check(&self) -> Result<(), PatchError> {
        let sorted: Vec<(Sha256, &Patch)> =
            self.parts().map(|(digest, patch)| (*digest, patch)).collect();
        check_together(&sorted)
    }
}

impl Part {
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { patch: Patch::from_bytes(bytes)?, bytes: bytes.to_vec() })
    }
}

/// A part under its name in the file, which must be its digest.
fn listed(name: &str, bytes: &[u8]) -> Result<(Sha256, Part), Malformed> {
    let digest = name
        .parse()
        .map_err(|_| Malformed::Parts(format!("has the name {name:?}, expected a digest")))?;
    let part = Part::from_bytes(bytes)
        .map_err(|source| Malformed::Part { digest: name.into(), source: source.into() })?;
    match part.patch.sha256() {
        found if found == digest => Ok((digest, part)),
        found => Err(Malformed::Parts(format!("calls a part {digest}, but it is {found}"))),
    }
}

/// Digests as a list in a sentence.
pub(super) fn list(digests: &[Sha256]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
