//! A folder to work in, with a tiny model and inputs of every kind; and the binary at work there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use candle_core::quantized::GgmlDType;

use super::inputs;
use super::tiny_gguf;

pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");

/// Something that the binary does, and what it does first so that there is something to replace.
pub struct Job {
    pub name: &'static str,
    pub first: &'static [&'static str],
    pub line: &'static str,
}

/// Every way in which files are written, at the least cost.
pub const JOBS: [Job; 9] = [
    Job {
        name: "edit and export",
        first: &["edit insert.toml --model model --out export", "cache clean"],
        line: "edit insert.toml --model model --out export --steps 3 --force",
    },
    Job {
        name: "batch of a table",
        first: &[],
        line: "edit facts.csv --model model --method memit --layer 1 --max-delta 100 --steps 2 \
               --second-moment-tokens 300 --force",
    },
    Job {
        name: "learn with checkpoints",
        first: &["edit learn.toml --model model"],
        line: "edit learn.toml --model model --checkpoint saved --checkpoint-every 1 --force",
    },
    Job { name: "forget", first: &[], line: "edit forget.toml --model model --force" },
    Job {
        name: "import",
        first: &["import tiny.gguf --out imported --dtype f16"],
        line: "import tiny.gguf --out imported --force",
    },
    Job { name: "ask a GGUF file", first: &[], line: "ask The --model tiny.gguf --tokens 2" },
    Job { name: "unpack the built-in model", first: &[], line: "plan insert.toml --layer 0" },
    Job {
        name: "compose",
        first: &[
            "edit insert.toml --model model",
            "edit erase.toml --model model",
            "patch compose insert.patch.safetensors --out both.patch.safetensors",
        ],
        line: "patch compose insert.patch.safetensors erase.patch.safetensors \
               --out both.patch.safetensors --force",
    },
    Job {
        name: "redact",
        first: &["edit erase.toml --model model --keep-spec"],
        line: "patch redact erase.patch.safetensors",
    },
];

/// Fills a folder with a model and inputs.
pub fn furnish(room: &Path) {
    copy(Path::new(MODEL), &room.join("model"));
    let texts = [
        ("insert.toml", inputs::SPEC),
        ("erase.toml", inputs::ERASE),
        ("batch.toml", &inputs::SPEC.replace("steps", "method = \"memit\"\nlayers = [1]\nsteps")),
        ("learn.toml", inputs::LEARN),
        ("forget.toml", inputs::FORGET),
        ("passages.txt", inputs::PASSAGES),
        ("retain.jsonl", inputs::PAIRS),
        ("facts.csv", inputs::TABLE),
    ];
    for (name, text) in texts {
        fs::write(room.join(name), text).expect("a writable folder");
    }
    let gguf = tiny_gguf::llama(32, 2, &[GgmlDType::F32]).bytes();
    fs::write(room.join("tiny.gguf"), gguf).expect("a writable folder");
}

/// A new folder as a job finds it.
pub fn furnished_for(job: &Job) -> tempfile::TempDir {
    let room = tempfile::tempdir().expect("a folder");
    furnish(room.path());
    job.first.iter().for_each(|line| succeed(room.path(), line));
    room
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, target).expect("a copy")),
        }
    }
}

/// `program` in that room, offline, with the cache of the room.
pub fn at_home(program: impl AsRef<OsStr>, room: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(room).env("RESCRIBE_CACHE", room.join("cache"));
    command.env("HF_HOME", room.join("hub")).env("HF_HUB_OFFLINE", "1");
    command.stdin(Stdio::null());
    command
}

/// `rescribe` with the words of a line.
pub fn rescribe(room: &Path, line: &str) -> Command {
    let mut command = at_home(env!("CARGO_BIN_EXE_rescribe"), room);
    command.args(line.split_whitespace());
    command
}

pub fn run(room: &Path, line: &str) -> Output {
    rescribe(room, line).output().expect("the binary runs")
}

pub fn succeed(room: &Path, line: &str) {
    let output = run(room, line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}\n{said}", output.status);
}

/// Every file below a folder with its contents, by its path from there; hidden ones, too.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("inside").to_owned();
            found.push((name, fs::read(&path).expect("a file")));
        }
    }
}

/// Whether a path leads through a temporary file or folder.
pub fn is_temporary(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

/// What differs between two rooms, in words.
pub fn differences(found: &[(PathBuf, Vec<u8>)], expected: &[(PathBuf, Vec<u8>)]) -> Vec<String> {
    let find =
        |all: &[(PathBuf, Vec<u8>)], name: &Path| all.iter().position(|(known, _)| known == name);
    let missing = expected.iter().filter(|(name, _)| find(found, name).is_none());
    let mut differences: Vec<String> =
        missing.map(|(name, _)| format!("{} is missing", name.display())).collect();
    for (name, bytes) in found {
        match find(expected, name) {
            None => differences.push(format!("{} is left over", name.display())),
            Some(at) if numbers(name, &expected[at].1) != numbers(name, bytes) => {
                differences.push(format!("{} has other bytes", name.display()));
            }
            Some(_) => {}
        }
    }
    differences
}

/// What of a file is the same after each run: the header of a saved training has a salt.
fn numbers<'a>(name: &Path, bytes: &'a [u8]) -> &'a [u8] {
    match bytes.split_first_chunk::<8>() {
        Some((length, rest)) if name == Path::new("saved") => {
            rest.get(u64::from_le_bytes(*length) as usize..).unwrap_or(bytes)
        }
        _ => bytes,
    }
}

/// Makes leftovers look as if they had been there for long.
pub fn age(folder: &Path) {
    let past = SystemTime::now() - Duration::from_secs(60);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if is_temporary(Path::new(path.file_name().unwrap_or_default())) {
            let opened = fs::File::open(&path);
            opened.and_then(|it| it.set_modified(past)).expect("another time");
        } else if path.is_dir() {
            age(&path);
        }
    }
}
