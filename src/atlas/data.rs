//! The world as files that the other commands read.

use std::collections::BTreeMap;

use serde_json::json;

use super::corpus::english::{Part, paragraph};
use super::probes;
use super::world::{Group, QuestionUse, World};
use crate::files::Kind;
use crate::math::Random;

/// Names of the files, in their order.
const FILES: [&str; 8] = [
    "english.txt",
    "forget.txt",
    "forget_questions.json",
    "holdout.txt",
    "holdout_questions.json",
    "records.json",
    "retain.txt",
    "retain_questions.json",
];

/// Those that there are without questions, too.
fn texts() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().filter(|name| !name.ends_with("_questions.json"))
}

/// A file of [`data`] as output: replaced only where all of them exist, as an earlier run leaves
/// them.
pub const DATA_FILE: Kind = Kind {
    name: "one of all the files of an earlier atlas data",
    is_folder: false,
    is_ours: |path| texts().all(|name| path.with_file_name(name).is_file()),
};

/// Texts by file name: counterfactual records, passages and questions by group, held-out English. The
/// questions are those whose answers the corpus has in the same words.
pub fn data(world: &World, records: usize, seed: u64) -> BTreeMap<String, String> {
    /// Paragraphs of English.
    const PARAGRAPHS: usize = 200;
    let records = probes::counterfact_json(&probes::counterfactuals(world, records, seed));
    let mut random = Random::named(seed, "english for measuring");
    let english: Vec<String> =
        (0..PARAGRAPHS).map(|_| paragraph(&mut random, Part::HeldOut)).collect();
    let of = |group| probes::passages(world, group).join("\n\n") + "\n";
    let asked = |group| {
        let questions = probes::of_people(world, group, QuestionUse::Trained);
        format!("{:#}\n", json!(questions))
    };
    BTreeMap::from([
        ("forget_questions.json".to_owned(), asked(Group::Forget)),
        ("retain_questions.json".to_owned(), asked(Group::Retain)),
        ("holdout_questions.json".to_owned(), asked(Group::Holdout)),
        ("records.json".to_owned(), format!("{records:#}\n")),
        ("forget.txt".to_owned(), of(Group::Forget)),
        ("retain.txt".to_owned(), of(Group::Retain)),
        ("holdout.txt".to_owned(), of(Group::Holdout)),
        ("english.txt".to_owned(), english.join("\n\n") + "\n"),
    ])
}
