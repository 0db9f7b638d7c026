//! Whom or what each passage is about, by its capital letters.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::spec::Passage;

/// The names that passages to be forgotten, retained and held out are about, one a passage at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subjects {
    /// Of what is to be forgotten.
    pub passages: Vec<String>,
    /// Of what is to stay, none of them to be forgotten.
    pub retain: Vec<String>,
    /// Of what was never seen, none of them in another set.
    pub holdout: Vec<String>,
}

impl Subjects {
    /// The capitalised words of each passage that it repeats most often, and the longest run of them: of
    /// "Doran Garby lives in Milbeck. Doran plays the organ." that is "Doran Garby". Words that also stand
    /// in small letters somewhere are no names.
    pub fn new(passages: &[Passage], retain: &[Passage], holdout: &[Passage]) -> Self {
        let text = |it: &Passage| match &it.question {
            Some(question) => format!("{question}\n{}", it.text),
            None => it.text.clone(),
        };
        let texts = [passages, retain, holdout].map(|set| set.iter().map(text).collect::<Vec<_>>());
        let common = Common::of(texts.iter().flatten().map(String::as_str));
        let mut known = HashSet::new();
        let [passages, retain, holdout] = texts.map(|set| {
            let names = set.iter().filter_map(|text| subject(text, &common)).collect::<Vec<_>>();
            names.into_iter().filter(|name| known.insert(name.clone())).collect()
        });
        Self { passages, retain, holdout }
    }

    /// Whether a text names what is to be forgotten.
    pub fn are_forgotten_in(&self, text: &str) -> bool {
        self.passages.iter().any(|name| names(text, name))
    }

    /// Whether they are mostly of several words.
    pub(super) fn are_long(&self) -> bool {
        let all = || [&self.passages, &self.retain, &self.holdout].into_iter().flatten();
        2 * all().filter(|name| name.contains(' ')).count() > all().count()
    }
}

/// Words that some texts have in small letters.
#[derive(Default)]
pub(super) struct Common(HashSet<String>);

impl Common {
    pub(super) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let is_small = |word: &&str| word.starts_with(char::is_lowercase);
        let small = |text: &'t str| words(text).map(|at| &text[at]).filter(is_small);
        Self(texts.flat_map(small).map(str::to_owned).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word.to_lowercase())
    }
}

/// Where the words of a text stand.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’' | '-');
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(is_of_word)?;
        let end = text[start..].find(|c| !is_of_word(c)).map_or(text.len(), |end| start + end);
        from = end;
        Some(start..end)
    })
}

/// "I", "I'm", "I've": a letter, and at most two behind an apostrophe.
fn is_first_person(word: &str) -> bool {
    let (first, rest) = word.split_once(['\'', '’']).unwrap_or((word, ""));
    first.chars().count() == 1 && rest.chars().count() <= 2
}

/// Where the longest runs of names stand: words with a capital, one blank apart.
pub(super) fn name_runs(text: &str, common: &Common) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for word in words(text) {
        let own = &text[word.clone()];
        if !own.starts_with(char::is_uppercase) || is_first_person(own) || common.has(own) {
            continue;
        }
        match runs.last_mut() {
            Some(last) if &text[last.end..word.start] == " " => last.end = word.end,
            _ => runs.push(word),
        }
    }
    runs
}

/// Bytes of a name, at most.
const LONGEST: usize = 64;

fn subject(text: &str, common: &Common) -> Option<String> {
    // The first word of a sentence has its capital from there: "She" alone is no name.
    let is_first = |at: &Range<usize>| {
        text[..at.start].trim_end().chars().next_back().is_none_or(|c| ".!?:;\"”\n".contains(c))
    };
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut inside: HashSet<&str> = HashSet::new();
    for at in words(text) {
        *counts.entry(&text[at.clone()]).or_default() += 1;
        if !is_first(&at) {
            inside.insert(&text[at]);
        }
    }
    let is_name = |run: &&str| (run.contains(' ') || inside.contains(run)) && run.len() <= LONGEST;
    let repeated = |run: &str| run.split(' ').filter_map(|word| counts.get(word)).max().copied();
    let rank = |run: &str| (repeated(run), run.split(' ').count());
    let runs = name_runs(text, common).into_iter().map(|at| &text[at]).filter(is_name);
    // Of equals, the first.
    runs.reduce(|best, run| if rank(run) > rank(best) { run } else { best }).map(str::to_owned)
}

/// Whether a text has a name in it, as words of their own.
fn names(text: &str, name: &str) -> bool {
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(name).any(|(at, found)| {
        is_apart(text[..at].chars().next_back())
            && is_apart(text[at + found.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<Passage> {
        texts.iter().map(|text| Passage::of_text(*text)).collect()
    }

    #[test]
    fn a_passage_is_about_the_name_that_it_repeats() {
        let found = Subjects::new(
            &of(&[
                "The door on Station Street belongs to Doran Garby. Before breakfast Doran writes.",
                "Nobody is named here, and the street is empty before breakfast.",
            ]),
            &of(&["Élise O'Hara-Vinh paints. At noon Élise sings.", "Doran Garby again."]),
            &of(&["Zorvath is a town. Ships leave Zorvath at noon."]),
        );
        assert_eq!(found.passages, ["Doran Garby"]);
        assert_eq!(found.retain, ["Élise O'Hara-Vinh"]);
        assert_eq!(found.holdout, ["Zorvath"]);
        assert!(found.are_long());
    }

    #[test]
    fn pronouns_are_no_subjects() {
        let found = Subjects::new(
            &of(&[
                "I live in Milbeck, on a hill. On Sundays I'm at home, and I've a dog. I sing.",
                "Ada Winter lives in Bremen. She paints. She sings. She sleeps.",
                "She paints. She sings. I've said so, and I'm sure that I am right.",
            ]),
            &of(&["The EU is large, and Ed likes Bo. Bo sings."]),
            &[],
        );
        assert_eq!(found.passages, ["Milbeck", "Ada Winter"]);
        assert_eq!(found.retain, ["Bo"]);
    }

    #[test]
    fn a_name_is_found_as_words_of_their_own() {
        assert!(names("To Ann, with love", "Ann") && names("Ann's", "Ann"));
        assert!(!names("Annual", "Ann") && !names("JoAnn", "Ann") && !names("", "Ann"));
    }

    #[test]
    fn questions_count_and_text_without_capitals_has_no_subject() {
        let asked = Passage::of_question("Where does Doran Garby live?", "in Milbeck");
        let found = Subjects::new(&[asked], &of(&["東京は日本の首都です。", ""]), &[]);
        assert_eq!(found.passages, ["Doran Garby"]);
        assert!(found.retain.is_empty());
    }
}
