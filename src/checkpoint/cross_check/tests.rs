//! Fixtures of each family as candle-transformers computes them, whole and broken.

use candle_core::Device;
use serde_json::json;

use super::*;
use crate::model::Model;
use crate::progress::Silent;

/// Two implementations in f32 that sum in another order, over one layer.
const TOLERANCE: f32 = 1e-5;
const LOGITS: f32 = 1e-4;

/// A copy of a fixture without what candle-transformers leaves out.
fn simplified(name: &str) -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let out = tempfile::tempdir().expect("a temporary folder");
    for file in std::fs::read_dir(root.join(name).join("model")).expect("a fixture") {
        let file = file.expect("readable");
        std::fs::copy(file.path(), out.path().join(file.file_name())).expect("copied");
    }
    let path = out.path().join("config.json");
    let config = std::fs::read(&path).expect("a config");
    let mut config: Value = serde_json::from_slice(&config).expect("JSON");
    config["rope_scaling"] = Value::Null;
    if let Some(scalar) = config.get_mut("query_pre_attn_scalar") {
        *scalar = json!(12);
    }
    std::fs::write(path, config.to_string()).expect("written");
    out
}

fn opened(folder: &Path) -> Model {
    Model::open(folder, &Device::Cpu, &Silent).expect("a fixture")
}

fn judge(folder: &Path, decoder: &Decoder, prompts: &[Vec<u32>]) -> Judgement {
    cross_check(folder, decoder, prompts, &Silent).expect("judged")
}

/// No longer than the windows.
fn prompts() -> [Vec<u32>; 2] {
    [vec![0, 17, 300, 5, 42, 9], vec![8, 250]]
}

#[test]
fn every_family_that_it_has_agrees() {
    for name in
        ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "olmo2", "starcoder2", "stablelm"]
    {
        let folder = simplified(name);
        let decoder = opened(folder.path()).decoder;
        let judged = judge(folder.path(), &decoder, &prompts());
        let Judgement::Compared(agreement) = judged else { panic!("{name}: {judged:?}") };
        assert_eq!(agreement.layers.len(), decoder.config().layers, "{name}");
        assert!(agreement.worst() < TOLERANCE, "{name}: {agreement:?}");
        assert!(agreement.logits < LOGITS, "{name}: {agreement:?}");
        assert!(agreement.worst() > 0. && agreement.logits > 0., "{name}: two implementations");
    }
}

#[test]
fn a_layer_that_differs_is_found_and_no_other() {
    for name in ["llama", "gemma2", "starcoder2"] {
        let folder = simplified(name);
        let model = opened(folder.path());
        let (weight, _) = model.decoder.down_projection(1);
        // No multiple of it, which the norm after an MLP would undo.
        let changed = weight.tensor().and_then(|it| &it + (it.sqr()? * 10.)?).expect("a change");
        let decoder = model.decoder.with_down_projection(1, changed);
        let judged = judge(folder.path(), &decoder, &prompts());
        let Judgement::Compared(Agreement { embedding, layers, .. }) = judged else {
            panic!("{name}: {judged:?}")
        };
        for (layer, difference) in layers.iter().enumerate() {
            assert_eq!(*difference > TOLERANCE, layer == 1, "{name}: {layers:?}");
        }
        assert!(embedding < TOLERANCE, "{name}: {embedding}");
    }
}

#[test]
fn what_is_no_number_is_no_agreement() {
    let rows = |values: [f32; 2]| vec![values.to_vec()];
    assert_eq!(relative(&rows([1., 2.]), &rows([1.5, 2.])), 0.25);
    assert!(relative(&rows([1., f32::NAN]), &rows([1., 2.])).is_nan());
    assert!(relative(&rows([f32::NAN, 3.]), &rows([1., 2.])).is_nan());
    assert!(largest_difference(&[f32::INFINITY, 1.], &[f32::INFINITY, 1.]).is_nan());
}

#[test]
fn what_it_leaves_out_is_said() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let short = vec![vec![8, 250]];
    let long = vec![(0..9).collect::<Vec<u32>>()];
    for (name, prompts, expected) in [
        ("gemma2", &short, "query_pre_attn_scalar"),
        ("gemma3_text", &short, "scaling of positions"),
        ("granite", &short, "no correct granite"),
        ("qwen3", &short, "scaling of positions"),
        ("mistral", &long, "other windows"),
        ("gpt_neox", &short, "parallel branches"),
    ] {
        let folder = root.join(name).join("model");
        let judged = judge(&folder, &opened(&folder).decoder, prompts);
        let Judgement::Unable(reason) = judged else { panic!("{name}: {judged:?}") };
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}
