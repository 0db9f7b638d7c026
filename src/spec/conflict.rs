//! Facts of one run that cannot stand beside each other, all of them at once.
//!
//! Two facts are about the same thing where subject and prompt agree, or subject and relation,
//! letter case and blanks aside. With one target they are one fact written twice; with two they
//! contradict each other.

use std::collections::HashMap;

use super::error::Problem;
use super::insert::Insert;
use super::records::Record;
use super::table::Problems;

/// Two facts that clash; `first` and `second` are places in the list that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier one.
    pub first: usize,
    /// The later one.
    pub second: usize,
    /// They have one target.
    pub is_repeated: bool,
}

/// What two facts are compared by.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Each fact that clashes with an earlier one, with the first such.
fn conflicts<'a>(facts: impl Iterator<Item = (Vec<String>, &'a str)>) -> Vec<Conflict> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut targets, mut found) = (Vec::new(), Vec::new());
    for (second, (names, target)) in facts.enumerate() {
        targets.push(folded(target));
        let first = names.iter().filter_map(|name| known.get(name)).min().copied();
        if let Some(first) = first {
            let is_repeated = targets[first] == targets[second];
            found.push(Conflict { first, second, is_repeated });
        }
        for name in names {
            known.entry(name).or_insert(second);
        }
    }
    found
}

/// Clashes among records that are to be written into one model.
pub fn record_conflicts(records: &[Record]) -> Vec<Conflict> {
    conflicts(records.iter().map(|record| {
        let insert = &record.insert;
        let relation = record.relation.as_ref();
        let relation = relation.map(|name| format!("{}\n{name}", folded(&insert.subject)));
        let names = [Some(folded(&insert.rendered())), relation].into_iter().flatten();
        (names.collect(), insert.target_new.as_str())
    }))
}

/// Clashes among inserts.
pub fn insert_conflicts(inserts: &[Insert]) -> Vec<Conflict> {
    let name = |insert: &Insert| vec![folded(&insert.rendered())];
    conflicts(inserts.iter().map(|insert| (name(insert), insert.target_new.as_str())))
}

/// Reports clashes among the inserts of a spec.
pub(super) fn check_inserts(inserts: &[Insert], problems: &Problems) {
    for Conflict { first, second, is_repeated } in insert_conflicts(inserts) {
        let (first, second) = (&inserts[first], &inserts[second]);
        let Some(there) = &second.spans else { continue };
        let (message, help) = match is_repeated {
            true => {
                (format!("the same fact twice: \"{}\"", second.rendered()), "remove one of them")
            }
            false => {
                (format!("two inserts complete \"{}\"", second.rendered()), "keep one of them")
            }
        };
        let mut problem = Problem::new(message).label(&there.target_new, "and here again");
        if let Some(here) = &first.spans {
            problem = problem.label(&here.target_new, "first here");
        }
        problems.push(problem.help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::PromptSet;

    fn record(subject: &str, prompt: &str, relation: Option<&str>, target: &str) -> Record {
        let insert = Insert {
            subject: subject.into(),
            prompt: prompt.into(),
            target_new: target.into(),
            target_true: None,
            with_ripples: false,
            spans: None,
        };
        let relation = relation.map(str::to_owned);
        Record { id: "1".into(), insert, relation, prompts: PromptSet::default() }
    }

    #[test]
    fn repeats_and_contradictions_are_all_found() {
        let records = [
            record("Rome", "{} is in", Some("P1"), "Peru"),
            record("Lima", "{} is in", Some("P1"), "Peru"),
            record("rome", "{}  is in", None, "peru"),
            record("Rome", "{} lies in the land of", Some("P1"), "Chad"),
            record("Rome", "{} was founded by", Some("P2"), "Chad"),
            record("Lima", "{} is in", Some("P1"), "Mali"),
        ];
        let found = record_conflicts(&records);
        let expected = [(0, 2, true), (0, 3, false), (1, 5, false)];
        let expected =
            expected.map(|(first, second, is_repeated)| Conflict { first, second, is_repeated });
        assert_eq!(found, expected);
    }
}
