//! Facts that were left out of a change, as the recipe of its patch names them.
//!
//! The recipe keeps the whole spec, so that the run can be made again; the places of the facts that
//! are not in the change stand beside it.

use serde_json::{Value, json};

use super::trim::trimmed;
use crate::plan::PlannedEdit;
use crate::spec::{Fact, parse_spec};

/// The places, among the `insert` and the `erase` tables of the spec `source`, of facts that were
/// not written; nothing where all were. `is_written` says it of each edit.
pub(super) fn left_out(
    source: &str,
    edits: &[PlannedEdit],
    is_written: impl Iterator<Item = bool>,
) -> Option<Value> {
    let both = edits.iter().zip(is_written);
    let unwritten: Vec<&PlannedEdit> =
        both.filter(|(_, is_written)| !is_written).map(|(edit, _)| edit).collect();
    let spec = parse_spec("the recipe", source).ok().filter(|_| !unwritten.is_empty())?;
    let places = |facts: Vec<Fact>| -> Vec<usize> {
        let is_unwritten = |fact: Fact| {
            let fact = trimmed(fact);
            unwritten.iter().any(|edit| is_same(edit, &fact))
        };
        let all = facts.into_iter().enumerate();
        all.filter_map(|(at, fact)| is_unwritten(fact).then_some(at)).collect()
    };
    let inserts = places(spec.inserts.into_iter().map(Fact::from).collect());
    let erases = places(spec.erases.into_iter().map(Fact::from).collect());
    Some(json!({ "insert": inserts, "erase": erases }))
}

fn is_same(edit: &PlannedEdit, fact: &Fact) -> bool {
    let is_kind = match fact {
        Fact::Insert(insert) => edit.erase.is_none() && edit.target_new == insert.target_new,
        Fact::Erase(erase) => {
            edit.erase.is_some() && edit.target_true.as_ref() == Some(&erase.target_true)
        }
    };
    is_kind && edit.subject == fact.subject() && edit.prompt == fact.prompt()
}
