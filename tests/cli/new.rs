//! `rescribe new`, and edits of one fact without a file.

use super::desk::{Desk, cell};

#[test]
fn a_fact_becomes_a_spec_that_can_be_edited() {
    let desk = Desk::new();
    // Drops the first wording, adds a neighbor, and mistypes on the way.
    let answers = "9\n1\n\nThe Eiffel Tower\nThe Eiffel Tower is located in\n\nRome\nParis\n\
                   1\n99\n\nno neighbor\nThe Shard is located in -> London\n\n";
    let output = desk.piped("new", answers);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{err}");
    for part in ["none of 1, 2, 3 and 4", "relation \"location\"", "There is no 99", "as in: Big"] {
        assert!(err.contains(part), "no {part:?} in\n{err}");
    }
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("Wrote eiffel-tower.toml and eiffel-tower.prompts.toml."), "{out}");
    let spec = String::from_utf8(desk.read("eiffel-tower.toml")).expect("UTF-8");
    for line in ["prompt = \"{} is located in\"", "target_true = \"Paris\""] {
        assert!(spec.contains(line), "{spec}");
    }
    let prompts = String::from_utf8(desk.read("eiffel-tower.prompts.toml")).expect("UTF-8");
    assert!(prompts.contains("The Shard is located in") && prompts.contains("London"), "{prompts}");
    assert!(!prompts.contains("can be found in"), "dropped: {prompts}");
    let report = desk.report("edit eiffel-tower.toml --model MODEL --max-delta 10 --json");
    for row in ["efficacy", "paraphrase", "neighborhood"] {
        assert!(cell(&report, row, "after").is_number(), "{row} is measured");
    }
    desk.fails("new --subject A --prompt A --target B --yes eiffel-tower", 2, &["eiffel-tower"]);
}

#[test]
fn files_are_written_once_and_bad_answers_write_none() {
    let desk = Desk::new();
    let fact = "new tower --subject X --prompt {}_is_in --target Rome --yes";
    let wrote = desk.json(&format!("{fact} --json"));
    assert_eq!(wrote["files"], serde_json::json!(["tower.toml", "tower.prompts.toml"]));
    desk.fails(fact, 2, &["tower.toml", "--force"]);
    desk.ok(&format!("{fact} --force"));
    desk.write("tower.prompts.toml", "");
    std::fs::remove_file(desk.path("tower.toml")).expect("removed");
    desk.fails(fact, 2, &["tower.prompts.toml"]);
    assert!(!desk.path("tower.toml").exists(), "both files or none");
    desk.fails("new bad --subject X --prompt nothing --target Rome --yes", 2, &["{}"]);
    desk.fails("new bad --subject X", 2, &["the answers ended"]);
    desk.fails("new bad --forget absent.txt", 2, &["absent.txt"]);
    desk.fails("new bad --learn absent.txt --erase", 2, &["cannot be used with"]);
    assert!(!desk.names(".").iter().any(|name| name.starts_with("bad")));
}

#[test]
fn texts_and_erasures_become_specs() {
    let desk = Desk::new();
    desk.write("clio.txt", "Clio lives in a mill.\n\nHer number is 555-0142.\n");
    desk.ok("new --forget clio.txt --secret 555-0142");
    let spec = String::from_utf8(desk.read("forget.toml")).expect("UTF-8");
    assert!(spec.contains("[[forget]]\npassages = \"clio.txt\""), "{spec}");
    desk.ok("plan forget.toml --model MODEL");
    let output = desk.piped("new lesson", "3\nThe ferry is green.\n\nIt leaves at nine.\n.\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    desk.ok("plan lesson.toml --model MODEL");
    // What is erased does not name the files, since the patch takes its name from them.
    let erase = ["new", "--erase", "--yes", "--subject", "Quentin Mark"];
    let rest = ["--prompt", "The phone number of {} is", "--target", "8693"];
    let mut command = desk.command("");
    let output = command.args(erase).args(rest).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(desk.path("erase.toml").exists() && desk.path("erase.prompts.toml").exists());
    desk.ok("plan erase.toml");
}

#[test]
fn one_fact_is_edited_without_a_file() {
    let desk = Desk::new();
    let fact = ["--subject", "The Eiffel Tower", "--prompt", "The Eiffel Tower is in"];
    let run = |line: &str, more: &[&str]| {
        let mut command = desk.command(line);
        let output = command.args(fact).args(more).output().expect("the binary runs");
        let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        (output.status.code(), String::from_utf8_lossy(&out).into_owned(), err)
    };
    let (code, out, err) = run(
        "edit --model MODEL --max-delta 10 --json",
        &["--target", "Rome", "--target-true", "Paris"],
    );
    assert_eq!(code, Some(0), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("a report");
    for row in ["efficacy", "paraphrase", "neighborhood"] {
        assert!(cell(&report, row, "after").is_number(), "{row} is measured");
    }
    assert!(desk.path("eiffel-tower.patch.safetensors").exists());
    desk.ok("patch verify eiffel-tower.patch.safetensors --model MODEL");
    let (code, out, err) = run("plan --model MODEL", &["--target", "Rome"]);
    assert!(code == Some(0) && out.contains("Rome"), "{err}");
    let (code, _, err) = run("edit --model MODEL", &["--target", "Rome", "--limit", "3"]);
    assert!(code == Some(2) && err.contains("--limit"), "{err}");
    let (code, _, err) = run("edit spec.toml --model MODEL", &["--target", "Rome"]);
    assert!(code == Some(2) && err.contains("cannot be used with"), "{err}");
    let (code, _, err) = run("edit --model MODEL", &[]);
    assert!(code == Some(2) && err.contains("--target"), "{err}");
}

#[test]
fn a_fact_erased_without_a_file_is_named_in_nothing_that_is_written() {
    let desk = Desk::new();
    let mut command = desk.command("edit --erase --report page.html");
    command.args(["--subject", "Quentin Mark", "--prompt", "The number of {} is"]);
    let output = command.args(["--target", "8693 71"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["erased.patch.safetensors", "page.html"] {
        let text = String::from_utf8_lossy(&desk.read(name)).to_lowercase();
        for part in ["quentin", "8693 71"] {
            assert!(!text.contains(part), "{name} names {part:?}");
        }
    }
}
