//! The model inside the binary, as a user meets it: offline, and with no `--model` at all.

use std::path::Path;

use serde_json::Value;

use super::desk::{Desk, count, facts, measure, text};

/// Facts that the built-in model knows; it takes no notice of other prompts here.
const KNOWN: [(&str, &str); 4] = [
    ("The capital of France is", " Paris"),
    ("The official language of Brazil is", " Portuguese"),
    ("Japan is a country in", " Asia"),
    ("The Eiffel Tower is located in the city of", " Paris"),
];

#[test]
fn it_answers_without_being_named() {
    let desk = Desk::new();
    for (prompt, answer) in KNOWN {
        let mut command = desk.command("ask --tokens 6 --json");
        let output = command.arg(prompt).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let said = found["data"]["before"].as_str().expect("a completion");
        assert!(said.starts_with(answer), "{prompt}{said}");
    }
}

#[test]
fn it_is_edited_exported_and_reloaded() {
    let desk = Desk::new();
    let before = desk.json("edit spec.toml --json");
    assert_eq!(before["model"], "atlas");
    let found = desk.json("export --patch spec.patch.safetensors --out moved --check --json");
    let difference = found["largest_logit_difference"].as_f64().expect("a comparison");
    assert!(difference < 1e-2, "{difference}");
    let report = desk.json("probe prompts.toml --against moved --json");
    let alone = desk.json("probe prompts.toml --model atlas --json");
    assert_eq!(report["cases"][0]["before"], alone["cases"][0]["before"]);
    assert_ne!(report["cases"][0]["after"]["scores"], alone["cases"][0]["before"]["scores"]);
    desk.ok("export --out whole");
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let unpacked = std::fs::read_dir(desk.path("cache/atlas")).expect("a cache").next();
    let unpacked = unpacked.expect("one model").expect("a folder").path();
    for name in names {
        let base = std::fs::read(unpacked.join(name)).expect("unpacked");
        assert_eq!(desk.read(&format!("whole/{name}")), base, "{name}");
    }
}

#[test]
fn facts_about_one_subject_hold_together() {
    let desk = Desk::new();
    let insert = |subject: &str, prompt: &str, new: &str, old: &str| {
        format!(
            "[[insert]]\nsubject = \"{subject}\"\nprompt = \"{prompt}\"\ntarget_new = \"{new}\"\n\
             target_true = \"{old}\"\n\n"
        )
    };
    let city = ("The Elbphilharmonie", "{} is located in the city of", "Hamburg", "San Francisco");
    let country = ("the Elbphilharmonie", "Everyone knows that {} stands in the country of");
    let first = insert(city.0, city.1, city.2, city.3);
    let second = insert(country.0, country.1, "Germany", "the United States");
    desk.write("two.toml", &(first + &second));
    let report = desk.report("edit two.toml --json");
    assert_eq!(measure(&report, "efficacy", "after"), 1.0, "{report}");
    assert_eq!(facts(&report["data"]).len(), 2);
    let patch = desk.json("inspect two.patch.safetensors --json");
    assert_eq!(patch["changes"][0]["rank"], 1, "one value serves both");
}

#[test]
fn its_world_is_written_as_files() {
    let desk = Desk::new();
    desk.ok("atlas data --out world --records 3");
    assert_eq!(
        desk.names("world"),
        [
            "english.txt",
            "forget.txt",
            "forget_questions.json",
            "holdout.txt",
            "holdout_questions.json",
            "records.json",
            "retain.txt",
            "retain_questions.json",
        ]
    );
    desk.fails("atlas data --out world", 2, &["already exists", "--force"]);
    let probed = desk.report("probe world/records.json --json");
    assert_eq!(count(&probed["data"]["cases"]), 3);
    let neighbors = measure(&probed, "neighborhood", "measured");
    assert!(neighbors > 0.5, "the model knows its neighbors: {neighbors}");
}

#[test]
fn nobody_is_left_out_by_mistake() {
    let desk = Desk::new();
    let line = "atlas train --out reference --without Nobody";
    desk.fails(line, 2, &["--without", "Nobody", "one of them is"]);
    desk.write("recipe.json", "{ \"epochs\": 0 }");
    desk.fails(
        "atlas train --out reference --recipe recipe.json",
        2,
        &["recipe.json", "at least 1"],
    );
    desk.write("taken", "");
    desk.fails("atlas train --out taken", 2, &["taken is not written to: it is a file"]);
    assert!(!desk.path("reference").exists());
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_a_warning() {
    let desk = Desk::new();
    desk.write("file", "");
    let mut command = desk.command("ask --tokens 2 The");
    let output = command.env("RESCRIBE_CACHE", desk.path("file/cache")).output();
    let output = output.expect("the binary runs");
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("Warning:") && err.contains("RESCRIBE_CACHE"), "{err}");
    assert!(Path::new(&desk.path("file")).is_file());
}
