//! What a stranger's `tokenizer.json` must not ask for: random numbers, endless loops, and texts
//! that grow out of all proportion.

use serde_json::Value;

/// A normaliser that makes a text longer than this many times is a trap; those of published models
/// write three bytes for a blank.
const LARGEST_GROWTH: f64 = 256.;
/// Published models put a few tokens around a text.
const MOST_ADDED: usize = 1024;

/// Checks the rules of a tokenizer, and takes out those that are for training: true where there
/// were some.
pub(super) fn tame(tokenizer: &mut Value) -> Result<bool, String> {
    // Merges left out at random make every run another one.
    let dropout = tokenizer.pointer_mut("/model/dropout").map(Value::take);
    for part in ["normalizer", "pre_tokenizer", "decoder", "post_processor"] {
        let growth = growth(&tokenizer[part])?;
        if growth > LARGEST_GROWTH {
            return Err(format!(
                "its {part} makes a text up to {growth:.0} times as long, expected at most \
                 {LARGEST_GROWTH}"
            ));
        }
    }
    let added = added(&tokenizer["post_processor"]);
    if added > MOST_ADDED {
        return Err(format!(
            "its post_processor puts {added} tokens around a text, expected at most {MOST_ADDED}"
        ));
    }
    Ok(dropout.is_some_and(|dropout| !dropout.is_null()))
}

/// Tokens that templates put around a text.
fn added(rule: &Value) -> usize {
    match rule {
        Value::Array(rules) => rules.iter().map(added).fold(0, usize::saturating_add),
        Value::Object(entries) if rule["type"] == "TemplateProcessing" => {
            let ids = |piece: &Value| {
                let token = &rule["special_tokens"][piece["SpecialToken"]["id"].as_str()?];
                Some(token["ids"].as_array()?.len())
            };
            let pieces = ["single", "pair"].iter().filter_map(|key| entries.get(*key)?.as_array());
            pieces.flatten().map(|piece| ids(piece).unwrap_or(1)).fold(0, usize::saturating_add)
        }
        Value::Object(entries) => entries.values().map(added).fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// How many times as long a text can become, as far as replacements say; an error where they never
/// end.
fn growth(rule: &Value) -> Result<f64, String> {
    match rule {
        Value::Array(rules) => rules.iter().try_fold(1., |all, rule| Ok(all * growth(rule)?)),
        Value::Object(entries) => {
            check_ends(rule)?;
            let own = match rule["type"].as_str() {
                Some("Replace") => replacement(rule),
                Some("Prepend") => 1. + rule["prepend"].as_str().map_or(0, str::len) as f64,
                _ => 1.,
            };
            entries.values().try_fold(own, |all, rule| Ok(all * growth(rule)?))
        }
        _ => Ok(1.),
    }
}

/// How many times as long one replacement makes a text; a pattern may match a single byte, and an
/// expression even nothing.
fn replacement(rule: &Value) -> f64 {
    let content = rule["content"].as_str().map_or(0, str::len) as f64;
    match rule["pattern"]["String"].as_str() {
        Some(pattern) => f64::max(1., content / pattern.len() as f64),
        None => 1. + content,
    }
}

fn check_ends(rule: &Value) -> Result<(), String> {
    let is_empty = |pattern: &Value| pattern == "";
    if is_empty(&rule["pattern"]["String"]) || is_empty(&rule["pattern"]["Regex"]) {
        return Err("it has a rule with an empty pattern, which matches everywhere".into());
    }
    if rule["type"] == "FixedLength" && rule["length"] == 0 {
        return Err("it cuts texts into pieces of length 0".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replace(from: &str, to: &str) -> Value {
        json!({ "type": "Replace", "pattern": { "String": from }, "content": to })
    }

    #[test]
    fn what_is_put_around_a_text_has_an_end() {
        let template = |pieces: usize, ids: usize| {
            let piece = json!({ "SpecialToken": { "id": "<s>", "type_id": 0 } });
            json!({ "post_processor": { "type": "Sequence", "processors": [{
                "type": "TemplateProcessing", "single": vec![piece; pieces], "pair": [],
                "special_tokens": { "<s>": { "id": "<s>", "ids": vec![1; ids], "tokens": ["<s>"] } },
            }]}})
        };
        assert_eq!(tame(&mut template(3, 2)), Ok(false));
        let error = tame(&mut template(100, 100)).expect_err("too many");
        assert!(error.contains("puts 10000 tokens around a text"), "{error}");
        let prepend = |text: &str| json!({ "normalizer": { "type": "Prepend", "prepend": text } });
        assert_eq!(tame(&mut prepend("▁")), Ok(false));
        assert!(tame(&mut prepend(&"a".repeat(1000))).is_err());
    }

    #[test]
    fn rules_that_explode_or_never_end_are_refused() {
        let doubled: Vec<Value> = vec![replace("a", "aa"); 30];
        let rows = [
            (json!({ "normalizer": replace(" ", "▁") }), None),
            (json!({ "normalizer": null, "decoder": replace("▁", " ") }), None),
            (json!({ "decoder": replace("a", &"b".repeat(1 << 20)) }), Some("1048576 times")),
            (
                json!({ "normalizer": { "type": "Sequence", "normalizers": doubled } }),
                Some("its normalizer makes a text up to 1073741824 times"),
            ),
            (json!({ "normalizer": replace("", "x") }), Some("an empty pattern")),
            (
                json!({ "pre_tokenizer": { "type": "FixedLength", "length": 0 } }),
                Some("pieces of length 0"),
            ),
        ];
        for (mut tokenizer, expected) in rows {
            let message = tame(&mut tokenizer).err();
            let fits = match (&message, expected) {
                (Some(message), Some(expected)) => message.contains(expected),
                (message, expected) => message.is_none() && expected.is_none(),
            };
            assert!(fits, "{tokenizer}: {message:?}, expected {expected:?}");
        }
    }

    #[test]
    fn no_merge_is_left_out_at_random() {
        let mut tokenizer = json!({ "model": { "type": "BPE", "dropout": 0.5 } });
        assert_eq!(tame(&mut tokenizer), Ok(true));
        assert_eq!(tokenizer, json!({ "model": { "type": "BPE", "dropout": null } }));
        assert_eq!(tame(&mut tokenizer), Ok(false));
    }
}
