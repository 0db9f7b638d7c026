//! A SentencePiece vocabulary gives the ids that SentencePiece gives, on awkward texts.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::{
    fixture::{bool_value, integers_value, reals_value, text_value, texts_value, u32_value},
    *,
};

/// The vocabulary and the ids of texts, by `tests/fixtures/sentencepiece/generate.py`.
fn fixture() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sentencepiece/pieces.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn tokenizer(pieces: &Value, has_prefix: Option<bool>) -> Tokenizer {
    let pieces = pieces.as_array().unwrap();
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.tensors.retain(|stored| stored.name != "token_embd.weight");
    file.add("token_embd.weight", &[pieces.len(), 64], GgmlDType::F32);
    let texts: Vec<String> = pieces.iter().map(|it| it[0].as_str().unwrap().to_owned()).collect();
    let scores: Vec<f32> = pieces.iter().map(|it| it[1].as_f64().unwrap() as f32).collect();
    let types: Vec<i32> = pieces.iter().map(|it| it[2].as_i64().unwrap() as i32).collect();
    ["pre", "merges", "padding_token_id"]
        .iter()
        .for_each(|key| file.remove(&format!("tokenizer.ggml.{key}")));
    file.set("tokenizer.ggml.model", text_value("llama"));
    file.set("tokenizer.ggml.tokens", texts_value(&texts));
    file.set("tokenizer.ggml.scores", reals_value(&scores));
    file.set("tokenizer.ggml.token_type", integers_value(&types));
    file.set("tokenizer.ggml.eos_token_id", u32_value(2));
    file.set("tokenizer.ggml.unknown_token_id", u32_value(0));
    if let Some(has_prefix) = has_prefix {
        file.set("tokenizer.ggml.add_space_prefix", bool_value(has_prefix));
    }
    let (folder, _) = imported(&file, ImportDtype::F32);
    Tokenizer::from_file(folder.path().join("out/tokenizer.json")).unwrap()
}

#[test]
fn texts_get_the_ids_of_sentence_piece_and_come_back() {
    let fixture = fixture();
    let tokenizer = tokenizer(&fixture["pieces"], None);
    for row in fixture["texts"].as_array().unwrap() {
        let text = row[0].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(row[1].clone()).unwrap();
        let encoding = tokenizer.encode(text, false).unwrap();
        assert_eq!(encoding.get_ids(), ids, "{text:?}: {:?}", encoding.get_tokens());
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text.replace('▁', " "));
    }
    let begun = tokenizer.encode("a", true).unwrap();
    assert_eq!(begun.get_tokens()[0], "<s>", "a BOS by default");
    assert_eq!(tokenizer.encode("<|user|>", false).unwrap().get_ids(), [3]);
}

#[test]
fn a_file_can_do_without_the_blank_before_a_text() {
    let tokenizer = tokenizer(&fixture()["pieces"], Some(false));
    let tokens = |text: &str| tokenizer.encode(text, false).unwrap().get_tokens().join("|");
    assert_eq!(tokens("the"), "th|e");
    assert_eq!(tokens(" the"), "▁the");
    let ids = tokenizer.encode(" the", false).unwrap().get_ids().to_vec();
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), " the");
}
