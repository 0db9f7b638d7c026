//! `rescribe doctor`: what this machine offers, and which models fit it. Nothing is written or asked
//! for over the network, unless `--model` names a model that has to be downloaded.

mod machine;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{DoctorArgs, Global};
use super::cache::bytes_held;
use super::session::Session;
use super::ui::Ui;
use machine::{Machine, existing};
use rescribe::report::{Column, Report, Row, Section, Table, Unit};
use rescribe::run::Needs;
use rescribe::source::{HubOptions, SourceOptions};

/// Bytes of a gigabyte.
const GIGA: f64 = 1e9;

pub fn run(args: &DoctorArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let options = SourceOptions::from_variables(&|name| std::env::var_os(name));
    let model = match &args.model {
        None => None,
        Some(name) => {
            let session = Session::open(Some(name), global, ui)?;
            Some(Sized { name: session.name.clone(), needs: Needs::of_model(&session.model) })
        }
    };
    let found = Findings {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(&options.cache),
        cache: Cache::at(&options.cache),
        hub: Hub::new(&options.hub),
        accelerators: Accelerators { cuda: cfg!(feature = "cuda"), metal: cfg!(feature = "metal") },
        sizes: sizes(),
        model,
    };
    let name = found.model.as_ref().map(|model| model.name.as_str()).unwrap_or_default();
    let report = Report::new("doctor", name, &found)?;
    ui.show(&report.section(found.machine_section()).section(found.fit_section()))
}

/// Everything that was looked at.
#[derive(Serialize)]
struct Findings {
    version: &'static str,
    machine: Machine,
    cache: Cache,
    hub: Hub,
    accelerators: Accelerators,
    /// Usual sizes of models, in bf16.
    sizes: Vec<Sized>,
    /// The model that was asked about.
    model: Option<Sized>,
}

/// The folder of the cache.
#[derive(Serialize)]
struct Cache {
    folder: PathBuf,
    /// Bytes that rescribe keeps there; nothing where it cannot be read.
    bytes: Option<u64>,
    is_writable: bool,
}

impl Cache {
    fn at(folder: &Path) -> Self {
        let is_taken = folder.exists() && !folder.is_dir();
        let takes = |folder: PathBuf| tempfile::tempfile_in(folder).is_ok();
        Self {
            folder: folder.to_owned(),
            bytes: bytes_held(folder).ok(),
            is_writable: !is_taken && existing(folder).is_some_and(takes),
        }
    }
}

/// How the Hub would be reached.
#[derive(Serialize)]
struct Hub {
    endpoint: String,
    is_offline: bool,
    has_token: bool,
}

impl Hub {
    fn new(options: &HubOptions) -> Self {
        Self {
            endpoint: options.endpoint.clone(),
            is_offline: options.offline,
            has_token: options.token.is_some(),
        }
    }
}

/// Accelerators that this binary was built for.
#[derive(Serialize)]
struct Accelerators {
    cuda: bool,
    metal: bool,
}

/// A model and what it needs.
#[derive(Serialize)]
struct Sized {
    name: String,
    needs: Needs,
}

/// Models of usual sizes, by the shapes of published ones.
fn sizes() -> Vec<Sized> {
    // (name; vocabulary, hidden, intermediate, layers, heads, key-value heads; tied head)
    let shapes = [
        ("135 M", [49_152, 576, 1536, 30, 9, 3], true),
        ("0.5 B", [151_936, 896, 4864, 24, 14, 2], true),
        ("1.7 B", [49_152, 2048, 8192, 24, 32, 32], true),
        ("3 B", [128_256, 3072, 8192, 28, 24, 8], true),
        ("8 B", [128_256, 4096, 14_336, 32, 32, 8], false),
        ("14 B", [151_936, 5120, 13_824, 48, 40, 8], false),
    ];
    let sized = shapes.map(|(name, shape, is_tied)| Sized {
        name: name.to_owned(),
        needs: Needs::of_config(&llama(shape, is_tied)).expect("a llama of whole sizes"),
    });
    sized.into()
}

/// The `config.json` of a llama.
fn llama(shape: [usize; 6], is_tied: bool) -> Map<String, Value> {
    let [vocabulary, hidden, intermediate, layers, heads, key_values] = shape;
    let config = json!({
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": hidden,
        "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": key_values, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 4096, "tie_word_embeddings": is_tied, "hidden_act": "silu",
        "rope_theta": 10_000.0,
    });
    match config {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

impl Findings {
    fn machine_section(&self) -> Section {
        let Self { machine, cache, hub, accelerators, .. } = self;
        let mut table = Table::of_items("", [Column::of("", Unit::Text)]);
        let mut row = |label: &str, found: String, note: String| {
            table.push(Row::new(label).cell(found).note(note));
        };
        row("cores", machine.cores.to_string(), "threads by default; --threads takes fewer".into());
        row("vectors", machine.vectors.into(), "of the matrix products".into());
        let total = machine.memory_total.map_or("of an unknown total".into(), |total| {
            format!("free of {}", gigabytes(Some(total)))
        });
        row("memory", gigabytes(machine.memory_free), total);
        row("disk", gigabytes(machine.disk_free), "free where the cache is".into());
        let writable = if cache.is_writable { "" } else { ", which cannot be written" };
        let folder = format!("{}{writable}; RESCRIBE_CACHE moves it", cache.folder.display());
        row("cache", gigabytes(cache.bytes), folder);
        let token = if hub.has_token { "with an access token" } else { "without an access token" };
        match hub.is_offline {
            true => {
                row("hub", "offline".into(), "by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE".into())
            }
            false => row("hub", "online".into(), format!("{}, {token}", hub.endpoint)),
        }
        for (name, is_built) in [("cuda", accelerators.cuda), ("metal", accelerators.metal)] {
            let (found, note) = match is_built {
                true => ("built in", format!("--device {name} uses it")),
                false => ("no", format!("this binary was built without --features {name}")),
            };
            row(name, found.into(), note);
        }
        Section::from(table)
    }

    fn fit_section(&self) -> Section {
        let column = |head: &str| Column::of(head, Unit::Plain(1));
        let heads = ["weights", "edit", "rank 8", "all"].map(column);
        let mut table = Table::of_items("GB", heads);
        for Sized { name, needs } in self.sizes.iter().chain(&self.model) {
            let bytes = [needs.weights, needs.edit, needs.low_rank, needs.dense];
            let row = bytes
                .iter()
                .fold(Row::new(name.as_str()), |row, bytes| row.cell(*bytes as f64 / GIGA));
            table.push(row.note(self.fitting(needs)));
        }
        let explained = "At the peak: an edit of facts; learning or forgetting passages with changes \
                         of rank 8, and with all weights. Sizes are those of bf16, with --memory at \
                         its least.";
        Section::titled("What fits into the free memory:").block(table).block(explained.to_owned())
    }

    /// Which kinds of work fit.
    fn fitting(&self, needs: &Needs) -> String {
        let Some(free) = self.machine.memory_free else { return "free memory unknown".into() };
        let kinds = [("edit", needs.edit), ("rank 8", needs.low_rank), ("all", needs.dense)];
        let fits = kinds.iter().filter(|(_, bytes)| *bytes <= free).map(|(name, _)| *name);
        match fits.collect::<Vec<_>>().as_slice() {
            [] => "too large".into(),
            [_, _, _] => "everything fits".into(),
            [only] => format!("{only} fits"),
            some => format!("{} fit", some.join(" and ")),
        }
    }
}

/// `12.3 GB`, or a dash.
fn gigabytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".into(), |bytes| format!("{:.1} GB", bytes as f64 / GIGA))
}
