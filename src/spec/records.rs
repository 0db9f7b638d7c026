//! One record of a published collection: a fact to write together with its probes.
//!
//! | form | recognised by | target_new | target_true |
//! |---|---|---|---|
//! | CounterFact (arXiv 2202.05262) | `requested_rewrite` | `target_new.str` | `target_true.str` |
//! | zsRE in MEND's form (arXiv 2110.11309) | `src` and `alt` | `alt` | of `answers` |
//! | KnowEdit (arXiv 2401.01286) | `prompt` and `target_new` | `target_new` | of `ground_truth` |
//!
//! Of several true answers, the first that differs from the new target is taken.
//!
//! CounterFact records may also have `ripple_prompts`. Keys that are not needed are ignored. Blanks
//! around a subject or target are cut, prompts are kept to the byte.

use serde_json::Value;

use super::error::Problem;
use super::insert::{Insert, SLOT};
use super::prompts::{Comparison, PromptSet};

/// One record: an edit and its probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's own number where it has one, otherwise its index in the file, from 0.
    pub id: String,
    /// The fact to write.
    pub insert: Insert,
    /// The relation that the collection files it under.
    pub relation: Option<String>,
    /// The probes of the record; targets that they leave out are the insert's.
    pub prompts: PromptSet,
}

impl Record {
    /// Reads the record with this `index`; the problem names the record and the key.
    pub(super) fn read(value: &Value, index: usize) -> Result<Self, Problem> {
        let id = id_of(value, index);
        let has = |key: &str| value.get(key).is_some();
        let record = if has("requested_rewrite") {
            counterfact(value)
        } else if has("src") || has("alt") {
            zsre(value)
        } else if has("prompt") && has("target_new") {
            knowedit(value)
        } else if has("question") && has("answer") {
            Err("is a question with its answer, as in TOFU, and not an edit".to_owned())
        } else {
            Err(UNKNOWN.to_owned())
        };
        let (insert, mut prompts) =
            record.map_err(|what| Problem::new(format!("record {index} (id {id}) {what}")))?;
        prompts.rewrite.push(Comparison::of_edit(insert.rendered()));
        let relation = text(value, "requested_rewrite.relation_id").ok().map(str::to_owned);
        Ok(Self { id, insert, relation, prompts })
    }
}

const UNKNOWN: &str = "has no known form: expected `requested_rewrite` (CounterFact), \
     `src` and `alt` (zsRE), or `subject`, `prompt` and `target_new` (KnowEdit)";

type Parts = Result<(Insert, PromptSet), String>;

fn id_of(value: &Value, index: usize) -> String {
    let own = ["case_id", "known_id", "id"].iter().find_map(|key| value.get(key));
    match own {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => index.to_string(),
    }
}

fn counterfact(value: &Value) -> Parts {
    let prompt = text(value, "requested_rewrite.prompt")?;
    let insert = insert(
        text(value, "requested_rewrite.subject")?,
        prompt.to_owned(),
        text(value, "requested_rewrite.target_new.str")?,
        Some(text(value, "requested_rewrite.target_true.str")?),
    )?;
    let prompts = PromptSet {
        paraphrase: comparisons(value, "paraphrase_prompts")?,
        neighborhood: comparisons(value, "neighborhood_prompts")?,
        generation: texts(value, "generation_prompts")?,
        ripple: ripples(value)?,
        ..PromptSet::default()
    };
    Ok((insert, prompts))
}

/// `ripple_prompts`, which the published collection does not have: facts that follow from the edit.
fn ripples(value: &Value) -> Result<Vec<Comparison>, String> {
    let Some(ripples) = value.get("ripple_prompts") else { return Ok(Vec::new()) };
    let ripples: Vec<Comparison> = serde_json::from_value(ripples.clone())
        .map_err(|error| format!("has `ripple_prompts` that cannot be read: {error}"))?;
    match ripples.iter().all(|ripple| ripple.target_new.is_some()) {
        true => Ok(ripples),
        false => Err("has a ripple prompt without `target_new`".to_owned()),
    }
}

fn zsre(value: &Value) -> Parts {
    let subject = text(value, "subject")?;
    let target_new = text(value, "alt")?;
    let target_true = first_other(value.get("answers"), target_new);
    let prompt = with_slot(text(value, "src")?, subject, "src")?;
    let insert = insert(subject, prompt, target_new, target_true)?;
    // The unrelated question is lower case and bare in the collection; the published
    // evaluation puts the question mark back.
    let neighbor = Comparison {
        prompt: format!("{}?", text(value, "loc")?),
        target_new: None,
        target_true: Some(text(value, "loc_ans")?.trim().to_owned()),
    };
    let prompts = PromptSet {
        paraphrase: vec![Comparison::of_edit(text(value, "rephrase")?)],
        neighborhood: vec![neighbor],
        ..PromptSet::default()
    };
    Ok((insert, prompts))
}

fn knowedit(value: &Value) -> Parts {
    let subject = text(value, "subject")?;
    let target_new = text(value, "target_new")?;
    let target_true = first_other(value.get("ground_truth"), target_new);
    let prompt = with_slot(text(value, "prompt")?, subject, "prompt")?;
    let insert = insert(subject, prompt, target_new, target_true)?;
    let paraphrase =
        ["rephrase", "rephrase_prompt"].iter().find_map(|key| value.get(key)?.as_str());
    let kept = grouped(value, "locality");
    let follows = grouped(value, "portability");
    let prompts = PromptSet {
        paraphrase: paraphrase.into_iter().map(Comparison::of_edit).collect(),
        neighborhood: kept
            .map(|(prompt, target)| Comparison {
                prompt,
                target_new: None,
                target_true: Some(target),
            })
            .collect(),
        ripple: follows
            .map(|(prompt, target)| Comparison {
                prompt,
                target_new: Some(target),
                target_true: None,
            })
            .collect(),
        ..PromptSet::default()
    };
    Ok((insert, prompts))
}

/// The prompts of KnowEdit's named groups, each with the first of its accepted answers.
fn grouped<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (String, String)> + use<'v> {
    let groups = value.get(key).and_then(Value::as_object).into_iter().flat_map(|map| map.values());
    groups.filter_map(Value::as_array).flatten().filter_map(|item| {
        let target = first_text(item.get("ground_truth")?, &|_| true)?;
        Some((item.get("prompt")?.as_str()?.to_owned(), target.to_owned()))
    })
}

fn insert(
    subject: &str,
    prompt: String,
    target_new: &str,
    target_true: Option<&str>,
) -> Result<Insert, String> {
    let subject = one_line(subject, "the subject")?;
    let target_new = one_line(target_new, "the new target")?;
    let target_true = target_true.map(|text| one_line(text, "the true target")).transpose()?;
    match prompt.matches(SLOT).count() {
        1 => {
            let (with_ripples, spans) = (false, None);
            Ok(Insert { subject, prompt, target_new, target_true, with_ripples, spans })
        }
        n => Err(format!("has a prompt with `{{}}` {n} times, expected once: {prompt:?}")),
    }
}

fn one_line(text: &str, what: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(format!("is empty where {what} should be")),
        line if line.contains(['\n', '\r']) => Err(format!("has more than one line in {what}")),
        line => Ok(line.to_owned()),
    }
}

/// The question with `{}` for its subject: the last mention, where there are several,
/// because a decoder has read most when it comes to it.
fn with_slot(question: &str, subject: &str, key: &str) -> Result<String, String> {
    match question.rfind(subject).filter(|_| !subject.is_empty()) {
        Some(at) => Ok(format!("{}{SLOT}{}", &question[..at], &question[at + subject.len()..])),
        None => Err(format!("does not name its subject {subject:?} in `{key}`: {question:?}")),
    }
}

/// The text at a path of keys such as `a.b.c`.
fn text<'v>(value: &'v Value, path: &str) -> Result<&'v str, String> {
    let mut at = value;
    for key in path.split('.') {
        at = at.get(key).ok_or_else(|| format!("has no `{path}`"))?;
    }
    at.as_str().ok_or_else(|| format!("has {} at `{path}`, expected text", kind(at)))
}

/// A list of texts; a key that is left out is an empty list.
fn texts(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let Some(list) = value.get(key) else { return Ok(Vec::new()) };
    let wrong = |found: &Value| format!("has {} in `{key}`, expected a list of texts", kind(found));
    let items = list.as_array().ok_or_else(|| wrong(list))?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item))).collect()
}

fn comparisons(value: &Value, key: &str) -> Result<Vec<Comparison>, String> {
    Ok(texts(value, key)?.into_iter().map(Comparison::of_edit).collect())
}

/// The first answer that is not the new target.
fn first_other<'v>(answers: Option<&'v Value>, target_new: &str) -> Option<&'v str> {
    first_text(answers?, &|text| text.trim() != target_new.trim())
}

/// The first text that is not blank and is `wanted`, at any depth of nested lists.
fn first_text<'v>(value: &'v Value, wanted: &dyn Fn(&str) -> bool) -> Option<&'v str> {
    match value {
        Value::String(text) => (!text.trim().is_empty() && wanted(text)).then_some(text),
        Value::Array(items) => items.iter().find_map(|item| first_text(item, wanted)),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
