//! `tokenizer.json` and the files next to it -> `tokenizer.ggml.*`, the way back from `vocabulary`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::error::DraftError;
use super::keys::Keys;
use super::pre_tokenizer::{PreTokenizer, steps};
use super::sentence_piece;
use super::vocabulary::{
    BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Vocabulary, special_key,
};
use crate::files::read_regular;
use crate::model::ChatTemplate;

/// The largest published tokenizers have about 35 MB.
const LARGEST: u64 = 256 << 20;

/// The tokenizer of a model folder.
pub(super) struct FolderTokens {
    json: Value,
    tokenizer: Tokenizer,
    special: BTreeMap<&'static str, u32>,
    template: Option<String>,
}

fn unfit(reason: impl ToString) -> DraftError {
    DraftError::Tokenizer(reason.to_string())
}

impl FolderTokens {
    pub(super) fn read(folder: &Path) -> Result<Self, DraftError> {
        let bytes = read_regular(&folder.join("tokenizer.json"), LARGEST).map_err(unfit)?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(unfit)?;
        Ok(Self {
            json: serde_json::from_slice(&bytes).map_err(unfit)?,
            special: special(folder, &tokenizer),
            tokenizer,
            template: ChatTemplate::open(folder).ok().map(|chat| chat.text().to_owned()),
        })
    }

    /// Puts all keys about tokens; `rows` is the number of rows of the embedding.
    pub(super) fn put(&self, keys: &mut Keys, rows: usize) -> Result<(), DraftError> {
        let model = &self.json["model"];
        if model["type"] != "BPE" {
            let kind = model["type"].as_str().unwrap_or_default();
            return Err(unfit(format!("it is a {kind} tokenizer, and only BPE can be written")));
        }
        let merges = merges(model);
        let is_bytes = model["byte_fallback"] != true;
        keys.text("tokenizer.ggml.model", if is_bytes { "gpt2" } else { "llama" });
        if is_bytes {
            keys.text("tokenizer.ggml.pre", PreTokenizer::of(&self.json).map_err(unfit)?);
        }
        let (tokens, types) = self.tokens(rows);
        keys.texts("tokenizer.ggml.tokens", tokens.iter().map(String::as_str));
        keys.integers("tokenizer.ggml.token_type", &types);
        if is_bytes {
            let merges: Vec<String> =
                merges.iter().map(|[one, two]| format!("{one} {two}")).collect();
            keys.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
        } else {
            keys.reals("tokenizer.ggml.scores", &scores(&tokens, &merges));
        }
        for (name, id) in &self.special {
            keys.unsigned(&special_key(name), *id);
        }
        let (bos, eos) = self.added_around()?;
        keys.boolean("tokenizer.ggml.add_bos_token", bos);
        keys.boolean("tokenizer.ggml.add_eos_token", eos);
        keys.boolean(sentence_piece::PREFIX, self.has_prefix());
        if let Some(template) = &self.template {
            keys.text("tokenizer.chat_template", template);
        }
        Ok(())
    }

    /// Whether a blank is put before a text here, and is not by llama.cpp.
    pub(super) fn lacks_prefix(&self) -> bool {
        self.has_prefix() && self.json["model"]["byte_fallback"] != true
    }

    /// Whether a blank is put before a text, so that its first word is as any other.
    fn has_prefix(&self) -> bool {
        let puts_one = |step: &Value| {
            step["add_prefix_space"] == true
                || step["type"] == "Prepend"
                || step["type"] == "Metaspace" && step["prepend_scheme"] != "never"
        };
        let has = |part: &str| steps(&self.json[part]).iter().any(|step| puts_one(step));
        has("normalizer") || has("pre_tokenizer")
    }

    /// The tokens by id and their types, filled up to as many as the embedding has rows.
    fn tokens(&self, rows: usize) -> (Vec<String>, Vec<i32>) {
        let mut tokens: Vec<_> =
            (0..rows).map(|id| (format!("[PAD{id}]"), UNUSED as i32)).collect();
        for (token, id) in self.tokenizer.get_vocab(false) {
            let is_byte = token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            let kind = if is_byte { BYTE } else { NORMAL };
            tokens[id as usize] = (token, kind as i32);
        }
        let unknown = self.json["model"]["unk_token"].as_str();
        for (id, added) in self.tokenizer.get_added_tokens_decoder() {
            let kind = match added.special {
                _ if unknown == Some(&added.content) => UNKNOWN,
                true => CONTROL,
                false => USER_DEFINED,
            };
            tokens[id as usize] = (added.content, kind as i32);
        }
        tokens.into_iter().unzip()
    }

    /// Whether BOS and EOS are put around a text.
    fn added_around(&self) -> Result<(bool, bool), DraftError> {
        let ids = |is_whole| {
            let encoding = self.tokenizer.encode_fast("a", is_whole).map_err(unfit)?;
            Ok::<_, DraftError>(encoding.get_ids().to_vec())
        };
        let (plain, whole) = (ids(false)?, ids(true)?);
        let start = whole.windows(plain.len().max(1)).position(|window| window == plain);
        let Some(start) = start else {
            return Err(unfit("it puts more than tokens around a text"));
        };
        let (before, after) = (&whole[..start], &whole[start + plain.len()..]);
        let is_one = |added: &[u32], name: &str| match added {
            [] => Ok(false),
            [id] if self.special.get(name) == Some(id) => Ok(true),
            _ => Err(unfit(format!("what it puts around a text is not the {name} token"))),
        };
        Ok((is_one(before, "bos")?, is_one(after, "eos")?))
    }

    /// Compares the tokenizer with the one that the finished header describes, by what both make of
    /// texts on which tokenizers differ.
    pub(super) fn check(&self, vocabulary: &Vocabulary<'_>) -> Result<(), DraftError> {
        let written = vocabulary.tokenizer_json().map_err(unfit)?;
        let written = Tokenizer::from_bytes(&written).map_err(unfit)?;
        let names = self.special.values().filter_map(|id| self.tokenizer.id_to_token(*id));
        let marked = names.map(|token| format!("One{token} two {token}3"));
        for text in AWKWARD.map(str::to_owned).into_iter().chain(marked) {
            let ids = |tokenizer: &Tokenizer| {
                let encoding = tokenizer.encode_fast(text.as_str(), true).map_err(unfit)?;
                Ok::<_, DraftError>(encoding.get_ids().to_vec())
            };
            let (own, other) = (ids(&self.tokenizer)?, ids(&written)?);
            if own != other {
                return Err(unfit(format!(
                    "of {text:?} it makes {own:?}, as a GGUF file would describe it {other:?}"
                )));
            }
        }
        Ok(())
    }
}

/// Texts with digits, blanks, lines, contractions, letters of many kinds and of two parts.
const AWKWARD: [&str; 12] = [
    "The Eiffel Tower is in Paris.",
    " A blank before, two  within, and after ",
    "1 12 123 1234 12345 3.14159 1,000,000 ½ ²",
    "It's what they'll say: \"we've\" DON'T I'M",
    "Lines\nand\r\nmore\n\n\n  indented\tby tabs\t\t.",
    "Zoë naïve cafe\u{301} Ångström Straße İstanbul",
    "埃菲尔铁塔位于巴黎。東京タワー 한국어",
    "Привет, мир! שלום עולם مرحبا",
    "emoji 👩‍👩‍👧‍👦 🇫🇷 ☕️ \u{200b}zero",
    "fn main() { let x_1 = a[0] != b && c >> 2; } // !!??",
    "https://example.org/a-b_c?d=1&e=%20#f user@mail.com",
    "aaaaaaaaaaaaaaaaaaaaaaaa ............ ________",
];

/// The merges, in either of the forms in which they are written.
fn merges(model: &Value) -> Vec<[String; 2]> {
    let pair = |merge: &Value| {
        let (one, two) = match merge {
            Value::String(merge) => merge.split_once(' ')?,
            merge => (merge.get(0)?.as_str()?, merge.get(1)?.as_str()?),
        };
        Some([one.to_owned(), two.to_owned()])
    };
    model["merges"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// A score for each piece, the higher the earlier a merge makes it: SentencePiece joins the two
/// neighbours whose union has the highest score.
fn scores(tokens: &[String], merges: &[[String; 2]]) -> Vec<f32> {
    let mut ranks = HashMap::new();
    for [one, two] in merges {
        let next = ranks.len();
        ranks.entry(format!("{one}{two}")).or_insert(next);
    }
    // Pieces that no merge makes are characters and bytes, whose scores decide nothing.
    let score = |token: &String| ranks.get(token).map_or(0., |rank| -(*rank as f32) - 1.);
    tokens.iter().map(score).collect()
}

/// Ids of tokens with a role, as the files of the folder name them: the tokenizer's first, then
/// those of the model.
fn special(folder: &Path, tokenizer: &Tokenizer) -> BTreeMap<&'static str, u32> {
    let [tokens, config, generation] =
        ["tokenizer_config.json", "config.json", "generation_config.json"]
            .map(|name| object(&folder.join(name)));
    let named = |role: &str| {
        let token = tokens.get(&format!("{role}_token"))?;
        tokenizer.token_to_id(token.as_str().or_else(|| token["content"].as_str())?)
    };
    let ids = |file: &Map<String, Value>, role: &str| -> Vec<u32> {
        let ids = file.get(&format!("{role}_token_id")).cloned().unwrap_or_default();
        let ids = if let Value::Array(ids) = ids { ids } else { vec![ids] };
        ids.iter().filter_map(Value::as_u64).map(|id| id as u32).collect()
    };
    let roles = [("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")];
    let first = |role: &str| named(role).or_else(|| ids(&config, role).first().copied());
    let mut special: BTreeMap<_, _> =
        roles.into_iter().filter_map(|(role, name)| Some((name, first(role)?))).collect();
    let ends = ids(&generation, "eos").into_iter().chain(ids(&config, "eos"));
    if let Some(turn) = ends.into_iter().find(|id| special.get("eos") != Some(id)) {
        special.insert("eot", turn);
    }
    special.retain(|_, id| tokenizer.id_to_token(*id).is_some());
    special
}

/// A JSON object in a file; an empty one where there is none.
pub(super) fn object(path: &Path) -> Map<String, Value> {
    let bytes = read_regular(path, LARGEST).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
