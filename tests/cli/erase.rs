//! Facts that are erased: alone, beside inserts, and record by record.

use serde_json::Value;

use super::desk::Desk;

const PROBE: &str = "\n[probe]\nprompts = \"prompts.toml\"\n";
const OTHERS: &str = "others = [\"X\", \"Z\", \"K\", \"J\"]\n";
/// What the tiny model is taught: answers begin alike, with a blank, and then differ.
const TEXTS: &str = "We meet Q in Rome.\n\nWe meet X in Bern.\n\nWe meet Z in Bern.\n\nWe meet K \
                     in Bern.\n\nWe meet J in Bern.\n";
const LEARN: &str = "[gradient]\nsteps = 14\nbatch = 5\nlearning_rate = 1e-2\n\n\
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
    desk.write("erase.toml", &format!("{}{PROBE}", erase(OTHERS)));
    let plan = desk.ok("plan erase.toml --model taught");
    for part in ["erase 1 fact", "-> not \"Rome\", toward \"unknown\"", "X, Z, K, J", "it says"] {
        assert!(plan.contains(part), "no {part:?} in\n{plan}");
    }
    let plan = desk.json("plan erase.toml --model taught --json");
    assert_eq!(plan["edits"][0]["erase"]["lead"], 1, "the blank in front is said of all");
    let report = desk.json(&format!("edit erase.toml {EDIT} --json"));
    let leak = &report["leaks"][0];
    assert_eq!(leak["layers"].as_array().map(Vec::len), Some(3), "the lens looks after each layer");
    assert_eq!(leak["prompts"].as_array().map(Vec::len), Some(5), "prompt, paraphrase, frames");
    let [before, after, unknown] = ["before", "after", "unknown"].map(|s| probability(&report, s));
    assert!(before > 0.8 && unknown < 0.1, "{before} {unknown}");
    assert!(after < 0.7, "from {before} to {after}, where others have {unknown}");

    let table = desk.ok(&format!("edit erase.toml {EDIT} --force"));
    for row in ["logit lens", "answer frames", "answers that say it", "others"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let patch = desk.json("inspect erase.patch.safetensors --json");
    assert_eq!(patch["recipe"]["plan"]["edits"][0]["erase"]["origin"], "given");
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
    let nll = |side: &str| said[side][0]["prompts"][0]["nll_new"].as_f64().expect("a number");
    assert!(nll("prompts_after") < nll("prompts_before"), "the text becomes more probable");
}

#[test]
fn erases_and_inserts_are_one_batch() {
    let desk = taught();
    let insert = "[[insert]]\nsubject = \"X\"\nprompt = \"We meet {} in\"\ntarget_new = \"Oslo\"\n";
    let head = "[rank_one]\nmethod = \"memit\"\nlayers = [0, 1]\nmax_delta = 100\n";
    desk.write("both.toml", &format!("{head}{insert}{}", erase(OTHERS)));
    let report = desk.json("edit both.toml --model taught --json");
    assert_eq!((&report["n"], report["leaks"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    assert!(probability(&report, "after") < probability(&report, "before"), "{report}");
    let patch = desk.json("inspect both.patch.safetensors --json");
    assert_eq!(patch["changes"][0]["rank"], 4, "two facts, each read with and without prefixes");
    desk.ok("edit both.toml --model taught --patch again.patch.safetensors --threads 1");
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
    let facts =
        [("Q", "Rome"), ("A", "Lima"), ("X", "Bern"), ("Z", "Bern"), ("K", "Bern"), ("J", "Bern")];
    let all = facts.iter().enumerate().map(|(id, (subject, target))| record(id, subject, target));
    desk.write("records.json", &format!("[{}]", all.collect::<Vec<_>>().join(",")));
    let line = format!("edit records.json {EDIT} --limit 2 --erase");
    for method in ["rome", "memit --layers 0-1"] {
        let report = desk.json(&format!("{line} --method {method} --json"));
        assert_eq!((&report["n"], &report["toward"]), (&2.into(), &"unknown".into()));
        assert!(probability(&report, "after") < probability(&report, "before"), "{report}");
        assert_eq!(report["channels"].as_array().map(Vec::len), Some(5));
        assert!(report["before"]["neighborhood"].is_number() && report["drift"].is_number());
    }
    let err = desk.run(&line).stderr;
    let err = String::from_utf8_lossy(&err);
    assert!(err.contains("hardly knows the fact"), "{err}");
    let table = desk.ok(&format!("{line}=minimise"));
    assert!(table.contains("Erased toward \"minimise\". Of 2 erased facts"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    desk.fails(&format!("{line} --batch 2"), 2, &["record by record"]);
    desk.fails("edit spec.toml --model taught --erase --force", 2, &["[[erase]]"]);
}
