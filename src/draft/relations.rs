//! Relations that people correct most often, with wordings, and subjects whose answers are widely
//! known and do not change from year to year.

mod countries;
mod people;
mod places;
mod works;

use super::relation::Relation;

/// The relation that a prompt states: the first of them all with a cue in it.
pub(super) fn stated(prompt: &str) -> Option<&'static Relation> {
    all().find(|it| it.is_stated_by(prompt))
}

/// The relations, the special ones before those whose cues are part of theirs.
pub(super) fn all() -> impl Iterator<Item = &'static Relation> {
    [countries::RELATIONS, people::RELATIONS, works::RELATIONS, places::RELATIONS]
        .into_iter()
        .flatten()
}
