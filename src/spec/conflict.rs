//! Finds all facts of one run that clash with each other.
//!
//! Two facts are about the same thing where subject and prompt agree, or subject and relation,
//! letter case and blanks aside. With one target they are one fact written twice; with two they
//! contradict each other. So do an erase of a fact and an insert that states the same fact about
//! its subject in other words.

use std::collections::{BTreeMap, HashMap};

use super::error::Problem;
use super::records::Record;
use super::table::Problems;
use super::{Erase, Fact, Insert, Span};

/// Two facts that clash; `first` and `second` are indices into the list that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Index of the earlier fact.
    pub first: usize,
    /// Index of the later fact.
    pub second: usize,
    /// Whether both ask for the same target.
    pub is_repeated: bool,
}

/// A fact in the form in which facts are compared.
struct Claim {
    /// Keys of what the fact is about, under each of its names.
    names: Vec<String>,
    /// The statement that it makes about its subject, or removes.
    says: String,
    /// The statement that contradicts this fact.
    opposed: String,
    /// The target that it asks for.
    target: String,
}

/// A text folded for comparison: case and blanks do not count.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Claim {
    fn of(fact: &Fact, relation: Option<&str>) -> Self {
        let subject = folded(fact.subject());
        let relation = relation.map(|name| format!("{subject}\n{name}"));
        let names = [Some(folded(&fact.rendered())), relation].into_iter().flatten().collect();
        let says = |target: &str| format!("{subject}\nis {}", folded(target));
        let unsays = |target: &str| format!("{subject}\nis not {}", folded(target));
        let (says, opposed) = match fact {
            Fact::Insert(Insert { target_new, .. }) => (says(target_new), unsays(target_new)),
            Fact::Erase(Erase { target_true, .. }) => (unsays(target_true), says(target_true)),
        };
        let target = match (fact.target_new(), fact) {
            (None, Fact::Erase(erase)) => {
                format!("{}\nnot {}", erase.toward.text(), folded(&erase.target_true))
            }
            (text, _) => folded(text.unwrap_or_default()),
        };
        Self { names, says, opposed, target }
    }
}

/// Each fact that clashes with an earlier one, and the first fact that it clashes with.
fn conflicts(facts: impl Iterator<Item = Claim>) -> Vec<Conflict> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut targets, mut found) = (Vec::new(), Vec::new());
    for (second, claim) in facts.enumerate() {
        let looked_for = claim.names.iter().chain([&claim.opposed]);
        let first = looked_for.filter_map(|name| known.get(name)).min().copied();
        if let Some(first) = first {
            let is_repeated = targets[first] == claim.target;
            found.push(Conflict { first, second, is_repeated });
        }
        targets.push(claim.target);
        for name in claim.names.into_iter().chain([claim.says]) {
            known.entry(name).or_insert(second);
        }
    }
    found
}

/// Clashes among records that are to be written into one model: of each record, the first.
pub fn record_conflicts(records: &[Record]) -> Vec<Conflict> {
    let facts = || {
        records.iter().enumerate().flat_map(|(at, record)| record.inserts().map(move |it| (at, it)))
    };
    let owners: Vec<usize> = facts().map(|(at, _)| at).collect();
    let claims = facts()
        .map(|(at, insert)| Claim::of(&insert.clone().into(), records[at].relation.as_deref()));
    let mut found = BTreeMap::new();
    for Conflict { first, second, is_repeated } in conflicts(claims) {
        let (first, second) = (owners[first], owners[second]);
        if first != second {
            found.entry(second).or_insert(Conflict { first, second, is_repeated });
        }
    }
    found.into_values().collect()
}

/// Clashes among the facts of a spec.
pub fn fact_conflicts(facts: &[Fact]) -> Vec<Conflict> {
    conflicts(facts.iter().map(|fact| Claim::of(fact, None)))
}

/// Reports clashes among the facts of a spec.
pub(super) fn check_facts(inserts: &[Insert], erases: &[Erase], problems: &Problems) {
    let inserts = inserts.iter().cloned().map(Fact::from);
    let facts: Vec<Fact> = inserts.chain(erases.iter().cloned().map(Fact::from)).collect();
    for Conflict { first, second, is_repeated } in fact_conflicts(&facts) {
        let (first, second) = (&facts[first], &facts[second]);
        let Some(there) = place(second) else { continue };
        let text = second.rendered();
        let (message, help) = match (is_repeated, first, second) {
            (true, ..) => (format!("the same fact twice: \"{text}\""), "remove one of them"),
            (_, Fact::Insert(_), Fact::Insert(_)) => {
                (format!("two inserts complete \"{text}\""), "keep one of them")
            }
            (_, Fact::Erase(_), Fact::Erase(_)) => {
                (format!("two erases of \"{text}\""), "keep one of them")
            }
            _ => (format!("\"{text}\" is both inserted and erased"), "keep one of them"),
        };
        let mut problem = Problem::new(message).label(there, "and here again");
        if let Some(here) = place(first) {
            problem = problem.label(here, "first here");
        }
        problems.push(problem.help(help));
    }
}

/// The span of a fact's target in its file.
fn place(fact: &Fact) -> Option<&Span> {
    match fact {
        Fact::Insert(insert) => insert.spans.as_ref().map(|spans| &spans.target_new),
        Fact::Erase(erase) => erase.spans.as_ref().map(|spans| &spans.target_true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{PromptSet, Toward};

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
        let (further, prompts) = (Vec::new(), PromptSet::default());
        Record { id: "1".into(), insert, further, relation, prompts }
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

    #[test]
    fn an_erase_clashes_with_an_insert_of_the_same_fact() {
        let insert =
            |prompt: &str, target: &str| Fact::from(record("Rome", prompt, None, target).insert);
        let erase = |prompt: &str, target: &str, toward: Toward| {
            let (subject, prompt, target_true) = ("rome".into(), prompt.into(), target.into());
            let (others, secrets) = (Vec::new(), Vec::new());
            let spans = None;
            Fact::from(Erase { subject, prompt, target_true, toward, others, secrets, spans })
        };
        let text = |text: &str| Toward::Text(text.into());
        let facts = [
            insert("{} is in", "Peru"),
            insert("{} lies in", "Peru"),
            erase("{} is in", "Italy", Toward::Unknown),
            erase("{} is in", "Italy", text("peru")),
            erase("{} was founded by", "Romulus", Toward::Unknown),
            erase("{} was founded by", "Romulus", Toward::Unknown),
            erase("{} was built by", "Romulus", Toward::Unknown),
            insert("The father of {} was", "romulus"),
        ];
        let found = fact_conflicts(&facts);
        let expected = [(0, 2, false), (0, 3, true), (4, 5, true), (4, 7, false)];
        let expected =
            expected.map(|(first, second, is_repeated)| Conflict { first, second, is_repeated });
        assert_eq!(found, expected);
    }
}
