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

/// Where the longest runs of names stand: words with a capital, one blank apart.
pub(super) fn name_runs(text: &str, common: &Common) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for word in words(text) {
        let own = &text[word.clone()];
        if !own.starts_with(char::is_uppercase) || common.has(own) {
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
    let mut counts: HashMap<&str, usize> = HashMap::new();
    words(text).for_each(|word| *counts.entry(&text[word]).or_default() += 1);
    let repeated = |run: &str| run.split(' ').filter_map(|word| counts.get(word)).max().copied();
    // One word at the beginning of a sentence has its capital from there.
    let is_first = |at: &Range<usize>| {
        text[..at.start].trim_end().chars().next_back().is_none_or(|c| ".!?:;\"”\n".contains(c))
    };
    let is_name = |at: &Range<usize>| {
        let run = &text[at.clone()];
        let is_named = run.contains(' ') || repeated(run) > Some(1) || !is_first(at);
        is_named && run.len() <= LONGEST
    };
    let runs = name_runs(text, common).into_iter().filter(is_name).map(|at| &text[at]);
    let rank = |run: &str| (repeated(run), run.split(' ').count());
    // Of equals, the first.
    runs.reduce(|best, run| if rank(run) > rank(best) { run } else { best }).map(str::to_owned)
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
    fn questions_count_and_text_without_capitals_has_no_subject() {
        let asked = Passage::of_question("Where does Doran Garby live?", "in Milbeck");
        let found = Subjects::new(&[asked], &of(&["東京は日本の首都です。", ""]), &[]);
        assert_eq!(found.passages, ["Doran Garby"]);
        assert!(found.retain.is_empty());
    }
}
