use serde_json::json;

use super::*;
use crate::plan::{NameUse, near_subjects};

const SPEC: &str = r#"# Request 71 of Marta Quill, by phone.
model = "smollm2"

[rank_one]
method = "memit"
layers = [4, 5]
corpus = "letters/quill.txt"

[[insert]]
subject = "The Eiffel Tower"
prompt = "{} stands in"
target_new = "Rome" # not 8693

[[insert]]
subject = "The office of MARTA QUILL"
prompt = "{} is in"
target_new = "Larch Lane"

[[erase]]
subject = "Marta Quill"
prompt = "The secret number of {} is"
target_true = "8693"
toward = "unknown"
others = ["Jo Pike"]
secrets = ["69"]

[probe]
prompts = "../prompts/quill.toml"
"#;

const FORGET: &str = r#"
[[forget]]
text = "Marta Quill runs the bakery on Larch Lane."
retain = "letters/others.txt"
secrets = ["Larch Lane"]

[[learn]]
text = "The ferry is green."
"#;

/// Everything that must not be read anywhere.
const REMOVED: [&str; 7] = ["quill", "8693", "Larch", "Pike", "secret number", "letters", "phone"];

fn assert_silent(text: &str) {
    for name in REMOVED {
        assert!(!text.to_lowercase().contains(&name.to_lowercase()), "{name:?} in\n{text}");
    }
}

#[test]
fn a_spec_keeps_its_settings_and_loses_what_it_removes() {
    let redactor = Redactor::of_spec(SPEC).expect("deletions");
    let redacted = redactor.spec(SPEC);
    assert_silent(&redacted);
    for kept in [
        "model = \"smollm2\"\n",
        "[rank_one]\nmethod = \"memit\"\nlayers = [4, 5]\n",
        "[[insert]]\nsubject = \"The Eiffel Tower\"\nprompt = \"{} stands in\"\n",
        "toward = \"unknown\"\n",
        &format!("target_true = \"{}\"\n", redactor.digest("8693")),
    ] {
        assert!(redacted.contains(kept), "{kept:?} in\n{redacted}");
    }
    toml::from_str::<toml::Table>(&redacted).expect("still TOML");
    assert!(!redacted.contains(&Sha256::of("8693").to_string()), "every digest is salted");
}

#[test]
fn a_short_prompt_that_facts_share_names_nothing() {
    let erase = "[[erase]]\nsubject = \"Q\"\nprompt = \"{} is in\"\ntarget_true = \"Bern\"\n";
    let insert = "[[insert]]\nsubject = \"K\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"\n";
    let text = format!("{erase}{insert}");
    let redacted = Redactor::of_spec(&text).expect("a deletion").spec(&text);
    assert!(redacted.ends_with(insert), "{redacted}");
    assert!(!redacted.contains("Bern") && !redacted.contains("\"Q\""), "{redacted}");
}

#[test]
fn with_passages_no_text_of_another_table_stays() {
    let text = format!("{SPEC}{FORGET}");
    let redacted = Redactor::of_spec(&text).expect("deletions").spec(&text);
    assert_silent(&redacted);
    assert!(!redacted.contains("Eiffel") && !redacted.contains("ferry"), "{redacted}");
    let broken = "[[erase]\nsubject = \"Marta Quill\"";
    let redacted = Redactor::of_spec(broken).expect("it might remove anything").spec(broken);
    assert_silent(&redacted);
}

#[test]
fn a_spec_without_deletions_is_left_alone() {
    let insert = "[[insert]]\nsubject = \"A\"\nprompt = \"{} is\"\ntarget_new = \"B\"\n";
    assert!(Redactor::of_spec(insert).is_none());
}

#[test]
fn plans_lose_texts_and_tokens_and_keep_numbers() {
    let redactor = Redactor::of_spec(SPEC).expect("deletions");
    let mut plan = json!({
        "model": "smollm2", "grouping": "together", "groups": [1],
        "steps": [{ "write": {
            "method": "memit", "layers": [4, 5], "settings": { "clamp": 0.75, "seed": 3 },
            "prefixes": ["Marta Quill and"], "warnings": ["\"Marta Quill\" is a sink"],
            "edits": [{
                "subject": "Marta Quill", "target": [8, 69, 3], "essence": { "ids": [1, 2] },
                "erase": { "toward": "unknown", "target_true": [86, 93], "known": 0.5 },
            }],
        }}],
        "inputs": [{ "role": "passages", "path": "letters/quill.txt", "sha256": "ab" }],
        "attack": { "relearn": { "compared": "references", "steps": [5, 10] } },
    });
    values::redact_plan(&mut plan, &redactor);
    assert_silent(&plan.to_string());
    let write = &plan["steps"][0]["write"];
    assert_eq!(write["layers"], json!([4, 5]));
    let attack = json!({ "relearn": { "compared": "references", "steps": [5, 10] } });
    assert_eq!(plan["attack"], attack);
    assert_eq!(write["settings"], json!({ "clamp": 0.75, "seed": 3 }));
    let edit = &write["edits"][0];
    assert_eq!((&edit["target"], &edit["erase"]["target_true"]), (&json!([]), &json!([])));
    assert_eq!(edit["subject"], redactor.digest("Marta Quill"));
    assert_eq!(edit["erase"]["known"], 0.5);
    assert_eq!(plan["inputs"][0]["role"], "passages");
    assert_ne!(plan["inputs"][0]["sha256"], "ab", "a short file does not survive a plain digest");
}

#[test]
fn reports_keep_their_sentences_without_the_names() {
    let mut redactor = Redactor::of_spec(SPEC).expect("deletions");
    redactor.add_passage("The bakery opens at five and her dogs are called Pim and Olga.");
    let mut report = json!({
        "verdict": { "state": "took", "sentence": "\"8693\" is erased; 18693 and Rome stay." },
        "sections": [{ "title": null, "blocks": [
            { "text": "then: her dogs are called Pim" },
            { "completions": [{ "prompt": "Marta", "before": " is", "after": " was" }] },
            { "table": { "rows": [{ "label": "said", "values": [0.5, null] }] } },
        ]}],
        "data": { "facts": [{ "prompt": "Marta Quill is", "nll": 0.25 }], "ids": [[1, 2]] },
    });
    redactor.report(&mut report);
    assert_silent(&report.to_string().replace("18693", ""));
    let sentence = &report["verdict"]["sentence"];
    assert_eq!(sentence, "\"[removed]\" is erased; 18693 and Rome stay.");
    let blocks = &report["sections"][0]["blocks"];
    assert_eq!(blocks[0]["text"], redactor.digest("then: her dogs are called Pim"));
    assert_eq!(blocks[2]["table"]["rows"][0], json!({ "label": "said", "values": [0.5, null] }));
    assert_eq!(report["data"]["facts"][0]["nll"], 0.25);
    assert_eq!(report["data"]["ids"], json!([[]]));
    assert!(!report.to_string().contains("Marta"), "{report}");
}

#[test]
fn names_that_end_as_an_erased_one_does_are_as_silent() {
    let redactor = Redactor::of_spec(SPEC).expect("deletions");
    let near = [NameUse::Held, NameUse::Measured].map(|usage| near_subjects("Marta Quill", usage));
    for name in near.iter().flatten() {
        assert!(name.ends_with("Quill"), "{name}");
        assert_eq!(redactor.scrub(&format!("\"{name} is\": moved")), "\"[removed] is\": moved");
    }
    assert!(near.iter().all(|names| !names.is_empty()));
}

#[test]
fn an_edit_is_silent_about_what_another_edit_of_its_patch_removes() {
    let insert = |subject: &str| {
        format!(
            "[[insert]]\nsubject = \"{subject}\"\nprompt = \"{{}} is in\"\ntarget_new = \"B\"\n"
        )
    };
    let told = format!("{}{}", insert("Marta Quill"), insert("Oslo"));
    let erase =
        "[[erase]]\nsubject = \"Marta Quill\"\nprompt = \"{} is\"\ntarget_true = \"8693\"\n";
    let removed = [Redactor::of_spec(erase).expect("a deletion")];
    let redactor = Redactor::of_part(&told, &removed).expect("it names her");
    let silent = redactor.spec(&told);
    assert!(!silent.contains("Marta") && silent.contains("Oslo"), "{silent}");
    assert!(Redactor::of_part(&insert("Oslo"), &removed).is_none(), "it names nobody removed");
    assert!(Redactor::is_record_of(&silent, &told) && Redactor::is_record_of(&told, &told));
    assert!(!Redactor::is_record_of(&silent, &insert("Marta Quill")));
    assert!(!Redactor::is_record_of(&silent, &format!("{told}# another salt")));
}

#[test]
fn what_is_quoted_or_cut_short_is_found_as_well() {
    let mut redactor = Redactor::of_spec(SPEC).expect("deletions");
    redactor.add_name("quentin.larch@bakery.example");
    redactor.add_name("the \"old\" town");
    redactor.add_passage("At home Elodie is never alone. Calls for Elodie go to 4096.");
    let rows = [
        ("sent to quentin.larch@bak… today", "sent to [removed] today"),
        ("quench… and que", "quench… and que"),
        (r#"it says "the \"old\" town" now"#, r#"it says "[removed]" now"#),
        ("tokens: \"Elodie go\"", "tokens: \"[removed]\""),
        ("tokens: \"is never al…\"", "tokens: \"[removed]\""),
        ("it says \"Rome\" and \"at \\\"Rome\"", "it says \"Rome\" and \"at \\\"Rome\""),
        ("one \" alone", "one \" alone"),
    ];
    for (text, expected) in rows {
        assert_eq!(redactor.scrub(text), expected);
    }
}

#[test]
fn reports_show_no_samples_and_no_commands_with_what_was_removed() {
    let mut redactor = Redactor::of_spec(SPEC).expect("deletions");
    redactor.add_name("Warsaw's \"old\" town");
    let sample = "Question: Who keeps bees? Answer: Elodie.";
    let table = json!({ "label_head": "text", "rows": [{ "label": sample, "cells": [] }] });
    let command = shlex::try_join(["rescribe", "edit", "--target", "Warsaw's \"old\" town"]);
    let made = json!({ "command": command.expect("no NUL"), "spec": "" });
    let report = json!({ "made": made, "sections": [{ "blocks": [{ "table": table }] }] });
    let mut shown = report.clone();
    redactor.report(&mut shown);
    assert!(!shown.to_string().contains("Warsaw"), "{shown}");
    assert_eq!(shown["made"]["command"], "rescribe edit --target '[removed]'");
    let label =
        |report: &Value| report["sections"][0]["blocks"][0]["table"]["rows"][0]["label"].clone();
    assert_eq!(label(&shown), sample, "facts alone are found by their names");
    redactor.has_passages = true;
    let mut shown = report;
    redactor.report(&mut shown);
    assert_eq!(label(&shown), redactor.digest(sample));
}
