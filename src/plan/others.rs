//! Other subjects of the kind, where the user names none: the model writes a list of them.
//!
//! After "1. {subject}", which begins a list, a language model continues with things of the same
//! kind. Samples of such lists are cut into names; those that most samples agree on come first.
//! A model that has read no lists writes none: well-known names of the subject's shape stand in.

use std::collections::HashMap;

use super::background_subjects::overlap;
use super::names::{NameUse, background_subjects};
use crate::model::{Choice, Model, ModelError, generate};
use crate::progress::Progress;

/// Most names that are used.
pub(super) const MOST: usize = 12;
/// Lists that are sampled, and tokens of each.
const LISTS: (usize, usize) = (16, 48);
/// Names are drawn among this many tokens.
const CHOICE: usize = 20;
/// Words of the longest name, beyond those of the subject.
const FURTHER_WORDS: usize = 2;

/// Names of the subject's kind, sampled from the model itself.
pub(super) fn sampled(
    model: &Model,
    subject: &str,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<String>, ModelError> {
    let prompt = format!("1. {subject}\n2.");
    let ids = model.tokenizer.encode(&prompt)?.ids;
    let room = model.decoder.config().context.saturating_sub(ids.len());
    let choice = Choice::Sampled { seed, temperature: 1., k: CHOICE };
    let (lists, tokens) = LISTS;
    let starts = vec![ids; lists];
    let tokens = tokens.min(room);
    progress.phase("others", None);
    let written = generate(&model.decoder, &starts, tokens, choice, &model.stop_tokens, progress)?;
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for ids in &written {
        // The last line may have been cut.
        let text = model.tokenizer.decode(ids)?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for name in whole.lines().filter_map(|line| name(line, subject)) {
            let place = *places.entry(folded(&name)).or_insert_with(|| {
                counts.push((name, 0));
                counts.len() - 1
            });
            counts[place].1 += 1;
        }
    }
    // A stable sort: of names that are as frequent, the one seen first.
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(counts.into_iter().take(MOST).map(|(name, _)| name).collect())
}

/// Well-known names of the shape of `subject`: one word, several, or several after an article.
pub(super) fn alike(subject: &str) -> Vec<String> {
    let shape = |name: &str| {
        let words: Vec<&str> = name.split_whitespace().collect();
        (words.len() > 1, words.first().is_some_and(|first| first.eq_ignore_ascii_case("the")))
    };
    let is_other = |name: &&str| !overlap(&folded(subject), &folded(name));
    let names = background_subjects(NameUse::Held).iter().copied();
    let names = names.filter(|name| shape(name) == shape(subject));
    names.filter(is_other).take(MOST).map(str::to_owned).collect()
}

/// A text folded for comparison: case and blanks do not count.
pub(super) fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The name in a line of a list, if it can be another subject than `subject`.
fn name(line: &str, subject: &str) -> Option<String> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' ');
    let line = line.trim_start_matches(is_number);
    let name = line.split([',', ';', ':', '(', '.', '"', '–', '—']).next().unwrap_or_default();
    let name = name.trim();
    let words = |text: &str| text.split_whitespace().count();
    let starts_alike = |a: &str, b: &str| {
        let is_capital = |text: &str| text.chars().next().is_some_and(char::is_uppercase);
        is_capital(a) == is_capital(b)
    };
    let (own, other) = (folded(subject), folded(name));
    let is_name = name.chars().filter(|c| c.is_alphabetic()).count() > 1
        && starts_alike(name, subject)
        && words(name) <= words(subject) + FURTHER_WORDS
        && !own.contains(&other)
        && !other.contains(&own)
        && !name.contains(['{', '}']);
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_have_the_shape_of_the_subject() {
        let rows = [
            ("Clio Sandby", "Isaac Newton"),
            ("Isaac Newton", "Galileo Galilei"),
            ("France", "Rome"),
            ("The Shard", "The Eiffel Tower"),
        ];
        for (subject, first) in rows {
            let names = alike(subject);
            assert!(names.len() >= 4, "{subject}: {names:?}");
            assert_eq!(names[0], first);
            assert!(!names.iter().any(|name| name == subject));
        }
    }

    #[test]
    fn lines_become_names_of_the_subjects_kind() {
        let rows = [
            ("Albert Einstein", Some("Albert Einstein")),
            (" 3. Isaac Newton, English", Some("Isaac Newton")),
            ("4) Niels Bohr (1885)", Some("Niels Bohr")),
            ("marie curie", None),
            ("Curie", None),
            ("Marie Curie and her husband", None),
            ("the woman who found radium", None),
            ("The first woman to win a prize", None),
            ("5.", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(name(line, "Marie Curie").as_deref(), expected, "{line}");
        }
    }
}
