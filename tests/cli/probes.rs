//! `rescribe probe` of two models: all that an edit measures of itself, whatever it is asked with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::desk::{Desk, SPEC, flat, measure, text};

const NUMBER: &str = "0170 555 0199";
const PRIVATE: &str = "Marta Quill, who runs the bakery on Larch Lane, can be reached on her \
                       private number 0170 555 0199 after six in the evening.";

/// Rows that are measures, by their name: what stands before, and what after.
fn rows(report: &Value) -> BTreeMap<String, [Value; 2]> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let sections = list(&report["sections"]).into_iter();
    let blocks = sections.flat_map(|section| list(&section["blocks"]));
    let tables = blocks.filter_map(|block| block.get("table").cloned());
    let mut rows = BTreeMap::new();
    for table in tables.filter(|table| table["has_measures"] == true) {
        let heads: Vec<Value> = list(&table["columns"]);
        let at = |head: &str| heads.iter().position(|column| column["head"] == head);
        for row in list(&table["rows"]) {
            let of_texts = if table["label_head"] == "texts" { "texts " } else { "" };
            let label = format!("{of_texts}{}", row["label"].as_str().expect("a label"));
            let side = |head| at(head).map_or(Value::Null, |at| row["cells"][at].clone());
            rows.insert(label, ["before", "after"].map(side));
        }
    }
    rows
}

/// A probe shows what the edit showed; `must` are some of the rows that both have.
fn assert_same(edit: &Value, probe: &Value, must: &[&str]) {
    let (edit, probe) = (rows(edit), rows(probe));
    for row in must {
        assert!(edit.contains_key(*row), "no row {row:?} in {:?}", edit.keys());
    }
    for (name, sides) in edit.iter().filter(|(name, _)| *name != "value NLL") {
        let found = probe.get(name).unwrap_or_else(|| panic!("no row {name:?}"));
        for (found, expected) in found.iter().zip(sides) {
            match (found.as_f64(), expected.as_f64()) {
                // The patch holds the change in f32, which is added to the base once more.
                (Some(found), Some(expected)) => {
                    assert!((found - expected).abs() < 1e-3 * (1. + expected.abs()), "{name}");
                }
                _ => assert_eq!(found, expected, "{name}"),
            }
        }
    }
}

/// A desk with a model that was taught the private sentence.
fn told() -> Desk {
    let desk = Desk::new();
    let learn = "[gradient]\ngeneral_batch = 0\nmax_drift = 100\nsteps = 60\n\
                 learning_rate = 1e-2\n\n[[learn]]\ntext = \"TEXT\"\n";
    desk.write("learn.toml", &learn.replace("TEXT", PRIVATE));
    desk.ok("edit learn.toml --model MODEL --out taught");
    desk
}

const FORGET: &str = "[gradient]\nmax_drift = 100\ngeneral_batch = 0\nsteps = 10\n\
                      method = \"gradient-difference\"\nlearning_rate = 3e-3\n\n[[forget]]\ntext = \"TEXT\"\nsecrets = [\"0170 555 0199\"]\n";

#[test]
fn a_spec_is_probed_with_all_that_its_edit_measures() {
    let desk = Desk::new();
    let erase = "[[erase]]\nsubject = \"The Louvre\"\nprompt = \"{} is in\"\ntarget_true = \
                 \"Paris\"\nothers = [\"X\", \"Z\", \"K\", \"J\"]\n";
    let settings = "[rank_one]\nmethod = \"memit\"\nlayers = [0]\nmax_delta = 1000\nsteps = 5\n";
    let (insert, probe) = SPEC.split_once("[probe]").expect("a probe file");
    desk.write("facts.toml", &format!("{settings}{insert}\n{erase}\n[probe]{probe}"));
    let edit = desk.report("edit facts.toml --model MODEL --json");
    let line = "probe facts.toml --model MODEL --patch facts.patch.safetensors";
    let probe = desk.report(&format!("{line} --json"));
    let must = [
        "said",
        "still said",
        "background",
        "near subjects",
        "drift",
        "perplexity",
        "retain drift",
        "recoverable",
        "conspicuous",
        "efficacy",
    ];
    assert_same(&edit, &probe, &must);
    assert_eq!(edit["verdict"]["state"], probe["verdict"]["state"]);
    let shown = desk.ok(line);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let alone = desk.ok("probe facts.toml --model MODEL");
    assert!(alone.contains("measured") && alone.contains("still said"), "{alone}");
}

#[test]
fn secrets_and_recital_of_a_spec_are_probed() {
    let desk = told();
    let holdout = "holdout = \"holdout.txt\"\n";
    desk.write("holdout.txt", "It rained in Bremen.\n\nThe river is wide here.\n");
    desk.write("asked.json", &asked(&PRIVATE[..25], &PRIVATE[25..46]));
    desk.write("other.json", &asked("It rained in", "Bremen."));
    let questions = "questions = \"asked.json\"\nretain_questions = \"asked.json\"\n\
                     holdout_questions = \"other.json\"\n";
    let spec = format!("{}{holdout}{questions}", FORGET.replace("TEXT", PRIVATE));
    desk.write("forget.toml", &spec);
    let edit = desk.report("edit forget.toml --model taught --json");
    let line = "probe forget.toml --model taught --patch forget.patch.safetensors";
    let probe = desk.report(&format!("{line} --json"));
    let must = [
        "forget NLL",
        "forget recital",
        "forget longest run",
        "forget answered",
        "retain answered",
        "hold-out NLL",
        "secrets",
    ];
    assert_same(&edit, &probe, &must);
    for row in ["forget answered", "retain answered"] {
        assert_eq!(
            (measure(&edit, row, "before"), measure(&edit, row, "after")),
            (1., 0.),
            "{row}"
        );
    }
    assert_eq!(measure(&edit, "hold-out answered", "before"), 0.);
    assert_eq!(edit["verdict"]["state"], probe["verdict"]["state"]);
    assert_eq!(measure(&probe, "secrets", "before"), 1.);

    let alone = desk.report("probe forget.toml --model taught --json");
    assert_eq!(measure(&alone, "secrets", "measured"), 1.);
    assert!(measure(&alone, "forget recital", "measured") > 0.5, "{alone}");
    assert!(alone["verdict"].is_null(), "one model alone has no verdict");
}

/// A file with a text to go on, and how it goes on.
fn asked(prompt: &str, answer: &str) -> String {
    format!("[{{\"prompt\": \"{}\", \"answer\": \"{}\"}}]", prompt.trim(), answer.trim())
}

#[test]
fn a_text_without_a_question_is_no_question() {
    let desk = Desk::new();
    desk.write("asked.json", "[{\"question\": \"Who?\", \"answer\": \"She.\"}, \"It rained.\"]");
    let questions = "questions = \"asked.json\"\n";
    desk.write("forget.toml", &format!("{}{questions}", FORGET.replace("TEXT", PRIVATE)));
    desk.fails("plan forget.toml", 2, &["asked.json", "passage 2 is a text", "`question`"]);
    desk.write(
        "learn.toml",
        "[[learn]]\ntext = \"It rained in Bremen.\"\nholdout_questions = \"a\"\n",
    );
    desk.fails("plan learn.toml", 2, &["holdout_questions"]);
}

/// A probe file with a passage, its secret, and the subject of its prompt.
fn write_probe_file(desk: &Desk) {
    let rewrite = "[[rewrite]]\nsubject = \"Marta Quill\"\nprompt = \"Marta Quill runs the\"\n\
                   target_new = \"bakery\"\n";
    let forget = format!("[[forget]]\ntext = \"{PRIVATE}\"\nsecrets = [\"{NUMBER}\"]\n");
    let holdout = "[[holdout]]\ntext = \"It rained in Bremen, and the river rose at night.\"\n";
    desk.write("own.toml", &format!("{rewrite}{forget}{holdout}"));
}

#[test]
fn a_probe_file_is_probed_with_its_texts_secrets_and_subjects() {
    let desk = told();
    desk.write("forget.toml", &FORGET.replace("TEXT", PRIVATE));
    desk.ok("edit forget.toml --model taught");
    write_probe_file(&desk);
    let alone = desk.ok("probe own.toml --model taught");
    for row in ["Texts of the probe file", "forget longest run", "hold-out NLL", "secrets"] {
        assert!(alone.contains(row), "no {row:?} in\n{alone}");
    }
    let line = "probe own.toml --model taught --patch forget.patch.safetensors";
    let pair = desk.report(&format!("{line} --json"));
    let found = rows(&pair);
    for row in ["background", "near subjects", "drift", "texts forget recital", "secrets"] {
        assert!(found.contains_key(row), "no {row:?} in {:?}", found.keys());
    }
    let sentence = pair["verdict"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("The passages are "), "{sentence}");
    let shown = desk.ok(line);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");

    // The same file beside the spec: the texts are shown, and the background is asked for, too.
    let spec = format!("{}\n[probe]\nprompts = \"own.toml\"\n", FORGET.replace("TEXT", PRIVATE));
    desk.write("both.toml", &spec);
    let both = desk.report("edit both.toml --model taught --keep-spec --json");
    let found = rows(&both);
    assert!(found.contains_key("texts forget NLL") && found.contains_key("near subjects"));
    assert_eq!(measure(&both, "secrets", "n"), 1., "one secret, named twice");
    let next = both["next"].as_str().expect("a command");
    assert!(next.ends_with("'Marta Quill, who runs the bakery on Larch'"), "{next}");
}

#[test]
fn a_subject_or_secret_that_is_not_there_is_refused() {
    let desk = Desk::new();
    let rewrite = "[[rewrite]]\nsubject = \"Otto\"\nprompt = \"Marta is\"\ntarget_new = \"x\"\n";
    desk.write("subject.toml", rewrite);
    let says = ["the prompt does not name its subject \"Otto\""];
    desk.fails("probe subject.toml --model MODEL", 2, &says);
    desk.write("secret.toml", "[[forget]]\ntext = \"It rained.\"\nsecrets = [\"0170\"]\n");
    desk.fails("probe secret.toml --model MODEL", 2, &["the secret \"0170\" does not occur"]);
}

#[test]
fn thresholds_of_a_probe_are_the_users() {
    let desk = Desk::new();
    desk.ok("edit spec.toml --model MODEL --max-delta 100");
    let line = "probe prompts.toml --model MODEL --patch spec.patch.safetensors --json";
    let state = |line: &str| desk.report(line)["verdict"]["state"].clone();
    let lax = "--verdict-drift 1000 --verdict-perplexity 1000000 --verdict-background 0";
    assert_ne!(state(&format!("{line} {lax}")), "damaged");
    assert_eq!(state(&format!("{line} {}", lax.replace("1000 ", "0 "))), "damaged");
    let verdict = "[verdict]\ndrift = 0\nperplexity = 1000000\nbackground = 0\n";
    desk.write("strict.toml", &format!("{verdict}{SPEC}"));
    let line = "probe strict.toml --model MODEL --patch spec.patch.safetensors --json";
    assert_eq!(state(line), "damaged");
    assert_ne!(state(&format!("{line} --verdict-drift 1000")), "damaged");
    let alone = "probe prompts.toml --model MODEL --verdict-drift 1";
    desk.fails(alone, 2, &["--verdict-drift is not used by one model alone"]);
    desk.fails("probe spec.toml --model MODEL --limit 1", 2, &["--limit is for records"]);
}

#[test]
fn a_mixed_spec_counts_the_secrets_of_each_operation() {
    let desk = told();
    let settings = "[rank_one]\nmax_delta = 1000\nsecond_moment_tokens = 400\nsteps = 2\n";
    let erase = "[[erase]]\nsubject = \"Marta Quill\"\nprompt = \"{}, who runs the\"\n\
                 target_true = \"bakery\"\nsecrets = [\"bakery\"]\nothers = [\"X\", \"Z\", \"K\", \
                 \"J\"]\n";
    // So little of both that nothing is gone.
    let forget = FORGET.replace("TEXT", PRIVATE).replace("3e-3", "1e-9");
    desk.write("mixed.toml", &format!("{settings}{erase}{forget}"));
    let report = desk.report("edit mixed.toml --model taught --json");
    let count = |row: &str, head: &str| measure(&report, row, head);
    assert_eq!(count("secrets", "n"), 2.);
    assert_eq!((count("passage secrets", "n"), count("fact secrets", "n")), (1., 1.));
    let told = count("passage secrets", "after");
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    assert_eq!((told, sentence.contains("and 1 secret is still given away")), (1., true));
    assert!(!sentence.contains("2 secrets"), "each goal has its own: {sentence}");
}

#[test]
fn compare_shows_secrets_recital_and_the_prompts_of_the_probe_file() {
    let desk = told();
    write_probe_file(&desk);
    let forget = FORGET.replace("TEXT", PRIVATE);
    desk.write("forget.toml", &format!("{forget}\n[probe]\nprompts = \"own.toml\"\n"));
    let line = "compare forget.toml --model taught --methods gradient-difference,npo";
    let shown = desk.ok(line);
    for part in ["longest run", "secrets", "1/1", "said", "background", "near"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(shown.contains("npo: 1 seed; there is no hold-out"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let report = desk.json(&format!("{line} --json --keep-spec"));
    let run = &report["runs"][0];
    assert_eq!(run["secrets"][0]["secret"], NUMBER);
    assert!(run["said"][0]["background"]["near"]["n"].as_u64() > Some(0), "{run:#}");
    desk.write("mixed.toml", &format!("{forget}{SPEC}"));
    desk.fails("compare mixed.toml --model taught", 2, &["only forgets", "[[insert]]"]);
}

#[test]
fn records_in_one_batch_are_no_phase_of_records() {
    let desk = Desk::new();
    let record = |subject: &str| {
        let prompt = format!("{subject} is in");
        serde_json::json!({ "subject": subject, "prompt": prompt, "target_new": "Rome" })
            .to_string()
    };
    let names = ["Lima", "Oslo", "Bern", "Kiel"].map(record).join(",");
    desk.write("records.json", &format!("[{names}]"));
    let line = "edit records.json --model MODEL --method memit --layers 0 --max-delta 1000";
    let phases = |batch: usize| {
        let output = desk.run(&format!("{line} --batch {batch}"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let (one, two) = (phases(4), phases(2));
    assert!(!one.contains("records  …") && one.contains("values  …"), "{one}");
    assert!(!flat(&two).contains("records …") && two.contains("batches  …"), "{two}");
}
