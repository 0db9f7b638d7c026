//! Damaged and hostile files in every reader: an error or a sound value, never a panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use rescribe::checkpoint::Record;
use rescribe::gguf::{ImportOptions, import};
use rescribe::model::{Model, Random};
use rescribe::progress::Silent;
use rescribe::spec::read_tofu;
use rescribe::untrusted;

use super::inputs;
use super::room::{JOBS, MODEL, copy, furnished_for};
use super::{tiny_gguf, turns};

const SHARDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama_tied_bf16_sharded/model");
const SENTENCE_PIECE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gemma2/model");

/// The bytes with one to four changes of the kinds that damage and malice make.
pub fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
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
    read: Box<dyn Fn(&Path) -> bool>,
}

/// A function of the library that reads bytes.
type OfBytes = fn(&[u8]) -> bool;

/// A reader of bytes, with the name of a file of its kind and a sound one.
type Sound<'a> = (&'static str, OfBytes, &'a [u8]);

fn opens(folder: &Path) -> bool {
    let model = Model::open(folder, &Device::Cpu, &Silent);
    model.is_ok_and(|model| {
        let ids = model.tokenizer.encode("Paris is in 1889, naïve 好.");
        ids.is_ok_and(|encoded| model.tokenizer.decode(&encoded.ids).is_ok())
    })
}

fn imports(folder: &Path) -> bool {
    let options = ImportOptions { force: true, ..ImportOptions::default() };
    import(&folder.join("tiny.gguf"), &folder.join("out"), &options, &Silent).is_ok()
}

fn is_whole(folder: &Path) -> bool {
    Record::read(folder, &Silent).is_ok_and(|record| record.is_some_and(|it| it.is_whole))
}

fn is_tofu(folder: &Path, name: &str) -> bool {
    read_tofu(&folder.join(name), None).is_ok_and(|found| found.is_some())
}

/// Readers of one file's bytes.
fn of_bytes(room: &Path) -> Vec<Reader> {
    let patch = fs::read(room.join("insert.patch.safetensors")).expect("a patch");
    let weights = fs::read(room.join("model/model.safetensors")).expect("weights");
    let header = tiny_gguf::llama(32, 2, &[GgmlDType::F32]).bytes();
    let rows: [Sound<'_>; 18] = [
        ("spec.toml", untrusted::spec, inputs::SPEC.as_bytes()),
        ("erase.toml", untrusted::spec, inputs::ERASE.as_bytes()),
        ("forget.toml", untrusted::spec, inputs::FORGET.as_bytes()),
        ("prompts.toml", untrusted::prompts, inputs::PROMPTS.as_bytes()),
        ("counterfact.json", untrusted::records, inputs::RECORDS.as_bytes()),
        ("zsre.jsonl", untrusted::records, inputs::ZSRE.as_bytes()),
        ("knowedit.json", untrusted::records, inputs::KNOW_EDIT.as_bytes()),
        ("mquake.json", untrusted::records, inputs::MQUAKE.as_bytes()),
        ("facts.csv", untrusted::table, inputs::TABLE.as_bytes()),
        ("pairs.jsonl", untrusted::passages, inputs::PAIRS.as_bytes()),
        ("chats.jsonl", untrusted::passages, inputs::CHATS.as_bytes()),
        ("texts.json", untrusted::passages, inputs::TEXTS.as_bytes()),
        ("pairs.csv", untrusted::passages, inputs::SHEET.as_bytes()),
        ("manual.md", untrusted::passages, inputs::MANUAL.as_bytes()),
        ("adapter_config.json", untrusted::adapter, inputs::ADAPTER.as_bytes()),
        ("header.gguf", untrusted::gguf_header, &header),
        ("patch.safetensors", untrusted::patch, &patch),
        ("header.safetensors", untrusted::safetensors, &weights),
    ];
    let reader = |(name, read, bytes): Sound<'_>| {
        let folder = room.join(format!("of {name}"));
        fs::create_dir_all(&folder).expect("a new folder");
        fs::write(folder.join(name), bytes).expect("a writable folder");
        let read = move |folder: &Path| read(&fs::read(folder.join(name)).expect("a file"));
        Reader { name, folder, read: Box::new(read) }
    };
    rows.map(reader).into()
}

/// Readers of folders, and of files that are read only from a folder.
fn of_folders(room: &Path) -> Vec<Reader> {
    let reader = |name: &'static str, at: &str, read: fn(&Path) -> bool| {
        let folder = room.join(at);
        fs::create_dir_all(&folder).expect("a new folder");
        Reader { name, folder, read: Box::new(read) }
    };
    let of_model = |name: &'static str, at: &str, fixture: &str| {
        copy(Path::new(fixture), &room.join(at));
        reader(name, at, opens)
    };
    let write = |reader: Reader, bytes: &[u8]| {
        fs::write(reader.folder.join(reader.name), bytes).expect("a writable folder");
        reader
    };
    let gguf = tiny_gguf::llama(32, 2, &[GgmlDType::F32]).bytes();
    vec![
        write(reader("tiny.gguf", "gguf", imports), &gguf),
        of_model("config.json", "a", MODEL),
        of_model("tokenizer.json", "b", MODEL),
        of_model("tokenizer.json", "c", SENTENCE_PIECE),
        of_model("tokenizer_config.json", "d", MODEL),
        of_model("generation_config.json", "e", MODEL),
        of_model("model.safetensors", "f", MODEL),
        of_model("model.safetensors.index.json", "g", SHARDED),
        reader("rescribe.json", "export", is_whole),
        write(
            reader("forget_perturbed.json", "tofu", |it| is_tofu(it, "forget_perturbed.json")),
            inputs::QUESTIONS.as_bytes(),
        ),
        write(reader("log.json", "tofu log", |it| is_tofu(it, "log.json")), inputs::LOG.as_bytes()),
    ]
}

/// Bytes of no format are no more welcome than damaged ones.
#[test]
fn noise_is_refused_by_every_reader() {
    let readers: [OfBytes; 12] = [
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

/// Damages the file of a reader `count` times.
fn mutate(reader: &Reader, count: usize) {
    let file = reader.folder.join(reader.name);
    let whole = fs::read(&file).expect("a file");
    // An adapter is no model: its config is read to say of which it is one.
    let is_model = reader.name != "adapter_config.json";
    assert_eq!((reader.read)(&reader.folder), is_model, "{}: the whole file", reader.name);
    let mut random = Random::new(whole.len() as u64);
    let mut accepted = 0;
    for turn in 0..count {
        let bytes = mutated(&whole, &mut random);
        fs::write(&file, &bytes).expect("a writable folder");
        let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(&reader.folder)));
        match outcome {
            Ok(is_accepted) => accepted += usize::from(is_accepted && bytes != whole),
            Err(_) => panic!("{} panics, mutation {turn}", reader.name),
        }
    }
    println!("{:>30}  {count} mutations, {accepted} accepted", reader.name);
    let is_sealed = ["patch.safetensors", "rescribe.json"].contains(&reader.name);
    assert!(!is_sealed || accepted == 0, "{} has a digest", reader.name);
}

fn mutate_all(count: usize) {
    let room = furnished_for(&JOBS[0]);
    let mut readers = of_bytes(room.path());
    readers.extend(of_folders(room.path()));
    readers.iter().for_each(|reader| mutate(reader, count));
    println!("{:>30}  {} mutations of {} files", "together", count * readers.len(), readers.len());
}

#[test]
fn mutated_files_are_refused_without_a_panic() {
    mutate_all(20);
}

#[test]
#[ignore = "takes minutes"]
fn long_mutation() {
    mutate_all(turns());
}
