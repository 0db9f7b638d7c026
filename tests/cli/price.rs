//! What a change is predicted to cost, and facts that are left out to stay within a budget.

use serde_json::Value;

use crate::desk::{Desk, count, facts};

const SUBJECTS: [&str; 12] = [
    "The Eiffel Tower",
    "The old bridge",
    "The red barn",
    "My garden",
    "Our school",
    "The tall house",
    "Her boat",
    "His farm",
    "The new mill",
    "The small shop",
    "Their office",
    "The long wall",
];

fn records(n: usize) -> String {
    let record = |(id, subject): (usize, &&str)| {
        format!(
            r#"{{"case_id": {id}, "requested_rewrite": {{"prompt": "{{}} is in", "subject": "{subject}",
                "target_new": {{"str": "Rome"}}, "target_true": {{"str": "Paris"}}}},
                "paraphrase_prompts": ["You find {subject} in"], "neighborhood_prompts": []}}"#
        )
    };
    let all = SUBJECTS.iter().take(n).enumerate().map(record);
    format!("[{}]", all.collect::<Vec<_>>().join(","))
}

const EDIT: &str = "edit spec.toml --model MODEL --max-delta 100 --force";

#[test]
fn the_price_is_shown_where_it_is_known_and_changes_nothing() {
    let desk = Desk::new();
    assert!(!desk.ok(EDIT).contains("predicted drift"), "nothing was collected");
    let patch = desk.read("spec.patch.safetensors");
    let text = desk.ok(&format!("{EDIT} --price --patch priced.safetensors"));
    assert!(text.contains("predicted drift"), "{text}");
    let report = desk.report(&format!("{EDIT} --require predicted-drift<=1000 --json"));
    let price = &report["data"]["price"];
    for key in ["predicted", "squared_norm"] {
        assert!(price[key].as_f64() > Some(0.), "{key} from the cache: {price}");
    }
    assert!(desk.read("spec.patch.safetensors") == patch, "a price changes no patch");
    let silent = desk.json(&format!("{EDIT} --price=false --json"));
    assert!(silent["price"].is_null(), "{silent}");
}

#[test]
fn prices_of_many_records_are_compared_with_their_drifts() {
    let desk = Desk::new();
    desk.write("records.json", &records(12));
    let line = "edit records.json --model MODEL --max-delta 100 --layers 1";
    let found = desk.json(&format!("{line} --json"));
    let agreement = &found["price_agreement"];
    assert_eq!((count(&found["groups"]), &agreement["n"]), (12, &12.into()), "{agreement}");
    for key in ["correlation", "norm_correlation"] {
        let value = agreement[key].as_f64().expect("a correlation");
        assert!((-1. ..=1.).contains(&value), "{key} is {value}");
    }
    let text = desk.ok(&format!("{line} --report page.html"));
    for part in ["predicted drift", "Over 12 models the drift was", "‖ΔW‖²"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let page = String::from_utf8(desk.read("page.html")).expect("text");
    assert!(page.contains("log10 of the predicted drift"), "a scatter");
}

/// The drift of the whole, a budget of half of it, and what a run within that budget leaves.
fn halved(desk: &Desk, line: &str) -> (f64, Value) {
    let whole = desk.json(&format!("{line} --json"));
    assert!(facts(&whole).iter().all(|fact| fact["unwritten"].is_null()));
    let budget = 0.5 * whole["damage"]["drift"]["mean"].as_f64().expect("a drift");
    let limited = format!("{line} --max-drift {budget} --json --patch limited.safetensors --force");
    let output = desk.run(&limited);
    assert_eq!(output.status.code(), Some(1), "facts were left out");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_ne!(report["verdict"]["state"], "took", "{}", report["verdict"]);
    (budget, report["data"].clone())
}

#[test]
fn facts_that_would_pass_the_budget_are_left_out_and_named() {
    let desk = Desk::new();
    desk.write("records.json", &records(6));
    // Small changes, whose drifts add up.
    let start = "edit records.json --model MODEL --max-delta 100 --max-perplexity 1e9 --clamp 0.3";
    for how in
        ["--method memit --layers 0-1 --sequential 3", "--method rome --layers 1 --sequential 1"]
    {
        let (budget, found) = halved(&desk, &format!("{start} {how}"));
        let all = facts(&found);
        let left_out: Vec<&Value> =
            all.iter().copied().filter(|fact| fact["unwritten"].is_string()).collect();
        assert!(all.len() == 6 && (1..6).contains(&left_out.len()), "{how}: {all:?}");
        for fact in &left_out {
            let why = fact["unwritten"].as_str().expect("a reason");
            assert!(why.contains("nats a token; a max_drift above"), "{why}");
        }
        // Kept on other text than is reported.
        let drift = found["damage"]["drift"]["mean"].as_f64().expect("a drift");
        assert!(drift > 0. && drift < 1.5 * budget, "{how}: {drift} within {budget}");
        let recipe = desk.json("inspect limited.safetensors --json")["recipe"].clone();
        let places = &recipe["plan"]["left_out"]["insert"];
        assert_eq!(count(places), left_out.len(), "{how}: {places}");
        desk.ok("patch verify limited.safetensors --model MODEL");
        let listed = desk.ok("patch list limited.safetensors");
        for (subject, fact) in SUBJECTS.iter().zip(&all) {
            let is_held = fact["unwritten"].is_null();
            assert_eq!(listed.contains(subject), is_held, "{how}, {subject}:\n{listed}");
        }
    }
}

#[test]
fn a_budget_that_no_fact_keeps_leaves_no_patch() {
    let desk = Desk::new();
    let line = "edit spec.toml --model MODEL --max-delta 100 --max-drift 1e-9";
    desk.fails(line, 1, &["1 of 1 fact was left out to stay within max_drift"]);
    assert!(!desk.path("spec.patch.safetensors").exists());
    desk.ok("edit spec.toml --model MODEL --max-delta 100 --max-drift 1000");
    let whole = desk.read("spec.patch.safetensors");
    assert!(!whole.is_empty(), "a budget that holds leaves the edit as it is");
}
