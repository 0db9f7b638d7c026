//! `rescribe doctor`: what the machine offers and what fits it; `rescribe man`: the manual pages.

use super::desk::{Desk, text};

#[test]
fn the_doctor_says_what_is_there_and_what_fits_and_writes_nothing() {
    let desk = Desk::new();
    let said = desk.ok("doctor");
    for part in ["cores", "memory", "disk", "cache", "offline", "cuda", "135 M", "14 B"] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    assert!(!desk.path("cache").exists(), "looking is not writing");
    let found = desk.json("doctor --json");
    let machine = &found["machine"];
    assert!(machine["cores"].as_u64().is_some_and(|cores| cores > 0), "{machine}");
    if cfg!(target_os = "linux") {
        let bytes = |key: &str| machine[key].as_u64().unwrap_or_else(|| panic!("no {key}"));
        assert!(bytes("memory_free") <= bytes("memory_total"));
        assert!(bytes("disk_free") > 0);
    }
    assert_eq!(found["hub"]["is_offline"], true);
    assert_eq!(found["cache"]["is_writable"], true);
    let sizes = found["sizes"].as_array().expect("a list");
    let needs = |key: &str| -> Vec<u64> {
        sizes.iter().map(|size| size["needs"][key].as_u64().expect("bytes")).collect()
    };
    for key in ["weights", "edit", "low_rank", "dense"] {
        assert!(needs(key).is_sorted(), "{key}: {:?}", needs(key));
    }
    assert_eq!(found["model"], serde_json::Value::Null);
}

#[test]
fn the_doctor_knows_the_needs_of_a_model_and_a_cache_that_cannot_be_written() {
    let desk = Desk::new();
    let model = &desk.json("doctor --model MODEL --json")["model"];
    let bytes = std::fs::read(super::model("llama").join("model.safetensors")).expect("weights");
    let weights = model["needs"]["weights"].as_u64().expect("bytes");
    assert!(weights < bytes.len() as u64 && weights > bytes.len() as u64 / 2, "{model}");
    desk.fails("doctor --model nowhere/to/find", 3, &["nowhere/to/find"]);

    let mut command = desk.command("doctor");
    let output = command.env("RESCRIBE_CACHE", "/dev/null").output().expect("the binary runs");
    let said = text(&output.stdout);
    assert!(said.contains("/dev/null, which cannot be written"), "{said}");

    let mut command = desk.command("doctor --json");
    command.env_remove("HF_HUB_OFFLINE").env("HF_TOKEN", "hf_secret");
    let said = text(&command.output().expect("the binary runs").stdout);
    assert!(said.contains("\"has_token\": true") && !said.contains("hf_secret"), "{said}");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let desk = Desk::new();
    desk.ok("man --out pages");
    let pages = desk.names("pages");
    for name in ["rescribe.1", "rescribe-edit.1", "rescribe-patch-list.1", "rescribe-doctor.1"] {
        assert!(pages.iter().any(|page| page == name), "no {name} in {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("-man")), "hidden commands have no page");
    let edit = String::from_utf8(desk.read("pages/rescribe-edit.1")).expect("a text");
    for part in [".TH", "max\\-delta", "Overwrite what exists"] {
        assert!(edit.contains(part), "no {part} in\n{edit}");
    }
    desk.fails("man --out pages", 2, &["pages already exists", "--force"]);
    desk.ok("man --out pages --force");
}
