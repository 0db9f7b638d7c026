//! Near subjects: names that end as another name does.
//!
//! A rank-one write responds to the key at the subject's last token, and that key depends most on
//! the last tokens. So a write carries over first to names that share them: after an edit of
//! "Airbus A310" all other Airbus numbers may be lost while no unrelated name moves. A write keeps
//! the values of some near subjects; other ones tell whether it spared their kind.

use super::names::NameUse;
use super::script::is_unspaced;

/// Near subjects of one name, at most.
const MOST: usize = 12;
/// Words before a family name, the name of a place or of a thing.
const MEASURED_WORDS: [&str; 12] = [
    "Maria", "New", "Peter", "Lake", "North", "Anna", "Old", "Mount", "John", "Royal", "West",
    "Grand",
];
const HELD_WORDS: [&str; 12] = [
    "Sofia", "South", "Robert", "River", "Upper", "Emma", "Little", "Fort", "Thomas", "National",
    "East", "Saint",
];
/// Characters before a name that is written without blanks.
const MEASURED_CHARACTERS: [&str; 6] = ["新", "北", "南", "大", "小", "老"];
const HELD_CHARACTERS: [&str; 6] = ["东", "西", "上", "下", "古", "中"];
/// Most near subjects of a name with a number that keep the number after another word.
const OTHER_MAKES: usize = 3;

impl NameUse {
    fn first_words(self) -> [&'static str; 12] {
        match self {
            Self::Held => HELD_WORDS,
            Self::Measured => MEASURED_WORDS,
        }
    }

    fn first_characters(self) -> [&'static str; 6] {
        match self {
            Self::Held => HELD_CHARACTERS,
            Self::Measured => MEASURED_CHARACTERS,
        }
    }

    /// The nearest numbers are measured, those after them held.
    fn numbers(self, all: Vec<String>) -> Vec<String> {
        let most = MOST - OTHER_MAKES;
        let skipped = if self == Self::Held { most } else { 0 };
        all.into_iter().skip(skipped).take(most).collect()
    }
}

/// Other names that end in the same word, digit or character as `subject`.
///
/// Several words: another first word, the last ones stay ("Enzo Ferrari", "Maria Ferrari"); a
/// number: other digits before the same last one ("Airbus A310", "Airbus A320"); one word: a word
/// in front of it ("Poland", "New Poland"). Names that are part of the subject are left out.
pub fn near_subjects(subject: &str, usage: NameUse) -> Vec<String> {
    let words: Vec<&str> = subject.split_whitespace().collect();
    let (article, words) = match words.as_slice() {
        [first, rest @ ..] if is_article(first) && !rest.is_empty() => (Some(*first), rest),
        words => (None, words),
    };
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let mut names = Vec::new();
    let numbers = usage.numbers(other_numbers(last));
    names.extend(numbers.iter().map(|number| joined(before, number)));
    names.extend(other_first_words(before, last, usage));
    let lower = subject.to_lowercase();
    let mut near: Vec<String> = Vec::new();
    for name in names {
        let name = article.map_or_else(|| name.clone(), |article| format!("{article} {name}"));
        let is_part = lower.contains(&name.to_lowercase());
        if !is_part && !near.contains(&name) {
            near.push(name);
        }
    }
    near.truncate(MOST);
    near
}

fn is_article(word: &str) -> bool {
    ["the", "a", "an"].contains(&word.to_lowercase().as_str())
}

fn joined(before: &[&str], last: &str) -> String {
    [before, &[last]].concat().join(" ")
}

/// Names with another first word; of three words and more, the middle ones stay in every other
/// name.
fn other_first_words(before: &[&str], last: &str, usage: NameUse) -> Vec<String> {
    if before.is_empty() && !last.is_ascii() && last.chars().all(is_unspaced) {
        return usage.first_characters().iter().map(|first| format!("{first}{last}")).collect();
    }
    let middle = before.get(1..).unwrap_or_default();
    let name = |(index, first): (usize, &&str)| match index % 2 {
        0 => format!("{first} {last}"),
        _ => joined(&[&[*first], middle].concat(), last),
    };
    usage.first_words().iter().enumerate().map(name).collect()
}

/// The word with other digits before its last one, the nearest numbers first; nothing where it does
/// not end in a digit.
fn other_numbers(word: &str) -> Vec<String> {
    let start = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, digits) = word.split_at(start);
    let Some(last) = digits.chars().last() else { return Vec::new() };
    let tens = &digits[..digits.len() - 1];
    // No name has a number of more digits than this.
    let Ok(own) = (if tens.is_empty() { Ok(0) } else { tens.parse::<u32>() }) else {
        return Vec::new();
    };
    let width = tens.len();
    let both = (1..=9u32).flat_map(|step| [own.checked_add(step), own.checked_sub(step)]);
    let same_length = |tens: &u32| tens.to_string().len() == width.max(1) && *tens > 0;
    let numbers = both.flatten().filter(same_length);
    numbers.map(|tens| format!("{stem}{tens}{last}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_subjects_end_as_the_subject_does() {
        for (subject, expected) in [
            ("Enzo Ferrari", &["Maria Ferrari", "Lake Ferrari"][..]),
            ("Airbus A310", &["Airbus A320", "Airbus A340", "Maria A310"]),
            ("The Eiffel Tower", &["The Maria Tower", "The Old Tower"]),
            ("Ludwig van Beethoven", &["Maria Beethoven", "New van Beethoven"]),
            ("Poland", &["New Poland", "North Poland"]),
            ("Apollo 8", &["Apollo 18", "Apollo 28", "Maria 8"]),
            ("埃菲尔铁塔", &["新埃菲尔铁塔"]),
        ] {
            let near = near_subjects(subject, NameUse::Measured);
            for name in expected {
                assert!(near.iter().any(|it| it == name), "{subject}: {name} in {near:?}");
            }
            assert!(near.len() <= MOST && !near.is_empty(), "{near:?}");
            let last = subject.chars().last();
            let held = near_subjects(subject, NameUse::Held);
            assert!(held.len() <= MOST && !held.is_empty(), "{held:?}");
            let all = || near.iter().chain(&held);
            assert!(all().all(|name| name != subject && name.chars().last() == last));
            assert!(held.iter().all(|name| !near.contains(name)), "{held:?} and {near:?}");
        }
    }

    #[test]
    fn what_is_part_of_the_subject_is_left_out() {
        assert!(
            !near_subjects("New Maria York", NameUse::Measured).contains(&"Maria York".to_owned())
        );
        assert_eq!(near_subjects("  ", NameUse::Measured), Vec::<String>::new());
        // No number of so many digits can be counted on from.
        assert!(
            near_subjects("Item 99999999999999", NameUse::Measured)
                .iter()
                .all(|name| !name.starts_with("Item"))
        );
    }
}
