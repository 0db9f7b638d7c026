//! How text is cut into words before byte-pair merging, by the name in `tokenizer.ggml.pre`.
//!
//! Each row is what the Hugging Face tokenizer of the models with that name
//! does; the names and their regular expressions are those of llama.cpp's
//! `llama-vocab.cpp`.

use serde_json::{Value, json};

use super::error::GgufFault;

/// One way of cutting text into words.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    cuts: &'static [Cut],
    /// Text is composed to Unicode NFC first.
    is_composed: bool,
    /// A word that is a token stays whole, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// Default where `tokenizer.ggml.add_bos_token` is not given.
    pub(super) adds_bos: bool,
}

#[derive(Debug)]
enum Cut {
    /// Each digit (any numeric character) is a word.
    Digits,
    /// The words of GPT-2.
    Gpt2,
    /// Each match of the expression is a word, and so is what lies between two.
    Around(&'static str),
}

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const PLAIN: PreTokenizer = PreTokenizer {
    names: &[],
    cuts: &[],
    is_composed: false,
    ignores_merges: false,
    adds_bos: false,
};

const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

static TABLE: [PreTokenizer; 10] = [
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"],
        cuts: &[Cut::Digits, Cut::Gpt2],
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-2", "phi-2", "jais", "mpt", "gigachat", "mellum", "trillion"],
        cuts: &[Cut::Gpt2],
        ..PLAIN
    },
    // GPT-NeoX and the first OLMo.
    PreTokenizer { names: &["olmo"], cuts: &[Cut::Gpt2], is_composed: true, ..PLAIN },
    PreTokenizer {
        names: &["command-r"],
        cuts: &[Cut::Digits, Cut::Gpt2],
        is_composed: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        cuts: &[Cut::Around(LLAMA_3)],
        ignores_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    // OLMo 2, phi-4 and SmolLM3 cut as Llama 3 does, but go by their merges alone.
    PreTokenizer { names: &["dbrx", "smaug-bpe"], cuts: &[Cut::Around(LLAMA_3)], ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4"], cuts: &[Cut::Around(GPT_4O)], ..PLAIN },
    PreTokenizer {
        names: &["tekken"],
        cuts: &[Cut::Around(TEKKEN)],
        ignores_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"],
        cuts: &[Cut::Around(QWEN_2)],
        is_composed: true,
        ..PLAIN
    },
    // No model was trained with this one: it is what llama.cpp itself does under the name.
    PreTokenizer {
        names: &["default"],
        cuts: &[
            Cut::Around(r"[\p{P}\$\+<=>\^~\|]+"),
            Cut::Gpt2,
            Cut::Around(r"\p{N}+"),
            Cut::Around("[0-9][0-9][0-9]"),
        ],
        ..PLAIN
    },
];

/// The words of GPT-2 as an expression, for cuts that go on after them.
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

impl PreTokenizer {
    /// The pre-tokenizer with this name.
    pub(super) fn named(name: &str) -> Result<&'static PreTokenizer, GgufFault> {
        TABLE.iter().find(|row| row.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
            GgufFault::PreTokenizer { found: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The `normalizer` of `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Value {
        if self.is_composed { json!({ "type": "NFC" }) } else { Value::Null }
    }

    /// The `pre_tokenizer` of `tokenizer.json`: the cuts, then bytes as printable characters.
    pub(super) fn json(&self) -> Value {
        let Some((last, before)) = self.cuts.split_last() else { return byte_level(false) };
        let mut steps: Vec<Value> = before.iter().map(Cut::json).collect();
        if !matches!(last, Cut::Gpt2) {
            steps.push(last.json());
        }
        steps.push(byte_level(matches!(last, Cut::Gpt2)));
        if steps.len() == 1 {
            return steps.remove(0);
        }
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

impl Cut {
    fn json(&self) -> Value {
        let expression = match self {
            Cut::Digits => return json!({ "type": "Digits", "individual_digits": true }),
            Cut::Gpt2 => GPT_2,
            Cut::Around(expression) => expression,
        };
        json!({
            "type": "Split",
            "pattern": { "Regex": expression },
            "behavior": "Isolated",
            "invert": false,
        })
    }
}

/// The step that writes bytes as printable characters, as pre-tokenizer, decoder or post-processor.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}
