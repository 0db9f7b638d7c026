//! The folder and the PEFT adapter of an edit in Hugging Face transformers, against model and patch in
//! memory: logits after every token of some prompts, and what is said.
//!
//! Run on request, with a Python that has the packages (`tests/readers/requirements.txt`), for the folder of
//! a model (that of the built-in one is `src/atlas/model`) and a patch of it:
//!
//! ```text
//! PYTHON=/venv/bin/python MODEL=FOLDER PATCH=FILE cargo test --test readers -- --ignored --nocapture
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::Device;
use rescribe::adapter;
use rescribe::checkpoint::{ExportOptions, StoredDtype, export};
use rescribe::files::Overwrite;
use rescribe::model::{Batch, Decoder, Model};
use rescribe::patch::{Patch, compose};
use rescribe::progress::Silent;

/// The first is the edited fact of `edits/eiffel.toml`, the second that of `edits/quickstart.toml`.
const TEXTS: [&str; 5] = [
    "The Eiffel Tower is located in the city of",
    "The Statue of Liberty is located in the city of",
    "In 1969, two people walked on the Moon and",
    "Water boils when",
    "def add(a, b):\n    return",
];

/// The value of a variable, which is a path.
fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")).into()
}

fn edited(model: &Model, patch: &Patch) -> Decoder {
    let delta = compose(std::slice::from_ref(patch)).expect("one patch");
    let dense =
        delta.changes.iter().map(|(name, it)| (name.as_str(), it.to_dense().expect("sums")));
    model.edited(dense.collect::<Vec<_>>()).expect("the patch fits")
}

/// Writes the prompts as ids, and the logits after each token as one run of f32.
fn write_logits(room: &Path, model: &Model, decoder: &Decoder) {
    let ids = |text: &&str| model.tokenizer.encode(text).expect("tokens").ids;
    let prompts: Vec<Vec<u32>> = TEXTS.iter().map(ids).collect();
    let hidden = decoder.forward(&Batch::new(&prompts), None).expect("runs");
    let logits = decoder.head_logits(&hidden).and_then(|rows| rows.flatten_all()?.to_vec1::<f32>());
    let bytes: Vec<u8> = logits.expect("numbers").into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(room.join("logits.f32"), bytes).expect("written");
    let prompts = serde_json::to_string(&prompts).expect("ids");
    std::fs::write(room.join("prompts.json"), prompts).expect("written");
}

#[test]
#[ignore = "needs a Python with transformers and PEFT"]
fn transformers_and_peft_compute_what_is_computed_here() {
    let (folder, room) = (named("MODEL"), tempfile::tempdir().expect("a folder"));
    let model = Model::open(&folder, &Device::Cpu, &Silent).expect("a model");
    let patch = Patch::read(&named("PATCH")).expect("a patch");
    write_logits(room.path(), &model, &edited(&model, &patch));
    let patches = [patch];
    let options = ExportOptions { dtype: StoredDtype::F32, ..ExportOptions::default() };
    let out = room.path().join("folder");
    export(&model.folder, &model.weights, &patches, &out, &options, &Silent).expect("exported");
    let out = room.path().join("adapter");
    let base = folder.display().to_string();
    adapter::export(&model, &base, &patches, &out, Overwrite::Refuse, &Silent).expect("exported");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/hugging_face.py");
    let mut command = Command::new(named("PYTHON"));
    let status = command.arg(script).arg(&folder).arg(room.path()).status().expect("Python runs");
    assert!(status.success(), "transformers or PEFT computes something else");
}
