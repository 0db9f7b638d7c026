use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::*;
use crate::delta::WeightDelta;
use crate::patch::{BaseHashes, Recipe, SCHEMA};
use crate::progress::Silent;

fn model(family: &str) -> Model {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Model::open(&root.join(family).join("model"), &Device::Cpu, &Silent).expect("the fixture")
}

/// Distinct numbers without a pattern that a transposition would keep.
fn factor(rows: usize, columns: usize, seed: usize) -> Tensor {
    let values: Vec<f32> =
        (0..rows * columns).map(|i| ((i * 7 + seed) as f32 * 0.731).sin()).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
}

fn low_rank(model: &Model, tensor: &str, rank: usize) -> Change {
    let shape = model.weights.shape(tensor).expect("a tensor of the model");
    Change::LowRank { left: factor(shape[0], rank, 1), right: factor(rank, shape[1], 5) }
}

fn patch(model: &Model, changes: BTreeMap<String, Change>) -> Patch {
    let names: Vec<&str> = changes.keys().map(String::as_str).collect();
    let base = BaseHashes::measure(&model.weights, names).expect("hashes");
    let recipe = Recipe {
        schema: SCHEMA,
        version: "0.1.0".into(),
        spec: "[[insert]]\n".into(),
        is_redacted: false,
        plan: serde_json::Value::Null,
        model: "tiny".into(),
        base,
        seed: 0,
        metrics: serde_json::Value::Null,
        earlier: Vec::new(),
        from: Vec::new(),
    };
    Patch { delta: WeightDelta { changes }, keys: BTreeMap::new(), recipe }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("f32")
}

/// A tensor of an adapter file, read by the format's own crate.
fn read(bytes: &[u8], name: &str) -> Tensor {
    let file = safetensors::SafeTensors::deserialize(bytes).expect("a safetensors file");
    let view = file.tensor(name).unwrap_or_else(|_| panic!("no {name}"));
    let numbers: Vec<f32> =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Tensor::from_vec(numbers, view.shape(), &Device::Cpu).expect("a matrix")
}

#[test]
fn an_adapter_is_the_patch_to_the_bit() {
    for (family, is_transposed) in [("llama", false), ("gpt2", true)] {
        let model = model(family);
        let down = |layer| model.down_projection_name(layer).to_owned();
        let changes = [(down(0), 1), (down(1), 3)]
            .map(|(name, rank)| (name.clone(), low_rank(&model, &name, rank)));
        let patch = patch(&model, BTreeMap::from(changes));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("adapter");
        let run = |overwrite| {
            export(&model, "org/tiny", std::slice::from_ref(&patch), &out, overwrite, &Silent)
        };
        let summary = run(Overwrite::Refuse).expect("exported");
        assert_eq!((summary.rank, summary.modules.len()), (3, 2));

        let config = std::fs::read(out.join(CONFIG)).expect("a config");
        let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
        assert_eq!(config["fan_in_fan_out"], is_transposed);
        assert_eq!((&config["r"], &config["lora_alpha"]), (&3.into(), &3.into()));
        assert!(config.get("rank_pattern").is_none() && config.get("alpha_pattern").is_none());
        let bytes = std::fs::read(out.join(WEIGHTS)).expect("weights");
        for (tensor, change) in &patch.delta.changes {
            let module = model.linear_module(tensor).expect("a linear map");
            let part =
                |side| read(&bytes, &format!("base_model.model.{module}.lora_{side}.weight"));
            // One rank for all, so that no reader divides α by another.
            assert_eq!((part("A").dims()[0], part("B").dims()[1]), (3, 3), "{tensor}");
            let product = part("B").matmul(&part("A")).expect("fits");
            let product = if is_transposed { product.t().expect("a matrix") } else { product };
            assert_eq!(values(&product), values(&change.to_dense().expect("dense")), "{tensor}");
            assert!(config["target_modules"].as_array().expect("a list").contains(&module.into()));
        }
        assert!(run(Overwrite::Refuse).is_err(), "an existing folder stays");
        run(Overwrite::Replace).expect("replaced");
        assert_eq!(std::fs::read(out.join(WEIGHTS)).expect("weights"), bytes);
    }
}

#[test]
fn what_no_adapter_can_hold_is_refused_by_name() {
    let model = model("llama");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("adapter");
    let down = model.down_projection_name(1).to_owned();
    let dense = Change::Dense(low_rank(&model, &down, 1).to_dense().expect("dense"));
    let embedding = "model.embed_tokens.weight".to_owned();
    let embedded = low_rank(&model, &embedding, 1);
    let rows: [(Vec<Patch>, &[&str]); 3] = [
        (
            vec![patch(&model, [(down.clone(), dense)].into())],
            &[&down, "dense change", "from patch"],
        ),
        (
            vec![patch(&model, [(embedding.clone(), embedded)].into())],
            &[&embedding, "not a linear map"],
        ),
        (Vec::new(), &["needs a patch"]),
    ];
    for (patches, says) in rows {
        let error = export(&model, "tiny", &patches, &out, Overwrite::Refuse, &Silent);
        let error = error.expect_err("refused").to_string();
        says.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in {error}"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    }
}
