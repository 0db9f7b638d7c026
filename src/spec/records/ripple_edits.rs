//! Records of RippleEdits: a whole sentence as the edit, and groups of queries.
//!
//! The sentence names subject and target in full ("The place of birth of Ada is Oslo."), and the
//! record has neither of its own. The target is what follows the last verb; the subject is what the
//! sentence has in common with the record's queries about the same entity.

use serde_json::Value;

use super::values::{first_text, insert, neighbor, ripple, text, with_slot};
use super::{Parts, PromptSet};

/// Groups whose answers follow from the edit.
const FOLLOW: [&str; 4] =
    ["Logical_Generalization", "Subject_Aliasing", "Compositionality_I", "Compositionality_II"];
/// Groups whose answers stay.
const STAY: [&str; 2] = ["Relation_Specificity", "Forgetfulness"];
/// Ends of the sentences before their target.
const VERBS: [&str; 4] = [" is followed by ", " follows ", " is ", " are "];

pub(super) fn read(value: &Value) -> Result<Parts, String> {
    let sentence = text(value, "edit.prompt")?.trim();
    let original = text(value, "edit.original_fact.prompt").ok();
    let (stem, target_new) = cut(sentence, original)?;
    let target_true = original.and_then(|text| text.strip_prefix(stem)).map(bare);
    let subject = match text(value, "edit.subject") {
        Ok(subject) => subject,
        Err(_) => subject(value, stem)?,
    };
    let prompt = with_slot(stem.trim_end(), subject, "edit.prompt")?;
    let insert = insert(subject, prompt, target_new, target_true)?;
    let follows = |(prompt, answer): (&str, &str)| ripple(prompt, answer, None);
    let stays = |(prompt, answer): (&str, &str)| neighbor(prompt, answer);
    let prompts = PromptSet {
        ripple: queries(value, &FOLLOW).filter_map(asked).map(follows).collect(),
        neighborhood: queries(value, &STAY).filter_map(asked).map(stays).collect(),
        ..PromptSet::default()
    };
    Ok((vec![insert], prompts))
}

/// The sentence up to its target, and the target.
fn cut<'t>(sentence: &'t str, original: Option<&str>) -> Result<(&'t str, &'t str), String> {
    let same = original.map_or(sentence.len(), |original| {
        let pairs = sentence.char_indices().zip(original.chars());
        let differs = pairs.into_iter().find(|((_, a), b)| a != b);
        differs.map_or(sentence.len(), |((at, _), _)| at)
    });
    let shared = &sentence[..same];
    let end = VERBS.iter().filter_map(|verb| Some(shared.rfind(verb)? + verb.len())).max();
    let end = end.ok_or_else(|| format!("has no verb before the target in {sentence:?}"))?;
    Ok((&sentence[..end], bare(&sentence[end..])))
}

fn bare(target: &str) -> &str {
    target.trim().trim_end_matches('.')
}

fn queries<'v>(value: &'v Value, groups: &'v [&str]) -> impl Iterator<Item = &'v Value> {
    let list = |value: &'v Value| value.as_array().into_iter().flatten();
    let tests = groups.iter().filter_map(|group| value.get(group)).flat_map(list);
    tests.filter_map(|test| test.get("test_queries")).flat_map(list)
}

/// A query with the first of its answers.
fn asked(query: &Value) -> Option<(&str, &str)> {
    let answers = query.get("answers")?.as_array()?;
    let value = |answer: &'_ Value| answer.get("value").is_some();
    let answer = answers.iter().find(|answer| value(answer))?.get("value")?;
    Some((query.get("prompt")?.as_str()?, first_text(answer, &|_| true)?))
}

/// Words of the sentences that are no part of a subject at its edges.
const FRAME: [&str; 15] = [
    "The", "the", "name", "names", "of", "which", "is", "are", "in", "on", "place", "country",
    "follows", "followed", "by",
];

/// The words that the sentence shares with every query about the same entity.
fn subject<'t>(value: &Value, stem: &'t str) -> Result<&'t str, String> {
    let entity = value.pointer("/edit/subject_id");
    let is_same = |query: &&Value| entity.is_some() && query.get("subject_id") == entity;
    let about = queries(value, &STAY).chain(queries(value, &FOLLOW[..1])).filter(is_same);
    let mut found = stem;
    for prompt in about.filter_map(|query| query.get("prompt")?.as_str()) {
        // A query under another name of the subject has only words of the frame in common.
        let shared = shared(found, prompt);
        if !framed(shared).is_empty() {
            found = shared;
        }
    }
    let start = [" of ", " which "].iter().filter_map(|word| Some(found.rfind(word)? + word.len()));
    let found = match found == stem {
        true => framed(&stem[start.max().unwrap_or(0)..]),
        false => framed(found),
    };
    match found {
        "" => Err(format!("does not show its subject in {stem:?}")),
        found => Ok(found),
    }
}

/// The text without the words of the frame at its edges.
fn framed(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(word) = text.split(' ').next().filter(|word| FRAME[1..].contains(word)) {
        text = text[word.len()..].trim_start();
    }
    while let Some(word) = text.rsplit(' ').next().filter(|word| FRAME.contains(word)) {
        text = text[..text.len() - word.len()].trim_end();
    }
    text
}

/// The run of whole words that both texts have which has most letters outside the frame.
fn shared<'t>(text: &'t str, other: &str) -> &'t str {
    let starts = || std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at + 1));
    let ends = || text.match_indices(' ').map(|(at, _)| at).chain([text.len()]);
    let other = format!(" {other} ");
    let runs = starts().flat_map(|start| ends().map(move |end| (start, end)));
    let runs = runs.filter(|(start, end)| start < end);
    let runs = runs.map(|(start, end)| &text[start..end]);
    let is_shared = |run: &&str| other.contains(&format!(" {run} "));
    runs.filter(is_shared).max_by_key(|run| framed(run).len()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_what_follows_the_last_verb() {
        let rows = [
            ("The capital of Vell is New Ark.", Some("The capital of Vell is New Oss."), "New Ark"),
            ("The book follows Sun.", None, "Sun"),
            ("The religion which Ada is part of is Zen.", None, "Zen"),
        ];
        for (sentence, original, expected) in rows {
            assert_eq!(cut(sentence, original).map(|it| it.1), Ok(expected), "{sentence}");
        }
        assert!(cut("No verb here.", None).is_err());
    }

    #[test]
    fn the_subject_is_what_the_queries_share() {
        let rows = [
            ("The place of birth of Ada Quill is", "The name of the child of Ada Quill is"),
            ("The religion which Ada Quill is part of is", "The gender of Ada Quill is"),
        ];
        for (text, other) in rows {
            assert_eq!(framed(shared(text, other)), "Ada Quill", "{text}");
        }
    }
}
