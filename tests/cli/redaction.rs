//! Deletions leave no trace of what was deleted in anything that is meant to be handed on.

use super::Desk;

const ERASE: &str = "# Asked for by Quentin Mark.\n[[erase]]\nsubject = \"Quentin Mark\"\n\
                     prompt = \"The number of {} is\"\ntarget_true = \"8693 71\"\n\
                     others = [\"Zoe Pike\", \"X\", \"Y\"]\nsecrets = [\"93 7\"]\n";
const EDIT: &str = "--model MODEL --max-delta 100 --steps 2 --force";
/// What must not be read anywhere, in lower case.
const ERASED: [&str; 4] = ["quentin", "8693 71", "zoe pike", "the number of"];

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
    for passages in ["passages = \"quentin.txt\"", "text = \"Quentin Mark keeps 8693 71 at home.\""]
    {
        desk.write("spec.toml", &format!("# Quentin\n{head}[[forget]]\n{passages}\n"));
        let line = "edit spec.toml --model MODEL --force --out out --json";
        let json = desk.ok(line).to_lowercase();
        let names = ["quentin", "8693 71", "drawer", "at home"];
        names.iter().for_each(|name| assert!(!json.contains(name), "{name:?} in {json}"));
        assert_silent(&desk, &names, &WRITTEN);
    }
}

#[test]
fn long_answers_secrets_and_quotation_marks_are_in_no_report() {
    let desk = Desk::new();
    let target = r#"the "old mill" at 8693 Quentin's Lane, quentin.mark.1979@bakery.example"#;
    let mut command = desk.command(&format!("edit --erase {EDIT} --json --report r.md"));
    let fact = ["--subject", "Quentin Mark", "--prompt", "{} lives in", "--target", target];
    let output = command.args(fact).output().expect("the binary runs");
    let (out, err) = (super::desk::text(&output.stdout), super::desk::text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    desk.write("spec.toml", &format!(
        "[[erase]]\nsubject = \"Quentin Mark\"\nprompt = \"{{}} lives in\"\ntarget_true = {target:?}\n\
         others = [\"Zoe Pike\", \"X\", \"Y\"]\nsecrets = [\"quentin.mark.1979@bakery.example\"]\n"
    ));
    let json = desk.ok(&format!("edit spec.toml {EDIT} --json --report s.html --report s.md"));
    let names = ["quentin", "8693 q", "old mill"];
    for text in [out, json] {
        let text = text.to_lowercase();
        names.iter().for_each(|name| assert!(!text.contains(name), "{name:?} in {text}"));
    }
    assert_silent(&desk, &names, &["r.md", "s.html", "s.md"]);
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

#[test]
fn probes_plans_and_comparisons_of_deletions_print_no_names() {
    let desk = Desk::new();
    desk.write("spec.toml", ERASE);
    desk.ok(&format!("edit spec.toml {EDIT}"));
    let model = "--model MODEL --json";
    let silent = |line: &str, names: &[&str]| {
        let json = desk.ok(line).to_lowercase();
        names.iter().for_each(|name| assert!(!json.contains(name), "{name:?} in {line}: {json}"));
        let json = desk.ok(&format!("{line} --keep-spec")).to_lowercase();
        assert!(names.iter().any(|name| json.contains(name)), "{line} --keep-spec: {json}");
    };
    silent(&format!("probe spec.toml {model} --patch spec.patch.safetensors"), &ERASED);
    silent(&format!("plan spec.toml {model} --steps 2"), &ERASED);
    let names = ["quentin", "8693 71", "drawer"];
    let text = "Quentin Mark keeps the number 8693 71 in a drawer at home.";
    desk.write("p.toml", &format!("[[forget]]\ntext = \"{text}\"\nsecrets = [\"8693 71\"]\n"));
    silent(&format!("probe p.toml {model}"), &names);
    let head = "[gradient]\nsteps = 1\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n";
    desk.write("f.toml", &format!("{head}[[forget]]\ntext = \"{text}\"\n"));
    silent(&format!("compare f.toml {model} --methods npo"), &names);
    let shown = desk.ok("probe p.toml --model MODEL");
    assert!(shown.contains("8693"), "who asks sees what was asked: {shown}");
}

#[test]
fn a_saved_training_has_no_digest_that_a_guess_could_be_compared_with() {
    let desk = Desk::new();
    let head = "[gradient]\nlearning_rate = 0.001\nsteps = 1\nbatch = 1\ngeneral_batch = 0\n\
                max_drift = 100\n";
    desk.write("f.toml", &format!("{head}[[forget]]\ntext = \"Quentin Mark is 8693.\"\n"));
    let saved = |file: &str| {
        desk.ok(&format!("edit f.toml --model MODEL --force --checkpoint {file}"));
        let bytes = desk.read(file);
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("a training");
        let text = &metadata.metadata().as_ref().expect("entries")["rescribe_training"];
        let head: serde_json::Value = serde_json::from_str(text).expect("JSON");
        head["cursor"]["data"].clone()
    };
    let (one, two) = (saved("one"), saved("two"));
    assert_ne!((&one["salt"], &one["digest"]), (&two["salt"], &two["digest"]));
    assert_ne!(one["digest"], two["digest"], "one training, two salts");
    assert_eq!(saved("one"), one, "a training that goes on keeps its salt");
}
