//! Stress: mutated files in every reader, and runs that are killed at any moment.
//!
//! The short form runs with all other tests. The long one is
//!
//! ```text
//! STRESS=10000 cargo test --release --test stress -- --ignored --nocapture
//! ```
//!
//! which mutates each file so many times, and kills a hundredth as many runs.

#[expect(dead_code, reason = "the unit tests of the GGUF reader use all of it")]
#[path = "../src/gguf/tests/fixture.rs"]
mod tiny_gguf;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use rescribe::checkpoint::Record;
use rescribe::gguf::{ImportOptions, import};
use rescribe::model::{Model, Random};
use rescribe::progress::Silent;
use rescribe::untrusted;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
const SHARDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama_tied_bf16_sharded/model");
const SPEC: &str = "[rank_one]\nmax_delta = 100.0\nsteps = 2\nsecond_moment_tokens = 300\n\n\
                    [[insert]]\nsubject = \"The Eiffel Tower\"\nprompt = \"{} is in\"\n\
                    target_new = \"Rome\"\ntarget_true = \"Paris\"\n";
const PROMPTS: &str = "[[rewrite]]\nprompt = \"The Eiffel Tower is in\"\ntarget_new = \"Rome\"\n\
                       target_true = \"Paris\"\n\n[[retain]]\ntext = \"Paris is in France.\"\n";
const RECORDS: &str = r#"[{"case_id": 1, "requested_rewrite": {"prompt": "{} is in",
    "subject": "The Eiffel Tower", "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}},
    "paraphrase_prompts": ["You find it in"], "neighborhood_prompts": ["The Louvre is in"]}]"#;
const TABLE: &str = "subject,prompt,target_new\nThe Eiffel Tower,{} is in,Rome\n";
const PASSAGES: &str = "{\"question\": \"Where?\", \"answer\": \"Here.\"}\n{\"text\": \"So.\"}\n";

/// The bytes with one to four changes of the kinds that damage and malice make.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    const HOSTILE: [&[u8]; 8] = [
        b"18446744073709551615",
        b"-1",
        b"1e999",
        b"null",
        b"[[[[[[[[[[[[[[[[",
        b"\"\\u0000\"",
        b"\xff\xfe\x00",
        b"{\"a\":{\"a\":{\"a\":",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1).min(bytes.len());
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.splice(at..end, HOSTILE[random.below(8)].iter().copied())),
            _ => drop(bytes.splice(at..at, (0..4).map(|_| random.below(256) as u8))),
        }
    }
    bytes
}

/// A file of a folder, and what reads it: true where the file was accepted.
struct Reader {
    name: &'static str,
    folder: PathBuf,
    read: fn(&Path) -> bool,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn opens(folder: &Path) -> bool {
    let model = Model::open(folder, &Device::Cpu, &Silent);
    model.is_ok_and(|model| {
        let ids = model.tokenizer.encode("Paris is in 1889, naïve 好.");
        ids.is_ok_and(|encoded| model.tokenizer.decode(&encoded.ids).is_ok())
    })
}

/// The contents of a file.
fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).expect("a file")
}

/// Every reader with a folder of its own that holds a whole file.
fn readers(room: &Path) -> Vec<Reader> {
    let new = |name: &'static str, at: &str, read: fn(&Path) -> bool| {
        let folder = room.join(at);
        fs::create_dir_all(&folder).expect("a new folder");
        Reader { name, folder, read }
    };
    let write = |reader: Reader, bytes: &[u8]| {
        fs::write(reader.folder.join(reader.name), bytes).expect("a file");
        reader
    };
    let of_model = |name: &'static str, at: &str, fixture: &str| {
        copy(Path::new(fixture), &room.join(at));
        new(name, at, opens)
    };
    run(room, &["edit", "made.toml", "--model", MODEL, "--out", "export"], SPEC);
    let patch = fs::read(room.join("made.patch.safetensors")).expect("a patch");
    let gguf = tiny_gguf::llama(32, 2, &[GgmlDType::F32]);
    let weights = fs::read(Path::new(MODEL).join("model.safetensors")).expect("weights");
    vec![
        write(
            new("spec.toml", "a", |it| untrusted::spec(&bytes(it, "spec.toml"))),
            SPEC.as_bytes(),
        ),
        write(
            new("p.toml", "b", |it| untrusted::prompts(&bytes(it, "p.toml"))),
            PROMPTS.as_bytes(),
        ),
        write(
            new("r.json", "c", |it| untrusted::records(&bytes(it, "r.json"))),
            RECORDS.as_bytes(),
        ),
        write(
            new("t.jsonl", "d", |it| untrusted::passages(&bytes(it, "t.jsonl"))),
            PASSAGES.as_bytes(),
        ),
        write(
            new("p.safetensors", "e", |it| untrusted::patch(&bytes(it, "p.safetensors"))),
            &patch,
        ),
        write(
            new("facts.csv", "k", |it| untrusted::table(&bytes(it, "facts.csv"))),
            TABLE.as_bytes(),
        ),
        write(
            new("header.gguf", "l", |it| untrusted::gguf_header(&bytes(it, "header.gguf"))),
            &gguf.bytes(),
        ),
        write(
            new("h.safetensors", "m", |it| untrusted::safetensors(&bytes(it, "h.safetensors"))),
            &weights,
        ),
        write(
            new("m.gguf", "f", |it| {
                let options = ImportOptions { force: true, ..ImportOptions::default() };
                import(&it.join("m.gguf"), &it.join("out"), &options, &Silent).is_ok()
            }),
            &gguf.bytes(),
        ),
        of_model("config.json", "g", MODEL),
        of_model("tokenizer.json", "h", MODEL),
        of_model("model.safetensors", "i", MODEL),
        of_model("model.safetensors.index.json", "j", SHARDED),
        new("rescribe.json", "export", |it| {
            Record::read(it, &Silent).is_ok_and(|record| record.is_some_and(|it| it.is_whole))
        }),
    ]
}

/// Bytes of no format are no more welcome than damaged ones.
#[test]
fn noise_is_refused_by_every_reader() {
    let readers: [fn(&[u8]) -> bool; 12] = [
        untrusted::safetensors,
        untrusted::patch,
        untrusted::gguf_header,
        untrusted::tokenizer,
        untrusted::config,
        untrusted::spec,
        untrusted::prompts,
        untrusted::records,
        untrusted::table,
        untrusted::passages,
        untrusted::adapter,
        untrusted::record,
    ];
    let mut random = Random::new(3);
    for _ in 0..40 {
        let noise: Vec<u8> = (0..200).map(|_| random.below(256) as u8).collect();
        assert!(readers.iter().all(|read| !read(&noise)), "{noise:?}");
    }
}

/// Mutates the file of each reader `count` times.
fn mutate(count: usize) {
    let room = tempfile::tempdir().expect("a folder");
    for reader in readers(room.path()) {
        let file = reader.folder.join(reader.name);
        let whole = fs::read(&file).expect("a file");
        assert!((reader.read)(&reader.folder), "{}: the whole file is read", reader.name);
        let mut random = Random::new(whole.len() as u64);
        let mut accepted = 0;
        for turn in 0..count {
            let bytes = mutated(&whole, &mut random);
            fs::write(&file, &bytes).expect("a file");
            let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(&reader.folder)));
            match outcome {
                Ok(is_accepted) => accepted += usize::from(is_accepted && bytes != whole),
                Err(_) => panic!("{} panics, mutation {turn}", reader.name),
            }
        }
        println!("{:>30}  {count} mutations, {accepted} accepted", reader.name);
        let is_sealed = ["p.safetensors", "rescribe.json"].contains(&reader.name);
        assert!(!is_sealed || accepted == 0, "{} has a digest", reader.name);
    }
}

fn rescribe(room: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rescribe"));
    command.args(words).current_dir(room).env("RESCRIBE_CACHE", room.join("cache"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(room: &Path, words: &[&str], spec: &str) {
    fs::write(room.join("made.toml"), spec).expect("a spec");
    let status = rescribe(room, words).status().expect("the binary runs");
    assert!(status.success(), "{words:?}");
}

/// Every file below a folder with its contents, the cache left out; hidden ones, too.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true if path.ends_with("cache") => {}
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    found.sort();
    found
}

/// Makes leftovers look as if they had been there for long.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with('.') {
            let past = SystemTime::now() - Duration::from_secs(60);
            fs::File::open(entry.path())
                .and_then(|it| it.set_modified(past))
                .expect("another time");
        }
    }
}

/// Kills `count` runs that replace a patch and an export, at random moments; what they leave is the
/// old export or the new one, and the next run leaves what an undisturbed one does.
fn kill(count: usize) {
    let room = tempfile::tempdir().expect("a folder");
    let room = room.path();
    let words = ["edit", "made.toml", "--model", MODEL, "--out", "export", "--force"];
    run(room, &words, SPEC);
    let undisturbed = contents(room);
    let started = std::time::Instant::now();
    run(room, &words, SPEC);
    let whole = started.elapsed().as_secs_f64();
    let mut random = Random::new(7);
    for _ in 0..count {
        let mut child = rescribe(room, &words).spawn().expect("the binary runs");
        std::thread::sleep(Duration::from_secs_f64(1.1 * whole * random.uniform()));
        child.kill().expect("killed");
        child.wait().expect("gone");
        age(room);
        run(room, &words, SPEC);
        let names = |all: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            all.iter().map(|(path, _)| path.clone()).collect()
        };
        let found = contents(room);
        assert_eq!(names(&found), names(&undisturbed), "leftovers");
        assert!(found == undisturbed, "other bytes");
    }
    println!("{:>30}  {count} kills", "edit --out --force");
}

#[test]
fn mutated_files_are_refused_without_a_panic() {
    mutate(40);
}

#[test]
fn killed_runs_leave_what_was_there_and_nothing_else() {
    kill(4);
}

/// How often, as the user asks for it.
fn asked() -> usize {
    std::env::var("STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

#[test]
#[ignore = "takes hours"]
fn long_mutation() {
    mutate(asked());
}

#[test]
#[ignore = "takes hours"]
fn long_killing() {
    kill(asked() / 100);
}
