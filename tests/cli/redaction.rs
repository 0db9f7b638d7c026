//! Deletions leave no trace of what was deleted in anything that is meant to be handed on.

use super::Desk;

const ERASE: &str = "# Asked for by Quentin Mark.\n[[erase]]\nsubject = \"Quentin Mark\"\n\
                     prompt = \"The number of {} is\"\ntarget_true = \"8693 71\"\n\
                     others = [\"Zoe Pike\", \"X\", \"Y\"]\nsecrets = [\"93 7\"]\n";
const EDIT: &str = "--model MODEL --max-delta 100 --steps 2 --force";
/// What must not be read anywhere, in lower case.
const ERASED: [&str; 4] = ["quentin", "8693", "zoe pike", "the number of"];

fn assert_silent(desk: &Desk, names: &[&str], files: &[&str]) {
    for file in files {
        let bytes =
            std::fs::read(desk.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        names.iter().for_each(|name| assert!(!text.contains(name), "{name:?} in {file}"));
    }
}

const WRITTEN: [&str; 3] = ["spec.patch.safetensors", "out/README.md", "out/rescribe.json"];

#[test]
fn an_erased_fact_is_in_nothing_that_was_written() {
    let desk = Desk::new();
    desk.write("spec.toml", ERASE);
    let json = desk.ok(&format!("edit spec.toml {EDIT} --out out --json")).to_lowercase();
    ERASED.iter().for_each(|name| assert!(!json.contains(name), "{name:?} in {json}"));
    assert!(json.contains("\"still said\"") && json.contains("\"nll\""), "{json}");
    assert_silent(&desk, &ERASED, &WRITTEN);
    let recipe = &desk.json("inspect spec.patch.safetensors --json")["recipe"];
    assert_eq!(recipe["is_redacted"], true);
    let spec = recipe["spec"].as_str().expect("a text");
    assert!(
        spec.contains("[[erase]]\nsubject = \"sha256:") && spec.contains("max_delta"),
        "{spec}"
    );
    let said = desk.says(&format!("edit spec.toml {EDIT}"));
    assert!(said.contains("still named spec.toml; the base"), "{said}");
}

#[test]
fn a_forgotten_passage_is_in_nothing_that_was_written() {
    let desk = Desk::new();
    desk.write("quentin.txt", "Quentin Mark keeps the number 8693 71 in a drawer at home.\n");
    let head = "[gradient]\nsteps = 1\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n";
    for passages in ["passages = \"quentin.txt\"", "text = \"Quentin Mark keeps 8693 at home.\""] {
        desk.write("spec.toml", &format!("# Quentin\n{head}[[forget]]\n{passages}\n"));
        let line = "edit spec.toml --model MODEL --force --out out --json";
        let json = desk.ok(line).to_lowercase();
        let names = ["quentin", "8693", "drawer", "at home"];
        names.iter().for_each(|name| assert!(!json.contains(name), "{name:?} in {json}"));
        assert_silent(&desk, &names, &WRITTEN);
    }
}

#[test]
fn what_was_kept_can_be_redacted_later() {
    let desk = Desk::new();
    desk.write("spec.toml", ERASE);
    let said = desk.says(&format!("edit spec.toml {EDIT} --keep-spec --out out"));
    for named in ["spec.toml", "spec.patch.safetensors", "out/README.md", "out/rescribe.json"] {
        assert!(said.contains(named), "no {named} in {said}");
    }
    let recipe = &desk.json("inspect spec.patch.safetensors --json")["recipe"];
    assert!(recipe["spec"].as_str().expect("a text").starts_with("# Asked for by Quentin"));
    let export = "export --model MODEL --patch spec.patch.safetensors";
    desk.ok(&format!("{export} --out again"));
    desk.ok(&format!("{export} --format lora --out lora"));
    assert_silent(
        &desk,
        &ERASED,
        &["again/README.md", "again/rescribe.json", "lora/rescribe.json"],
    );
    let ask = "ask --model MODEL --patch spec.patch.safetensors The";
    let before = desk.ok(ask);
    desk.ok("patch redact spec.patch.safetensors");
    assert_silent(&desk, &ERASED, &WRITTEN[..1]);
    assert_eq!(desk.ok(ask), before, "the change is the same");
    let again = desk.ok("patch redact spec.patch.safetensors");
    assert!(again.contains("names nothing that was removed"), "{again}");
}
