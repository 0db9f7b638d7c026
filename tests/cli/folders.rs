//! Model folders as people have them: keys of other programs, other names, contradictions, pointers.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::desk::{Desk, text};

const ASK: &str = "ask Rome --tokens 8 --model";
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
                       oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
                       size 269060552\n";

fn change_config(folder: &Path, entries: Value) {
    let file = folder.join("config.json");
    let bytes = std::fs::read(&file).expect("a config");
    let mut config: Map<String, Value> = serde_json::from_slice(&bytes).expect("JSON");
    config.extend(entries.as_object().expect("an object").clone());
    std::fs::write(file, serde_json::to_vec(&config).expect("JSON")).expect("written");
}

/// Writes the weights anew under the names that `rename` gives; nothing for one that is left out.
fn rename(folder: &Path, rename: impl Fn(&str) -> Vec<String>) {
    let file = folder.join("model.safetensors");
    let bytes = std::fs::read(&file).expect("weights");
    let weights = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors = weights.tensors();
    let views = tensors
        .iter()
        .flat_map(|(name, view)| rename(name).into_iter().map(move |name| (name, view)));
    let views: Vec<(String, &TensorView<'_>)> = views.collect();
    let bytes = safetensors::serialize(views, None).expect("serialised");
    std::fs::write(file, bytes).expect("written");
}

#[test]
fn keys_that_compute_nothing_are_read_past_and_all_others_named_at_once() {
    let desk = Desk::new();
    desk.model_with("harmless", |folder| {
        let keys = json!({
            "unsloth_fixed": true, "unsloth_version": "2024.9", "output_past": true,
            "id2label": {"0": "LABEL_0"}, "top_k": 50, "_attn_implementation": "sdpa",
            "hidden_dropout_prob": 0.1, "sep_token_id": 3, "problem_type": "x",
            "layer_types": ["full_attention", "full_attention", "full_attention"],
            "router_aux_loss_coef": 0.001, "max_length": 20,
        });
        change_config(folder, keys);
    });
    assert_eq!(desk.ok(&format!("{ASK} harmless")), desk.ok(&format!("{ASK} MODEL")));
    desk.model_with("strange", |folder| {
        change_config(folder, json!({ "warp_factor": 9, "spin": "left" }));
    });
    let says = [
        "spin = \"left\" and warp_factor = 9 are not supported",
        "--ignore-config-key spin --ignore-config-key warp_factor",
    ];
    desk.fails(&format!("{ASK} strange"), 3, &says);
    let ignoring =
        format!("{ASK} strange --ignore-config-key spin --ignore-config-key warp_factor");
    assert_eq!(desk.ok(&ignoring), desk.ok(&format!("{ASK} MODEL")));
    desk.fails("inspect strange", 3, &says);
    desk.ok("inspect strange --ignore-config-key spin --ignore-config-key warp_factor");
}

#[test]
fn names_are_read_with_and_without_prefixes() {
    let desk = Desk::new();
    let expected = desk.ok(&format!("{ASK} MODEL"));
    let prefixes = ["", "base_model.model.model.", "module.model.", "language_model.model."];
    for (index, prefix) in prefixes.into_iter().enumerate() {
        let folder = format!("named{index}");
        let head = prefix.strip_suffix("model.").unwrap_or(prefix);
        desk.model_with(&folder, |folder| {
            rename(folder, |name| {
                let own = name.strip_prefix("model.").map(|stem| format!("{prefix}{stem}"));
                vec![own.unwrap_or_else(|| format!("{head}{name}"))]
            });
        });
        assert_eq!(desk.ok(&format!("{ASK} {folder}")), expected, "{prefix:?}");
    }
    let edit = "edit spec.toml --model named1 --max-delta 100 --out edited";
    desk.ok(edit);
    let patched = desk.json(&format!("{ASK} named1 --patch spec.patch.safetensors --json"));
    let exported = desk.json(&format!("{ASK} edited --json"));
    assert_eq!(patched["after"], exported["before"]);
}

#[test]
fn pointers_in_place_of_files_say_what_they_are() {
    let desk = Desk::new();
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let folder = name.replace('.', "_");
        desk.model_with(&folder, |folder| {
            std::fs::write(folder.join(name), POINTER).expect("written");
        });
        let says = [name, "Git LFS pointer", "git lfs pull"];
        desk.fails(&format!("{ASK} {folder}"), 3, &says);
    }
    desk.write("pointer.gguf", POINTER);
    desk.fails(&format!("{ASK} pointer.gguf"), 3, &["pointer.gguf", "git lfs pull"]);
    for name in ["tokenizer_config.json", "generation_config.json", "chat_template.jinja"] {
        let folder = format!("chat_{}", name.replace('.', "_"));
        desk.model_with(&folder, |folder| {
            std::fs::write(folder.join(name), POINTER).expect("written");
        });
        let says = [name, "Git LFS pointer", "git lfs pull"];
        desk.fails(&format!("{ASK} {folder} --chat"), 3, &says);
    }
}

#[test]
fn a_file_of_another_kind_is_never_read_as_passages_or_facts() {
    let desk = Desk::new();
    let page = "<!DOCTYPE html>\n<html><body>Please sign in</body></html>";
    let rows: [(&str, &[u8], &str); 6] = [
        ("pointer.txt", POINTER.as_bytes(), "git lfs pull"),
        ("pointer.jsonl", POINTER.as_bytes(), "git lfs pull"),
        ("page.md", page.as_bytes(), "web page"),
        ("page.json", page.as_bytes(), "web page"),
        ("paper.txt", b"%PDF-1.4\n1 0 obj", "PDF"),
        ("sheet.csv", b"PK\x03\x04\x14\0", ".xlsx"),
    ];
    for (name, bytes, says) in rows {
        std::fs::write(desk.path(name), bytes).expect("written");
        desk.write("passages.toml", &format!("[[learn]]\npassages = \"{name}\"\n"));
        desk.fails("plan passages.toml --model MODEL", 2, &[name, says]);
        desk.fails(&format!("plan {name} --model MODEL"), 2, &[name, says]);
    }
}

#[test]
fn a_size_that_is_none_is_named_with_its_value() {
    let desk = Desk::new();
    let rows = [
        (json!({ "hidden_size": "32" }), "hidden_size is \"32\""),
        (json!({ "num_hidden_layers": -1 }), "num_hidden_layers is -1"),
        (json!({ "num_attention_heads": 0 }), "num_attention_heads is 0"),
        (json!({ "intermediate_size": 4.5 }), "intermediate_size is 4.5"),
    ];
    for (index, (entries, says)) in rows.into_iter().enumerate() {
        let folder = format!("sized{index}");
        desk.model_with(&folder, |folder| change_config(folder, entries));
        desk.fails(&format!("{ASK} {folder}"), 3, &["config.json", says, "a whole number from 1"]);
    }
}

#[test]
fn a_tied_head_must_be_the_embedding() {
    let desk = Desk::new();
    let tied = json!({ "tie_word_embeddings": true });
    desk.model_with("two", |folder| change_config(folder, tied.clone()));
    let says = ["tie_word_embeddings", "lm_head.weight", "model.embed_tokens.weight"];
    desk.fails(&format!("{ASK} two"), 3, &says);
    for (folder, names) in [
        ("same", &["model.embed_tokens.weight", "lm_head.weight"][..]),
        ("one", &["model.embed_tokens.weight"]),
    ] {
        desk.model_with(folder, |folder| {
            change_config(folder, tied.clone());
            rename(folder, |name| match name {
                "model.embed_tokens.weight" => names.iter().map(|it| (*it).to_owned()).collect(),
                "lm_head.weight" => Vec::new(),
                _ => vec![name.to_owned()],
            });
        });
    }
    assert_eq!(desk.ok(&format!("{ASK} same")), desk.ok(&format!("{ASK} one")));
}

#[test]
fn an_adapter_and_unread_tensors_are_named() {
    let desk = Desk::new();
    desk.model_with("both", |folder| {
        std::fs::write(folder.join("adapter_config.json"), "{}").expect("written");
        rename(folder, |name| match name {
            "model.norm.weight" => vec![name.into(), "value_head.weight".into()],
            _ => vec![name.into()],
        });
    });
    let output = desk.run(&format!("{ASK} both"));
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    for part in ["adapter_config.json", "whole weights", "1 tensor", "value_head.weight"] {
        assert!(err.contains(part), "no {part:?} in {err}");
    }
}

#[test]
fn weights_without_a_head_are_refused() {
    let desk = Desk::new();
    desk.model_with("headless", |folder| {
        rename(folder, |name| match name {
            "lm_head.weight" => Vec::new(),
            _ => vec![name.trim_start_matches("model.").to_owned()],
        });
    });
    let says = ["tie_word_embeddings is not true", "lm_head.weight", "embed_tokens.weight"];
    desk.fails(&format!("{ASK} headless"), 3, &says);
}

#[test]
fn an_adapter_alone_names_its_base() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("adapter")).expect("a folder");
    desk.write("adapter/adapter_config.json", r#"{"base_model_name_or_path": "org/base"}"#);
    desk.write("adapter/adapter_model.safetensors", "");
    desk.fails(&format!("{ASK} adapter"), 3, &["adapter", "org/base", "merge"]);
}

#[test]
fn pages_and_empty_files_in_place_of_files_say_what_they_are() {
    let desk = Desk::new();
    let kinds = [("empty", "", "is empty"), ("page", "\n<HTML><body>", "web page")];
    for (kind, content, says) in kinds {
        for name in ["model.safetensors", "tokenizer.json", "config.json"] {
            let folder = format!("{kind}_{}", name.replace('.', "_"));
            desk.model_with(&folder, |folder| {
                std::fs::write(folder.join(name), content).expect("written");
            });
            desk.fails(&format!("{ASK} {folder}"), 3, &[name, says]);
        }
    }
}
