//! The console blocks of `tests/cli/*.trycmd`, one file a verb, each run in a desk of its own.
//!
//! `TRYCMD=overwrite cargo test --test cli console` writes down what is printed today; `[..]`
//! stands for what may differ between machines.

use std::path::{Path, PathBuf};

use super::desk::{copy, furnish, model};
use super::tiny_gguf;

/// Columns of the terminal that every line must fit.
const COLUMNS: usize = 80;

fn blocks() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let files = std::fs::read_dir(folder).expect("the folder of this file");
    let files = files.map(|file| file.expect("an entry").path());
    files.filter(|file| file.extension().is_some_and(|it| it == "trycmd")).collect()
}

#[test]
fn what_the_console_shows() {
    let room = tempfile::tempdir().expect("a temporary folder");
    for block in blocks() {
        let name = block.file_name().expect("a name");
        let here = room.path().join(name);
        std::fs::copy(&block, &here).expect("a copy");
        // The working folder of a block, by the rule of trycmd.
        let desk = here.with_extension("in");
        for family in ["llama", "gpt2"] {
            copy(&model(family), &desk.join(family));
        }
        furnish(&desk);
        let gguf = tiny_gguf::llama(32, 2, &[candle_core::quantized::GgmlDType::Q4_1]);
        std::fs::write(desk.join("tiny.gguf"), gguf.bytes()).expect("a GGUF");
    }
    let cases = trycmd::TestCases::new();
    cases
        .env("RESCRIBE_CACHE", "cache")
        .env("HF_HOME", "hub")
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .env("COLUMNS", COLUMNS.to_string())
        .case(room.path().join("*.trycmd"));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cases.run()));
    if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
        for block in blocks() {
            let name = block.file_name().expect("a name");
            std::fs::copy(room.path().join(name), &block).expect("a copy");
        }
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_console_is_eighty_columns_wide() {
    let mut wide = Vec::new();
    for block in blocks() {
        let text = std::fs::read_to_string(&block).expect("a block");
        // Messages are broken where a terminal shows them, which this is not; lines of a spec are
        // its author's, and JSON is not for reading.
        let free = ["$ ", "error:", "Error:", "  Caused by:", "Hint:", "Warning:"];
        let is_free = |line: &str| {
            line.contains('│')
                || line.contains("\": ")
                || free.iter().any(|it| line.starts_with(it))
        };
        let lines = text.lines().filter(|line| !is_free(line));
        wide.extend(lines.filter(|line| line.chars().count() > COLUMNS).map(str::to_owned));
    }
    assert!(wide.is_empty(), "wider than {COLUMNS} columns:\n{}", wide.join("\n"));
}
