//! Token ids of awkward texts, from the rebuilt `tokenizer.json`.

use tokenizers::Tokenizer;

use super::{
    fixture::{bool_value, byte_character, text_value},
    *,
};

const END: &str = "<|end|>";

/// The tokenizer of a small llama with another pre-tokenizer, and perhaps a word on BOS.
fn tokenizer(pre: &str, adds_bos: Option<bool>) -> Tokenizer {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.set("tokenizer.ggml.pre", text_value(pre));
    if let Some(adds_bos) = adds_bos {
        file.set("tokenizer.ggml.add_bos_token", bool_value(adds_bos));
    }
    let (folder, _) = imported(&file, ImportDtype::F32);
    Tokenizer::from_file(folder.path().join("out/tokenizer.json")).unwrap()
}

/// Tokens of a text, joined by `|`; bytes are written as GPT-2 writes them.
fn cut(tokenizer: &Tokenizer, text: &str) -> String {
    tokenizer.encode(text, true).unwrap().get_tokens().join("|")
}

/// What a text becomes where nothing merges.
fn bytes(text: &str) -> String {
    let characters: Vec<String> =
        text.bytes().map(|byte| byte_character(byte).to_string()).collect();
    characters.join("|")
}

#[test]
fn each_pre_tokenizer_cuts_as_its_models_do() {
    // "1 2" is a merge: it shows which ones cut between digits.
    let table = [
        ("smollm", "the 12", "t|he|Ġ|1|2"),
        ("smollm", " the the", "Ġthe|Ġthe"),
        ("smollm", "3.14", "3|.|1|4"),
        ("smollm", "!!\n\n t", "!!|Ċ|Ċ|Ġt"),
        ("gpt-2", "the 12", "t|he|Ġ|12"),
        ("gpt-2", "0123", "0|12|3"),
        ("gpt-2", "\t the", "ĉ|Ġthe"),
        ("qwen2", " 12", "Ġ|1|2"),
        ("qwen2", "!!\n", "!!|Ċ"),
        ("llama-bpe", "0012", "0|0|1|2"),
        ("llama-bpe", "12", "12"),
        ("default", "0012", "0|0|1|2"),
        ("default", "12", "12"),
        ("default", "the!!", "t|he|!!"),
    ];
    for (pre, text, expected) in table {
        assert_eq!(cut(&tokenizer(pre, Some(false)), text), expected, "{pre} {text:?}");
    }
}

#[test]
fn any_text_comes_back_from_its_tokens() {
    let tokenizer = tokenizer("smollm", None);
    for text in ["déjà vu", "👩‍👩‍👧‍👦 12345", "   three", "\n\n\n", "\tif x:\r\n", "日本語", "½ ² ٣"]
    {
        let encoding = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), text);
    }
    assert_eq!(cut(&tokenizer, "é👍"), bytes("é👍"));
}

#[test]
fn qwen_composes_accents_and_others_do_not() {
    let apart = "e\u{301}";
    assert_eq!(cut(&tokenizer("qwen2", None), apart), bytes("é"));
    assert_eq!(cut(&tokenizer("smollm", None), apart), bytes(apart));
}

#[test]
fn special_tokens_are_found_in_the_text_and_fillers_are_not() {
    let tokenizer = tokenizer("smollm", None);
    assert_eq!(tokenizer.encode("<|user|>t<tool><|end|>", true).unwrap().get_ids()[0], 1);
    assert_eq!(cut(&tokenizer, "<|user|>t<tool><|end|>"), "<|user|>|t|<tool>|<|end|>");
    assert_eq!(cut(&tokenizer, "<|use"), bytes("<|use"));
    assert_eq!(cut(&tokenizer, "[PAD264]"), bytes("[PAD264]"));
    assert_eq!(tokenizer.decode(&[1, 263, 0], true).unwrap(), "<tool>");
}

#[test]
fn a_bos_comes_only_where_the_file_or_its_pre_tokenizer_declares_it() {
    let table = [
        ("smollm", None, "t"),
        ("smollm", Some(true), "<|user|>|t"),
        ("llama-bpe", None, "<|user|>|t"),
        ("llama-bpe", Some(false), "t"),
    ];
    for (pre, declared, expected) in table {
        assert_eq!(cut(&tokenizer(pre, declared), "t"), expected, "{pre} {declared:?}");
    }
}

#[test]
fn the_files_beside_the_tokenizer_name_the_special_tokens() {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.set("tokenizer.ggml.eot_token_id", fixture::u32_value(1));
    let (folder, _) = imported(&file, ImportDtype::F32);
    let special = serde_json::json!({
        "bos_token": "<|user|>", "eos_token": END, "pad_token": END,
    });
    assert_eq!(json(folder.path(), "special_tokens_map.json"), special);
    let config = json(folder.path(), "tokenizer_config.json");
    assert_eq!(config["chat_template"], "{{ messages }}");
    assert_eq!(config["model_max_length"], 128);
    assert_eq!(config["model_input_names"], serde_json::json!(["input_ids", "attention_mask"]));
    assert_eq!(
        json(folder.path(), "generation_config.json"),
        serde_json::json!({ "bos_token_id": 1, "eos_token_id": [0, 1], "pad_token_id": 0 })
    );
}
