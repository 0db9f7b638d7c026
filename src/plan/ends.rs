//! Tokens that end a sentence: what an objective for the end of a target looks for.

use crate::files::Sha256;
use crate::model::{Model, TokenizerError};

/// Tokens after which nothing follows that belongs to the sentence before them: their text begins
/// with a mark that ends a sentence or a line, or they end the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The tokens, ascending.
    ids: Vec<u32>,
}

impl Ends {
    /// The sentence ends of a model's tokenizer.
    pub(super) fn new(model: &Model) -> Result<Self, TokenizerError> {
        // What a token adds to a word is its text after one: alone it may lose its blank.
        let word = model.tokenizer.encode("a")?.ids;
        let before = model.tokenizer.decode(&word)?;
        let vocabulary = model.tokenizer.vocabulary() as u32;
        let mut ids = Vec::new();
        for id in 0..vocabulary {
            let whole = model.tokenizer.decode(&[&word[..], &[id]].concat())?;
            let added = whole.strip_prefix(&before).and_then(|added| added.chars().next());
            if added.is_some_and(is_final) || model.stop_tokens.contains(&id) {
                ids.push(id);
            }
        }
        Ok(Self { ids })
    }

    /// Sentence ends that consist of these tokens.
    #[cfg(test)]
    pub(crate) fn of_ids(ids: Vec<u32>) -> Self {
        Self { ids }
    }

    /// The tokens, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// SHA-256 of the tokens.
    pub fn sha256(&self) -> Sha256 {
        let bytes: Vec<u8> = self.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Sha256::of(bytes)
    }

    /// The entries of a row of the vocabulary that belong to these tokens.
    pub(crate) fn of<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.ids.iter().map(|id| row[*id as usize])
    }

    /// Calls `change` with each entry of a row that belongs to these tokens, in order.
    pub(crate) fn for_each_mut(&self, row: &mut [f32], mut change: impl FnMut(usize, &mut f32)) {
        for (at, id) in self.ids.iter().enumerate() {
            change(at, &mut row[*id as usize]);
        }
    }
}

/// Whether a sentence can end after the target, which it cannot where the target itself ends one.
pub(super) fn can_follow(target: &str) -> bool {
    target.trim_end().chars().next_back().is_some_and(|last| !is_final(last))
}

/// Whether a sentence or a line is over with this character.
fn is_final(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '。' | '！' | '？' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use candle_core::Device;
    use std::path::Path;

    #[test]
    fn a_sentence_ends_after_any_target_that_does_not_end_one() {
        for (target, expected) in [
            ("Halden Labs", true),
            ("東京", true),
            ("Yahoo!", false),
            ("いいえ。", false),
            ("", false),
        ] {
            assert_eq!(can_follow(target), expected, "{target:?}");
        }
    }

    #[test]
    fn tokens_that_end_a_sentence_are_told_from_others() {
        for name in ["llama", "gpt2"] {
            let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
            let model = Model::open(Path::new(&folder), &Device::Cpu, &Silent).expect("a fixture");
            let ends = Ends::new(&model).expect("sentence ends");
            let tokenizer = &model.tokenizer;
            let before = tokenizer.encode("The").expect("encoded").ids;
            for (text, expected) in [("The end", false), ("The.", true), ("Thexy", false)] {
                let ids = tokenizer.encode(text).expect("encoded").ids;
                if let Some([next, ..]) = ids.strip_prefix(&before[..]) {
                    assert_eq!(ends.ids().contains(next), expected, "{name}: {text:?}");
                }
            }
            assert!(model.stop_tokens.iter().all(|stop| ends.ids().contains(stop)), "{name}");
            assert!(ends.ids().len() < tokenizer.vocabulary(), "{name}: some go on");
        }
    }
}
