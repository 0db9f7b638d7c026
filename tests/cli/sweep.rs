//! `layers = "sweep"`: layers tried on the facts themselves.

use super::desk::{Desk, flat, text};

const SPEC: &str = "[rank_one]\nlayers = \"sweep\"\nmax_delta = 100\nsteps = 3\n\n\
    [[insert]]\nsubject = \"The old bridge\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"\n";

fn section(report: &serde_json::Value) -> &serde_json::Value {
    let sections = report["sections"].as_array().expect("sections");
    let is_sweep = |it: &&serde_json::Value| {
        it["title"].as_str().is_some_and(|title| title.starts_with("Layers tried"))
    };
    sections.iter().find(is_sweep).expect("a section of the sweep")
}

#[test]
fn the_layer_that_suits_the_facts_is_found_kept_and_written() {
    let desk = Desk::new();
    desk.write("spec.toml", SPEC);
    let report = desk.report("edit spec.toml --model MODEL --json");
    let table = &section(&report)["blocks"][0]["table"];
    let rows = table["rows"].as_array().expect("rows");
    let layers: Vec<&str> = rows.iter().filter_map(|row| row["label"].as_str()).collect();
    assert_eq!(layers, ["0", "1", "2"]);
    let scores: Vec<f64> =
        rows.iter().map(|row| row["cells"][4].as_f64().expect("a score")).collect();
    let best = rows.iter().position(|row| row["note"] == "the best").expect("a best layer");
    assert!(scores.iter().all(|score| *score <= scores[best]), "{scores:?}");
    assert_eq!(report["data"]["write"]["layers"], serde_json::json!([best]));

    // The patch says which layer it was, so that it is made again without a sweep.
    let patch = desk.json("inspect spec.patch.safetensors --json");
    let spec = patch["recipe"]["spec"].as_str().expect("a spec");
    assert!(spec.contains(&format!("layers = [{best}]")), "{spec}");
    desk.ok("patch verify spec.patch.safetensors --model MODEL");

    let err = desk.says("edit spec.toml --model MODEL --patch again");
    assert!(err.contains("is best of 3 layers · from the cache"), "{err}");
    let memit = "edit spec.toml --model MODEL --method memit --patch memit --json";
    let report = desk.report(memit);
    assert_eq!(report["data"]["write"]["layers"], serde_json::json!([0, 1, 2]));
}

#[test]
fn records_are_tried_by_their_first_ones() {
    let desk = Desk::new();
    let record = |at: usize| {
        format!(
            r#"{{"case_id": {at}, "subject": "Barn {at}", "prompt": "Barn {at} is in",
                "target_new": "Rome", "target_true": "Paris"}}"#
        )
    };
    let records: Vec<String> = (0..7).map(record).collect();
    desk.write("seven.json", &format!("[{}]", records.join(", ")));
    let line = "seven.json --model MODEL --layers sweep --max-delta 1000 --steps 2";
    let report = desk.report(&format!("edit {line} --json"));
    assert_eq!(section(&report)["title"], "Layers tried, 6 facts each");
    assert_eq!(report["data"]["cases"].as_array().map(Vec::len), Some(7));
    let plan = desk.run("plan seven.json --model MODEL --layers sweep");
    let err = flat(&text(&plan.stderr));
    assert!(err.contains("layers = \"sweep\" is found by edit"), "{err}");
    desk.write("passages.toml", "[rank_one]\nlayers = \"sweep\"\n[[learn]]\ntext = \"x y z\"\n");
    desk.fails("edit passages.toml --model MODEL", 2, &["[rank_one] is not used"]);
}
