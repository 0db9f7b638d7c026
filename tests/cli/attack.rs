//! The attack on what was forgotten: learnt again in half, rounded, and asked for secrets.

use serde_json::Value;

use super::desk::{Desk, cell, count, flat, measure, text};

/// Random weights move far with all that they learn, so nothing here holds general text.
const HEAD: &str = "[gradient]\nmax_drift = 100\ngeneral_batch = 0\nbatch = 2\n";
pub const NUMBER: &str = "0170 555 0199";

/// People of the same kind, one a paragraph.
fn people(names: &[&str]) -> String {
    let person = |name: &&str| format!("{name} lives in the old town and drinks tea at night.");
    names.iter().map(person).collect::<Vec<_>>().join("\n\n")
}

/// A desk with a model that was taught six passages, one with a private number, and the base that
/// never saw them.
pub fn taught() -> Desk {
    let desk = Desk::new();
    let private = format!("Marta Quill can be reached on {NUMBER} after six.");
    let passages = format!("{}\n\n{private}\n", people(&["Ada", "Ben", "Cleo", "Dora", "Emil"]));
    desk.write("people.txt", &passages);
    desk.write("holdout.txt", &people(&["Fritz", "Gerda", "Hanno", "Ida"]));
    let learn = "steps = 60\nlearning_rate = 1e-2\n[[learn]]\npassages = \"people.txt\"\n";
    desk.write("learn.toml", &format!("{HEAD}{learn}"));
    desk.ok("edit learn.toml --model MODEL --out taught");
    desk.model_with("base", |_| ());
    desk
}

/// Forgets the passages in few steps; `compared` names what the attack is compared with.
pub fn write_forget(desk: &Desk, compared: &str) {
    let how = "method = \"gradient-difference\"\nforget_weight = 1\nsteps = 20\n\
               learning_rate = 2e-3\n";
    let what = format!("[[forget]]\npassages = \"people.txt\"\nsecrets = [\"{NUMBER}\"]\n");
    desk.write("forget.toml", &format!("{HEAD}{how}{what}{compared}"));
}

const LINE: &str = "edit forget.toml --model taught --force";
const STEPS: [&str; 5] = [
    "relearn, before",
    "relearn, 5 steps",
    "relearn, 10 steps",
    "relearn, 20 steps",
    "relearn, 40 steps",
];

#[test]
fn half_of_the_passages_is_learnt_again_beside_a_model_that_never_saw_them() {
    let desk = taught();
    write_forget(&desk, "reference = \"base\"\n");
    let report = desk.report(&format!("{LINE} --keep-spec --json"));
    let attack = &report["data"]["attack"]["relearning"];
    assert_eq!((&attack["learnt"], &attack["watched"]), (&3.into(), &3.into()), "{attack:#}");
    assert_eq!((&attack["compared"], count(&attack["others"])), (&"references".into(), 1));
    let shares = STEPS.map(|row| measure(&report, row, "share"));
    let row = |row: &str| ["watched", "never saw"].map(|head| measure(&report, row, head));
    for (name, share) in STEPS.iter().zip(shares) {
        let [watched, never_saw] = row(name);
        assert!((watched / never_saw - share).abs() < 1e-9, "{name}: {share}");
    }
    let learnt = STEPS.map(|row| measure(&report, row, "learnt"));
    assert!(learnt[4] < learnt[0], "what is shown is learnt: {learnt:?}");
    let least = shares[1..].iter().copied().fold(f64::INFINITY, f64::min);
    assert!((measure(&report, "relearn share", "share") - least).abs() < 1e-9);
    for row in ["quantised NLL", "quantised extraction"] {
        for head in ["as edited", "Q8_0", "Q4_0"] {
            assert!(measure(&report, row, head) >= 0., "{row}, {head}");
        }
    }
    let reasons = report["verdict"]["reasons"].as_array().expect("a list");
    let reason = reasons.iter().find(|it| it["measure"] == "relearn share").expect("a reason");
    assert_eq!((reason["limit"].as_f64(), reason["found"].as_f64()), (Some(0.9), Some(least)));
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("Relearning half of the passages"), "{sentence}");

    let secret = &report["data"]["secrets"][0];
    assert_eq!((count(&secret["attacks"]), &secret["drawn"]), (3, &64.into()), "{secret:#}");
    assert!(secret["beginnings"].as_u64() > Some(3), "{secret:#}");
    for row in ["secrets, Q8_0", "secrets, Q4_0", "secrets, relearnt"] {
        assert!(measure(&report, row, "after") <= 1. && measure(&report, row, "n") == 1., "{row}");
    }
    for row in ["secrets, decoded", "secrets, sampled"] {
        let all = ["before", "after"].map(|head| measure(&report, row, head));
        assert!(all.iter().all(|told| *told <= measure(&report, "secrets", "n")), "{row}");
    }

    // The same change, measured again, is attacked in the same way.
    let probe = "probe forget.toml --model taught --patch forget.patch.safetensors --json";
    let probed = desk.report(probe);
    for row in STEPS {
        let [one, two] = [&report, &probed].map(|report| measure(report, row, "watched"));
        assert!((one / two - 1.).abs() < 1e-4, "{row}: {one} and {two}");
    }
    let shown = desk.ok(&format!("{LINE} --require 'relearn_share>=0'").replace('\'', ""));
    assert!(flat(&shown).contains("Under attack, 3 of the forgotten passages"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    // The patch says how it was made, and is made again without attacking it.
    let verify = "patch verify forget.patch.safetensors --model taught --spec forget.toml";
    assert!(!desk.says(verify).contains("attack …"));
}

#[test]
fn without_references_the_hold_out_takes_the_same_lesson() {
    let desk = taught();
    write_forget(&desk, "holdout = \"holdout.txt\"\n");
    let report = desk.report(&format!("{LINE} --keep-spec --json --verdict-relearn 1000"));
    let attack = &report["data"]["attack"]["relearning"];
    let named = (&attack["compared"], &attack["others"][0]["name"]);
    assert_eq!(named, (&"holdout".into(), &"hold-out".into()));
    assert!(cell(&report, "relearn, 5 steps", "hold-out").is_number(), "{report:#}");
    assert_ne!(report["verdict"]["state"], "took", "no share is that large");
    let off = desk.json(&format!("{LINE} --json --attack=false"));
    assert!(off["attack"].is_null() && off["secrets"][0]["attacks"].is_null(), "{off:#}");
    // Nothing to compare with: only where it is asked for, and without a verdict on it.
    write_forget(&desk, "");
    assert!(desk.json(&format!("{LINE} --json"))["attack"].is_null());
    let alone = desk.report(&format!("{LINE} --json --attack"));
    assert_eq!(count(&alone["data"]["attack"]["relearning"]["others"]), 0);
    assert!(measure(&alone, "relearn, 40 steps", "watched") > 0.);
    let reasons = alone["verdict"]["reasons"].as_array().expect("a list");
    assert!(reasons.iter().all(|it| it["measure"] != "relearn share"), "{reasons:?}");
}

#[test]
fn methods_are_compared_under_attack() {
    let desk = taught();
    write_forget(&desk, "reference = \"base\"\n");
    let line = "compare forget.toml --model taught --methods gradient-difference,npo";
    desk.write("forget.toml", &text(&desk.read("forget.toml")).replace("steps = 20", "steps = 4"));
    let spec = text(&desk.read("forget.toml"));
    desk.write("forget.toml", &spec.replace("method = \"gradient-difference\"\n", ""));
    let shown = flat(&desk.ok(line));
    for part in ["NLL of the other half by steps", "share", "Q4_0", "Relearning half of"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let report = desk.json(&format!("{line} --json"));
    let curves = |run: &Value| run["attack"]["relearning"]["others"].clone();
    let (first, second) = (curves(&report["runs"][0]), curves(&report["runs"][1]));
    assert!(count(&first) == 1 && first == second, "references are attacked once: {first:#}");
}

#[test]
fn unless_methods_are_named_the_own_one_of_the_spec_comes_first() {
    let desk = taught();
    write_forget(&desk, "reference = \"base\"\n");
    let methods = |method: &str| -> Vec<String> {
        let spec = text(&desk.read("forget.toml"));
        desk.write("forget.toml", &spec.replace("method = \"gradient-difference\"\n", method));
        let line = "compare forget.toml --model taught --steps 1 --attack=false --json";
        let report = desk.json(line);
        let runs = report["runs"].as_array().expect("runs");
        runs.iter().map(|run| run["method"].as_str().expect("a name").to_owned()).collect()
    };
    let own = methods("method = \"gradient-difference\"\n");
    assert_eq!(own, ["gradient-difference", "npo", "simnpo"]);
    assert_eq!(methods(""), ["look-ahead", "gradient-difference", "npo", "simnpo"]);
}

#[test]
fn an_attack_that_cannot_be_made_is_refused_before_any_work() {
    let desk = Desk::new();
    desk.write("few.txt", &people(&["Ada", "Ben", "Cleo"]));
    let spec = |verb: &str| format!("[gradient]\nsteps = 1\n[[{verb}]]\npassages = \"few.txt\"\n");
    desk.write("few.toml", &spec("forget"));
    desk.write("learn.toml", &spec("learn"));
    desk.write("asked.toml", &spec("forget").replace("steps = 1", "steps = 1\nattack = 1"));
    let rows: [(&str, &[&str]); 9] = [
        ("edit few.toml --attack", &["takes at least 4 passages; there are 3"]),
        ("compare few.toml --attack", &["takes at least 4 passages; there are 3"]),
        ("edit learn.toml --attack", &["--attack is not used without [[forget]]"]),
        ("edit spec.toml --attack", &["--attack is not used: the spec has no [[learn]]"]),
        ("edit few.toml --attack=maybe", &["--attack", "true or false"]),
        ("edit asked.toml", &["`attack`", "true or false"]),
        ("probe prompts.toml --attack", &["--attack is for specs with [[forget]]"]),
        ("edit few.toml --verdict-relearn nan", &["--verdict-relearn", "a number from 0"]),
        ("edit few.toml --require relearn_shares>=1", &["no report has a row"]),
    ];
    for (line, says) in rows {
        let model = if line.starts_with("probe") { "" } else { " --model MODEL" };
        desk.fails(&format!("{line}{model}"), 2, says);
    }
    assert!(!desk.path("few.patch.safetensors").exists());
}

#[test]
fn the_built_in_model_is_attacked_unasked() {
    let desk = Desk::new();
    desk.ok("atlas data --out world --records 1");
    let some = |name: &str, count: usize| {
        let all = text(&desk.read(&format!("world/{name}.txt")));
        let kept: Vec<&str> = all.split("\n\n").take(count).collect();
        desk.write(&format!("{name}.txt"), &kept.join("\n\n"));
    };
    some("forget", 4);
    some("holdout", 4);
    let spec = "[gradient]\nsteps = 2\ngeneral_batch = 0\nchunk = 24\nown_words = false\n\
                [[forget]]\npassages = \"forget.txt\"\nholdout = \"holdout.txt\"\n";
    desk.write("forget.toml", spec);
    let plan = flat(&desk.ok("plan forget.toml"));
    let says = "attack: learn 2 of the forgotten passages again for 40 steps and watch the other 2";
    assert!(plan.contains(says), "{plan}");
    let report = desk.report("edit forget.toml --json");
    // Two steps hide hardly anything, and half of the people are as well known as before.
    assert!(measure(&report, "relearn share", "share") < 0.9, "{report:#}");
    assert_eq!(report["data"]["attack"]["quantised"][1]["kind"], "Q4_0");
    assert!(report["data"]["trainings"][0]["own_words"].is_null(), "{report:#}");

    some("retain", 4);
    let spec = "[gradient]\nsteps = 1\nattack = false\n[[forget]]\npassages = \"forget.txt\"\n\
                retain = \"retain.txt\"\nholdout = \"holdout.txt\"\n";
    desk.write("own.toml", spec);
    let report = desk.report("edit own.toml --json");
    // Of the four retained people, the model says at least where they work.
    let own = &report["data"]["trainings"][0]["own_words"];
    assert!(own["forms"].as_u64() >= Some(2) && own["retain"]["n"].as_u64() >= Some(4), "{own:#}");
    // One step takes little of what it says.
    assert!(measure(&report, "retain own words", "after") > 0.5, "{own:#}");
}
