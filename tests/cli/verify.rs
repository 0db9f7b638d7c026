//! The audit of an edit: checks, budget, verdicts.

use serde_json::Value;

use super::attack::{NUMBER, taught, write_forget};
use super::desk::{Desk, count, flat, measure, text};

/// What a command that exits 1 prints as JSON.
fn missed(desk: &Desk, line: &str) -> Value {
    let output = desk.run(line);
    assert_eq!(output.status.code(), Some(1), "{line}\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(|it| it["check"].as_str()).collect()
}

#[test]
fn a_model_that_was_taught_is_not_forgotten_and_one_that_never_saw_it_is_exact() {
    let desk = taught();
    write_forget(&desk, "holdout = \"holdout.txt\"\n");
    let line = "verify forget.toml --model taught --base MODEL --reference base --json";
    let report = missed(&desk, line);
    let verdict = &report["data"]["verdicts"][0];
    assert_eq!((&verdict["of"], &verdict["n"]), (&"passages".into(), &6.into()), "{verdict:#}");
    assert_eq!(verdict["state"], "NOT-FORGOTTEN", "{verdict:#}");
    let checks: Vec<&str> = names(&report["data"]["done"]);
    for check in ["integrity", "verbatim", "forms", "membership", "depth", "damage", "secrets"] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    for check in ["quantised", "sampled", "relearned", "low_rank", "guided"] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    assert_eq!(names(&report["data"]["not_run"]), ["facts", "facts_relearnt"], "it has none");
    assert!(measure(&report, "tensors changed", "after") > 0.);
    let nll = measure(&report, "NLL, verbatim", "after");
    assert!(nll < measure(&report, "NLL, verbatim", "compared with"), "{nll}");
    assert!(measure(&report, "AUC, LOSS", "after") > 0.5);
    assert!(measure(&report, "drift, general text", "after") > 0.);
    let printed = report.to_string();
    assert!(!printed.contains("drinks tea") && !printed.contains(NUMBER), "{printed}");

    let exact = desk.report("verify forget.toml --model base --base MODEL --reference base --json");
    assert_eq!(exact["data"]["references"], serde_json::json!(["base"]), "{exact:#}");
    assert_eq!(exact["data"]["verdicts"][0]["state"], "EXACT");
    assert_eq!(measure(&exact, "tensors changed", "after"), 0.);
    let shown = desk.ok("verify forget.toml --model base --reference base");
    assert!(flat(&shown).contains("Passages forgotten (6): EXACT"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn a_budget_takes_the_cheapest_evidence_and_names_the_rest() {
    let desk = taught();
    write_forget(&desk, "holdout = \"holdout.txt\"\n");
    let report = missed(&desk, "verify forget.toml --model base --budget 0.000001s --json");
    assert!(count(&report["data"]["not_run"]) >= 9, "{:#}", report["data"]["not_run"]);
    let verdict = &report["data"]["verdicts"][0];
    assert_eq!(verdict["state"], "NOT-TESTED", "{verdict:#}");
    let reasons = verdict["reasons"].as_array().expect("reasons").iter();
    let budget = |it: &&Value| it["text"].as_str().is_some_and(|it| it.contains("the budget"));
    assert!(reasons.filter(budget).count() >= 3, "{verdict:#}");
    let shown = text(&desk.run("verify forget.toml --model base --budget 0.000001s").stdout);
    assert!(flat(&shown).contains("Not run:"), "{shown}");
}

#[test]
fn facts_are_audited_from_the_spec_that_wrote_them() {
    let desk = Desk::new();
    desk.ok("edit spec.toml --model MODEL --max-delta 100");
    let line = "verify spec.toml --model MODEL --patch spec.patch.safetensors --json";
    let output = desk.run(line);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    let verdict = &report["data"]["verdicts"][0];
    assert_eq!(verdict["of"], "inserted_facts", "{verdict:#}");
    let said = measure(&report, "said", "after");
    let holds = ["HOLDS", "DAMAGED", "DOES-NOT-HOLD"].map(|state| verdict["state"] == state);
    assert!(holds.contains(&true) && (holds[0] <= (said == 1.)), "{verdict:#}");
    assert_eq!(output.status.code(), Some(if holds[0] { 0 } else { 1 }));
    assert!(
        report["data"]["passages"] == 0
            && report["data"]["findings"]["recall"] == Value::Array(vec![])
    );
}

#[test]
fn thresholds_are_hashed_and_what_cannot_be_compared_is_refused() {
    let desk = taught();
    write_forget(&desk, "holdout = \"holdout.txt\"\n");
    desk.write("limits.json", "{\"nll_share\": 0}");
    let line = "verify forget.toml --model taught --thresholds limits.json --budget 1s --json";
    let report = missed(&desk, line);
    let limits = &report["data"]["limits"];
    assert_eq!(
        (&limits["name"], &limits["limits"]["nll_share"]),
        (&"limits.json".into(), &0.0.into())
    );
    assert_eq!(limits["sha256"].as_str().map(str::len), Some(64));
    desk.write("limits.json", "{\"nll_sahre\": 0}");
    let line = "verify forget.toml --model taught --thresholds limits.json";
    desk.fails(line, 2, &["limits.json", "nll_sahre"]);
    desk.fails("verify forget.toml --model taught --base atlas", 2, &["--base atlas", "differs"]);
    desk.fails("verify forget.toml --model taught --budget soon", 2, &["90s, 10m or 2h"]);
}

#[test]
fn a_record_is_checked_by_anybody_and_names_nothing_that_was_removed() {
    let desk = taught();
    write_forget(&desk, "holdout = \"holdout.txt\"\n");
    let line = "verify forget.toml --model base --base MODEL --budget 60s --out record";
    assert!([0, 1].contains(&desk.run(line).status.code().expect("a code")));
    let files = desk.names("record");
    let expected = [
        "RECORD.md",
        "bom.cdx.json",
        "edit.intoto.json",
        "key.pub.pem",
        "ledger.jsonl",
        "model.sig",
        "record.sig",
        "verify.intoto.json",
    ];
    assert_eq!(files, expected);
    for file in &files {
        let text = text(&desk.read(&format!("record/{file}")));
        for removed in ["drinks tea", NUMBER, "Marta", "Quill", "Cleo", "forget.toml"] {
            assert!(!text.contains(removed), "{file} names {removed:?}");
        }
    }
    let shown = desk.ok("verify-record record --model base --key record/key.pub.pem");
    assert!(flat(&shown).contains("record is whole: 7 files"), "{shown}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = desk.path("record.key.pem").metadata().expect("a private key");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    desk.fails(line, 2, &["record already exists", "--force"]);
    let again = desk.run(&format!("{line} --force"));
    assert!([0, 1].contains(&again.status.code().expect("a code")), "{}", text(&again.stderr));
    assert_eq!(text(&desk.read("record/ledger.jsonl")).lines().count(), 2);
    desk.ok("verify-record record --model base");
    let page = text(&desk.read("record/RECORD.md"));
    desk.write("record/RECORD.md", &page.replacen("passages", "Passages", 1));
    desk.fails("verify-record record", 1, &["RECORD.md was changed"]);
    let json = missed(&desk, "verify-record record --json");
    assert_eq!(json["data"]["problems"][0], "RECORD.md was changed");
    desk.fails("verify forget.toml --model base --out base --force", 2, &["base is not replaced"]);
    desk.fails("verify forget.toml --model base --out r --key RECORD.md", 3, &["RECORD.md"]);
}
