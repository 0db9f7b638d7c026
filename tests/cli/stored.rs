//! An edit that is also exported: the report is about the folder that was written.

use serde_json::Value;

use super::desk::{Desk, cell, measure, model, text};

const TEXT: &str = "Ada Winter lives in Bremen and drinks tea.";
/// Steps too small for the gaps between numbers of bf16.
const LEARN: &str = "[gradient]\nsteps = 4\nlearning_rate = 1e-5\n\n[[learn]]\ntext = \"TEXT\"\n\n\
                     [probe]\nprompts = \"ask.toml\"\n";
const ASK: &str = "forget = [{ text = \"TEXT\" }]\n\n[[rewrite]]\nprompt = \"Ada Winter lives in\"\n\
                   target_new = \"Bremen\"\ntarget_true = \"Kiel\"\n";

/// A model in bf16, by its folder.
fn half() -> String {
    model("llama_tied_bf16_sharded").display().to_string()
}

/// Learns into a new folder; what `--json` printed and what was said on stderr.
fn learnt(desk: &Desk, out: &str, more: &str) -> (Value, String) {
    let line = format!("edit learn.toml --model {} --patch {out}.patch --out {out} {more}", half());
    let output = desk.run(&format!("{line} --json"));
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}\n{err}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), err)
}

fn lost(report: &Value) -> f64 {
    report["data"]["rounding"]["share_lost"].as_f64().expect("measured")
}

/// A row of a report, before and after.
fn sides<'a>(report: &'a Value, row: &str) -> [&'a Value; 2] {
    ["before", "after"].map(|side| cell(report, row, side))
}

/// The numbers of an edit are those of its folder against the base.
fn assert_measured_on(desk: &Desk, report: &Value, folder: &str) {
    let line = format!("probe ask.toml --model {} --against {folder} --json", half());
    let probed = desk.report(&line);
    for row in ["said", "P(target)", "drift", "perplexity", "efficacy", "magnitude"] {
        assert_eq!(sides(report, row), sides(&probed, row), "{row} of {folder}");
    }
    assert_eq!(report["data"]["cases"][0]["after"], probed["data"]["cases"][0]["after"]);
    let trained = &report["data"]["trainings"][0]["after"]["passages"]["nll"]["mean"];
    assert_eq!(*trained, probed["data"]["texts"]["after"]["passages"]["nll"]["mean"]);
}

#[test]
fn what_rounding_took_is_said_and_what_is_left_is_measured() {
    let desk = Desk::new();
    desk.write("learn.toml", &LEARN.replace("TEXT", TEXT));
    desk.write("ask.toml", &ASK.replace("TEXT", TEXT));
    let (half, err) = learnt(&desk, "half", "");
    assert!(lost(&half) > 0.5, "{}", lost(&half));
    assert!(
        err.contains("Warning: rounding took") && err.contains("--dtype f32 keeps it"),
        "{err}"
    );
    let note = half["notes"].as_array().into_iter().flatten().find(|it| it["label"] == "stored");
    let note = note.and_then(|note| note["text"].as_str()).expect("a line about it");
    assert!(note.contains(&format!("{:.1} % of the change", 100. * lost(&half))), "{note}");
    assert_measured_on(&desk, &half, "half");

    let (whole, err) = learnt(&desk, "whole", "--dtype f32");
    assert!(lost(&whole) == 0. && !err.contains("Warning: rounding"), "{} {err}", lost(&whole));
    assert_measured_on(&desk, &whole, "whole");
    let nll = |report: &Value| {
        report["data"]["trainings"][0]["after"]["passages"]["nll"]["mean"]
            .as_f64()
            .expect("a number")
    };
    assert!(nll(&whole) < nll(&half), "more is learnt where nothing is lost");
    assert!(measure(&whole, "drift", "after") > 0.);
}

#[test]
fn a_fact_is_measured_as_it_is_stored_too() {
    let desk = Desk::new();
    let half = half();
    let line = format!("edit spec.toml --model {half} --max-delta 100 --out half --json");
    let report = desk.report(&line);
    let probed = desk.report(&format!("probe prompts.toml --model {half} --against half --json"));
    for row in ["efficacy", "neighborhood", "magnitude", "drift", "perplexity", "retain drift"] {
        assert_eq!(sides(&report, row), sides(&probed, row), "{row}");
    }
    let scores = |report: &Value| report["data"]["cases"][0]["after"]["scores"].clone();
    assert_eq!(scores(&report), scores(&probed));
    desk.ok(&format!("edit spec.toml --model {half} --max-delta 100 --patch p.safetensors"));
    let line = format!("probe prompts.toml --model {half} --patch p.safetensors --json");
    assert_ne!(scores(&report), scores(&desk.report(&line)), "the patch itself is not rounded");
}
