//! What the forms of records have in common: values by their keys, and facts made of them.

use serde_json::Value;

use super::super::hidden::alike;
use super::{Comparison, Insert, SLOT};

/// A fact without its place in a file.
pub(super) fn insert(
    subject: &str,
    prompt: String,
    target_new: &str,
    target_true: Option<&str>,
) -> Result<Insert, String> {
    let subject = one_line(subject, "the subject")?;
    let target_new = one_line(target_new, "the new target")?;
    let target_true = target_true.filter(|text| !text.trim().is_empty());
    let target_true = target_true.map(|text| one_line(text, "the true target")).transpose()?;
    match prompt.matches(SLOT).count() {
        1 => {
            let (with_ripples, spans) = (false, None);
            Ok(Insert { subject, prompt, target_new, target_true, with_ripples, spans })
        }
        n => Err(format!("has a prompt with `{{}}` {n} times, expected once: {prompt:?}")),
    }
}

/// The new target; where only a true one is given, as in a list of what is to be erased, that.
pub(super) fn new_or_true<'v>(
    target_new: Result<&'v str, String>,
    target_true: Option<&'v str>,
) -> Result<&'v str, String> {
    target_new.or_else(|error| target_true.ok_or(error))
}

fn one_line(text: &str, what: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(format!("is empty where {what} should be")),
        line if line.contains(['\n', '\r']) => Err(format!("has more than one line in {what}")),
        line => Ok(line.to_owned()),
    }
}

/// The prompt with `{}` for its subject, where it has none: for the last mention, where there are
/// several, because a decoder has read most when it comes to it.
pub(super) fn with_slot(prompt: &str, subject: &str, key: &str) -> Result<String, String> {
    let subject = subject.trim();
    if prompt.contains(SLOT) {
        return Ok(prompt.to_owned());
    }
    match prompt.rfind(subject).filter(|_| !subject.is_empty()) {
        Some(at) => Ok(format!("{}{SLOT}{}", &prompt[..at], &prompt[at + subject.len()..])),
        None => {
            let otherwise = alike(prompt, subject);
            let otherwise = otherwise.map(|it| format!(", which has {it:?} instead"));
            let otherwise = otherwise.unwrap_or_default();
            Err(format!("does not name its subject {subject:?} in `{key}`{otherwise}: {prompt:?}"))
        }
    }
}

/// The text at a path of keys such as `a.b.c`.
pub(super) fn text<'v>(value: &'v Value, path: &str) -> Result<&'v str, String> {
    let mut at = value;
    for key in path.split('.') {
        at = at.get(key).ok_or_else(|| format!("has no `{path}`"))?;
    }
    at.as_str().ok_or_else(|| format!("has {} at `{path}`, expected text", kind(at)))
}

/// A list of texts; a key that is left out is an empty list.
pub(super) fn texts(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let Some(list) = value.get(key) else { return Ok(Vec::new()) };
    let wrong = |found: &Value| format!("has {} in `{key}`, expected a list of texts", kind(found));
    let items = list.as_array().ok_or_else(|| wrong(list))?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item))).collect()
}

/// One text, or a list of texts.
pub(super) fn text_or_texts(
    value: &Value,
    key: &str,
) -> Result<impl Iterator<Item = String>, String> {
    let all = match value.get(key) {
        Some(Value::Array(_)) => texts(value, key)?,
        _ => vec![text(value, key)?.to_owned()],
    };
    Ok(all.into_iter())
}

/// A target as CounterFact has it, in an object under `str`, or plain, as others write it.
pub(super) fn target<'v>(value: &'v Value, path: &str) -> Result<&'v str, String> {
    text(value, &format!("{path}.str")).or_else(|error| text(value, path).map_err(|_| error))
}

pub(super) fn comparisons(value: &Value, key: &str) -> Result<Vec<Comparison>, String> {
    Ok(texts(value, key)?.into_iter().map(Comparison::of_edit).collect())
}

/// A fact that should stay.
pub(super) fn neighbor(prompt: &str, target: &str) -> Comparison {
    let target_true = Some(target.trim().to_owned());
    Comparison { prompt: prompt.to_owned(), target_new: None, target_true }
}

/// A fact that should follow from the edit, and what it was before, where that is known.
pub(super) fn ripple(prompt: &str, target: &str, before: Option<&str>) -> Comparison {
    let target_new = Some(target.trim().to_owned());
    let before = before.map(str::trim).filter(|before| *before != target.trim());
    Comparison { prompt: prompt.to_owned(), target_new, target_true: before.map(str::to_owned) }
}

/// The first answer that is not the new target.
pub(super) fn first_other<'v>(answers: Option<&'v Value>, target_new: &str) -> Option<&'v str> {
    first_text(answers?, &|text| text.trim() != target_new.trim())
}

/// The first text that is not blank and is `wanted`, at any depth of nested lists.
pub(super) fn first_text<'v>(value: &'v Value, wanted: &dyn Fn(&str) -> bool) -> Option<&'v str> {
    match value {
        Value::String(text) => (!text.trim().is_empty() && wanted(text)).then_some(text),
        Value::Array(items) => items.iter().find_map(|item| first_text(item, wanted)),
        _ => None,
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
