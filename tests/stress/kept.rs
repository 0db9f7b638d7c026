//! Damage to what runs keep for later ones: the cache, imported and unpacked models, a saved
//! training. Whatever becomes of it, the result is the same bits, or the file is refused.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use rescribe::gradient::Checkpointing;
use rescribe::model::{Model, Random};
use rescribe::progress::Silent;
use rescribe::source::{HubOptions, SourceOptions, resolve};
use rescribe::spec::{PromptSet, read_spec};
use rescribe::{Job, Plan, Tools, execute, open_built_in};

use super::mutation::mutated;
use super::room::{contents, furnish};
use super::turns;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The patch of a spec of the room, as bytes.
fn patch(room: &Path, spec: &str, saved: Option<&Checkpointing>) -> Result<Vec<u8>> {
    let model = Model::open(&room.join("model"), &Device::Cpu, &Silent)?;
    let job = Job::of_spec(&read_spec(&room.join(spec))?, PromptSet::default(), None)?;
    let plan = Plan::new(&model, "model", &job, &Silent)?;
    let cache = room.join("cache");
    let tools = Tools { checkpoint: saved, ..Tools::new(&cache, &Silent) };
    let outcome = execute(&model, &job, &plan, &tools)?;
    let patch = outcome.patch(&model, &job, &plan)?.ok_or("one model")?;
    Ok(patch.to_bytes()?)
}

/// A batch by MEMIT, which keeps the most.
fn batch(room: &Path) -> Result<Vec<u8>> {
    patch(room, "batch.toml", None)
}

/// A training that goes on from what it saved.
fn training(room: &Path) -> Result<Vec<u8>> {
    let saved = Checkpointing { file: room.join("saved"), every: 2 };
    patch(room, "learn.toml", Some(&saved))
}

/// The bytes of a model's files, once the model opens.
fn files(folder: &Path) -> Result<Vec<u8>> {
    Model::open(folder, &Device::Cpu, &Silent)?;
    let named = |(name, bytes): (PathBuf, Vec<u8>)| {
        [name.to_string_lossy().into_owned().into_bytes(), bytes].concat()
    };
    Ok(contents(folder).into_iter().flat_map(named).collect())
}

/// The model that is imported from a GGUF file into the cache.
fn imported(room: &Path) -> Result<Vec<u8>> {
    let hub = HubOptions { offline: true, ..HubOptions::from_variables(&|_| None) };
    let options = SourceOptions { hub, cache: room.join("cache") };
    let folder = resolve(room.join("tiny.gguf").to_str(), &options, &Silent)?;
    files(&folder.path)
}

/// The built-in model, unpacked into the cache.
fn unpacked(room: &Path) -> Result<Vec<u8>> {
    files(open_built_in(&room.join("cache"), &Silent)?.weights.folder())
}

/// Something that is done again with what an earlier time kept.
struct Again {
    name: &'static str,
    work: fn(&Path) -> Result<Vec<u8>>,
    /// Whether what was kept may be refused: it holds work that cannot be done again unasked.
    may_refuse: bool,
}

const AGAIN: [Again; 4] = [
    Again { name: "cache of a batch", work: batch, may_refuse: false },
    Again { name: "saved training", work: training, may_refuse: true },
    Again { name: "imported GGUF", work: imported, may_refuse: false },
    Again { name: "unpacked model", work: unpacked, may_refuse: false },
];

/// Files that were kept: everything in the cache, and the saved training.
fn kept(room: &Path) -> Vec<PathBuf> {
    let names = contents(room).into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with("cache") || name == Path::new("saved")).collect()
}

/// An error and all that it comes from.
fn causes(error: &dyn Error) -> String {
    let source = error.source().map(|source| format!(": {}", causes(source)));
    format!("{error}{}", source.unwrap_or_default())
}

/// Damages each file that was kept, so many times, and works again.
fn damage(again: &Again, count: usize) {
    let room = tempfile::tempdir().expect("a folder");
    let room = room.path();
    furnish(room);
    let expected = (again.work)(room).expect("it works");
    let kept = kept(room);
    assert!(!kept.is_empty(), "{} keeps nothing", again.name);
    let mut random = Random::new(5);
    let mut refused = 0;
    for name in &kept {
        let file = room.join(name);
        let whole = fs::read(&file).expect("a file");
        for turn in 0..count {
            fs::write(&file, mutated(&whole, &mut random)).expect("a writable folder");
            let place = format!("{}, {}, turn {turn}", again.name, name.display());
            match (again.work)(room) {
                Ok(found) => assert!(found == expected, "{place}: another result"),
                Err(error) => {
                    assert!(again.may_refuse, "{place}: {}", causes(&*error));
                    assert!(causes(&*error).contains("saved"), "{place}: {error}");
                    refused += 1;
                }
            }
        }
        fs::write(&file, whole).expect("a writable folder");
    }
    let files = kept.len();
    println!("{:>30}  {files} files damaged {count} times, {refused} refused", again.name);
}

#[test]
fn damage_to_what_is_kept_changes_no_result() {
    AGAIN.iter().for_each(|again| damage(again, 1));
}

#[test]
#[ignore = "takes minutes"]
fn long_damage_to_what_is_kept() {
    AGAIN.iter().for_each(|again| damage(again, (turns() / 20).max(1)));
}
