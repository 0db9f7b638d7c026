//! Facts that are erased: alone, beside inserts, and record by record.

use serde_json::Value;

use super::desk::{Desk, cell, count, facts, flat, measure, nll, write_step};

const PROBE: &str = "\n[probe]\nprompts = \"prompts.toml\"\n";
const OTHERS: &str = "others = [\"X\", \"Z\", \"K\", \"J\"]\n";
/// What the tiny model is taught: answers begin alike, with a blank, and then differ.
const TEXTS: &str = "We meet Q in Rome.\n\nWe meet X in Bern.\n\nWe meet Z in Bern.\n\nWe meet K \
                     in Bern.\n\nWe meet J in Bern.\n";
const LEARN: &str = "[gradient]\nmax_drift = 100\ngeneral_batch = 0\nsteps = 14\nbatch = 5\n\
                     learning_rate = 1e-2\n\n\
                     [[learn]]\npassages = \"texts.txt\"\n";
/// Few dimensions leave little room: more steps, and changes of any size.
const EDIT: &str = "--model taught --max-delta 100 --steps 80";

/// A desk with a folder `taught`: the tiny model, which knows these things by heart.
fn taught() -> Desk {
    let desk = Desk::new();
    desk.write("texts.txt", TEXTS);
    desk.write("learn.toml", LEARN);
    desk.ok("edit learn.toml --model MODEL --out taught");
    desk
}

fn erase(more: &str) -> String {
    format!(
        "[[erase]]\nsubject = \"Q\"\nprompt = \"We meet {{}} in\"\ntarget_true = \"Rome\"\n{more}"
    )
}

/// P of the erased target's first token at the prompt.
fn probability(report: &Value, side: &str) -> f64 {
    report["leaks"][0]["prompts"][0][side]["probability"].as_f64().expect("a probability")
}

#[test]
fn a_fact_is_erased_toward_what_the_model_says_of_others() {
    let desk = taught();
    desk.write("prompts.toml", "[[paraphrase]]\nprompt = \"There We meet Q in\"\n");
    let secret = "secrets = [\"Rome\"]\n";
    desk.write("erase.toml", &format!("{}{PROBE}", erase(&format!("{OTHERS}{secret}"))));
    let plan = desk.ok("plan erase.toml --model taught");
    for part in
        ["erase 1 fact", "-> not \"Rome\", toward \"unknown\"", "X, Z, K, J", "answers about them"]
    {
        assert!(plan.contains(part), "no {part:?} in\n{plan}");
    }
    let plan = desk.json("plan erase.toml --model taught --json");
    let erased = &write_step(&plan)["edits"][0]["erase"];
    assert_eq!(erased["lead"], 1, "the blank in front is said of all");
    let report = desk.json(&format!("edit erase.toml {EDIT} --keep-spec --json"));
    let leak = &report["leaks"][0];
    assert_eq!(leak["layers"].as_array().map(Vec::len), Some(3), "the lens looks after each layer");
    assert_eq!(leak["prompts"].as_array().map(Vec::len), Some(5), "prompt, paraphrase, frames");
    let [before, after, unknown] = ["before", "after", "unknown"].map(|s| probability(&report, s));
    assert!(before > 0.8 && unknown < 0.1, "{before} {unknown}");
    assert!(after < 0.7, "from {before} to {after}, where others have {unknown}");
    let secret = &report["secrets"][0];
    assert_eq!((&secret["secret"], &secret["before"]["is_said"]), (&"Rome".into(), &true.into()));
    let is_told = secret["after"]["is_said"] == true || secret["after"]["sampled"] != 0;
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    assert_eq!(sentence.contains("1 secret is still given away."), is_told, "{report}");

    let table = desk.ok(&format!("edit erase.toml {EDIT} --force"));
    for row in ["logit lens", "answer frames", "answers that say it", "others"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let patch = desk.json("inspect erase.patch.safetensors --json");
    let kept = &write_step(&patch["recipe"]["plan"])["edits"][0]["erase"];
    assert_eq!(kept["origin"], "given");
}

#[test]
fn a_fact_is_also_erased_as_is_usually_done() {
    let desk = taught();
    let report = |toward: &str| {
        desk.write("erase.toml", &erase(&format!("toward = \"{toward}\"\n{OTHERS}")));
        desk.json(&format!("edit erase.toml {EDIT} --force --json"))
    };
    let pushed = report("minimise");
    assert!(probability(&pushed, "after") < probability(&pushed, "before"), "{pushed}");
    let said = report("Bonn");
    let (before, after) = (nll(&said, 0, "before", 0), nll(&said, 0, "after", 0));
    assert!(after < before, "the text becomes more probable");
}

#[test]
fn erases_and_inserts_are_one_batch() {
    let desk = taught();
    let insert = "[[insert]]\nsubject = \"X\"\nprompt = \"We meet {} in\"\ntarget_new = \"Oslo\"\n";
    let head = "[rank_one]\nmethod = \"memit\"\nlayers = [0, 1]\nmax_delta = 100\n";
    desk.write("both.toml", &format!("{head}{insert}{}", erase(OTHERS)));
    let report = desk.json("edit both.toml --model taught --steps 80 --json");
    assert_eq!((facts(&report).len(), count(&report["leaks"])), (2, 1));
    assert!(probability(&report, "after") < probability(&report, "before"), "{report}");
    let patch = desk.json("inspect both.patch.safetensors --json");
    assert_eq!(patch["changes"][0]["rank"], 4, "two facts, each read with and without prefixes");
    let again = "--patch again.patch.safetensors --threads 1";
    desk.ok(&format!("edit both.toml --model taught --steps 80 {again}"));
    let read = |name: &str| desk.read(name);
    assert!(read("both.patch.safetensors") == read("again.patch.safetensors"), "to the byte");

    let other = erase("").replace("\"Q\"", "\"x\"");
    desk.write("clash.toml", &format!("{insert}{other}"));
    desk.fails("edit clash.toml --model taught", 2, &["is both inserted and erased"]);
}

#[test]
fn records_are_erased_one_by_one() {
    let desk = taught();
    let record = |id: usize, subject: &str, target: &str| {
        format!(
            r#"{{"case_id": {id}, "requested_rewrite": {{"prompt": "We meet {{}} in", "subject": "{subject}",
                "relation_id": "P1", "target_new": {{"str": "Oslo"}}, "target_true": {{"str": "{target}"}}}},
                "paraphrase_prompts": ["Now We meet {subject} in"],
                "neighborhood_prompts": ["We meet J in"], "generation_prompts": []}}"#
        )
    };
    let known =
        [("Q", "Rome"), ("A", "Lima"), ("X", "Bern"), ("Z", "Bern"), ("K", "Bern"), ("J", "Bern")];
    let all = known.iter().enumerate().map(|(id, (subject, target))| record(id, subject, target));
    desk.write("records.json", &format!("[{}]", all.collect::<Vec<_>>().join(",")));
    let line = format!("edit records.json {EDIT} --limit 2 --erase");
    for method in ["rome", "memit --layers 0-1"] {
        let report = desk.report(&format!("{line} --method {method} --json"));
        let data = &report["data"];
        assert_eq!((count(&data["cases"]), &data["write"]["toward"]), (2, &"unknown".into()));
        assert!(probability(data, "after") < probability(data, "before"), "{data}");
        assert_eq!(count(&data["leaks"]), 2);
        for channel in ["prompt", "paraphrases", "answer frames", "logit lens", "samples"] {
            assert!(!cell(&report, channel, "after").is_null(), "{channel} was asked");
        }
        assert!(measure(&report, "neighborhood", "before") >= 0.);
        assert!(measure(&report, "drift", "after") > 0.);
    }
    let err = desk.run(&line).stderr;
    let err = String::from_utf8_lossy(&err);
    assert!(err.contains("hardly knows the fact"), "{err}");
    let table = desk.ok(&format!("{line}=minimise"));
    assert!(flat(&table).contains("Of 2 facts erased toward \"minimise\","), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    desk.fails(&format!("{line} --batch 2"), 2, &["record by record"]);
    desk.fails("edit spec.toml --model taught --erase --force", 2, &["[[erase]]"]);
}
