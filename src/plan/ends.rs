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

    /// Word ends that consist of these tokens.
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

/// Whether a target that ends here can be told from one that goes on: not where it ends with punctuation,
/// nor in a script that has no blanks between words.
pub(super) fn ends_in_word(target: &str) -> bool {
    let last = target.trim_end().chars().next_back();
    last.is_some_and(|last| !is_border(last) && !is_unspaced(last))
}

/// Whether a sentence or a line is over with this character.
fn is_final(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '。' | '！' | '？' | '\n')
}

fn is_border(character: char) -> bool {
    character.is_whitespace() || is_punctuation(character)
}

fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(
            character,
            '«' | '»' | '¡' | '¿' | '·'
                | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
                | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}'
                | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff61}'..='\u{ff65}'
        )
}

/// Thai, Lao, Khmer and Burmese, kana and Han characters.
fn is_unspaced(character: char) -> bool {
    matches!(
        character,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use candle_core::Device;
    use std::path::Path;

    #[test]
    fn targets_of_unspaced_scripts_and_with_punctuation_have_no_end() {
        for (target, expected) in [
            ("Halden Labs", true),
            ("東京", false),
            ("Yahoo!", false),
            ("", false),
            ("Zürich", true),
        ] {
            assert_eq!(ends_in_word(target), expected, "{target:?}");
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
