//! The model's own text: seeded samples, drawn once and kept on disk.
//!
//! A model's samples are text of the kind that it was trained on, and need no corpus. The second
//! moment is collected over them, and damage is measured on others of them.

use std::path::Path;

use super::generate::{Choice, generate};
use super::{Model, ModelError};
use crate::files::{keep_sealed, read_sealed};
use crate::progress::{Interrupted, Progress};

/// Some sequences of one length, drawn from the start token at temperature 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleGroup {
    /// Sequence i is drawn from seed + i.
    pub seed: u64,
    /// Number of sequences.
    pub sequences: usize,
    /// Tokens of each sequence, without the start token.
    pub tokens: usize,
}

/// Reads a group of samples from `file`, or draws them and writes it; `progress` counts tokens.
pub fn samples(
    model: &Model,
    group: SampleGroup,
    file: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>, ModelError> {
    if let Some(known) = read(model, group, file, progress) {
        return Ok(known);
    }
    let starts = vec![[model.start_token()]; group.sequences];
    let choice = Choice::Sampled { seed: group.seed, temperature: 1., k: usize::MAX };
    let watch = Sampling { progress, sequences: group.sequences };
    let ids = generate(&model.decoder, &starts, group.tokens, choice, &[], &watch)?;
    let bytes = serde_json::to_vec(&ids).expect("numbers are JSON");
    keep_sealed(file, &[&bytes], progress);
    Ok(ids)
}

/// What the file holds, if it is this group; a damaged file is drawn again.
fn read(
    model: &Model,
    group: SampleGroup,
    file: &Path,
    progress: &dyn Progress,
) -> Option<Vec<Vec<u32>>> {
    let known: Vec<Vec<u32>> = serde_json::from_slice(&read_sealed(file, progress)?).ok()?;
    let vocabulary = model.decoder.config().vocabulary;
    let is_whole = |ids: &Vec<u32>| {
        ids.len() == group.tokens && ids.iter().all(|id| (*id as usize) < vocabulary)
    };
    (known.len() == group.sequences && known.iter().all(is_whole)).then_some(known)
}

/// Shows generated tokens as work done.
struct Sampling<'a> {
    progress: &'a dyn Progress,
    sequences: usize,
}

impl Progress for Sampling<'_> {
    fn advance(&self, done: u64, _note: &str) {
        self.progress.advance(done * self.sequences as u64, "sampling");
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.progress.check()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;

    #[test]
    fn samples_are_drawn_once_and_again_where_the_file_is_damaged() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        let model = Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture");
        let cache = tempfile::tempdir().expect("a folder");
        let file = cache.path().join("samples.json");
        let group = SampleGroup { seed: 5, sequences: 3, tokens: 7 };
        let draw = |group| samples(&model, group, &file, &Silent).expect("samples");
        let first = draw(group);
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [7; 3]);
        for damaged in [&b"[[1,2],[3],[4]]"[..], b"nothing", b"[[9999999,1,1,1,1,1,1]]"] {
            std::fs::write(&file, damaged).expect("a write");
            assert_eq!(draw(group), first);
        }
        let other = serde_json::to_vec(&vec![vec![1u32; 7]; 3]).expect("JSON");
        std::fs::write(&file, &other).expect("a write");
        assert_eq!(draw(group), first, "samples that nobody sealed are not believed");
        keep_sealed(&file, &[&other], &Silent);
        assert_eq!(draw(group), vec![vec![1; 7]; 3], "a whole file is believed");
        std::fs::remove_file(&file).expect("removed");
        assert_ne!(draw(SampleGroup { seed: 6, ..group }), first);
    }
}
