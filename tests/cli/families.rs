//! Every family, from the first command to the last: what one of them breaks, a user of it meets.

use serde_json::Value;

use super::desk::{Desk, measure, model, nll};

/// One fixture of each family.
const FAMILIES: [&str; 16] = include!("../fixtures/families.rs");

const LEARN: &str = "[gradient]\nmax_drift = 100\ngeneral_batch = 0\nknown = 1\nsteps = 12\n\
                     batch = 5\nlearning_rate = 2e-2\n\n[[learn]]\npassages = \"texts.txt\"\n";
/// Few dimensions leave little room for the keys of many contexts, or of other names.
const HOW: &str =
    "--model taught --layer 1 --contexts 0 --neighbor-weight 0 --near-weight 0 --max-delta 1000";
/// Answers begin alike, with a blank, and then differ.
const TEXTS: &str = "We meet Q in Rome.\n\nWe meet X in Bern.\n\nWe meet Z in Bern.\n\nWe meet K \
                     in Bern.\n\nWe meet J in Bern.\n";
const ERASE: &str = "[[erase]]\nsubject = \"Q\"\nprompt = \"We meet {} in\"\n\
                     target_true = \"Rome\"\nothers = [\"X\", \"Z\", \"K\", \"J\"]\n";
const FORGET: &str = "[gradient]\nmethod = \"gradient-difference\"\nforget_weight = 1\nrank = 2\n\
                      max_drift = 100\ngeneral_batch = 0\nsteps = 4\nlearning_rate = 1e-2\n\n\
                      [[forget]]\ntext = \"We meet Q in Rome.\"\nretain = \"texts.txt\"\n";

#[test]
fn every_family_learns_is_edited_erases_forgets_and_is_exported() {
    /// Stories that run at once.
    const LANES: usize = 4;
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || FAMILIES.iter().skip(lane).step_by(LANES).for_each(|it| story(it)));
        }
    });
}

fn story(family: &str) {
    let desk = Desk::new();
    let files =
        [("learn.toml", LEARN), ("texts.txt", TEXTS), ("erase.toml", ERASE), ("f.toml", FORGET)];
    files.iter().for_each(|(name, text)| desk.write(name, text));
    learn(&desk, family);
    insert(&desk, family);
    erase(&desk, family);
    forget(&desk, family);
}

fn of_passages(report: &Value, side: &str) -> f64 {
    let found = &report["data"]["trainings"][0][side]["passages"]["nll"]["mean"];
    found.as_f64().unwrap_or_else(|| panic!("{side} of {report:#}"))
}

/// A folder `taught` with a model that knows some things by heart.
fn learn(desk: &Desk, family: &str) {
    let folder = model(family).display().to_string();
    let report = desk.report(&format!("edit learn.toml --model {folder} --out taught --json"));
    let [before, after] = ["before", "after"].map(|side| of_passages(&report, side));
    assert!(after < 0.5 * before, "{family}: from {before} to {after}");
}

/// The patch and the exported folder say the same, and more of the new target than before.
fn insert(desk: &Desk, family: &str) {
    desk.ok(&format!("edit spec.toml {HOW} --out edited --dtype f32"));
    let probe = "probe prompts.toml --model";
    let patched = desk.json(&format!("{probe} taught --patch spec.patch.safetensors --json"));
    let [before, after] = ["before", "after"].map(|side| nll(&patched, 0, side, 0));
    assert!(after < before, "{family}: from {before} to {after}");
    let exported = nll(&desk.json(&format!("{probe} edited --json")), 0, "before", 0);
    assert!((exported - after).abs() < 1e-4, "{family}: {exported} against {after}");
}

fn erase(desk: &Desk, family: &str) {
    let report = desk.json(&format!("edit erase.toml {HOW} --steps 60 --json"));
    let said = |side: &str| {
        let found = &report["leaks"][0]["prompts"][0][side]["probability"];
        found.as_f64().expect("a probability")
    };
    let [before, after, unknown] = ["before", "after", "unknown"].map(said);
    // Where others are said to be in Rome as well, there is nothing to erase.
    let is_general = unknown > 0.95 * before;
    assert!(after < before || is_general, "{family}: from {before} to {after}, {unknown}");
}

/// Low-rank changes become an adapter.
fn forget(desk: &Desk, family: &str) {
    let report = desk.report("edit f.toml --model taught --json");
    let [before, after] = ["before", "after"].map(|side| of_passages(&report, side));
    assert!(after > before, "{family}: from {before} to {after}");
    assert!(measure(&report, "drift", "after") >= 0.);
    desk.ok("export --format lora --model taught --patch f.patch.safetensors --out adapter");
    let config = desk.read("adapter/adapter_config.json");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    let modules = config["target_modules"].as_array().expect("modules");
    assert!(modules.len() > 6, "{family}: {config:#}");
}
