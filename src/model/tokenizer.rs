//! Text to token ids and back, with the byte offsets by which a subject is found.

mod guard;
mod rules;

use std::path::{Path, PathBuf};

pub use guard::panics_are_errors;

use super::joint;
use crate::files::{Sha256, mistaken, read_regular};
use crate::spec::{Blank, beginning};
use guard::{Outcome, guarded};

/// The largest published tokenizers have about 35 MB.
const LARGEST: u64 = 256 << 20;

/// A tokenizer that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file is absent, unreadable or malformed.
    #[error("{file} cannot be used: {reason}")]
    Read {
        /// Path of the file.
        file: String,
        /// Message of the tokenizer library.
        reason: String,
    },
    /// The text cannot be encoded.
    #[error("{file} cannot be used: it fails on {text:?}: {reason}")]
    Encode {
        /// Path of the file.
        file: String,
        /// The text.
        text: String,
        /// Message of the tokenizer library.
        reason: String,
    },
    /// A word that would take minutes to encode.
    #[error("{text:?} has a word of {bytes} bytes; words of at most {LONGEST_WORD} bytes are read")]
    LongWord {
        /// The beginning of the text.
        text: String,
        /// Bytes of its longest word: no white space and no ASCII punctuation in between.
        bytes: usize,
    },
    /// The subject's last byte belongs to no token.
    #[error("no token of {prompt:?} covers the end of the subject {subject:?}")]
    NoLookupToken {
        /// The rendered prompt.
        prompt: String,
        /// The subject.
        subject: String,
    },
}

/// Most bytes of a word: the time to encode one grows with the square of its length.
const LONGEST_WORD: usize = 64 << 10;

/// A `tokenizer.json`, and its hash.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
    hash: Sha256,
    blank: Blank,
    /// Texts of the special tokens.
    specials: Vec<String>,
    /// What a chat template writes before a message.
    lead: String,
}

/// A tokenised text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte range of the text that each token covers; (0, 0) for added ones such as BOS.
    pub offsets: Vec<(usize, usize)>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model folder.
    ///
    /// The words that it encodes stay in a cache of the thread until the thread ends, some ten
    /// kilobytes to a megabyte for each tokenizer: a process that opens thousands of them does so in
    /// threads of their own.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let file = folder.join("tokenizer.json");
        let fail =
            |reason: String| TokenizerError::Read { file: file.display().to_string(), reason };
        let bytes = read_regular(&file, LARGEST).map_err(|error| fail(error.to_string()))?;
        let inner = guarded(|| read(&bytes))
            .map_err(|reason| fail(mistaken(&bytes).map_or(reason, str::to_owned)))?;
        let added = inner.get_added_tokens_decoder().into_values();
        let specials = added.filter(|token| token.special && !token.content.is_empty());
        let specials = specials.map(|token| token.content).collect();
        let (hash, lead) = (Sha256::of(&bytes), String::new());
        Ok(Self { inner, file, hash, blank: Blank::Auto, specials, lead })
    }

    /// SHA-256 of the file.
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// One more than the largest token id, of the vocabulary or put around a text.
    pub fn vocabulary(&self) -> usize {
        let vocabulary = self.inner.get_vocab(true);
        let around = self.run("", true).ok();
        let around = around.iter().flat_map(|encoding| encoding.get_ids());
        vocabulary.values().chain(around).max().map_or(0, |id| *id as usize + 1)
    }

    /// A text as the model reads it: BOS once where the tokenizer adds one, nothing after the text.
    pub fn encode(&self, text: &str) -> Result<Encoded, TokenizerError> {
        let encoding = self.run(text, true)?;
        let (mut ids, mut offsets) = (encoding.get_ids().to_vec(), encoding.get_offsets().to_vec());
        let is_added = |at: usize| encoding.get_special_tokens_mask()[at] == 1;
        while ids.last().is_some_and(|_| is_added(ids.len() - 1) && ids.len() > 1) {
            ids.pop();
            offsets.pop();
        }
        if ids.len() > 1 && ids[0] == ids[1] && is_added(0) {
            ids.remove(0);
            offsets.remove(0);
        }
        Ok(Encoded { ids, offsets })
    }

    /// The tokens that the tokenizer puts before a text, such as BOS; often there are none.
    pub fn before_text(&self) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.run("a", true)?;
        let with_mask = encoding.get_ids().iter().zip(encoding.get_special_tokens_mask());
        Ok(with_mask.take_while(|(_, added)| **added == 1).map(|(id, _)| *id).collect())
    }

    /// A blank stands between each prompt and its continuation as `blank` says.
    pub fn set_blank(&mut self, blank: Blank) {
        self.blank = blank;
    }

    /// Prompts that begin with `lead` are messages of a chat, whose template writes it.
    pub fn set_lead(&mut self, lead: String) {
        self.lead = lead;
    }

    /// The start of the line of `prompt` that holds byte `at`, after special tokens and after what
    /// a chat template writes before a message.
    pub fn line_start(&self, prompt: &str, at: usize) -> usize {
        let before = &prompt[..at];
        let after = |mark: &str| before.rfind(mark).map_or(0, |start| start + mark.len());
        let special = self.specials.iter().map(|token| after(token)).max().unwrap_or(0);
        let lead = if before.starts_with(&self.lead) { self.lead.len() } else { 0 };
        after("\n").max(special).max(lead)
    }

    /// `continuation` after `prompt`, with the blank that stands between the two.
    pub fn joined(&self, prompt: &str, continuation: &str) -> String {
        format!("{prompt}{}{continuation}", self.blank_between(prompt, continuation))
    }

    fn blank_between(&self, prompt: &str, continuation: &str) -> &'static str {
        match self.blank {
            Blank::Always => " ",
            Blank::Never => "",
            Blank::Auto if self.ends_in_special(prompt) => "",
            Blank::Auto => joint::blank(prompt, continuation),
        }
    }

    /// Whether the text ends in a special token, such as the one that begins a turn of a chat.
    fn ends_in_special(&self, text: &str) -> bool {
        self.specials.iter().any(|token| text.ends_with(token))
    }

    /// Ids of `continuation` after `prompt`, with the blank that stands between the two.
    ///
    /// Where the tokenizer does not merge across the border these are the ids that follow the
    /// prompt's own; otherwise the continuation is tokenised separately.
    pub fn continuation(
        &self,
        prompt: &str,
        continuation: &str,
    ) -> Result<Vec<u32>, TokenizerError> {
        if let Some(rest) = self.ids_after(prompt, &self.joined(prompt, continuation))? {
            return Ok(rest);
        }
        let text = format!("{}{continuation}", self.blank_between(prompt, continuation));
        if text.starts_with(' ') {
            return Ok(self.run(&text, false)?.get_ids().to_vec());
        }
        // Alone at the start of a text, some tokenizers would put a blank before it.
        for anchor in ["\n", "(", "a"] {
            if let Some(rest) = self.ids_after(anchor, &format!("{anchor}{text}"))? {
                return Ok(rest);
            }
        }
        Ok(self.run(&text, false)?.get_ids().to_vec())
    }

    /// The ids of `whole` that follow those of its beginning, unless a token spans the border.
    fn ids_after(&self, beginning: &str, whole: &str) -> Result<Option<Vec<u32>>, TokenizerError> {
        let (before, whole) = (self.encode(beginning)?.ids, self.encode(whole)?.ids);
        let rest = whole.strip_prefix(before.as_slice()).filter(|rest| !rest.is_empty());
        Ok(rest.map(<[u32]>::to_vec))
    }

    /// Index of the last token that overlaps the byte before `end`.
    pub fn lookup_token(encoded: &Encoded, end: usize) -> Option<usize> {
        encoded.offsets.iter().rposition(|(from, to)| *from < end && end <= *to)
    }

    /// Text of some tokens, added tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        guarded(|| self.inner.decode(ids, true)).map_err(|reason| TokenizerError::Encode {
            file: self.file.display().to_string(),
            text: format!("{ids:?}"),
            reason,
        })
    }

    /// A token as it stands in the vocabulary, for showing.
    pub fn piece(&self, id: u32) -> String {
        match guarded(|| self.inner.decode(&[id], false)) {
            Ok(text) if !text.is_empty() && !text.contains('\u{fffd}') => text,
            _ => match self.inner.id_to_token(id) {
                Some(token) => part_of_characters(&token).unwrap_or(token),
                None => format!("<{id}>"),
            },
        }
    }

    /// Id of a token by name.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    fn run(&self, text: &str, added: bool) -> Result<tokenizers::Encoding, TokenizerError> {
        if text.len() > LONGEST_WORD {
            let is_gap = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
            let bytes = text.split(is_gap).map(str::len).max().unwrap_or(0);
            if bytes > LONGEST_WORD {
                return Err(TokenizerError::LongWord { text: beginning(text), bytes });
            }
        }
        guarded(|| self.inner.encode(text, added)).map_err(|reason| TokenizerError::Encode {
            file: self.file.display().to_string(),
            text: beginning(text),
            reason,
        })
    }
}

fn read(bytes: &[u8]) -> Outcome<tokenizers::Tokenizer> {
    let mut rules: serde_json::Value = serde_json::from_slice(bytes)?;
    // The scores of a unigram model need not survive being written again to the last bit.
    let is_changed = rules::tame(&mut rules)?;
    let mut inner = match is_changed {
        true => tokenizers::Tokenizer::from_bytes(serde_json::to_vec(&rules)?)?,
        false => tokenizers::Tokenizer::from_bytes(bytes)?,
    };
    inner.with_padding(None);
    inner.with_truncation(None)?;
    Ok(inner)
}

/// A token of a byte-level vocabulary that begins or ends inside a character: whole characters as
/// they are, other bytes as `<0xE5>`; nothing where the token is not written in bytes.
fn part_of_characters(token: &str) -> Option<String> {
    let bytes: Vec<u8> = token.chars().map(byte_of).collect::<Option<_>>()?;
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("<0x{byte:02X}>")));
    }
    Some(text)
}

/// The byte that a character stands for in GPT-2's vocabulary: printable bytes stand for
/// themselves, the others, in order, are written as the characters from 256 on.
fn byte_of(c: char) -> Option<u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(c) {
        code @ 0..256 => u8::try_from(code).ok().filter(is_printable),
        code => (0..=u8::MAX).filter(|byte| !is_printable(byte)).nth(code as usize - 256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_characters_are_written_as_bytes() {
        let rows = [
            ("å", Some("<0xE5>")),
            ("Ġthe", Some(" the")),
            // The last two bytes of 好 (E5 A5 BD), and all three with a further first one.
            ("¥½", Some("<0xA5><0xBD>")),
            ("å¥½å", Some("好<0xE5>")),
            ("▁the", None),
        ];
        for (token, expected) in rows {
            assert_eq!(part_of_characters(token).as_deref(), expected, "{token}");
        }
    }

    #[test]
    fn a_line_starts_after_special_tokens_and_what_a_template_writes() {
        let folder = format!("{}/tests/fixtures/llama/model", env!("CARGO_MANIFEST_DIR"));
        let mut tokenizer = Tokenizer::open(Path::new(&folder)).expect("a tokenizer");
        tokenizer.set_lead("[INST] ".into());
        let special = tokenizer.specials.first().expect("a special token").clone();
        let rows = [
            ("The {} is in", "The {} is in"),
            ("Who is it?\nIt is {}", "It is {}"),
            ("[INST] Where is {}? [/INST]", "Where is {}? [/INST]"),
            ("[INST] Say.\nWhere is {}? [/INST]", "Where is {}? [/INST]"),
            (&format!("{special}Where is {{}}?"), "Where is {}?"),
        ];
        for (prompt, line) in rows {
            let at = prompt.find("{}").expect("a slot");
            assert_eq!(&prompt[tokenizer.line_start(prompt, at)..], line);
        }
    }

    #[test]
    fn a_continuation_has_a_blank_where_one_is_written() {
        for name in ["llama", "gpt2", "mistral"] {
            let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
            let mut tokenizer = Tokenizer::open(Path::new(&folder)).expect("a tokenizer");
            let rows = [
                ("The tower is in", "Rome", "The tower is in Rome"),
                ("埃菲尔铁塔位于城市", "罗马", "埃菲尔铁塔位于城市罗马"),
                ("He said \"", "Rome", "He said \"Rome"),
            ];
            let read = |tokenizer: &Tokenizer, prompt: &str, target: &str| {
                let ids = tokenizer.continuation(prompt, target).expect("tokenised");
                let whole = [tokenizer.encode(prompt).expect("tokenised").ids, ids].concat();
                tokenizer.decode(&whole).expect("decoded")
            };
            for (prompt, target, expected) in rows {
                assert_eq!(read(&tokenizer, prompt, target), expected, "{name}");
            }
            tokenizer.set_blank(Blank::Always);
            assert_eq!(read(&tokenizer, "城市", "罗马"), "城市 罗马", "{name}");
            tokenizer.set_blank(Blank::Never);
            assert_eq!(read(&tokenizer, "The in", "Rome"), "The inRome", "{name}");
        }
    }
}
