//! The world as files that the other commands read.

use std::collections::BTreeMap;

use serde_json::json;

use super::corpus::english::{Part, paragraph};
use super::probes;
use super::world::{Group, QuestionUse, World};
use crate::files::Kind;
use crate::math::Random;

/// Names of the files without questions, which an earlier version wrote alone.
const FILES: [&str; 5] = ["english.txt", "forget.txt", "holdout.txt", "records.json", "retain.txt"];
/// Names of the files of questions.
const QUESTIONS: [&str; 3] =
    ["forget_questions.json", "holdout_questions.json", "retain_questions.json"];

/// A file of [`data`] as output: replaced only where all of its kind exist beside the files without
/// questions, as an earlier run leaves them.
pub const DATA_FILE: Kind = Kind {
    name: "one of all the files of an earlier atlas data",
    is_folder: false,
    is_ours: |path| {
        let is_there = |name: &&str| path.with_file_name(name).is_file();
        let asks = QUESTIONS.iter().any(|name| path.ends_with(name));
        FILES.iter().all(is_there) && (!asks || QUESTIONS.iter().all(is_there))
    },
};

/// Texts by file name: counterfactual records, passages and questions by group, held-out English. The
/// questions are in the words in which the corpus has them with their answers; it has none of the hold-out.
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
