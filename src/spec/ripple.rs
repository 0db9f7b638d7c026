//! Ripples: facts that follow from an edit, written with it.
//!
//! A `[[ripple]]` prompt is a fact that should be true once the edit is ("The Eiffel Tower stands
//! in the country of": Italy). Where an insert has `with_ripples`, each ripple prompt that names
//! its subject becomes a further insert of the same batch.

use super::Insert;
use super::insert::SLOT;
use super::prompts::Comparison;

/// Inserts with those that follow from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rippled {
    /// The inserts of the spec, each followed by its ripples.
    pub inserts: Vec<Insert>,
    /// Subjects that ask for ripples and have none among the prompts.
    pub without: Vec<String>,
}

/// Adds the facts of `ripples` to the inserts that ask for them.
pub fn with_ripples(inserts: &[Insert], ripples: &[Comparison]) -> Rippled {
    let mut rippled = Rippled { inserts: Vec::new(), without: Vec::new() };
    for insert in inserts {
        rippled.inserts.push(insert.clone());
        if !insert.with_ripples {
            continue;
        }
        let found: Vec<Insert> =
            ripples.iter().filter_map(|ripple| follow(insert, ripple)).collect();
        if found.is_empty() {
            rippled.without.push(insert.subject.clone());
        }
        rippled.inserts.extend(found);
    }
    rippled
}

/// The ripple as an insert; nothing where it is about another subject, or is the edit itself.
fn follow(insert: &Insert, ripple: &Comparison) -> Option<Insert> {
    let target_new = ripple.target_new.clone()?;
    let at = place(&ripple.prompt, &insert.subject)?;
    let (before, rest) = ripple.prompt.split_at(at);
    let (subject, after) = rest.split_at(insert.subject.len());
    if ripple.prompt == insert.rendered() {
        return None;
    }
    Some(Insert {
        subject: subject.to_owned(),
        prompt: format!("{before}{SLOT}{after}"),
        target_new,
        target_true: ripple.target_true.clone(),
        with_ripples: false,
        spans: None,
    })
}

/// The place of the subject, as it is or with the case of its first letter changed ("the Eiffel
/// Tower" inside a sentence); the last one, because by then the model has read the most.
fn place(prompt: &str, subject: &str) -> Option<usize> {
    let first = subject.chars().next()?;
    let is_here = |at: &usize| {
        let Some(found) = prompt.get(*at..*at + subject.len()) else { return false };
        let start = found.chars().next().expect("as long as the subject");
        let is_alike = start == first || start.to_lowercase().eq(first.to_lowercase());
        is_alike && found[start.len_utf8()..] == subject[first.len_utf8()..]
    };
    (0..prompt.len()).rev().find(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(with_ripples: bool) -> Insert {
        Insert {
            subject: "The Eiffel Tower".into(),
            prompt: "{} is in".into(),
            target_new: "Rome".into(),
            target_true: Some("Paris".into()),
            with_ripples,
            spans: None,
        }
    }

    fn ripple(prompt: &str) -> Comparison {
        let (new, old) = (Some("Italy".to_owned()), Some("France".to_owned()));
        Comparison { prompt: prompt.into(), target_new: new, target_true: old }
    }

    #[test]
    fn prompts_that_name_the_subject_become_inserts() {
        let ripples = [
            ripple("The Eiffel Tower stands in the land of"),
            ripple("Who sees the Eiffel Tower is in"),
            ripple("The Louvre is in"),
            ripple("The Eiffel Tower is in"),
        ];
        let found = with_ripples(&[insert(true)], &ripples);
        let prompts: Vec<_> =
            found.inserts.iter().map(|i| (i.subject.as_str(), i.prompt.as_str())).collect();
        let expected = [
            ("The Eiffel Tower", "{} is in"),
            ("The Eiffel Tower", "{} stands in the land of"),
            ("the Eiffel Tower", "Who sees {} is in"),
        ];
        assert_eq!(prompts, expected);
        for (insert, expected) in found.inserts.iter().zip(["Rome", "Italy", "Italy"]) {
            assert_eq!(insert.target_new, expected);
            assert_eq!(insert.prompt.matches(SLOT).count(), 1);
        }
        assert!(found.without.is_empty());
    }

    #[test]
    fn only_who_asks_gets_ripples_and_is_named_without() {
        let ripples = [ripple("The Eiffel Tower stands in the land of")];
        assert_eq!(with_ripples(&[insert(false)], &ripples).inserts, [insert(false)]);
        let other = Insert { subject: "Big Ben".into(), ..insert(true) };
        assert_eq!(with_ripples(&[other], &ripples).without, ["Big Ben"]);
    }

    #[test]
    fn a_subject_beside_letters_of_several_bytes_is_found() {
        assert_eq!(place("Où est la tour ?", "La tour"), Some("Où est ".len()));
        assert_eq!(place("é", "la"), None);
    }
}
