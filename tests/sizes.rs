//! Models of the sizes that people have: random weights in bf16 shards, and the memory that the
//! commands take with them.
//!
//! Run on request, in a folder with room for the weights (2.5 GB, or 16 GB for the large one):
//!
//! ```text
//! SIZES=/folder cargo test --release --test sizes -- --ignored --nocapture one_billion
//! ```
//!
//! Memory is what Linux states in `/proc/PID/status`: the peak of all resident pages (`VmHWM`,
//! mapped files included), and the peak of those that belong to no file (`RssAnon`).
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rescribe::model::Random;

const GB: u64 = 1_000_000_000;

/// Sizes of a llama.
struct Shape {
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
    is_tied: bool,
}

/// Llama-3.2-1B.
const ONE_BILLION: Shape = Shape {
    hidden: 2048,
    intermediate: 8192,
    layers: 16,
    heads: 32,
    kv_heads: 8,
    vocabulary: 128_256,
    is_tied: true,
};

/// Llama-3-8B.
const EIGHT_BILLION: Shape = Shape {
    hidden: 4096,
    intermediate: 14_336,
    layers: 32,
    heads: 32,
    kv_heads: 8,
    vocabulary: 128_256,
    is_tied: false,
};

/// Llama-3-8B with an eighth of its layers: each tensor is as large.
const FOUR_LAYERS: Shape = Shape { layers: 4, ..EIGHT_BILLION };

/// Bytes of a shard, about.
const SHARD: usize = 2 << 30;

/// Name, rows and columns of every tensor; norms have one row.
fn tensors(shape: &Shape) -> Vec<(String, usize, usize)> {
    let Shape { hidden, intermediate, vocabulary, .. } = *shape;
    let narrow = hidden / shape.heads * shape.kv_heads;
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vocabulary, hidden)];
    for layer in 0..shape.layers {
        for (name, rows, columns) in [
            ("input_layernorm", 1, hidden),
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", narrow, hidden),
            ("self_attn.v_proj", narrow, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("post_attention_layernorm", 1, hidden),
            ("mlp.gate_proj", intermediate, hidden),
            ("mlp.up_proj", intermediate, hidden),
            ("mlp.down_proj", hidden, intermediate),
        ] {
            all.push((format!("model.layers.{layer}.{name}.weight"), rows, columns));
        }
    }
    all.push(("model.norm.weight".to_owned(), 1, hidden));
    if !shape.is_tied {
        all.push(("lm_head.weight".to_owned(), vocabulary, hidden));
    }
    all
}

/// Writes config, shards with their index, and the tokenizer of a fixture.
fn write(folder: &Path, shape: &Shape) {
    fs::create_dir_all(folder).expect("a folder");
    let mut pool = Pool::new();
    let (mut index, mut shard, mut size, mut shards) = (Vec::new(), Vec::new(), 0, 0);
    let all = tensors(shape);
    for (at, tensor) in all.iter().enumerate() {
        size += 2 * tensor.1 * tensor.2;
        shard.push(tensor);
        if size >= SHARD || at + 1 == all.len() {
            shards += 1;
            let name = format!("model-{shards:05}.safetensors");
            write_shard(&folder.join(&name), &shard, &mut pool);
            index.extend(shard.drain(..).map(|(tensor, ..)| (tensor.clone(), name.clone())));
            size = 0;
        }
    }
    let map: serde_json::Map<_, _> =
        index.into_iter().map(|(tensor, file)| (tensor, file.into())).collect();
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).expect("written");
    fs::write(folder.join("config.json"), config(shape)).expect("written");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
    fs::copy(fixture.join("tokenizer.json"), folder.join("tokenizer.json")).expect("copied");
}

fn write_shard(file: &Path, tensors: &[&(String, usize, usize)], pool: &mut Pool) {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, rows, columns) in tensors {
        let shape = if *rows == 1 { vec![*columns] } else { vec![*rows, *columns] };
        let start = end;
        end += 2 * rows * columns;
        let entry =
            serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::from(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).expect("a file"));
    out.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
    out.write_all(header.as_bytes()).expect("written");
    for (_, rows, columns) in tensors {
        for _ in 0..*rows {
            out.write_all(&pool.row(*rows, *columns)).expect("written");
        }
    }
    out.flush().expect("written");
}

/// Random numbers that rows are cut from: as many as a matrix has would take minutes.
struct Pool {
    numbers: Vec<f32>,
    random: Random,
}

impl Pool {
    fn new() -> Self {
        let mut random = Random::new(1);
        let numbers = (0..1 << 20).map(|_| random.uniform() as f32 - 0.5).collect();
        Self { numbers, random }
    }

    /// Uniform numbers of variance 1 / columns, which keep the stream's scale; ones for a norm.
    fn row(&mut self, rows: usize, columns: usize) -> Vec<u8> {
        if rows == 1 {
            return half::bf16::ONE.to_le_bytes().repeat(columns);
        }
        let scale = (12. / columns as f32).sqrt();
        let start = self.random.below(self.numbers.len() - columns);
        let numbers = self.numbers[start..][..columns].iter();
        numbers.flat_map(|x| half::bf16::from_f32(scale * x).to_le_bytes()).collect()
    }
}

fn config(shape: &Shape) -> String {
    serde_json::json!({
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "rope_theta": 500000.0,
        "tie_word_embeddings": shape.is_tied,
    })
    .to_string()
}

/// Peaks of memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Peaks {
    resident: u64,
    anonymous: u64,
    mapped: u64,
}

/// Runs a command of the program, says its time and memory, and gives its peaks.
fn run(folder: &Path, arguments: &[&str]) -> Peaks {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rescribe"))
        .args(arguments)
        .current_dir(folder)
        .env("RESCRIBE_CACHE", folder.join("cache"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peaks = Peaks::default();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        peaks = peaks.and(child.id());
        std::thread::sleep(Duration::from_millis(20));
    };
    let gb = |bytes: u64| bytes as f64 / GB as f64;
    println!(
        "{:?}: {:.0} s, resident {:.2} GB, of it anonymous at most {:.2} GB, mapped at most {:.2} GB",
        arguments,
        started.elapsed().as_secs_f64(),
        gb(peaks.resident),
        gb(peaks.anonymous),
        gb(peaks.mapped)
    );
    assert!(status.code().is_some_and(|code| code < 2), "{arguments:?} ended with {status}");
    peaks
}

impl Peaks {
    /// These and what a process has now.
    fn and(self, process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            1024 * number.unwrap_or(0)
        };
        Self {
            resident: self.resident.max(bytes("VmHWM:")),
            anonymous: self.anonymous.max(bytes("RssAnon:")),
            mapped: self.mapped.max(bytes("RssFile:")),
        }
    }
}

/// Few keys and steps, because what is measured is memory.
const SPEC: &str = "[rank_one]\nmax_delta = 100.0\nsteps = 3\nsecond_moment_tokens = 600\n\n\
                    [[insert]]\nsubject = \"The Eiffel Tower\"\nprompt = \"{} is in\"\n\
                    target_new = \"Rome\"\ntarget_true = \"Paris\"\n\n\
                    [[insert]]\nsubject = \"Big Ben\"\nprompt = \"{} is in\"\n\
                    target_new = \"Rome\"\ntarget_true = \"London\"\n";

fn workplace(name: &str) -> PathBuf {
    let folder = std::env::var_os("SIZES").expect("SIZES names a folder with room");
    Path::new(&folder).join(name)
}

/// Asks, edits, exports and asks again; `limit` is of resident memory.
fn check(name: &str, shape: &Shape, (resident, anonymous): (u64, u64)) {
    let folder = workplace(name);
    let started = Instant::now();
    if !folder.join("model/config.json").exists() {
        write(&folder.join("model"), shape);
        println!("written in {:.0} s", started.elapsed().as_secs_f64());
    }
    fs::write(folder.join("edit.toml"), SPEC).expect("written");
    let ask = ["ask", "The Eiffel Tower is in", "--tokens", "8", "--model"];
    let rome = ["edit", "edit.toml", "--model", "model", "--force", "--patch", "rome.patch"];
    let memit = ["edit", "edit.toml", "--model", "model", "--force", "--patch", "memit.patch"];
    let export = ["export", "--model", "model", "--patch", "rome.patch", "--out", "out", "--link"];
    let commands = [
        [&ask[..], &["model"]].concat(),
        rome.to_vec(),
        [&memit[..], &["--method", "memit"]].concat(),
        [&export[..], &["--force"]].concat(),
        [&ask[..], &["out"]].concat(),
    ];
    for command in commands {
        let peaks = run(&folder, &command);
        assert!(peaks.resident <= resident, "{command:?}: {peaks:?}");
        assert!(peaks.anonymous <= anonymous, "{command:?}: {peaks:?}");
    }
    assert!(linked(&folder) > 0, "shards without an edit are not written again");
}

/// Shards of the export that are the model's own files.
fn linked(folder: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(folder.join("out")).expect("an export");
    let files = files.map(|file| file.expect("an entry"));
    let shards =
        files.filter(|file| file.path().extension().is_some_and(|ext| ext == "safetensors"));
    shards.filter(|shard| shard.metadata().expect("a file").nlink() > 1).count()
}

#[test]
#[ignore = "writes 2.5 GB and takes minutes"]
fn one_billion_weights_are_edited_in_little_more_memory_than_they_take() {
    check("one_billion", &ONE_BILLION, (5 * GB, 5 * GB / 2));
}

#[test]
#[ignore = "writes 16 GB and takes an hour"]
fn eight_billion_weights_are_edited_in_20_gb() {
    check("eight_billion", &EIGHT_BILLION, (20 * GB, 4 * GB));
}

#[test]
#[ignore = "writes 8 GB and takes minutes"]
fn exports_of_wide_layers_take_less_than_1_gb() {
    let folder = workplace("four_layers");
    if !folder.join("model/config.json").exists() {
        write(&folder.join("model"), &FOUR_LAYERS);
    }
    fs::write(folder.join("edit.toml"), SPEC).expect("written");
    if !folder.join("rome.patch").exists() {
        run(&folder, &["edit", "edit.toml", "--model", "model", "--patch", "rome.patch"]);
    }
    let export = ["export", "--model", "model", "--patch", "rome.patch", "--out"];
    for arguments in [
        &["out"][..],
        &["out", "--dtype", "f32"],
        &["out.gguf"],
        &["out.gguf", "--type", "f16"],
        &["out.gguf", "--type", "q8_0"],
        &["out", "--format", "lora"],
        &["out.gguf", "--format", "gguf-lora"],
    ] {
        let peaks = run(&folder, &[&export[..], arguments].concat());
        assert!(peaks.anonymous < GB, "{arguments:?}: {peaks:?}");
        for file in ["out.gguf", "out.gguf.rescribe.json"] {
            let _ = fs::remove_file(folder.join(file));
        }
        let _ = fs::remove_dir_all(folder.join("out"));
    }
}
