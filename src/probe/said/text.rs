//! The place of a target in a completion, once both are normalised.
//!
//! Normalised as for SQuAD (arXiv 1606.05250): lower case, no punctuation, no articles, single
//! blanks. Typographic dashes and CJK marks count as blanks, because they separate words.

use crate::plan::is_unspaced;

/// Marks after which a sentence is over.
const FINAL: [char; 10] = ['.', '!', '?', ';', '。', '！', '？', '；', '…', '\n'];

/// How a completion relates to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The completion begins with the target.
    pub(super) is_said: bool,
    /// The target occurs somewhere in it.
    pub(super) is_contained: bool,
    /// The completion begins with the target and goes on after it in the same sentence, or repeats
    /// it.
    pub(super) runs_on: bool,
    /// The target is said, and nothing that follows can change that or `runs_on`.
    pub(super) is_settled: bool,
}

/// Compares a completion, up to its first newline, with a target.
pub(super) fn sight(completion: &str, target: &str) -> Sighting {
    let completion = first_line(completion);
    let target = wanted(target);
    let text = normalised(completion);
    let is_said = begins_with(&text, &target);
    let rest = if is_said { rest_after(completion, &target) } else { "" };
    Sighting {
        is_said,
        is_contained: is_said || contains(&text, &target),
        runs_on: is_said && runs_on(rest, &target),
        is_settled: is_said && goes_past(rest),
    }
}

/// A text up to the newline that ends an answer.
pub(super) fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default().trim_end()
}

/// The normalised target; what consists of articles and marks alone stays as it is.
fn wanted(target: &str) -> String {
    match normalised(target) {
        text if text.is_empty() => target.trim().to_lowercase(),
        text => text,
    }
}

/// Lower case, without punctuation and articles, words separated by single blanks.
pub(super) fn normalised(text: &str) -> String {
    let plain: String = text.to_lowercase().chars().filter_map(plain).collect();
    let words = plain.split_whitespace().filter(|word| !["a", "an", "the"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// A character without its role as punctuation: itself, a blank, or nothing.
fn plain(c: char) -> Option<char> {
    match c {
        '‘' | '’' | '“' | '”' | '‐' | '‑' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {
            None
        }
        '«' | '»' | '¿' | '¡' | '·' => Some(' '),
        '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' => Some(' '),
        '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' => Some(' '),
        '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}' => Some(' '),
        c if c.is_ascii_punctuation() => None,
        c => Some(c),
    }
}

/// Whether `text` begins with `target` as whole words; both are normalised.
fn begins_with(text: &str, target: &str) -> bool {
    text.strip_prefix(target).is_some_and(|rest| is_border(target, rest))
}

fn contains(text: &str, target: &str) -> bool {
    text.match_indices(target).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let first = target.chars().next();
        let is_start = match (before, first) {
            (Some(before), Some(first)) => {
                !before.is_alphanumeric() || is_unspaced(before) || is_unspaced(first)
            }
            _ => true,
        };
        is_start && is_border(target, &text[at + found.len()..])
    })
}

/// Whether a word may end between `left` and `right`.
fn is_border(left: &str, right: &str) -> bool {
    match (left.chars().next_back(), right.chars().next()) {
        (Some(last), Some(next)) => {
            !next.is_alphanumeric() || is_unspaced(next) || is_unspaced(last)
        }
        _ => true,
    }
}

/// What follows the shortest beginning of `completion` that is the target once normalised.
fn rest_after<'t>(completion: &'t str, target: &str) -> &'t str {
    let ends = completion.char_indices().map(|(at, c)| at + c.len_utf8());
    let is_target = |end: &usize| {
        let text = normalised(&completion[..*end]);
        text == target || (text.is_empty() && completion[..*end].trim().to_lowercase() == target)
    };
    let end = ends.into_iter().find(is_target).unwrap_or(completion.len());
    &completion[end..]
}

/// What remains once quotes, brackets and emphasis around the target are closed.
fn closed(rest: &str) -> &str {
    rest.trim_start_matches(['"', '\'', '”', '’', '»', ')', ']', '*', '_', '」', '』', '）'])
}

fn runs_on(rest: &str, target: &str) -> bool {
    let rest = closed(rest);
    let ends = |text: &str| text.trim().is_empty() || text.trim_start().starts_with(FINAL);
    if !ends(rest) {
        return true;
    }
    // "Rome. Rome. Rome" repeats itself; "Rome. Rome is" only goes on.
    let later = rest.trim_start_matches(|c: char| FINAL.contains(&c) || c.is_whitespace());
    !later.is_empty()
        && begins_with(&normalised(later), target)
        && ends(closed(rest_after(later, target)))
}

/// Whether enough follows the target that nothing later changes the judgement: the first word or
/// mark decides, and after a sentence's end the words that could repeat the target.
fn goes_past(rest: &str) -> bool {
    let rest = closed(rest).trim_start();
    match rest.strip_prefix(FINAL) {
        // "Rome-" may become "Rome-born", which is another word.
        None => rest.split_whitespace().count() > 1,
        Some(later) => later.contains(FINAL) || later.split_whitespace().count() > 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_as_for_squad() {
        for (text, expected) in [
            (" The  Eiffel Tower, in Paris.", "eiffel tower in paris"),
            ("an Apple a day", "apple day"),
            ("“Rome”—the city", "rome city"),
            ("东京。", "东京"),
            ("U.S.A.", "usa"),
            ("The", ""),
        ] {
            assert_eq!(normalised(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_completion_says_a_target_as_whole_words() {
        let rows = [
            // completion, target, said, contained, runs on
            (" Rome", "Rome", true, true, false),
            (" Rome.", "Rome", true, true, false),
            (" the city Rome", "Rome", false, true, false),
            (" Rome, Italy.", "Rome", true, true, true),
            (" \"Rome\".", "Rome", true, true, false),
            (" **Rome**! It is", "Rome", true, true, false),
            (" Romes are", "Rome", false, false, false),
            (" Rome's", "Rome", false, false, false),
            (" Halden Labskota", "Halden Labs", false, false, false),
            (" Halden Labs (formerly", "Halden Labs", true, true, true),
            (" Rome\nRome\nRome", "Rome", true, true, false),
            (" Rome. Rome. Rome.", "Rome", true, true, true),
            (" Rome. Rome is the capital", "Rome", true, true, false),
            (" Rome and Rome and Rome", "Rome", true, true, true),
            (" 3.5 million", "3", false, false, false),
            (" the Hague.", "The Hague", true, true, false),
            ("罗马市", "罗马", true, true, true),
            ("罗马。它是", "罗马", true, true, false),
            ("로마는 아름답다", "로마", true, true, true),
            (" Rome是", "Rome", true, true, true),
            (" Paris, not Rome.", "Rome", false, true, false),
            ("", "Rome", false, false, false),
            (" The", "The", false, false, false),
        ];
        let mut wrong = Vec::new();
        for (completion, target, is_said, is_contained, runs_on) in rows {
            let found = sight(completion, target);
            if (found.is_said, found.is_contained, found.runs_on)
                != (is_said, is_contained, runs_on)
            {
                wrong.push(format!("{completion:?} for {target:?}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_judgement_is_settled_once_no_later_word_can_change_it() {
        for (completion, expected) in [
            (" Paris, the", false),
            (" Rome", false),
            (" Rome-", false),
            (" Rome is a", true),
            (" Rome.", false),
            (" Rome. Rome.", true),
            (" Rome. It stands in the", true),
        ] {
            assert_eq!(sight(completion, "Rome").is_settled, expected, "{completion:?}");
        }
    }
}
