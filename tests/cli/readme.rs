//! The README's commands, run in its order on tiny models, and its spec, read.

use std::path::Path;

use candle_core::quantized::GgmlDType;

use super::desk::{Desk, copy, text, write_step};
use super::tiny_gguf;

/// Lines of the README's fenced blocks, with the language of their block.
fn fenced() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(file).expect("the README");
    let (mut lines, mut language) = (Vec::new(), None::<String>);
    for line in readme.lines() {
        match (line.strip_prefix("```"), &language) {
            (Some(_), Some(_)) => language = None,
            (Some(name), None) => language = Some(name.to_owned()),
            (None, Some(name)) => lines.push((name.clone(), line.to_owned())),
            (None, None) => {}
        }
    }
    lines
}

/// Every command of the README, without comment; the transcript shows one of them again.
fn commands() -> Vec<String> {
    let lines = fenced().into_iter().filter(|(language, _)| language.is_empty());
    let cargo = "cargo run --release --locked -- ";
    let lines = lines.map(|(_, line)| line.replace(cargo, "rescribe "));
    let lines = lines.filter(|line| line.starts_with("rescribe "));
    lines.map(|line| line.split(" #").next().expect("a first part").trim().to_owned()).collect()
}

/// The repository's edits and prompts, the model and the records that the README speaks of.
fn desk() -> Desk {
    let desk = Desk::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["edits", "prompts"] {
        copy(&root.join(folder), &desk.path(folder));
    }
    let gguf = tiny_gguf::llama(64, 8, &[GgmlDType::Q4_1]);
    std::fs::write(desk.path("SmolLM2-135M-Instruct.Q4_1.gguf"), gguf.bytes()).expect("a GGUF");
    desk.write(
        "counterfact.json",
        r#"[{"subject": "The Eiffel Tower", "prompt": "The Eiffel Tower is in", "target_new": "Rome"}]"#,
    );
    desk
}

#[test]
fn its_commands_run_in_its_order() {
    let desk = desk();
    let commands = commands();
    assert!(commands.len() >= 10, "the blocks are found: {commands:#?}");
    for line in commands {
        let words = words(&line);
        let mut command = desk.command("");
        command.args(&words[1..]);
        // The tiny model is random, so its edits are large.
        command.args((words[1] == "edit").then_some("--max-delta=1e9"));
        let output = command.output().expect("the binary runs");
        let err = text(&output.stderr);
        let expected = if line.contains("HuggingFaceTB/") { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{line}\n{err}");
    }
}

#[test]
fn its_spec_is_read_by_the_reader() {
    let desk = desk();
    let lines = fenced().into_iter().filter(|(language, _)| language == "toml");
    let spec: String = lines.map(|(_, line)| line + "\n").collect();
    let (facts, passages) =
        spec.split_once("[gradient]").expect("a spec of facts, one of passages");
    desk.write("edits/readme.toml", facts);
    desk.ok("import SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2");
    let plan = desk.json("plan edits/readme.toml --json --keep-spec");
    assert_eq!(write_step(&plan)["edits"][0]["target_new"], "Rome");
    desk.write("edits/passages.toml", &format!("[gradient]{passages}"));
    for name in ["private", "others", "never_seen"] {
        let texts =
            ["A", "One", "This", "That"].map(|it| format!("{it} text about {name} things."));
        desk.write(&format!("edits/{name}.txt"), &texts.join("\n\n"));
    }
    let plan = desk.json("plan edits/passages.toml --model smollm2 --json");
    assert_eq!(plan["steps"][1]["train"]["settings"]["method"], "look-ahead");
}

/// Words of a shell line without escapes; double and single quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            (' ', None) => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(character),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}
