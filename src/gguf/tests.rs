//! Imports of small files: what comes out, what is refused, and that no bytes make the reader
//! panic.

mod fixture;
mod hostile;
mod pieces;
mod refusals;
mod tokens;
mod writing;

use std::{fs, path::Path};

use candle_core::quantized::GgmlDType;
use half::bf16;
use safetensors::SafeTensors;
use serde_json::Value;

use self::fixture::{Gguf, TYPES, VOCABULARY, gpt2, llama, qwen};
use super::{tensor_type::TensorType, *};
use crate::files::FileError;
use crate::progress::{Silent, StopFlag};

/// Writes the file and imports it into a folder next to it.
fn import_into(
    folder: &Path,
    file: &Gguf,
    options: ImportOptions,
) -> Result<ImportSummary, GgufError> {
    let gguf = folder.join("model.gguf");
    fs::write(&gguf, file.bytes()).unwrap();
    import(&gguf, &folder.join("out"), &options, &Silent)
}

fn imported(file: &Gguf, dtype: ImportDtype) -> (tempfile::TempDir, ImportSummary) {
    let folder = tempfile::tempdir().unwrap();
    let options = ImportOptions { dtype, force: false };
    let summary = import_into(folder.path(), file, options).unwrap();
    (folder, summary)
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join("out").join(name)).unwrap()).unwrap()
}

/// One imported tensor: its shape and its numbers.
fn weights(folder: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(folder.join("out/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = match view.dtype() {
        safetensors::Dtype::F32 => {
            view.data().chunks(4).map(|raw| f32::from_le_bytes(raw.try_into().unwrap())).collect()
        }
        safetensors::Dtype::BF16 => {
            let wide = |raw: &[u8]| bf16::from_le_bytes(raw.try_into().unwrap()).to_f32();
            view.data().chunks(2).map(wide).collect()
        }
        other => panic!("{other:?} was not asked for"),
    };
    (view.shape().to_vec(), numbers)
}

/// Type, and numbers at indices 0, 1, 17, 63, 130 and 255 (as bits) that gguf-py 0.19 reads
/// from 256 elements whose byte i is (37 i + 11) mod 120.
const GOLDEN: [(u32, &str, [u32; 6]); 15] = [
    (0, "F32", [0x0255300b, 0x1e714c27, 0x76512c07, 0x56310c5f, 0x2a055833, 0x3e196c47]),
    (1, "F16", [0x3e016000, 0x38154000, 0x4548a000, 0x3bce2000, 0x4083e000, 0x41c52000]),
    (30, "BF16", [0x300b0000, 0x02550000, 0x6a450000, 0x1e710000, 0x441f0000, 0x4e290000]),
    (2, "Q4_0", [0xbec21000, 0xbf421000, 0xbf816000, 0xc6c9a000, 0x4267a800, 0xbd345c00]),
    (3, "Q4_1", [0x3f626a55, 0x3fc2112a, 0x3f016255, 0x3acd2000, 0x4245a13a, 0x3acd2000]),
    (6, "Q5_0", [0x3e016000, 0xbe816000, 0x3e016000, 0xbcb37c00, 0x40c51000, 0xc748a000]),
    (7, "Q5_1", [0x4019a295, 0x40421095, 0x3f421255, 0x45076306, 0x4144a096, 0x4447a0f7]),
    (8, "Q8_0", [0x412bd380, 0x3e816000, 0x41667300, 0x488d1080, 0x3f78ba00, 0x46f2af00]),
    (10, "Q2_K", [0x3b8fbb00, 0x00000000, 0xc3143800, 0x398b6000, 0xc3459fe6, 0xc3770800]),
    (11, "Q3_K", [0x456e7700, 0xc59efa00, 0x4605e000, 0x44fb0400, 0xc4381400, 0x45d98c00]),
    (12, "Q4_K", [0x416c8310, 0x421dace4, 0xb8dfe000, 0x40c20457, 0x41c516b8, 0x3f420457]),
    (13, "Q5_K", [0x430509f1, 0x421dace4, 0xb8dfe000, 0x41e67016, 0x41c516b8, 0xb93a9000]),
    (14, "Q6_K", [0x44f27ab0, 0xc50fb100, 0xc55db200, 0x44c82440, 0xc5006c98, 0xc553b030]),
    (20, "IQ4_NL", [0xc08d8100, 0xc127c880, 0xc1805d40, 0xc88a9e00, 0x4469b980, 0xbf277a00]),
    (23, "IQ4_XS", [0x4293d230, 0xbf918c00, 0x41c82080, 0x4360a330, 0x410b7b80, 0x430914f8]),
];

#[test]
fn every_type_gives_the_numbers_of_gguf_py() {
    for (number, name, expected) in GOLDEN {
        let kind = TensorType(number);
        assert_eq!(kind.name(), name);
        let dtype = kind.readable().unwrap();
        let length = 256 / dtype.block_size() * dtype.type_size();
        let blocks: Vec<u8> = (0..length).map(|i| ((37 * i + 11) % 120) as u8).collect();
        let values = convert::dequantise(name, kind, &blocks).unwrap();
        let found = [0, 1, 17, 63, 130, 255].map(|index: usize| values[index].to_bits());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_llama_gets_its_names_shapes_and_numbers_back() {
    let mut file = llama(256, 2, &TYPES);
    let (folder, summary) = imported(&file, ImportDtype::F32);
    assert_eq!(summary.tensors, 2 + 2 * 9);
    assert_eq!(summary.types.len(), TYPES.len());
    for (stored, name) in [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"),
        ("blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"),
        ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"),
        ("blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"),
        ("blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"),
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
    ] {
        let stored = file.tensor(stored);
        let shape: Vec<usize> = stored.shape.iter().map(|&size| size as usize).collect();
        assert!(weights(folder.path(), name) == (shape, stored.values.clone()), "{name}");
    }
}

/// Their queries and keys are stored as Hugging Face has them, with biases or norms of their own.
#[test]
fn qwens_are_imported_and_open() {
    for (architecture, own) in [
        ("qwen2", &[("attn_q.bias", "q_proj.bias"), ("attn_v.bias", "v_proj.bias")]),
        ("qwen3", &[("attn_q_norm.weight", "q_norm.weight"), ("attn_k.weight", "k_proj.weight")]),
    ] {
        let mut file = qwen(architecture);
        let (folder, _) = imported(&file, ImportDtype::F32);
        assert_eq!(json(folder.path(), "config.json")["model_type"], architecture);
        for (stored, name) in own.iter().chain(&[("attn_q.weight", "q_proj.weight")]) {
            let found = weights(folder.path(), &format!("model.layers.1.self_attn.{name}")).1;
            assert_eq!(found, file.tensor(&format!("blk.1.{stored}")).values, "{name}");
        }
        let device = candle_core::Device::Cpu;
        let model = crate::model::Model::open(&folder.path().join("out"), &device, &Silent);
        assert_eq!(model.unwrap().decoder.config().model_type, architecture);
    }
}

/// The inverse of what the converter of llama.cpp does:
/// `w.reshape(heads, 2, head / 2, columns).swapaxes(1, 2).reshape(w.shape)`.
#[test]
fn the_row_permutation_of_queries_and_keys_is_undone() {
    let mut file = llama(256, 2, &TYPES);
    let (folder, _) = imported(&file, ImportDtype::F32);
    for (stored, name, heads) in [
        ("blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", 4),
        ("blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight", 2),
    ] {
        let (shape, found) = weights(folder.path(), name);
        let [rows, columns] = shape[..] else { panic!("{shape:?}") };
        let half = rows / heads / 2;
        let mut permuted = Vec::new();
        for head in 0..heads {
            for pair in 0..half {
                for side in 0..2 {
                    let row = (head * 2 + side) * half + pair;
                    permuted.extend_from_slice(&found[row * columns..][..columns]);
                }
            }
        }
        assert!(permuted == file.tensor(stored).values, "{name}");
    }
}

#[test]
fn the_config_of_a_llama_says_what_the_keys_say() {
    let (folder, _) = imported(&llama(64, 1, &[GgmlDType::F32]), ImportDtype::Bf16);
    let expected = serde_json::json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "hidden_act": "silu",
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100_000.0,
        "rope_scaling": null,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "torch_dtype": "bfloat16",
    });
    let found = json(folder.path(), "config.json");
    assert_eq!(found, expected);
    // Patches name the bytes of the file: with its keys in another order none of them would fit.
    let keys = |config: &Value| config.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&expected));
}

#[test]
fn a_head_of_its_own_is_kept() {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.add("output.weight", &[VOCABULARY, 64], GgmlDType::Q8_0);
    let (folder, _) = imported(&file, ImportDtype::F32);
    assert_eq!(json(folder.path(), "config.json")["tie_word_embeddings"], false);
    assert!(weights(folder.path(), "lm_head.weight").1 == file.tensor("output.weight").values);
}

#[test]
fn linear_scaling_of_positions_is_kept() {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    file.set("llama.rope.scaling.type", fixture::text_value("linear"));
    file.set("llama.rope.scaling.factor", fixture::f32_value(4.0));
    let (folder, _) = imported(&file, ImportDtype::F32);
    let expected = serde_json::json!({ "rope_type": "linear", "factor": 4.0 });
    assert_eq!(json(folder.path(), "config.json")["rope_scaling"], expected);
}

#[test]
fn a_gpt2_gets_its_matrices_transposed_back() {
    let mut file = gpt2();
    let (folder, summary) = imported(&file, ImportDtype::F32);
    assert_eq!((summary.architecture.as_str(), summary.tensors), ("gpt2", 16));
    let config = json(folder.path(), "config.json");
    assert_eq!((&config["n_inner"], &config["tie_word_embeddings"]), (&64.into(), &true.into()));
    for (stored, name) in [
        ("blk.0.attn_qkv.weight", "transformer.h.0.attn.c_attn.weight"),
        ("blk.0.attn_output.weight", "transformer.h.0.attn.c_proj.weight"),
        ("blk.0.ffn_up.weight", "transformer.h.0.mlp.c_fc.weight"),
        ("blk.0.ffn_down.weight", "transformer.h.0.mlp.c_proj.weight"),
    ] {
        let (shape, found) = weights(folder.path(), name);
        let stored = file.tensor(stored);
        let (rows, columns) = (stored.shape[0] as usize, stored.shape[1] as usize);
        assert_eq!(shape, [columns, rows], "{name}");
        for (index, value) in stored.values.iter().enumerate() {
            assert_eq!(found[index % columns * rows + index / columns], *value, "{name} {index}");
        }
    }
}

#[test]
fn narrow_types_are_rounded_once_to_nearest() {
    let mut file = llama(64, 1, &[GgmlDType::F32]);
    let (folder, summary) = imported(&file, ImportDtype::Bf16);
    let values = &file.tensor("blk.0.ffn_down.weight").values;
    let expected: Vec<f32> = values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect();
    let (_, found) = weights(folder.path(), "model.layers.0.mlp.down_proj.weight");
    assert!(found == expected);
    let size = fs::metadata(folder.path().join("out/model.safetensors")).unwrap().len();
    assert_eq!(summary.bytes, size);
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let file = llama(64, 1, &[GgmlDType::Q8_0]);
    let (first, second) = (imported(&file, ImportDtype::F32), imported(&file, ImportDtype::F32));
    for name in folder::FILES {
        let read = |folder: &Path| fs::read(folder.join("out").join(name)).unwrap();
        assert!(read(first.0.path()) == read(second.0.path()), "{name}");
    }
}

#[test]
fn an_existing_folder_is_replaced_only_on_request_and_only_if_it_is_a_model() {
    let (folder, _) = imported(&llama(64, 1, &[GgmlDType::F32]), ImportDtype::F32);
    let (again, forced) = (gpt2(), ImportOptions { force: true, ..ImportOptions::default() });
    let refused = import_into(folder.path(), &again, ImportOptions::default());
    assert!(matches!(refused, Err(GgufError::File(FileError::Exists { .. }))), "{refused:?}");
    import_into(folder.path(), &again, forced).unwrap();
    assert_eq!(json(folder.path(), "config.json")["model_type"], "gpt2");

    fs::write(folder.path().join("out/thesis.txt"), "two years of work").unwrap();
    let refused = import_into(folder.path(), &again, forced).unwrap_err().to_string();
    assert!(refused.contains("is not replaced"), "{refused}");
    assert_eq!(entries(folder.path()), ["model.gguf", "out"]);
}

#[test]
fn an_import_that_stops_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = folder.path().join("model.gguf");
    fs::write(&gguf, gpt2().bytes()).unwrap();
    let stop = StopFlag::default();
    stop.raise();
    let stopped = import(&gguf, &folder.path().join("out"), &ImportOptions::default(), &stop);
    assert!(matches!(stopped, Err(GgufError::Interrupted(_))), "{stopped:?}");
    assert_eq!(entries(folder.path()), ["model.gguf"]);
}

fn entries(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The small llama, its tensors in two files.
fn split(folder: &Path) -> Vec<std::path::PathBuf> {
    let whole = llama(64, 2, &[GgmlDType::Q8_0]);
    let mut parts = [whole.clone(), whole];
    let half = parts[0].tensors.len() / 2;
    parts[0].tensors.truncate(half);
    parts[1].tensors.drain(..half);
    parts[1].keys.clear();
    let path = |part: usize| folder.join(format!("tiny-{:05}-of-00002.gguf", part + 1));
    for (number, part) in parts.iter_mut().enumerate() {
        part.set("split.count", fixture::u32_value(2));
        part.set("split.no", fixture::u32_value(number as u32));
        fs::write(path(number), part.bytes()).unwrap();
    }
    vec![path(0), path(1)]
}

#[test]
fn a_model_in_several_files_is_read_as_one() {
    let (whole, _) = imported(&llama(64, 2, &[GgmlDType::Q8_0]), ImportDtype::F32);
    let folder = tempfile::tempdir().unwrap();
    let files = split(folder.path());
    assert_eq!(parts(&files[0]).unwrap(), files);
    let out = folder.path().join("out");
    let options = ImportOptions::default();
    import(&files[0], &out, &options, &Silent).unwrap();
    let read = |folder: &Path| fs::read(folder.join("out/model.safetensors")).unwrap();
    assert!(read(folder.path()) == read(whole.path()));

    let refused = |error: GgufError| {
        let GgufError::Malformed { source, .. } = error else { panic!("{error}") };
        source.to_string()
    };
    let later = refused(parts(&files[1]).unwrap_err());
    assert!(later.contains("name the first, tiny-00001-of-00002.gguf"), "{later}");
    let alone = GgufFile::open(&files[0]).unwrap();
    let alone = alone.edited(["x"], EditedAs::Usual).err().unwrap().to_string();
    assert!(alone.contains("--merge"), "{alone}");
    fs::rename(&files[0], folder.path().join("other.gguf")).unwrap();
    let unnamed = refused(parts(&folder.path().join("other.gguf")).unwrap_err());
    assert!(unnamed.contains("split into 2 files"), "{unnamed}");
    fs::rename(folder.path().join("other.gguf"), &files[0]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let missing = import(&files[0], &folder.path().join("again"), &options, &Silent);
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("tiny-00002-of-00002.gguf"), "{missing}");
}
