//! Files that cannot be imported, and the words in which that is said.

use super::{
    fixture::{f32_value, text_value, texts_value, u32_value},
    *,
};

/// The message for a small llama after a change.
fn refusal(change: impl FnOnce(&mut Gguf)) -> String {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    change(&mut file);
    refusal_of(&file, ImportDtype::F32)
}

fn refusal_of(file: &Gguf, dtype: ImportDtype) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = import_into(folder.path(), file, ImportOptions { dtype, force: false });
    assert_eq!(entries(folder.path()), ["model.gguf"]);
    let GgufError::Malformed { source, .. } = error.unwrap_err() else { panic!("another error") };
    source.to_string()
}

#[track_caller]
fn assert_refused(change: impl FnOnce(&mut Gguf), expected: &str) {
    let found = refusal(change);
    assert!(found.starts_with(expected), "found {found:?}\nexpected {expected:?}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    assert_refused(
        |file| file.set("general.architecture", text_value("mamba")),
        "architecture \"mamba\" is not supported, expected one of llama, granite",
    );
    assert_refused(
        |file| file.tensor("blk.0.ffn_up.weight").kind = 21,
        "tensor \"blk.0.ffn_up.weight\" has type IQ3_S, which is not supported, expected one of F32",
    );
    assert_refused(
        |file| file.tensor("blk.0.ffn_up.weight").kind = 39,
        "tensor \"blk.0.ffn_up.weight\" has type MXFP4, which",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.model", text_value("t5")),
        "tokenizer model \"t5\" is not supported, expected \"gpt2\"",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.pre", text_value("viking")),
        "pre-tokenizer \"viking\" is not supported, expected one of smollm",
    );
    assert_refused(
        |file| file.remove("tokenizer.ggml.pre"),
        "key \"tokenizer.ggml.pre\" is missing",
    );
}

#[test]
fn keys_that_change_the_mathematics_are_refused_by_name() {
    assert_refused(
        |file| file.set("llama.attention.sliding_window", u32_value(64)),
        "key \"llama.attention.sliding_window\" = 64 is not supported for architecture \"llama\"",
    );
    assert_refused(
        |file| file.set("llama.expert_count", u32_value(8)),
        "key \"llama.expert_count\" = 8 is not supported",
    );
    assert_refused(
        |file| file.set("llama.rope.scaling.type", text_value("su")),
        "key \"llama.rope.scaling.type\" = \"su\" is not supported",
    );
    assert_refused(
        |file| file.set("llama.rope.dimension_count", u32_value(8)),
        "key \"llama.rope.dimension_count\" = 8 is not supported",
    );
    assert_refused(
        |file| file.add("rope_freqs.weight", &[8], GgmlDType::F32),
        "element 0 of tensor \"rope_freqs.weight\" is",
    );
    assert_refused(
        |file| file.set("llama.rope.freq_base", f32_value(-1.0)),
        "key \"llama.rope.freq_base\" is -1, expected above 0",
    );
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    assert_refused(
        |file| file.set("llama.attention.head_count", u32_value(0)),
        "key \"llama.attention.head_count\" is 0, expected 1 to",
    );
    assert_refused(
        |file| file.set("llama.attention.head_count_kv", u32_value(3)),
        "key \"llama.attention.head_count_kv\" is 3, expected a divisor of the 4 attention heads",
    );
    assert_refused(
        |file| file.set("llama.feed_forward_length", u32_value(127)),
        "the shape of tensor \"blk.0.ffn_gate.weight\" is [128, 64], expected [127, 64]",
    );
    assert_refused(
        |file| file.set("llama.block_count", text_value("one")),
        "key \"llama.block_count\" is \"one\", expected an integer from 0",
    );
    assert_refused(
        |file| file.set("llama.vocab_size", u32_value(264)),
        "key \"llama.vocab_size\" is 264, expected 265, the rows of the embedding",
    );
}

#[test]
fn missing_and_surplus_tensors_are_refused() {
    assert_refused(
        |file| file.tensors.retain(|stored| stored.name != "blk.0.ffn_up.weight"),
        "tensor \"blk.0.ffn_up.weight\" is missing",
    );
    assert_refused(
        |file| file.add("blk.0.attn_q.bias", &[64], GgmlDType::F32),
        "tensor \"blk.0.attn_k.bias\" is missing",
    );
    assert_refused(
        |file| file.add("blk.0.ffn_up.bias", &[128], GgmlDType::F32),
        "tensor \"blk.0.ffn_gate.bias\" is missing",
    );
    assert_refused(
        |file| file.add("blk.0.ffn_norm.bias", &[64], GgmlDType::F32),
        "tensor \"blk.0.ffn_norm.bias\" has no place in a model of architecture \"llama\"",
    );
}

#[test]
fn tensors_must_lie_apart_and_inside_the_file() {
    assert_refused(
        |file| file.tensor("output_norm.weight").shift = 1 << 40,
        "the file ends early: tensor \"output_norm.weight\" needs 256 bytes at offset",
    );
    assert_refused(
        |file| file.tensor("output_norm.weight").shift = u64::MAX - 31,
        "the offset of tensor \"output_norm.weight\" is",
    );
    assert_refused(
        |file| file.tensor("output_norm.weight").shape = vec![1 << 40, 1 << 40],
        "the shape of tensor \"output_norm.weight\" is [1099511627776, 1099511627776], expected",
    );
    assert_refused(
        |file| {
            let twice = file.tensor("output_norm.weight").clone();
            file.tensors.push(twice);
        },
        "tensor \"output_norm.weight\" is listed twice, expected once",
    );
}

#[test]
fn weights_must_be_finite_and_fit_the_output_type() {
    assert_refused(
        |file| {
            file.tensor("blk.0.attn_v.weight").data[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        },
        "tensor \"blk.0.attn_v.weight\" holds NaN at element 2, expected finite numbers only",
    );
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.tensor("output_norm.weight").data[..4].copy_from_slice(&70_000f32.to_le_bytes());
    assert_eq!(
        refusal_of(&file, ImportDtype::F16),
        "tensor \"output_norm.weight\" holds 70000 at element 0, too large for f16"
    );
}

#[test]
fn a_tokenizer_that_contradicts_itself_is_refused() {
    let merges = |merge: &str| texts_value(&["h e".to_owned(), merge.to_owned()]);
    assert_refused(
        |file| file.set("tokenizer.ggml.merges", merges("he x")),
        "merge 1 is \"he x\", expected two tokens of the vocabulary whose join is a third",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.merges", merges("he")),
        "merge 1 is \"he\", expected two tokens with one space between them",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.tokens", texts_value(&["a".to_owned(), "a".to_owned()])),
        "key \"tokenizer.ggml.tokens\" is 2, expected 265 tokens",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.tokens", texts_value(&vec!["a".to_owned(); VOCABULARY])),
        "token 1 is \"a\", which is also token 0, expected another text",
    );
    assert_refused(
        |file| file.set("tokenizer.ggml.eos_token_id", u32_value(265)),
        "key \"tokenizer.ggml.eos_token_id\" is 265, expected the id of one of 265 tokens",
    );
}

#[test]
fn a_part_of_a_split_model_is_refused() {
    assert_refused(
        |file| file.set("split.count", u32_value(3)),
        "the model is split into 3 files, of which 1 can be used here",
    );
}

#[test]
fn other_files_and_missing_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.gguf");
    let out = folder.path().join("out");
    let attempt = || import(&path, &out, &ImportOptions::default(), &Silent).unwrap_err();
    assert!(attempt().to_string().starts_with("cannot read"), "{}", attempt());
    for (bytes, expected) in [
        (&b"PK\x03\x04 a zip"[..], "not a GGUF file: it is a zip archive"),
        (b"no model", "not a GGUF file: it starts with [6e, 6f, 20, 6d], expected"),
        (b"", "not a GGUF file: it is empty"),
        (b"GGUF\x01\0\0\0", "GGUF version 1 is not supported, expected 2 or 3"),
        (b"GGUF\x03\0\0\0", "the file ends early: the number of tensors needs 8 bytes at offset 8"),
    ] {
        fs::write(&path, bytes).unwrap();
        let GgufError::Malformed { source, .. } = attempt() else { panic!("{bytes:?}") };
        assert!(source.to_string().starts_with(expected), "{source}");
    }
}
