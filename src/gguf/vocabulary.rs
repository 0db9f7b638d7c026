//! `tokenizer.ggml.*` -> `tokenizer.json` and the files next to it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::{
    error::GgufFault,
    family::GgufFamily,
    family::Object,
    metadata::{Metadata, required},
    pre_tokenizer::{PreTokenizer, byte_level},
    sentence_piece::{PREFIX, SentencePiece},
};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// Values of `tokenizer.ggml.token_type` (`llama_token_type` in llama.h) that are treated apart.
pub(super) const NORMAL: i128 = 1;
pub(super) const UNKNOWN: i128 = 2;
pub(super) const CONTROL: i128 = 3;
pub(super) const USER_DEFINED: i128 = 4;
/// Fills the embedding up to a round number of rows; the tokenizer has no such token.
pub(super) const UNUSED: i128 = 5;
/// One byte of a character that has no piece.
pub(super) const BYTE: i128 = 6;

/// How tokens are found in a text.
#[derive(Debug)]
enum Scheme<'a> {
    /// Byte-level BPE: words, then merges.
    Bytes {
        merges: &'a [&'a str],
        pre_tokenizer: &'static PreTokenizer,
        /// A blank is put before a text.
        has_prefix: bool,
    },
    /// Pieces with scores.
    Pieces(SentencePiece),
}

/// A tokenizer as the file describes it.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    tokens: &'a [&'a str],
    types: Vec<i128>,
    scheme: Scheme<'a>,
    special: SpecialIds,
    adds_bos: bool,
    adds_eos: bool,
    chat_template: Option<&'a str>,
}

/// Ids of tokens with a role.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SpecialIds {
    pub(super) bos: Option<usize>,
    pub(super) eos: Option<usize>,
    pub(super) pad: Option<usize>,
    unknown: Option<usize>,
    /// Ends a turn of a chat, where that is another token than `eos`.
    pub(super) end_of_turn: Option<usize>,
}

impl<'a> Vocabulary<'a> {
    /// Reads and checks the tokenizer; `rows` is the number of rows of the embedding.
    pub(super) fn read(
        metadata: &'a Metadata<'_>,
        family: &GgufFamily,
        rows: usize,
    ) -> Result<Vocabulary<'a>, GgufFault> {
        let model = required(MODEL, metadata.text(MODEL)?)?;
        let tokens = required(TOKENS, metadata.texts(TOKENS)?)?;
        let scheme = match model {
            "gpt2" => {
                let pre = required(PRE, metadata.text(PRE)?.or(family.pre_tokenizer))?;
                Scheme::Bytes {
                    merges: required(MERGES, metadata.texts(MERGES)?)?,
                    pre_tokenizer: PreTokenizer::named(pre)?,
                    has_prefix: metadata.boolean(PREFIX)?.unwrap_or(false),
                }
            }
            "llama" => Scheme::Pieces(SentencePiece::read(metadata, tokens.len())?),
            _ => return Err(GgufFault::TokenizerModel(model.to_owned())),
        };
        if tokens.len() != rows {
            let expected = format!("{rows} tokens, as many as the embedding has rows");
            return Err(GgufFault::invalid(key(TOKENS), tokens.len(), expected));
        }
        let types = metadata.integers(TYPES, tokens.len())?;
        let flag = |key| metadata.boolean(key);
        let adds_bos = match &scheme {
            Scheme::Bytes { pre_tokenizer, .. } => pre_tokenizer.adds_bos,
            Scheme::Pieces(_) => true,
        };
        let vocabulary = Vocabulary {
            tokens,
            types: types.unwrap_or_else(|| vec![NORMAL; tokens.len()]),
            scheme,
            special: SpecialIds::read(metadata, tokens.len())?,
            adds_bos: flag("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos),
            adds_eos: flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            chat_template: metadata.text("tokenizer.chat_template")?,
        };
        vocabulary.check()?;
        Ok(vocabulary)
    }

    pub(super) fn special(&self) -> SpecialIds {
        self.special
    }

    fn check(&self) -> Result<(), GgufFault> {
        let mut ids = HashMap::with_capacity(self.tokens.len());
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(first) = ids.insert(*token, id) {
                let found = format!("{token:?}, which is also token {first}");
                return Err(GgufFault::invalid(format!("token {id}"), found, "another text"));
            }
        }
        let Scheme::Bytes { merges, .. } = &self.scheme else { return Ok(()) };
        for (index, merge) in merges.iter().enumerate() {
            let wrong = |expected: &str| {
                Err(GgufFault::invalid(format!("merge {index}"), format!("{merge:?}"), expected))
            };
            let Some((left, right)) =
                merge.split_once(' ').filter(|(_, right)| !right.contains(' '))
            else {
                return wrong("two tokens with one space between them");
            };
            let joined = format!("{left}{right}");
            if ![left, right, joined.as_str()].iter().all(|part| ids.contains_key(part)) {
                return wrong("two tokens of the vocabulary whose join is a third");
            }
        }
        Ok(())
    }

    /// The contents of `tokenizer.json`, after the tokenizer library has read it and found every
    /// token at its id.
    pub(super) fn tokenizer_json(&self) -> Result<Vec<u8>, GgufFault> {
        let mut text = serde_json::to_vec_pretty(&self.tokenizer()?)
            .expect("a JSON value with text keys can be written");
        text.push(b'\n');
        let tokenizer = Tokenizer::from_bytes(&text)
            .map_err(|error| GgufFault::Tokenizer(error.to_string()))?;
        for (id, token) in self.used() {
            if tokenizer.token_to_id(token) != Some(id as u32) {
                let found = format!("{:?}", tokenizer.token_to_id(token));
                return Err(GgufFault::invalid(
                    format!("the id of {token:?}"),
                    found,
                    id.to_string(),
                ));
            }
        }
        Ok(text)
    }

    /// Tokens with their ids, without those that only fill the table up.
    fn used(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let types = self.types.iter();
        let all = self.tokens.iter().copied().enumerate().zip(types);
        all.filter(|(_, kind)| **kind != UNUSED).map(|(token, _)| token)
    }

    fn tokenizer(&self) -> Result<Value, GgufFault> {
        let vocabulary: Map<String, Value> =
            self.used().map(|(id, token)| (token.to_owned(), id.into())).collect();
        let (normalizer, pre_tokenizer, decoder) = match &self.scheme {
            Scheme::Bytes { pre_tokenizer, has_prefix, .. } => (
                pre_tokenizer.normalizer(),
                pre_tokenizer.json(*has_prefix),
                byte_level(true, false),
            ),
            Scheme::Pieces(pieces) => (pieces.normalizer(), Value::Null, pieces.decoder()),
        };
        let mut model = json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocabulary,
        });
        match &self.scheme {
            Scheme::Bytes { merges, pre_tokenizer, .. } => {
                model["ignore_merges"] = pre_tokenizer.ignores_merges.into();
                model["merges"] = json!(merges);
            }
            Scheme::Pieces(pieces) => {
                let unknown = self.special.unknown.or_else(|| self.of_type(UNKNOWN));
                model["unk_token"] = json!(unknown.map(|id| self.tokens[id]));
                model["fuse_unk"] = true.into();
                model["byte_fallback"] = true.into();
                model["merges"] = json!(pieces.merges(&self.mergeable()));
            }
        }
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens(),
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": self.post_processor()?,
            "decoder": decoder,
            "model": model,
        }))
    }

    /// The first token of a type.
    fn of_type(&self, kind: i128) -> Option<usize> {
        self.types.iter().position(|found| *found == kind)
    }

    /// The pieces that others are merged to, with their ids.
    fn mergeable(&self) -> Vec<(usize, &'a str)> {
        let is_mergeable = |id: usize| [NORMAL, USER_DEFINED].contains(&self.types[id]);
        self.used().filter(|(id, _)| is_mergeable(*id)).collect()
    }

    /// Tokens that are found in the text before it is cut into words.
    fn added_tokens(&self) -> Vec<Value> {
        let is_added = |id: usize| [UNKNOWN, CONTROL, USER_DEFINED].contains(&self.types[id]);
        let added = self.used().filter(|(id, token)| is_added(*id) && !token.is_empty());
        let entry = |(id, token): (usize, &str)| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": self.types[id] != USER_DEFINED,
            })
        };
        added.map(entry).collect()
    }

    /// Trims offsets, and puts the declared tokens around a text.
    fn post_processor(&self) -> Result<Value, GgufFault> {
        let own = match &self.scheme {
            Scheme::Bytes { .. } => byte_level(true, false),
            Scheme::Pieces(_) => Value::Null,
        };
        if !self.adds_bos && !self.adds_eos {
            return Ok(own);
        }
        let pick = |is_added: bool, id: Option<usize>, name: &str| match (is_added, id) {
            (false, _) => Ok(None),
            (true, Some(id)) => Ok(Some((id, self.tokens[id]))),
            (true, None) => Err(GgufFault::MissingKey(special_key(name))),
        };
        let bos = pick(self.adds_bos, self.special.bos, "bos")?;
        let eos = pick(self.adds_eos, self.special.eos, "eos")?;
        let part = |name: &str, kind: u8| {
            let token = |(_, text): (usize, &str)| json!({ "SpecialToken": { "id": text, "type_id": kind } });
            let sequence = json!({ "Sequence": { "id": name, "type_id": kind } });
            bos.map(token).into_iter().chain([sequence]).chain(eos.map(token)).collect::<Vec<_>>()
        };
        let named: Map<String, Value> = [bos, eos]
            .into_iter()
            .flatten()
            .map(|(id, text)| {
                (text.to_owned(), json!({ "id": text, "ids": [id], "tokens": [text] }))
            })
            .collect();
        let pair = [part("A", 0), part("B", 1)].concat();
        let template = json!({
            "type": "TemplateProcessing",
            "single": part("A", 0),
            "pair": pair,
            "special_tokens": named,
        });
        match own {
            Value::Null => Ok(template),
            own => Ok(json!({ "type": "Sequence", "processors": [own, template] })),
        }
    }

    /// The contents of `special_tokens_map.json`.
    pub(super) fn special_tokens(&self) -> Object {
        let ids = self.special;
        let named = [
            ("bos_token", ids.bos),
            ("eos_token", ids.eos),
            ("unk_token", ids.unknown),
            ("pad_token", ids.pad),
        ];
        let text = |id: usize| Value::from(self.tokens[id]);
        named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), text(id?)))).collect()
    }

    /// The contents of `tokenizer_config.json`; `context` is the largest number of tokens.
    pub(super) fn config(&self, context: usize) -> Object {
        let mut config = self.special_tokens();
        // The general class takes `tokenizer.json` as it is; those of a model rebuild parts of it.
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        config.insert("model_max_length".to_owned(), context.into());
        // The general class would return token types as well, which decoders refuse.
        config.insert("model_input_names".to_owned(), json!(["input_ids", "attention_mask"]));
        config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
        if let Some(template) = self.chat_template {
            config.insert("chat_template".to_owned(), template.into());
        }
        config
    }
}

impl SpecialIds {
    fn read(metadata: &Metadata<'_>, tokens: usize) -> Result<SpecialIds, GgufFault> {
        let id = |name: &str| {
            let name = special_key(name);
            let Some(id) = metadata.unsigned(&name)? else { return Ok(None) };
            if id < tokens as u64 {
                return Ok(Some(id as usize));
            }
            Err(GgufFault::invalid(key(&name), id, format!("the id of one of {tokens} tokens")))
        };
        Ok(SpecialIds {
            bos: id("bos")?,
            eos: id("eos")?,
            pad: id("padding")?,
            unknown: id("unknown")?,
            end_of_turn: id("eot")?,
        })
    }

    /// The entries of `config.json` and `generation_config.json`.
    pub(super) fn entries(self) -> Object {
        let named =
            [("bos_token_id", self.bos), ("eos_token_id", self.eos), ("pad_token_id", self.pad)];
        named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?.into()))).collect()
    }

    /// The contents of `generation_config.json`: a chat may end in two ways.
    pub(super) fn generation(self) -> Object {
        let mut entries = self.entries();
        if let (Some(eos), Some(turn)) = (self.eos, self.end_of_turn)
            && eos != turn
        {
            entries.insert("eos_token_id".to_owned(), json!([eos, turn]));
        }
        entries
    }
}

/// The key of a token with a role, such as `bos`.
pub(super) fn special_key(role: &str) -> String {
    format!("tokenizer.ggml.{role}_token_id")
}

fn key(name: &str) -> String {
    format!("key {name:?}")
}
