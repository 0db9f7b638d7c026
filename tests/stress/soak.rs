//! Hours of work in one process, with its memory watched: it may not grow.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use rescribe::checkpoint::{self, ExportOptions, Record};
use rescribe::model::{Model, Random, panics_are_errors};
use rescribe::progress::Silent;
use rescribe::spec::{PromptSet, read_spec};
use rescribe::{Job, Overwrite, Patch, Plan, Tools, execute, untrusted};

use super::mutation::mutated;
use super::room::{furnish, rescribe};
use super::{asked_for, inputs};

/// Growth that allocators and page tables have without a leak, in bytes.
const SLACK: u64 = 24 << 20;
/// The first share of the time, in which caches and pools fill.
const WARM: f64 = 0.2;

/// Resident memory of a process in bytes.
fn resident(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.and_then(|line| line.trim().strip_suffix("kB")).expect("in kB");
    1024 * text.trim().parse::<u64>().expect("a number")
}

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Opens the model, makes the patch of a spec, reads it back and exports it.
fn work(room: &Path, spec: &str) -> Result<Vec<u8>> {
    let folder = room.join("model");
    let model = Model::open(&folder, &Device::Cpu, &Silent)?;
    let job = Job::of_spec(&read_spec(&room.join(spec))?, PromptSet::default(), None)?;
    let plan = Plan::new(&model, "model", &job, &Silent)?;
    let cache = room.join("cache");
    let outcome = execute(&model, &job, &plan, &Tools::new(&cache, &Silent))?;
    let patch = outcome.patch(&model, &job, &plan)?.ok_or("one model")?;
    let (file, out) = (room.join("a.patch.safetensors"), room.join("export"));
    patch.write(&file, Overwrite::Replace)?;
    let patches = [Patch::read(&file)?];
    let options = ExportOptions { overwrite: Overwrite::Replace, ..ExportOptions::default() };
    checkpoint::export(&folder, &model.weights, &patches, &out, &options, &Silent)?;
    Record::read(&out, &Silent)?.filter(|it| it.is_whole).ok_or("a whole export")?;
    Model::open(&out, &Device::Cpu, &Silent)?;
    Ok(fs::read(file)?)
}

/// Whether a reader accepts bytes.
type Reader = fn(&[u8]) -> bool;

/// Damaged files in the readers of bytes.
fn misread(room: &Path, patch: &[u8], random: &mut Random) {
    let model = room.join("model");
    let read = |name: &str| fs::read(model.join(name)).expect("a file");
    let rows: [(Reader, Vec<u8>); 5] = [
        (untrusted::patch, patch.to_vec()),
        (untrusted::tokenizer, read("tokenizer.json")),
        (untrusted::config, read("config.json")),
        (untrusted::records, inputs::RECORDS.into()),
        (untrusted::passages, inputs::CHATS.into()),
    ];
    for (reader, whole) in rows {
        for _ in 0..20 {
            reader(&mutated(&whole, random));
        }
    }
}

/// A process that answers line after line.
struct Asked(Child);

impl Asked {
    fn new(room: &Path) -> Self {
        let mut command = rescribe(room, "ask --model model --tokens 4 --threads 1");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the binary runs"))
    }

    fn ask(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it reads");
    }

    fn resident(&self) -> u64 {
        resident(&self.0.id().to_string())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("a child of ours").success());
    }
}

/// The most memory of a process, while it warms up and later.
#[derive(Default)]
struct Watch {
    warm: u64,
    later: u64,
}

impl Watch {
    fn see(&mut self, is_warm: bool, bytes: u64) {
        let most = if is_warm { &mut self.later } else { &mut self.warm };
        *most = bytes.max(*most);
    }

    fn check(&self, who: &str) {
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (warm, later) = (megabytes(self.warm), megabytes(self.later));
        println!("{who:>30}  {warm:.1} MiB at most while warming up, {later:.1} MiB later");
        assert!(self.later <= self.warm + SLACK, "the memory of {who} grows");
    }
}

/// Does some work in a thread of its own: what the tokenizer library caches for each tokenizer stays
/// with the thread, and goes when the thread ends, not when the tokenizer does.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

const SPECS: [&str; 5] = ["insert.toml", "batch.toml", "learn.toml", "forget.toml", "erase.toml"];

/// Does the work of the specs for so long; each round gives the bits of the first.
fn soak(specs: &[&str], time: Duration) {
    let room = tempfile::tempdir().expect("a folder");
    let room = room.path();
    furnish(room);
    // A backtrace of what the program takes for an error would load the symbols of this binary.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panics_are_errors() {
            told(panic)
        }
    }));
    let started = Instant::now();
    let (mut ours, mut theirs) = (Watch::default(), Watch::default());
    let mut asked = Asked::new(room);
    let mut random = Random::new(13);
    let mut first: Vec<Vec<u8>> = Vec::new();
    let mut rounds = 0;
    while rounds < 4 || started.elapsed() < time {
        for (at, spec) in specs.iter().enumerate() {
            asked.ask(&format!("In round {rounds} the Eiffel Tower is in"));
            let patch = in_thread(|| {
                let patch = work(room, spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
                misread(room, &patch, &mut random);
                patch
            });
            match first.get(at) {
                Some(known) => assert!(*known == patch, "{spec}, round {rounds}: other bits"),
                None => first.push(patch),
            }
            let is_late = started.elapsed().as_secs_f64() > WARM * time.as_secs_f64();
            let is_warm = is_late && rounds >= 2;
            ours.see(is_warm, resident("self"));
            theirs.see(is_warm, asked.resident());
        }
        rounds += 1;
        if rounds % 10 == 0 {
            fs::remove_dir_all(room.join("cache")).expect("a cache");
        }
    }
    asked.end();
    let jobs = rounds * specs.len();
    println!("{:>30}  {jobs} jobs in {:.0} s", "soak", started.elapsed().as_secs_f64());
    ours.check("this process");
    theirs.check("one that answers");
}

#[test]
fn memory_does_not_grow() {
    soak(&SPECS[..1], Duration::from_secs(1));
}

#[test]
#[ignore = "takes an hour, or as long as SOAK says"]
fn long_soak() {
    soak(&SPECS, Duration::from_secs(asked_for("SOAK", 3600) as u64));
}
