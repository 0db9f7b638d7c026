//! Files that are written: from another file, from a folder, and adapters.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde_json::json;

use super::*;
use crate::gguf::header::TensorEntry;
use crate::gguf::order::Ordered;

const DOWN: &str = "model.layers.1.mlp.down_proj.weight";
const QUERY: &str = "model.layers.0.self_attn.q_proj.weight";

/// Numbers of tensors by name, and what is read back of them.
#[derive(Default)]
struct Numbers {
    given: BTreeMap<String, Vec<f32>>,
    read: BTreeMap<String, (String, Vec<f32>)>,
}

impl Contents for Numbers {
    type Error = Infallible;

    fn numbers(&mut self, tensor: &str, elements: Range<usize>) -> Result<Vec<f32>, Infallible> {
        Ok(self.given[tensor][elements].to_vec())
    }

    fn watches(&self, _: &str) -> bool {
        true
    }

    fn stored(&mut self, tensor: &str, read: &[f32]) -> Result<(), Infallible> {
        self.read.entry(tensor.to_owned()).or_default().1.extend(read);
        Ok(())
    }

    fn finished(&mut self, tensor: &str, kind: &str) -> Result<(), Infallible> {
        self.read.get_mut(tensor).expect("some of it was stored").0 = kind.to_owned();
        Ok(())
    }
}

fn written(draft: &Draft<'_>, contents: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = draft.write(&mut bytes, contents, &Silent).ok().unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

/// `folder/model.gguf`, imported, with some tensors changed a little.
fn changed(folder: &Path, names: &[&str]) -> (GgufFile, Numbers) {
    let mut numbers = Numbers::default();
    for name in names {
        let (_, values) = weights(folder, name);
        let moved = |(index, value): (usize, &f32)| value + 0.01 * (index as f32 * 0.7).sin();
        let moved = values.iter().enumerate().map(moved).collect();
        numbers.given.insert((*name).to_owned(), moved);
    }
    (GgufFile::open(&folder.join("model.gguf")).unwrap(), numbers)
}

/// What the folder says of a file of these bytes.
fn again(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.gguf"), bytes).unwrap();
    let (from, out) = (folder.path().join("model.gguf"), folder.path().join("out"));
    import(&from, &out, &ImportOptions::default(), &Silent).unwrap();
    folder
}

#[test]
fn all_but_the_edited_tensors_is_the_original_to_the_byte() {
    let rows = [
        (EditedAs::Usual, "F16", "F16"),
        (EditedAs::Stored, "Q6_K", "Q4_1"),
        (EditedAs::Type(GgufType::F32), "F32", "F32"),
        (EditedAs::Type(GgufType::Bf16), "BF16", "BF16"),
        (EditedAs::Type(GgufType::Q8_0), "Q8_0", "Q8_0"),
        (EditedAs::Type(GgufType::Q4_0), "Q4_0", "Q4_0"),
        (EditedAs::Type(GgufType::Q4_1), "Q4_1", "Q4_1"),
    ];
    let mut file = llama(256, 2, &[GgmlDType::Q4_1, GgmlDType::F32, GgmlDType::Q8_0]);
    file.tensors.retain(|stored| stored.name != "blk.1.ffn_down.weight");
    file.add("blk.1.ffn_down.weight", &[256, 512], GgmlDType::Q6K);
    file.set("general.alignment", fixture::u32_value(64));
    for (edited_as, down, query) in rows {
        let (folder, _) = imported(&file, ImportDtype::F32);
        let (original, mut numbers) = changed(folder.path(), &[DOWN, QUERY]);
        let draft = original.edited([DOWN, QUERY], edited_as).unwrap();
        let bytes = written(&draft, &mut numbers);
        let before = fs::read(folder.path().join("model.gguf")).unwrap();
        let (old, new) = (header(&before), header(&bytes));
        assert_eq!(old.keys.bytes, new.keys.bytes);
        for (name, entry) in &old.tensors {
            let now = &new.tensors[name];
            assert_eq!((&now.shape, now.index), (&entry.shape, entry.index), "{name}");
            assert_eq!((now.start - start(&new)) % 64, 0, "{name}");
            let edited = [("blk.1.ffn_down.weight", down), ("blk.0.attn_q.weight", query)];
            match edited.into_iter().find(|(edited, _)| edited == name) {
                Some((_, kind)) => assert_eq!(now.kind.name(), kind),
                None => assert!(new.data(now) == old.data(entry), "{name}"),
            }
        }
        let folder = again(&bytes);
        for name in [DOWN, QUERY] {
            let (_, read) = weights(folder.path(), name);
            assert!(read == numbers.read[name].1, "{edited_as:?}: an import reads {name} so");
            let off = read.iter().zip(&numbers.given[name]).map(|(a, b)| (a - b).abs());
            let off = off.fold(0., f32::max);
            let most = if numbers.read[name].0.starts_with('Q') { 0.2 } else { 0.01 };
            assert!(off < most, "{edited_as:?} {name}: {off}");
            assert!(numbers.read[name].0 != "F32" || off == 0.);
        }
    }
}

fn header(bytes: &[u8]) -> GgufHeader<'_> {
    GgufHeader::parse(bytes).unwrap()
}

/// Where the numbers of a file begin.
fn start(header: &GgufHeader<'_>) -> u64 {
    header.tensors.values().map(|entry| entry.start).min().unwrap()
}

#[test]
fn a_head_that_is_written_twice_is_edited_twice() {
    let (folder, _) = imported(&gpt2(), ImportDtype::F32);
    let names = ["transformer.wte.weight", "transformer.h.0.mlp.c_proj.weight"];
    let (original, mut numbers) = changed(folder.path(), &names);
    let draft = original.edited(names, EditedAs::Type(GgufType::F32)).unwrap();
    let bytes = written(&draft, &mut numbers);
    let new = header(&bytes);
    let data = |name: &str| new.data(&new.tensors[name]);
    assert!(data("output.weight") == data("token_embd.weight"));
    let folder = again(&bytes);
    for name in names {
        assert!(weights(folder.path(), name).1 == numbers.given[name], "{name}");
    }
    assert!(json(folder.path(), "config.json")["tie_word_embeddings"] == true);
}

#[test]
fn what_cannot_be_stored_again_is_named() {
    let mut file = llama(256, 2, &[GgmlDType::F32]);
    let down = file.tensor("blk.1.ffn_down.weight");
    (down.kind, down.data) = (20, vec![0; 256 * 512 / 32 * 18]);
    let (folder, _) = imported(&file, ImportDtype::F32);
    let (original, _) = changed(folder.path(), &[]);
    let error = original.edited([DOWN], EditedAs::Stored).err().unwrap().to_string();
    assert!(error.contains("blk.1.ffn_down.weight") && error.contains("IQ4_NL"), "{error}");
    assert!(original.edited([DOWN], EditedAs::Usual).is_ok());
    let error = original.edited(["no.such.weight"], EditedAs::Usual).err().unwrap().to_string();
    assert!(error.contains("no.such.weight"), "{error}");
}

fn model(name: &str) -> crate::model::Model {
    let folder = fixtures().join(name).join("model");
    crate::model::Model::open(&folder, &Device::Cpu, &Silent).unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A fixture with changes to its config, after which it says nothing that a GGUF file cannot.
fn model_with(name: &str, changes: &Value) -> (tempfile::TempDir, crate::model::Model) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures().join(name).join("model")).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(path, config.to_string()).unwrap();
    let model = crate::model::Model::open(folder.path(), &Device::Cpu, &Silent).unwrap();
    (folder, model)
}

#[test]
fn a_folder_and_its_file_hold_the_same_model() {
    let (full, sliding) = (["full_attention"; 3], ["sliding_attention"; 3]);
    let yarn =
        json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64 });
    let rows = [
        ("llama", json!({})),
        ("gpt2", json!({})),
        ("mistral", json!({ "sliding_window": null })),
        ("qwen2", json!({ "use_sliding_window": false, "layer_types": full })),
        ("qwen3", json!({})),
        ("phi3", json!({})),
        ("gemma2", json!({ "query_pre_attn_scalar": 12 })),
        ("gemma3_text", json!({ "query_pre_attn_scalar": 12, "layer_types": sliding })),
        ("olmo2", json!({})),
        ("olmo3", json!({ "layer_types": sliding, "rope_scaling": yarn })),
        ("llama_f16_bias", json!({})),
        ("mistral", json!({ "model_type": "ministral", "sliding_window": null })),
        ("granite", json!({})),
        ("smollm3", json!({ "no_rope_layers": [1, 1, 1], "no_rope_layer_interval": 4 })),
        ("starcoder2", json!({ "sliding_window": null })),
        ("stablelm", json!({})),
        ("gpt_neox", json!({})),
    ];
    for (name, changes) in rows {
        let (_folder, model) = model_with(name, &changes);
        let draft = Draft::of_model(&model, "Tiny", Types::default()).unwrap();
        assert!(draft.warnings.is_empty(), "{name}: {:?}", draft.warnings);
        let mut numbers = Numbers::default();
        for tensor in model.weights.names() {
            numbers.given.insert(tensor.to_owned(), model.weights.load_vec(tensor).unwrap());
        }
        let folder = again(&written(&draft, &mut numbers));
        let read = crate::model::Model::open(&folder.path().join("out"), &Device::Cpu, &Silent);
        let read = read.unwrap();
        for tensor in model.weights.names() {
            assert_eq!(read.weights.shape(tensor).unwrap(), model.weights.shape(tensor).unwrap());
            let values = read.weights.load_vec(tensor).unwrap();
            let off = values.iter().zip(&numbers.given[tensor]).map(|(a, b)| (a - b).abs());
            // Gemma's norms are stored with 1 added.
            let most = if name.starts_with("gemma") { 1e-6 } else { 0. };
            assert!(off.fold(0., f32::max) <= most, "{name}: {tensor}");
        }
        let [one, other] = [&read, &model].map(|it| it.decoder.config());
        assert_eq!(one.differences(other), [""; 0], "{name}");
        assert_eq!(read.stop_tokens, model.stop_tokens, "{name}");
        for text in ["The Eiffel Tower is in", "Zoë's 12 cafés"] {
            let [one, other] = [&read, &model].map(|it| it.tokenizer.encode(text).unwrap().ids);
            assert_eq!(one, other, "{name} {text:?}");
        }
    }
}

#[test]
fn windows_that_llama_cpp_does_not_have_are_told_of() {
    let draft_of =
        |name| Draft::of_model(&model(name), name, Types::default()).map(|it| it.warnings);
    for name in ["mistral", "qwen2", "starcoder2"] {
        let warnings = draft_of(name).unwrap();
        let told = warnings.iter().any(|it| it.contains("texts of more than 6 tokens"));
        assert!(told, "{name}: {warnings:?}");
    }
}

#[test]
fn matrices_are_stored_as_asked_and_vectors_in_single_precision() {
    let model = model("llama");
    let types = Types {
        matrices: Some(GgufType::Q8_0),
        edited_as: EditedAs::Type(GgufType::F32),
        edited: &[DOWN],
    };
    let draft = Draft::of_model(&model, "Tiny", types).unwrap();
    let kinds = draft.tensors.iter().map(|it| (it.name.as_str(), it.kind.name()));
    let kinds: BTreeMap<_, _> = kinds.collect();
    assert_eq!(kinds["blk.1.ffn_down.weight"], "F32");
    assert_eq!(kinds["output_norm.weight"], "F32");
    for (name, kind) in kinds.iter().filter(|(name, _)| name.contains("ffn_up")) {
        let columns = draft.tensors.iter().find(|it| it.name == *name).unwrap().shape[1];
        let expected = if columns % 32 == 0 { "Q8_0" } else { "F16" };
        assert_eq!(kind, expected, "{name} of {columns} columns");
    }
}

#[test]
fn what_the_form_has_no_place_for_is_named() {
    let rows = [
        ("gemma2", "what this model has for score_scale"),
        ("olmo3", "what this model has for sight"),
        ("smollm3", "what this model has for sight"),
        ("gptj", "llama.cpp has a name for them, and does not compute them"),
    ];
    for (name, what) in rows {
        let model = model(name);
        let error = Draft::of_model(&model, name, Types::default()).err().unwrap().to_string();
        assert!(error.contains(what), "{name}: {error}");
    }
}

#[test]
fn an_adapter_holds_the_changes_in_the_order_of_the_file() {
    let model = model("llama");
    let config = model.decoder.config();
    let matrix = |rows: usize, columns: usize| {
        let values = (0..rows * columns).map(|index| (index as f32 * 0.3).cos());
        Tensor::from_vec(values.collect::<Vec<f32>>(), (rows, columns), &Device::Cpu).unwrap()
    };
    let queries = config.attention.heads * config.attention.head_dim;
    let sizes = [(DOWN, config.intermediate, config.hidden), (QUERY, config.hidden, queries)];
    let factors = sizes.map(|(name, columns, rows)| (name, matrix(2, columns), matrix(rows, 2)));
    let draft = adapter(&model, "edit", factors.iter().map(|(name, a, b)| (*name, a, b))).unwrap();
    let bytes = written(&draft, &mut Numbers::default());
    let file = header(&bytes);
    assert_eq!(file.metadata.text("general.architecture").unwrap(), Some("llama"));
    assert_eq!(file.metadata.text("adapter.type").unwrap(), Some("lora"));
    assert_eq!(file.metadata.real("adapter.lora.alpha").unwrap(), Some(2.));
    let numbers =
        |entry: &TensorEntry| convert::dequantise("", entry.kind, file.data(entry)).unwrap();
    for ((_, a, b), stem) in factors.iter().zip(["blk.1.ffn_down", "blk.0.attn_q"]) {
        let [one, other] =
            ["a", "b"].map(|part| &file.tensors[format!("{stem}.weight.lora_{part}").as_str()]);
        assert_eq!(one.shape, a.dims());
        assert_eq!(other.shape, b.dims());
        let order = if stem.ends_with('q') { Order::RotaryPairs } else { Order::Same };
        let ordered = Ordered { order, columns: 2, head: config.attention.head_dim };
        assert_eq!(numbers(one), a.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let own = b.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(ordered.to_model(numbers(other)), own);
    }
}

#[test]
fn a_number_that_its_type_cannot_hold_is_refused() {
    let file = llama(64, 2, &[GgmlDType::F32]);
    let (folder, _) = imported(&file, ImportDtype::F32);
    let (original, mut numbers) = changed(folder.path(), &[DOWN]);
    numbers.given.get_mut(DOWN).unwrap()[77] = 1e9;
    let draft = original.edited([DOWN], EditedAs::Type(GgufType::F16)).unwrap();
    let failure = draft.write(&mut Vec::new(), &mut numbers, &Silent).err();
    let Some(DraftFailure::TooLarge { tensor, kind, value }) = failure else { panic!("written") };
    assert_eq!((tensor.as_str(), kind.as_str(), value), ("blk.1.ffn_down.weight", "F16", 1e9));
}
