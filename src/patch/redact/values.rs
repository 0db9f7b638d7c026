//! Plans and reports of deletions: numbers and words of a closed set stay, texts and tokens go.

use serde_json::{Map, Value};

use super::Redactor;

/// Keys whose texts are words of a closed set, or name a model or a measure.
const WORDS: [&str; 32] = [
    "channel",
    "class",
    "command",
    "compared",
    "dtype",
    "form",
    "grouping",
    "head",
    "host",
    "inference",
    "kind",
    "layers",
    "loss",
    "measure",
    "method",
    "metric",
    "model",
    "origin",
    "rate",
    "references",
    "retain_loss",
    "role",
    "side",
    "site",
    "state",
    "stopped",
    "cut",
    "trained",
    "train",
    "unit",
    "verb",
    "version",
];
/// Keys whose texts are words or a text of the user.
const TOWARD: &str = "toward";
/// Keys whose arrays of plain values are no tokens.
const NUMBERS: [&str; 8] = [
    "layers",
    "groups",
    "relative_norms",
    "layer_norms",
    "interval",
    "references",
    "shape",
    "steps",
];
/// Key of a verdict, whose texts are sentences.
const VERDICT: &str = "verdict";
/// Keys of a verdict and of what an audit states, whose texts are sentences, labels and digests.
const STATED: [&str; 8] =
    [VERDICT, "verdicts", "done", "equivalence", "integrity", "limits", "measures", "not_run"];
/// Keys of a report whose texts are sentences, labels and the like.
const PROSE: [&str; 4] = [VERDICT, "sections", "notes", "next"];
/// Keys of a report under which models are quoted.
const QUOTED: &str = "completions";
/// Keys of a report whose entries are each about one fact: those that are not about a removed one
/// are kept.
const FACTS: [&str; 2] = ["requests", "prompts"];
/// Key of a table that says what its rows are.
const ITEMS: &str = "label_head";
/// Head of a table whose rows are texts of a model or of a file: where passages are forgotten, digests
/// stand in their place.
pub const TEXTS: &str = "text";
/// Key of a report that says how it was made.
const MADE: &str = "made";

/// Redacts the plan or the metrics of a recipe.
pub(super) fn redact_plan(plan: &mut Value, redactor: &Redactor) {
    closed("", plan, redactor);
}

/// Redacts a report: its data as a plan, its sentences word by word.
pub(super) fn redact_report(report: &mut Value, redactor: &Redactor) {
    let Value::Object(entries) = report else { return };
    for (key, value) in entries.iter_mut() {
        match key.as_str() {
            MADE => made(value, redactor),
            key if FACTS.contains(&key) => facts(value, redactor),
            key if PROSE.contains(&key) => prose(value, redactor),
            key => closed(key, value, redactor),
        }
    }
}

/// Redacts the spec as that of a patch, and the command word by word, without the quotes of a shell.
fn made(value: &mut Value, redactor: &Redactor) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let spec = text("spec").map(|spec| redactor.spec(spec));
    let words = text("command").and_then(shlex::split);
    let command = words.and_then(|words| {
        let words: Vec<String> = words.iter().map(|word| redactor.scrub(word)).collect();
        shlex::try_join(words.iter().map(String::as_str)).ok()
    });
    prose(value, redactor);
    for (key, text) in [("spec", spec), ("command", command)] {
        if let (Some(text), Some(place)) = (text, value.get_mut(key)) {
            *place = Value::String(text);
        }
    }
}

/// Redacts the entries that are about something removed or name it.
fn facts(value: &mut Value, redactor: &Redactor) {
    for fact in value.as_array_mut().into_iter().flatten() {
        let is_removed = fact.get("is_erased").and_then(Value::as_bool).unwrap_or(true);
        if is_removed || names(fact, redactor) {
            closed("", fact, redactor);
        }
    }
}

/// Whether any text in a value names something that was removed.
fn names(value: &Value, redactor: &Redactor) -> bool {
    match value {
        Value::String(text) => redactor.is_named_in(text),
        Value::Array(items) => items.iter().any(|item| names(item, redactor)),
        Value::Object(entries) => entries.values().any(|value| names(value, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Keeps what stands under a key that is known to name nothing, and numbers.
fn closed(key: &str, value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) if WORDS.contains(&key) => *text = redactor.scrub(text),
        Value::String(text) if key == TOWARD && ["unknown", "minimise"].contains(&&**text) => {}
        Value::String(text) => *text = redactor.digest(text),
        Value::Array(items) => {
            let is_plain = |item: &Value| !item.is_object() && !item.is_array();
            let is_real = |item: &Value| item.is_f64() || item.is_null() || item.is_boolean();
            let is_kept = |item: &Value| !is_plain(item) || is_real(item);
            if !NUMBERS.contains(&key) && !items.iter().all(is_kept) {
                items.clear();
            }
            items.iter_mut().for_each(|item| closed(key, item, redactor));
        }
        Value::Object(entries) => closed_entries(entries, redactor),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn closed_entries(entries: &mut Map<String, Value>, redactor: &Redactor) {
    for (key, value) in entries.iter_mut() {
        if STATED.contains(&key.as_str()) {
            prose(value, redactor)
        } else {
            closed(key, value, redactor)
        }
    }
}

/// Digests the labels of a table whose rows are texts: what a base writes unprompted may tell of the people
/// in a forgotten passage in other words.
fn labels(table: &mut Map<String, Value>, redactor: &Redactor) {
    for row in table.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::String(label)) = row.get_mut("label") {
            *label = redactor.digest(label);
        }
    }
}

/// Takes removed names out of sentences and labels, and all that models are quoted with.
fn prose(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.scrub(text),
        Value::Array(items) => items.iter_mut().for_each(|item| prose(item, redactor)),
        Value::Object(entries) => {
            if redactor.has_passages && entries.get(ITEMS).is_some_and(|head| head == TEXTS) {
                labels(entries, redactor);
            }
            for (key, value) in entries.iter_mut() {
                match key.as_str() {
                    QUOTED => closed(key, value, redactor),
                    key if FACTS.contains(&key) => facts(value, redactor),
                    _ => prose(value, redactor),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
