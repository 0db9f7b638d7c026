//! GGUF files out: what is written, what it says when it is asked, and what is never replaced.

use super::desk::{Desk, copy, model, text};

const HOW: &str = "--max-delta 100 --layer 1 --quiet";

/// A desk with `base.gguf` and a patch of it.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok("export --model MODEL --out base.gguf --quiet");
    desk.ok(&format!("edit spec.toml --model base.gguf --patch p.safetensors {HOW}"));
    desk
}

/// What a model continues the prompt with.
fn answer(desk: &Desk, flags: &str) -> String {
    let mut command = desk.command(&format!("ask --json {flags}"));
    let output = command.arg("The Eiffel Tower is in").output().expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let answers = report["data"].to_string();
    assert!(answers.len() > 20, "{answers}");
    answers
}

#[test]
fn an_edit_of_a_file_is_a_file_that_says_what_the_patch_says() {
    let desk = desk();
    let line = "export --model base.gguf --patch p.safetensors --out edited.gguf --check --json";
    let report = desk.json(line);
    assert_eq!(report["edited"].as_array().map(Vec::len), Some(1));
    let off = report["largest_logit_difference"].as_f64().expect("a number");
    assert!(off < 1e-5, "the fixture's matrices are of single precision: {off}");
    let lost = report["edited"][0]["key_residual"].as_f64().expect("a number");
    assert!(lost < 1e-4, "{lost}");
    let alone = answer(&desk, "--model edited.gguf");
    assert_ne!(alone, answer(&desk, "--model base.gguf"));

    let halves = "--edited-type q4_0 --out small.gguf --json";
    let small = desk.json(&format!("export --model base.gguf --patch p.safetensors {halves}"));
    let rounded = small["edited"][0]["rounding_residual"].as_f64().expect("a number");
    assert!(rounded > 1e-4 && rounded > lost, "{rounded}");

    let told = desk.ok("inspect edited.gguf");
    for part in
        ["model · llama", "target_new  = \"Rome\"", "1 file compared with edited.gguf.rescribe"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }

    // Only what was written, and is as it was, is replaced.
    let again = "export --model base.gguf --patch p.safetensors --out edited.gguf --quiet";
    desk.fails(again, 2, &["already exists"]);
    desk.ok(&format!("{again} --force"));
    let mut bytes = desk.read("edited.gguf");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(desk.path("edited.gguf"), bytes).expect("a writable folder");
    desk.fails(&format!("{again} --force"), 2, &["edited.gguf", "not replaced"]);
    desk.fails("inspect edited.gguf", 1, &["not as they were exported: edited.gguf"]);
    desk.write("noted.gguf.rescribe.json", "mine");
    let noted = "export --model base.gguf --out noted.gguf --quiet";
    desk.fails(noted, 2, &["noted.gguf.rescribe.json is not replaced"]);
    assert_eq!(desk.read("noted.gguf.rescribe.json"), b"mine");
    let onto = "export --model base.gguf --out base.gguf --force --quiet";
    desk.fails(onto, 2, &["base.gguf"]);
}

#[test]
fn adapters_and_folders_for_other_programs() {
    let desk = desk();
    let export = "export --model base.gguf --patch p.safetensors";
    desk.ok(&format!("{export} --format gguf-lora --out a.gguf --quiet"));
    let adapter = desk.read("a.gguf");
    assert!(adapter.starts_with(b"GGUF") && adapter.len() < 16 << 10, "{}", adapter.len());
    let holds = |part: &str| adapter.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(holds("blk.1.ffn_down.weight.lora_a") && holds("blk.1.ffn_down.weight.lora_b"));
    let told = desk.ok("inspect a.gguf");
    assert!(told.contains("adapter · llama") && told.contains("ffn_down.weight"), "{told}");
    // The unedited file as it is, and the adapter next to it.
    desk.ok(&format!("{export} --format ollama-lora --out both --quiet"));
    assert_eq!(desk.names("both"), ["Modelfile", "adapter.gguf", "model.gguf", "rescribe.json"]);
    assert_eq!(desk.read("both/Modelfile"), b"FROM ./model.gguf\nADAPTER ./adapter.gguf\n");
    assert!(desk.read("both/model.gguf") == desk.read("base.gguf"));
    assert!(desk.read("both/adapter.gguf") == adapter);
    desk.ok(&format!("{export} --format ollama-lora --out both --quiet --force"));
    desk.ok(&format!("{export} --format ollama --out o --quiet"));
    assert_eq!(desk.names("o"), ["Modelfile", "model.gguf", "rescribe.json"]);
    assert_eq!(desk.read("o/Modelfile"), b"FROM ./model.gguf\n");
    desk.ok(&format!("{export} --format ollama --out o --quiet --force"));
    desk.write("o/notes.txt", "mine");
    desk.fails(&format!("{export} --format ollama --out o --quiet --force"), 2, &["o"]);
    desk.ok(&format!("{export} --format lora --out l --quiet"));
    let config = text(&desk.read("l/adapter_config.json"));
    assert!(config.contains("\"base_model_name_or_path\": \"base.gguf\""), "{config}");
}

/// An absolute path is of one machine alone.
#[test]
fn an_adapter_names_no_path_of_this_machine() {
    let desk = Desk::new();
    copy(&model("llama"), &desk.path("mine"));
    let absolute = desk.path("mine").display().to_string();
    desk.ok(&format!("edit spec.toml --model {absolute} --patch p.safetensors {HOW}"));
    let line = format!("export --model {absolute} --patch p.safetensors --format lora --out l");
    desk.ok(&line);
    for file in ["l/adapter_config.json", "l/README.md"] {
        let written = text(&desk.read(file));
        assert!(!written.contains(&absolute) && written.contains("mine"), "{file}: {written}");
    }
}

#[test]
fn flags_that_mean_nothing_are_refused_before_any_work() {
    let desk = Desk::new();
    let rows = [
        ("--format gguf --out x", "--out has to end in .gguf"),
        ("--format lora --patch p --out x.gguf", "what is written is a folder"),
        ("--format checkpoint --out x.gguf", "what is written is a folder"),
        ("--format gguf-lora --patch p --out x.gguf --edited-type f16", "--edited-type"),
        ("--format ollama-lora --patch p --out x --edited-type f16", "--edited-type"),
        ("--format ollama-lora --out x", "--patch"),
        ("--out x --type f16", "--type"),
        ("--out x.gguf --dtype f32", "--dtype is for a checkpoint"),
        ("--out x.gguf --link", "--link is for a checkpoint"),
    ];
    for (flags, says) in rows {
        desk.fails(&format!("export --model no-such-model {flags}"), 2, &[says]);
    }
    desk.fails("edit spec.toml --model MODEL --out x.gguf", 2, &["rescribe export"]);
    desk.ok("export --model MODEL --out base.gguf --quiet");
    desk.fails("export --model base.gguf --out x.gguf --type f16", 2, &["--edited-type"]);
    desk.fails("export --model MODEL --out x.gguf --format gguf-lora", 2, &["patch"]);
}
