//! `tokenizer.ggml.model = "llama"`: pieces with scores, as SentencePiece merges them.
//!
//! SentencePiece joins the two neighbours whose union has the highest score, the leftmost first;
//! byte-pair encoding does the same with a list of pairs, ordered by the score of their unions. A
//! character without a piece becomes bytes, and a blank stands before a text as before a word.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{error::GgufFault, metadata::Metadata, metadata::required};

const SCORES: &str = "tokenizer.ggml.scores";
/// Whether a blank is put before a text.
pub(super) const PREFIX: &str = "tokenizer.ggml.add_space_prefix";
/// The character that stands for a blank inside pieces.
const BLANK: &str = "▁";

/// What such a vocabulary has beyond its tokens.
#[derive(Debug)]
pub(super) struct SentencePiece {
    scores: Vec<f64>,
    /// A blank is put before a text.
    has_prefix: bool,
}

impl SentencePiece {
    pub(super) fn read(metadata: &Metadata<'_>, tokens: usize) -> Result<Self, GgufFault> {
        Ok(Self {
            scores: required(SCORES, metadata.reals(SCORES, tokens)?)?,
            has_prefix: metadata.boolean(PREFIX)?.unwrap_or(true),
        })
    }

    /// The pairs to merge, best first: every way to cut a piece into two others.
    pub(super) fn merges(&self, pieces: &[(usize, &str)]) -> Vec<[String; 2]> {
        let ids: HashMap<&str, usize> = pieces.iter().map(|(id, piece)| (*piece, *id)).collect();
        let mut merges = Vec::new();
        for (id, piece) in pieces {
            let cuts = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
            let mut known: Vec<_> = cuts
                .filter_map(|(left, right)| {
                    Some(((*ids.get(left)?, *ids.get(right)?), left, right))
                })
                .collect();
            known.sort_unstable();
            merges
                .extend(known.into_iter().map(|(_, left, right)| (self.scores[*id], left, right)));
        }
        merges.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
        merges.into_iter().map(|(_, left, right)| [left.to_owned(), right.to_owned()]).collect()
    }

    /// The `normalizer` of `tokenizer.json`: blanks as pieces write them, and one before the text.
    pub(super) fn normalizer(&self) -> Value {
        let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": BLANK });
        match self.has_prefix {
            false => replace,
            true => json!({
                "type": "Sequence",
                "normalizers": [{ "type": "Prepend", "prepend": BLANK }, replace],
            }),
        }
    }

    /// The `decoder` of `tokenizer.json`, the way back.
    pub(super) fn decoder(&self) -> Value {
        let mut steps = vec![
            json!({ "type": "Replace", "pattern": { "String": BLANK }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if self.has_prefix {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        json!({ "type": "Sequence", "decoders": steps })
    }
}
