//! Every reader of bytes that a stranger may have made, as a function of the bytes: what `fuzz/` and
//! `tests/stress.rs` feed.
//!
//! Each says whether it accepts the bytes; none may panic, hang or take memory out of proportion.

use std::fs;
use std::path::Path;

use crate::checkpoint::Record;
use crate::files::seal_page;
use crate::gguf;
use crate::model::Tokenizer;
use crate::model::config::DecoderConfig;
use crate::model::family::Family;
use crate::model::weights::is_safetensors;
use crate::patch::Composed;
use crate::progress::Silent;
use crate::report::html;
use crate::report::text::{plain, render};
use crate::source::{HubOptions, SourceOptions, resolve};
use crate::spec::{
    BadRecords, SourceText, parse_passages, parse_prompts, parse_spec, read_edit_input,
};

/// The header of a safetensors file.
pub fn safetensors(bytes: &[u8]) -> bool {
    is_safetensors(bytes)
}

/// A patch, single or composed.
pub fn patch(bytes: &[u8]) -> bool {
    let read = Composed::from_bytes(bytes);
    read.inspect(|patch| drop(patch.facts())).is_ok()
}

/// Everything before the tensors of a GGUF file.
pub fn gguf_header(bytes: &[u8]) -> bool {
    gguf::is_sound(bytes)
}

/// A `tokenizer.json`, which then encodes and decodes a text.
pub fn tokenizer(bytes: &[u8]) -> bool {
    in_folder("tokenizer.json", bytes, &|folder| {
        let Ok(tokenizer) = Tokenizer::open(folder) else { return false };
        let encoded = tokenizer.encode("Paris is in 1889, naïve 好.");
        encoded.is_ok_and(|encoded| tokenizer.decode(&encoded.ids).is_ok())
    })
}

/// A `config.json`.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice(bytes) else { return false };
    let found: Result<(_, DecoderConfig), _> = Family::recognise(&value);
    found.is_ok()
}

/// The contents of a page that `--report` wrote, under a digest that fits; the report is then shown.
pub fn page(bytes: &[u8]) -> bool {
    let report = text(bytes).and_then(|contents| html::read(&seal_page(contents)).ok());
    report.inspect(|report| drop(render(report, 80, &plain))).is_some()
}

/// A spec.
pub fn spec(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| parse_spec("spec.toml", text).is_ok())
}

/// A prompt file.
pub fn prompts(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| parse_prompts("prompts.toml", text).is_ok())
}

/// Records of a collection.
pub fn records(bytes: &[u8]) -> bool {
    let read = |folder: &Path| read_edit_input(&folder.join("r.json"), BadRecords::LeaveOut);
    in_folder("r.json", bytes, &|folder| read(folder).is_ok())
}

/// A table of facts.
pub fn table(bytes: &[u8]) -> bool {
    let read = |folder: &Path| read_edit_input(&folder.join("t.csv"), BadRecords::LeaveOut);
    in_folder("t.csv", bytes, &|folder| read(folder).is_ok())
}

/// Passages in any of their forms.
pub fn passages(bytes: &[u8]) -> bool {
    let read = |name| {
        let source = text(bytes).map(|text| SourceText::new(name, text));
        source.is_some_and(|source| parse_passages(&source).is_ok())
    };
    // Each form is chosen by the name's ending or by what the text begins with.
    ["p.jsonl", "p.csv", "p.md"].map(read).iter().any(|is_read| *is_read)
}

/// The `adapter_config.json` of an adapter that stands alone.
pub fn adapter(bytes: &[u8]) -> bool {
    in_folder("adapter_config.json", bytes, &|folder| {
        let cache = folder.join("cache");
        let hub = HubOptions { offline: true, ..HubOptions::from_variables(&|_| None) };
        let options = SourceOptions { hub, cache };
        fs::write(folder.join("adapter_model.safetensors"), []).is_ok()
            && resolve(folder.to_str(), &options, &Silent).is_ok()
    })
}

/// The record of an exported folder.
pub fn record(bytes: &[u8]) -> bool {
    in_folder("rescribe.json", bytes, &|folder| {
        Record::read(folder, &Silent).is_ok_and(|record| record.is_some_and(|it| it.is_whole))
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What a reader says of a folder that holds one file.
fn in_folder(name: &str, bytes: &[u8], read: &dyn Fn(&Path) -> bool) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(name), bytes).expect("a writable folder");
    read(folder.path())
}
