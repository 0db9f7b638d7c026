//! The world as files that the other commands read.

use std::collections::BTreeMap;

use super::corpus::english::{Part, paragraph};
use super::probes;
use super::world::{Group, World};
use crate::files::Kind;
use crate::math::Random;

/// Names of the files, in their order.
const FILES: [&str; 5] = ["english.txt", "forget.txt", "holdout.txt", "records.json", "retain.txt"];

/// A file of [`data`] as output: replaced only where all of them exist, as an earlier run leaves
/// them.
pub const DATA_FILE: Kind = Kind {
    name: "one of all the files of an earlier atlas data",
    is_folder: false,
    is_ours: |path| FILES.iter().all(|name| path.with_file_name(name).is_file()),
};

/// Texts by file name: counterfactual records, passages by group, held-out English.
pub fn data(world: &World, records: usize, seed: u64) -> BTreeMap<String, String> {
    /// Paragraphs of English.
    const PARAGRAPHS: usize = 200;
    let records = probes::counterfact_json(&probes::counterfactuals(world, records, seed));
    let mut random = Random::named(seed, "english for measuring");
    let english: Vec<String> =
        (0..PARAGRAPHS).map(|_| paragraph(&mut random, Part::HeldOut)).collect();
    let of = |group| probes::passages(world, group).join("\n\n") + "\n";
    BTreeMap::from([
        ("records.json".to_owned(), format!("{records:#}\n")),
        ("forget.txt".to_owned(), of(Group::Forget)),
        ("retain.txt".to_owned(), of(Group::Retain)),
        ("holdout.txt".to_owned(), of(Group::Holdout)),
        ("english.txt".to_owned(), english.join("\n\n") + "\n"),
    ])
}
