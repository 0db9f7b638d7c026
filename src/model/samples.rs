//! The model's own text: seeded samples, drawn once and kept on disk.
//!
//! A model's samples are text of the kind that it was trained on, and need no corpus. The second
//! moment is collected over them, and damage is measured on others of them.

use std::path::Path;

mod prose;

use prose::PROSE;

use super::generate::{Choice, generate_while};
use super::{Model, ModelError};
use crate::files::{keep_sealed, read_sealed};
use crate::progress::{Interrupted, Progress};

/// Some sequences of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleGroup {
    /// Sequence i is drawn from seed + i.
    pub seed: u64,
    /// Number of sequences.
    pub sequences: usize,
    /// Tokens of each sequence, without the start token.
    pub tokens: usize,
    /// What the sequences begin with.
    pub opening: Opening,
}

/// What samples begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The start token alone, and on at temperature 1: the model's own distribution.
    Bare,
    /// The start token and a few words with which prose begins, and on at temperature
    /// 0.8. From the start token alone a small model writes mostly fragments of code and lists.
    Prose,
}

impl Opening {
    /// (the prompts of a group, shorter than its sequences; the temperature).
    fn prompts(
        self,
        model: &Model,
        group: SampleGroup,
    ) -> Result<(Vec<Vec<u32>>, f64), ModelError> {
        let start = model.start_token();
        match self {
            Self::Bare => Ok((vec![vec![start]; group.sequences], 1.)),
            Self::Prose => {
                let words = PROSE.iter().cycle().take(group.sequences);
                let prompt = |words: &&str| {
                    let mut ids = model.tokenizer.encode(words)?.ids;
                    if ids.first() != Some(&start) {
                        ids.insert(0, start);
                    }
                    ids.truncate(group.tokens);
                    Ok(ids)
                };
                Ok((words.map(prompt).collect::<Result<_, ModelError>>()?, 0.8))
            }
        }
    }
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
    let (prompts, temperature) = group.opening.prompts(model, group)?;
    let choice = Choice::Sampled { seed: group.seed, temperature, k: usize::MAX };
    let watch = Sampling { progress, sequences: group.sequences };
    let shortest = prompts.iter().map(Vec::len).min().unwrap_or(1);
    let most = group.tokens + 1 - shortest;
    // No sequence grows beyond its tokens, and thereby beyond the model's positions.
    let goes_on = &mut |at: usize, drawn: &[u32]| prompts[at].len() + drawn.len() <= group.tokens;
    let drawn = generate_while(&model.decoder, &prompts, most, choice, &[], goes_on, &watch)?;
    let whole = prompts
        .iter()
        .zip(drawn)
        .map(|(prompt, drawn)| prompt[1..].iter().chain(&drawn).copied().collect());
    let ids: Vec<Vec<u32>> = whole.collect();
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
        let group = SampleGroup { seed: 5, sequences: 3, tokens: 7, opening: Opening::Bare };
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

    #[test]
    fn prose_begins_with_an_opening_and_has_the_length_asked_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        let model = Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture");
        let cache = tempfile::tempdir().expect("a folder");
        let group = SampleGroup { seed: 5, sequences: 50, tokens: 20, opening: Opening::Prose };
        let file = cache.path().join("prose.json");
        let found = samples(&model, group, &file, &Silent).expect("samples");
        assert!(found.iter().all(|ids| ids.len() == 20));
        let text = |at: usize| model.tokenizer.decode(&found[at]).expect("decodes");
        assert!(text(0).starts_with(PROSE[0]) && text(49).starts_with(PROSE[1]), "{}", text(49));
        assert_ne!(found[0], found[48], "one opening, two draws");
    }
}
