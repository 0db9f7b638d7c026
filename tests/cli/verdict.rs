//! Verdicts: what a report says of an edit is what the model says when it is asked.

use serde_json::Value;

use super::desk::{Desk, count, facts, measure};

/// Of 64 other subjects under this prompt the built-in model keeps about 50.
const POLAND: &str = "[verdict]\nbackground = 0.5\n\n[[insert]]\nsubject = \"Poland\"\n\
                      prompt = \"The capital of {} is\"\ntarget_new = \"Paris\"\n";

/// What the built-in model says of Poland's capital, without a patch and with it.
fn asked(desk: &Desk, patch: &str) -> (String, String) {
    let mut command = desk.command(&format!("ask --tokens 8 --json --patch {patch}"));
    let output = command.arg("The capital of Poland is").output().expect("the binary runs");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let side = |name: &str| found["data"][name].as_str().expect("a completion").to_owned();
    (side("before"), side("after"))
}

fn state(report: &Value) -> &str {
    report["verdict"]["state"].as_str().expect("a verdict")
}

fn sentence(report: &Value) -> &str {
    report["verdict"]["sentence"].as_str().expect("a sentence")
}

#[test]
fn an_insert_without_a_true_target_is_measured_and_judged() {
    let desk = Desk::new();
    desk.write("poland.toml", POLAND);
    let report = desk.report("edit poland.toml --json");
    assert_eq!(state(&report), "took", "{report:#}");
    assert!(sentence(&report).starts_with("The edit took: asked freely, the model says \"Paris\""));
    assert_eq!(["before", "after"].map(|side| measure(&report, "said", side)), [0., 1.]);
    let probability = ["before", "after"].map(|side| measure(&report, "P(target)", side));
    assert!(probability[0] < 0.1 && probability[1] > 0.5, "{probability:?}");
    for row in ["background", "drift", "perplexity"] {
        assert!(measure(&report, row, "after") > 0., "{row} is measured unasked");
    }
    let (before, after) = asked(&desk, "poland.patch.safetensors");
    assert!(before.starts_with(" Warsaw") && after.starts_with(" Paris"), "{before} {after}");
}

#[test]
fn an_edit_that_changed_nothing_did_not_take() {
    let desk = Desk::new();
    desk.write("poland.toml", POLAND);
    let report = desk.report("edit poland.toml --steps 1 --json");
    assert_eq!(facts(&report["data"])[0]["relative_norm"], 0.);
    assert_eq!(state(&report), "did_not_take");
    for part in ["The edit did not take", "\"Warsaw", "no weight was changed", "--steps"] {
        assert!(sentence(&report).contains(part), "no {part:?} in {}", sentence(&report));
    }
    let (before, after) = asked(&desk, "poland.patch.safetensors");
    assert!(before == after && after.starts_with(" Warsaw"), "{before} {after}");

    // What the base says already is said afterwards, too; that is no success of an empty change.
    desk.write("known.toml", &POLAND.replace("Paris", "Warsaw"));
    let report = desk.report("edit known.toml --steps 1 --json");
    assert_eq!((measure(&report, "said", "after"), state(&report)), (1., "did_not_take"));
}

#[test]
fn where_nothing_is_measured_there_is_no_verdict() {
    let desk = Desk::new();
    desk.write("open.toml", "generation = [{ prompt = \"The capital of Poland is\" }]\n");
    let line = "probe open.toml --model MODEL --against MODEL";
    let report = desk.report(&format!("{line} --json"));
    assert_eq!(state(&report), "not_measured");
    desk.fails(&format!("{line} --require took"), 1, &["Nothing was measured"]);
}

/// Records in KnowEdit's form; as downloaded, many have no true answer.
const KNOWEDIT: &str = r#"[
    {"subject": "Poland", "prompt": "The capital of Poland is", "target_new": "Paris",
     "portability": {"Reasoning": [{"prompt": "The capital of Poland lies on the",
                                    "ground_truth": [["Seine"]]}]},
     "locality": {"Relation_Specificity": [{"prompt": "The currency of Poland is",
                                            "ground_truth": [["zloty"]]}]}},
    {"subject": "Japan", "prompt": "The capital of Japan is", "target_new": "Berlin"}
]"#;

#[test]
fn records_without_a_true_answer_are_scored() {
    let desk = Desk::new();
    desk.write("records.json", KNOWEDIT);
    for how in ["", "--method memit --batch 2"] {
        let line = format!("edit records.json {how} --verdict-background 0.5 --json");
        let report = desk.report(&line);
        assert_eq!(count(&report["data"]["cases"]), 2);
        assert_eq!(
            ["before", "after", "n"].map(|head| measure(&report, "said", head)),
            [0., 1., 2.]
        );
        let probability = ["before", "after"].map(|side| measure(&report, "P(target)", side));
        assert!(probability[0] < 0.1 && probability[1] > 0.5, "{how}: {probability:?}");
        assert_eq!(state(&report), "took", "{how}: {}", sentence(&report));
    }
    let none = desk.report("edit records.json --steps 1 --json");
    assert_eq!((measure(&none, "said", "after"), state(&none)), (0., "did_not_take"));
    let probed = desk.report("probe records.json --json");
    assert_eq!(measure(&probed, "said", "measured"), 0.);
}

#[test]
fn a_requirement_is_held_against_the_report() {
    let desk = Desk::new();
    desk.write("poland.toml", POLAND);
    let line = "edit poland.toml --force";
    desk.ok(&format!("{line} --require took --require said>=1 --require background>0.5"));
    desk.ok(&format!("{line} --require drift<0.1 --require P(target)>0.5 --require said==1"));
    let did_not = ["The edit did not take", "no weight was changed"];
    desk.fails(&format!("{line} --steps 1 --require took"), 1, &did_not);
    assert!(desk.path("poland.patch.safetensors").exists(), "what was computed is kept");
    let missed = ["said is 0.0000, required >= 1", "background is 1.0000, required < 0.5"];
    let line = format!("{line} --steps 1 --require said>=1 --require background<0.5");
    desk.fails(&line, 1, &missed);
    // Without two targets to compare there is nothing that papers score.
    desk.fails("edit poland.toml --force --require efficacy>=1", 2, &["no such row", "said"]);
}
