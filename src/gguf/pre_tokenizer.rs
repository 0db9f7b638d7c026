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

/// Each digit.
const DIGITS: &str = r"\p{N}";

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

    /// The name under which a `tokenizer.json` cuts text into words; the error says what is not
    /// known about it.
    pub(super) fn of(tokenizer: &Value) -> Result<&'static str, String> {
        let mut cuts = Vec::new();
        for step in steps(&tokenizer["pre_tokenizer"]) {
            let kind = step["type"].as_str().unwrap_or_default();
            let expression = step["pattern"]["Regex"].as_str();
            // To remove what lies between matches leaves the same words, if all text matches.
            let isolates = step["behavior"] == "Isolated" || step["invert"] == true;
            match (kind, expression) {
                ("ByteLevel", _) if step["use_regex"] == false => {}
                ("ByteLevel", _) => cuts.push(GPT_2),
                ("Digits", _) if step["individual_digits"] == true => cuts.push(DIGITS),
                ("Split", Some(expression)) if isolates => cuts.push(expression),
                _ => return Err(format!("its pre-tokenizer {step} has no name in GGUF files")),
            }
        }
        let is_composed = tokenizer["normalizer"]["type"] == "NFC";
        let ignores_merges = tokenizer["model"]["ignore_merges"] == true;
        let fits = |row: &&PreTokenizer| {
            row.cuts.iter().map(Cut::expression).eq(cuts.iter().copied())
                && (row.is_composed, row.ignores_merges) == (is_composed, ignores_merges)
        };
        let row = TABLE.iter().find(fits);
        row.map(|row| row.names[0])
            .ok_or_else(|| "the way in which it cuts text has no name in GGUF files".to_owned())
    }

    /// The `pre_tokenizer` of `tokenizer.json`: the cuts, then bytes as printable characters; with a
    /// prefix, a blank before the text.
    pub(super) fn json(&self, has_prefix: bool) -> Value {
        let Some((last, before)) = self.cuts.split_last() else {
            return byte_level(false, has_prefix);
        };
        let mut steps: Vec<Value> = before.iter().map(Cut::json).collect();
        if !matches!(last, Cut::Gpt2) {
            steps.push(last.json());
        }
        steps.push(byte_level(matches!(last, Cut::Gpt2), has_prefix));
        if steps.len() == 1 {
            return steps.remove(0);
        }
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

impl Cut {
    /// The expression whose matches are words.
    fn expression(&self) -> &'static str {
        match self {
            Cut::Digits => DIGITS,
            Cut::Gpt2 => GPT_2,
            Cut::Around(expression) => expression,
        }
    }

    fn json(&self) -> Value {
        if let Cut::Digits = self {
            return json!({ "type": "Digits", "individual_digits": true });
        }
        json!({
            "type": "Split",
            "pattern": { "Regex": self.expression() },
            "behavior": "Isolated",
            "invert": false,
        })
    }
}

/// The steps of a normalizer or a pre-tokenizer, one after the other.
pub(super) fn steps(part: &Value) -> Vec<&Value> {
    let inner = part.get("pretokenizers").or_else(|| part.get("normalizers"));
    match inner.and_then(Value::as_array) {
        Some(inner) => inner.iter().flat_map(steps).collect(),
        None if part.is_null() => Vec::new(),
        None => vec![part],
    }
}

/// The step that writes bytes as printable characters, as pre-tokenizer, decoder or post-processor.
pub(super) fn byte_level(use_regex: bool, has_prefix: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": has_prefix,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}
