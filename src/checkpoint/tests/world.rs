//! A small model folder, patches of it, and where exports of it go.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{Device, Tensor};
use safetensors::Dtype;
use tempfile::TempDir;

use crate::checkpoint::*;
use crate::delta::{Change, WeightDelta};
use crate::model::weights::element::Element;
use crate::model::weights::header::Header;
use crate::patch::{BaseHashes, Recipe, SCHEMA};
use crate::progress::Silent;

pub(super) const INDEX: &str =
    r#"{"weight_map":{"up":"1.safetensors","norm":"1.safetensors","head":"2.safetensors"}}"#;
const TOKENIZER: &str = "{\"tokens\": []}\n";

/// A parent folder with the model in `base`.
pub(super) struct World {
    pub(super) parent: TempDir,
}

fn shard(tensors: &[(&str, Dtype, &[usize], &[f32])]) -> Vec<u8> {
    let element = |dtype| Element::of(dtype).expect("a weight dtype");
    let listed = tensors.iter().map(|(name, dtype, shape, values)| {
        (*name, *dtype, *shape, values.len() * element(*dtype).size())
    });
    let mut bytes = Header::write(&BTreeMap::new(), listed);
    tensors.iter().for_each(|(_, dtype, _, values)| element(*dtype).round_into(values, &mut bytes));
    bytes
}

impl World {
    pub(super) fn new() -> Self {
        let world = Self { parent: tempfile::tempdir().expect("temporary folder") };
        fs::create_dir_all(world.base().join("templates")).expect("folder");
        let up = [1., 2., 3., 4., 5., 6.];
        let one = shard(&[
            ("up", Dtype::BF16, &[2, 3], &up),
            ("norm", Dtype::F16, &[2, 1], &[60000., 1.]),
        ]);
        let two = shard(&[("head", Dtype::F32, &[2, 2], &[1., 0., 0., 1.])]);
        let card = "---\nlicense: apache-2.0\n---\n# Base\n";
        let files: [(&str, &[u8]); 9] = [
            ("1.safetensors", &one),
            ("2.safetensors", &two),
            ("model.safetensors.index.json", INDEX.as_bytes()),
            ("config.json", b"{}"),
            ("tokenizer.json", TOKENIZER.as_bytes()),
            ("LICENSE", b"a licence"),
            ("README.md", card.as_bytes()),
            ("templates/tool.jinja", b"{{ x }}"),
            ("pytorch_model.bin", b"the unedited model in another format"),
        ];
        for (name, bytes) in files {
            fs::write(world.base().join(name), bytes).expect("write");
        }
        world
    }

    pub(super) fn base(&self) -> PathBuf {
        self.parent.path().join("base")
    }

    pub(super) fn out(&self) -> PathBuf {
        self.parent.path().join("out")
    }

    pub(super) fn weights(&self) -> Weights {
        Weights::open(&self.base()).expect("valid")
    }

    pub(super) fn patch(&self, tensor: &str, change: Change) -> Patch {
        let base = BaseHashes::measure(&self.weights(), [tensor]).expect("hashes");
        let recipe = Recipe {
            schema: SCHEMA,
            version: "0.1.0".into(),
            spec: "[[insert]]\nsubject = \"Zoë\"\n".into(),
            is_redacted: false,
            plan: serde_json::Value::Null,
            model: "org/name@main".into(),
            base,
            seed: 0,
            metrics: serde_json::Value::Null,
            earlier: Vec::new(),
            from: Vec::new(),
        };
        Patch {
            delta: WeightDelta { changes: BTreeMap::from([(tensor.to_owned(), change)]) },
            keys: BTreeMap::new(),
            recipe,
        }
    }

    /// ΔW = [1, 2]ᵀ · [1/256, 0, 1] for `up`.
    pub(super) fn up(&self) -> Patch {
        let (left, right) = (matrix(2, &[1., 2.]), matrix(1, &[1. / 256., 0., 1.]));
        self.patch("up", Change::LowRank { left, right })
    }

    pub(super) fn export(
        &self,
        patches: &[Patch],
        options: &ExportOptions,
    ) -> Result<ExportSummary, CheckpointError> {
        export(&self.base(), &self.weights(), patches, &self.out(), options, &Silent)
    }

    /// Names in the parent folder: what failures must not add to.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.parent.path()).expect("folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .collect();
        names.sort();
        names
    }
}

pub(super) fn matrix(rows: usize, values: &[f32]) -> Tensor {
    let shape = (rows, values.len() / rows);
    Tensor::from_slice(values, shape, &Device::Cpu).expect("a matrix")
}

pub(super) fn replace() -> ExportOptions {
    ExportOptions { overwrite: Overwrite::Replace, ..ExportOptions::default() }
}

pub(super) fn same(world: &World, name: &str) -> bool {
    fs::read(world.base().join(name)).expect("base")
        == fs::read(world.out().join(name)).expect("out")
}
