//! The command line as a user meets it, on the tiny models of `tests/fixtures`.

#[path = "cli/attack.rs"]
mod attack;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/built_in.rs"]
mod built_in;
#[path = "cli/collections.rs"]
mod collections;
#[path = "cli/console.rs"]
mod console;
#[path = "cli/conversation.rs"]
mod conversation;
#[path = "cli/desk.rs"]
mod desk;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/erase.rs"]
mod erase;
#[path = "cli/families.rs"]
mod families;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/forms.rs"]
mod forms;
#[path = "cli/gguf.rs"]
mod gguf;
#[path = "cli/integrity.rs"]
mod integrity;
#[cfg(unix)]
#[path = "cli/interrupt.rs"]
mod interrupt;
#[path = "cli/locate.rs"]
mod locate;
#[path = "cli/new.rs"]
mod new;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/passages.rs"]
mod passages;
#[path = "cli/patches.rs"]
mod patches;
#[path = "cli/price.rs"]
mod price;
#[path = "cli/probes.rs"]
mod probes;
#[cfg(unix)]
#[path = "cli/push.rs"]
mod push;
#[path = "cli/readme.rs"]
mod readme;
#[path = "cli/redaction.rs"]
mod redaction;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/schema.rs"]
mod schema;
#[path = "cli/stored.rs"]
mod stored;
#[cfg(unix)]
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/sweep.rs"]
mod sweep;
#[expect(dead_code, reason = "the unit tests of the GGUF reader use all of it")]
#[path = "../src/gguf/tests/fixture.rs"]
mod tiny_gguf;
#[path = "cli/tofu.rs"]
mod tofu;
#[path = "cli/verdict.rs"]
mod verdict;
#[path = "cli/verify.rs"]
mod verify;
#[path = "cli/weekly.rs"]
mod weekly;

use serde_json::Value;

use desk::{Desk, PROMPTS, SPEC, count, facts, measure, model, nll, write_step};

const EDIT: &str = "edit spec.toml --model MODEL --max-delta 100";

#[test]
fn a_fact_is_edited_probed_asked_exported_and_reloaded() {
    let desk = Desk::new();
    let table = desk.ok(EDIT);
    for row in ["said", "efficacy", "paraphrase", "neighborhood", "drift", "perplexity", "next"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    let mut plan = desk.json("plan spec.toml --model MODEL --max-delta 100 --json");
    let cost = plan.as_object_mut().and_then(|plan| plan.shift_remove("cost"));
    assert!(cost.is_some_and(|cost| cost["bytes"].as_u64() > Some(0)), "{plan:#}");
    let patch = desk.json("inspect spec.patch.safetensors --json");
    assert_eq!(patch["recipe"]["plan"], plan, "what is planned is what is executed");
    assert_eq!(patch["changes"][0]["rank"], 1);
    let spec = format!("{SPEC}\n[rank_one]\nmax_delta = 100.0\n");
    assert_eq!(patch["recipe"]["spec"], spec, "the flag is part of what gives this patch again");

    let line = "probe prompts.toml --model MODEL --patch spec.patch.safetensors --json";
    let probed = desk.json(line);
    let (before, after) = (nll(&probed, 0, "before", 0), nll(&probed, 0, "after", 0));
    assert!(after < before, "the edit makes its target more probable");

    let exported = desk
        .json("export --model MODEL --patch spec.patch.safetensors --out edited --check --json");
    let difference = exported["largest_logit_difference"].as_f64().expect("a llama is judged");
    // Logits of about 8 from two f32 implementations.
    assert!(difference < 1e-3, "candle-transformers differs by {difference:e}");
    let folder = desk.json("probe prompts.toml --model edited --json");
    let reloaded = nll(&folder, 0, "before", 0);
    assert!((reloaded - after).abs() < 1e-5, "{reloaded} against {after}");

    let answer = desk.ok("ask --model MODEL --patch spec.patch.safetensors The");
    assert!(answer.contains("before  The") && answer.contains(" after  The"), "{answer}");
    desk.fails("probe prompts.toml --model edited --patch spec.patch.safetensors", 3, &["Error:"]);
}

#[test]
fn the_same_spec_and_seed_give_the_same_patch() {
    let desk = Desk::new();
    desk.ok(&format!("{EDIT} --patch a.patch.safetensors"));
    desk.ok(&format!("{EDIT} --patch b.patch.safetensors --threads 1"));
    let read = |name: &str| std::fs::read(desk.path(name)).expect("a patch");
    assert!(read("a.patch.safetensors") == read("b.patch.safetensors"), "on any number of threads");
}

#[test]
fn gpt2_is_edited_too() {
    let desk = Desk::new();
    let folder = model("gpt2").display().to_string();
    desk.ok(&format!("edit spec.toml --model {folder} --max-delta 100 --out edited"));
    let inspected = desk.json("inspect edited --json");
    assert_eq!(inspected["config"]["model_type"], "gpt2");
    assert!(!inspected["recipes"].is_null());
}

#[test]
fn records_give_the_papers_table() {
    let desk = Desk::new();
    let record = |id: usize, subject: &str| {
        format!(
            r#"{{"case_id": {id}, "requested_rewrite": {{"prompt": "{{}} is in", "subject": "{subject}",
                "target_new": {{"str": "Rome"}}, "target_true": {{"str": "Paris"}}}},
                "paraphrase_prompts": ["You find {subject} in"],
                "neighborhood_prompts": ["The Louvre is in"], "generation_prompts": []}}"#
        )
    };
    let records = [record(1, "The Eiffel Tower"), record(2, "The old bridge")];
    desk.write("records.json", &format!("[{}]", records.join(",")));
    let report = desk.report("edit records.json --model MODEL --max-delta 100 --limit 2 --json");
    for side in ["before", "after"] {
        for metric in ["efficacy", "paraphrase", "neighborhood", "score"] {
            let share = measure(&report, metric, side);
            assert!((0. ..=1.).contains(&share), "{side} {metric} {share}");
        }
    }
    assert_eq!(measure(&report, "efficacy", "n"), 2.);
    assert_eq!(count(&report["data"]["cases"]), 2);
    let seconds = report["data"]["write"]["seconds_per_fact"].as_f64();
    assert!(seconds.is_some_and(|seconds| seconds > 0.));
    assert!(desk.ok("probe records.json --model MODEL").contains("efficacy"));
}

#[test]
fn the_second_moment_is_cached_by_layer() {
    let desk = Desk::new();
    let first = desk.json("stats --model MODEL --layer 1 --tokens 200 --json");
    let second = desk.json("stats --model MODEL --layer 1 --tokens 200 --json");
    assert_eq!((&first["was_cached"], &second["was_cached"]), (&false.into(), &true.into()));
    assert_eq!((&first["tokens"], &first["condition"]), (&200.into(), &second["condition"]));
    let other = desk.json("stats --model MODEL --layer 2 --tokens 200 --json");
    assert_eq!(other["was_cached"], false, "the layer is part of the key");
}

#[test]
fn a_missed_threshold_exits_with_1_and_keeps_the_patch() {
    let desk = Desk::new();
    desk.fails(&format!("{EDIT} --require magnitude>=2"), 1, &["magnitude is", "required >= 2"]);
    assert!(desk.path("spec.patch.safetensors").exists());
    desk.fails(&format!("{EDIT} --require speed>=1"), 2, &["no report has a row \"speed\""]);
}

/// Two facts of one batch in CounterFact's form, with probes.
fn record(id: usize, subject: &str, target: &str) -> String {
    format!(
        r#"{{"case_id": {id}, "requested_rewrite": {{"prompt": "{{}} is in", "subject": "{subject}",
            "relation_id": "P1", "target_new": {{"str": "{target}"}}, "target_true": {{"str": "Paris"}}}},
            "paraphrase_prompts": ["You find {subject} in"],
            "neighborhood_prompts": ["The Louvre is in"], "generation_prompts": ["{subject} is"]}}"#
    )
}

const SUBJECTS: [&str; 4] = ["The Eiffel Tower", "The old bridge", "The red barn", "My garden"];

fn records() -> String {
    let all = SUBJECTS.iter().enumerate().map(|(id, subject)| record(id, subject, "Rome"));
    format!("[{}]", all.collect::<Vec<_>>().join(","))
}

const BATCH: &str = "edit records.json --model MODEL --max-delta 100";

#[test]
fn records_are_written_in_batches_and_in_sequence() {
    let desk = Desk::new();
    desk.write("records.json", &records());
    for method in
        ["emmet --layers 1", "memit --layers 0-1", "alphaedit --layers 0-1 --null-space 0.9"]
    {
        let batch = desk.json(&format!("{BATCH} --method {method} --batch 4 --json"));
        assert_eq!((count(&batch["cases"]), &batch["write"]["grouping"]), (4, &"isolated".into()));
        assert_eq!((count(&batch["groups"]), count(&batch["groups"][0]["facts"])), (1, 4));
        let reached = batch["groups"][0]["reached"].as_f64();
        assert!(reached.is_some_and(|share| share > 0.2), "{batch}");
        for at in 0..4 {
            let (before, after) = (nll(&batch, at, "before", 0), nll(&batch, at, "after", 0));
            assert!(after < before, "{method}: fact {at} went from {before} to {after}");
        }
        let line = format!("{BATCH} --max-perplexity 1e9 --method {method} --sequential 2 --json");
        let sequence = desk.json(&line);
        assert_eq!(sequence["write"]["grouping"], "sequential");
        assert_eq!(count(&sequence["groups"]), 2);
        let from_cache = &sequence["write"]["values_from_cache"];
        assert_eq!(*from_cache, 4, "found once for all ways to write them");
        let health = &sequence["groups"][1];
        assert!(health["fluency"].is_number() && health["damage"]["drift"]["mean"].is_number());
    }
    let table =
        desk.ok(&format!("{BATCH} --max-perplexity 1e9 --method memit --layers 1 --sequential 3"));
    for row in ["right after", "efficacy", "perplexity", "After each batch"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    desk.fails(&format!("{BATCH} --batch 2"), 2, &["--method"]);

    let one = format!("{BATCH} --method memit --layers 0-1");
    desk.fails(&format!("{one} --batch 2 --patch p.safetensors"), 2, &["--sequential"]);
    desk.ok(&format!("{one} --max-perplexity 1e9 --sequential 2 --patch p.safetensors"));
    let probed = desk.json("probe records.json --model MODEL --patch p.safetensors --json");
    let line = format!("{one} --max-perplexity 1e9 --sequential 2 --json");
    let sequence = desk.json(&line);
    for at in 0..4 {
        // One sum of two changes against one after the other, in f32.
        let difference = (nll(&probed, at, "after", 0) - nll(&sequence, at, "after", 0)).abs();
        assert!(difference < 1e-4, "the patch holds the sequence: {difference:e}");
    }
}

const RIPPLES: &str = r#"
[[ripple]]
prompt = "The Eiffel Tower stands in the land of"
target_new = "Italy"
target_true = "France"

[[ripple]]
prompt = "Who sees the Eiffel Tower hears"
target_new = "bells"
target_true = "horns"
"#;

#[test]
fn ripples_are_written_with_their_edit() {
    let desk = Desk::new();
    desk.write("prompts.toml", &format!("{PROMPTS}{RIPPLES}"));
    let insert = SPEC.replace("[probe]", "with_ripples = true\n\n[probe]");
    desk.write("spec.toml", &format!("[rank_one]\nmethod = \"memit\"\nlayers = [1]\n{insert}"));
    let report = desk.json(&format!("{EDIT} --json"));
    assert_eq!((count(&report["cases"]), facts(&report).len()), (1, 3));
    assert!(report["without_ripples"]["ripple"].as_f64().is_some(), "{report}");
    let plan = desk.json("plan spec.toml --model MODEL --json");
    assert_eq!(write_step(&plan)["edits"][2]["prompt"], "Who sees {} hears");
    let patch = desk.json("inspect spec.patch.safetensors --json");
    assert_eq!(
        patch["changes"][0]["rank"], 4,
        "three facts under two keys, each read with and without prefixes"
    );

    desk.write("prompts.toml", PROMPTS);
    desk.fails(&format!("{EDIT} --force"), 2, &["no [[ripple]] prompt", "The Eiffel Tower"]);
}

#[test]
fn a_sequence_that_breaks_the_model_stops_and_says_where() {
    let desk = Desk::new();
    desk.write("records.json", &records());
    let line = "edit records.json --model MODEL --max-delta 100 --method memit --layers 1 \
                --sequential 1 --max-perplexity 0.01";
    desk.fails(line, 1, &["stopped after batch 1", "it began with batch 1"]);
    let output = desk.run(&format!("{line} --json"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"]["state"], "damaged");
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    assert_eq!(sentence.matches("perplexity").count(), 1, "said once: {sentence}");
    let data = &report["data"];
    assert_eq!((facts(data).len(), count(&data["cases"])), (1, 1), "the others were not written");
    assert_eq!((&data["collapse"]["seen"], &data["collapse"]["began"]), (&1.into(), &1.into()));
    let insert =
        "[[insert]]\nsubject = \"The red barn\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"\n";
    desk.write("spec.toml", insert);
    let line = line.replace("records.json", "spec.toml");
    desk.fails(&line, 1, &["began with batch 1; no patch was written"]);
    assert!(!desk.path("spec.patch.safetensors").exists());
}

#[test]
fn records_that_are_looked_up_at_a_sink_are_named_and_then_counted() {
    let desk = Desk::new();
    let subjects = ["a", "b", "c", "d", "e"];
    let all = subjects.iter().enumerate().map(|(id, subject)| record(id, subject, "Rome"));
    desk.write("records.json", &format!("[{}]", all.collect::<Vec<_>>().join(",")));
    // No token comes before the text there.
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gpt2/model");
    for how in ["--layer 0", "--method memit --layers 0 --batch 5"] {
        let line = format!("edit records.json --max-delta 1e6 {how} --model {model}");
        let output = desk.run(&line);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}\n{err}");
        assert_eq!(err.matches("the subject is the first token").count(), 3, "{line}\n{err}");
        assert!(err.contains("more such warnings: 2"), "{line}\n{err}");
    }
}

#[test]
fn clashing_records_are_named_at_once_before_any_work() {
    let desk = Desk::new();
    let all = [
        record(1, "The Eiffel Tower", "Rome"),
        record(2, "The old bridge", "Rome"),
        record(3, "the Eiffel tower", "Rome"),
        record(4, "The old bridge", "Oslo"),
    ];
    desk.write("records.json", &format!("[{}]", all.join(",")));
    let line = format!("{BATCH} --method memit --layers 1 --batch 4");
    let says = ["record 3 repeats record 1", "record 4 contradicts record 2", "--skip-conflicts"];
    desk.fails(&line, 2, &says);
    assert!(!desk.path("cache").exists(), "nothing was computed");
    let kept = desk.json(&format!("{line} --skip-conflicts --json"));
    assert_eq!(count(&kept["cases"]), 2);
    let alone = desk.json(&format!("{BATCH} --json"));
    assert_eq!(count(&alone["cases"]), 4, "alone, each may stand");
}

#[test]
fn the_facts_of_a_spec_are_one_batch() {
    let desk = Desk::new();
    let insert = |subject: &str| {
        format!(
            "[[insert]]\nsubject = \"{subject}\"\nprompt = \"{{}} is in\"\ntarget_new = \"Rome\"\n"
        )
    };
    let head = "[rank_one]\nmethod = \"memit\"\nlayers = [0, 1]\nmax_delta = 100\n";
    desk.write("many.toml", &format!("{head}{}", SUBJECTS.map(insert).concat()));
    desk.ok("edit many.toml --model MODEL");
    let patch = desk.json("inspect many.patch.safetensors --json");
    let ranks: Vec<_> = patch["changes"].as_array().expect("changes").iter().collect();
    assert_eq!((ranks.len(), &ranks[0]["rank"], &ranks[1]["rank"]), (2, &8.into(), &8.into()));
    assert_eq!(write_step(&patch["recipe"]["plan"])["method"], "memit");
    let read = |name: &str| std::fs::read(desk.path(name)).expect("a patch");
    desk.ok("edit many.toml --model MODEL --patch again.patch.safetensors --threads 1");
    assert!(read("many.patch.safetensors") == read("again.patch.safetensors"), "to the byte");
    let split = "edit many.toml --model MODEL --sequential 3 --patch split.patch.safetensors";
    desk.ok(&format!("{split} --max-perplexity 1e9"));
    desk.fails("edit many.toml --model MODEL --batch 3 --force", 2, &["--sequential"]);
    desk.fails("edit many.toml --model MODEL --method rome --force", 2, &["layers = [0, 1]"]);
}
