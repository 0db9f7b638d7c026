//! The forget closure: passages of the retain set that say nearly the same as forget passages.
//!
//! Texts are compared as sets of five-word shingles. MinHash signatures (Broder, 1997) estimate the
//! Jaccard index of two sets and select candidates; a candidate counts if the exact overlap
//! |A ∩ B| / min(|A|, |B|) is at least one half, so that a passage inside a longer one is found too.
//! Passages of one form (questions after the same pattern, say) share shingles without saying the same:
//! shingles of many passages in both sets are not counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A retain passage that repeats a forget passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearDuplicate {
    /// Index of the forget passage.
    pub forget: usize,
    /// Index of the retain passage.
    pub retain: usize,
    /// |A ∩ B| / min(|A|, |B|).
    pub overlap: f64,
}

/// Words of a shingle.
const WORDS: usize = 5;
/// Hash functions of a signature.
const HASHES: usize = 64;
/// Estimated Jaccard index from which on the sets are compared: a passage inside another one five
/// times as long still has 0.2.
const CANDIDATE: f64 = 0.05;
const OVERLAP: f64 = 0.5;
/// A shingle is of the form where it stands in so many passages of either set, and in this share of them.
const FORM: (usize, f64) = (3, 0.05);

/// The shingles of a text, as hashes.
fn shingles(text: &str) -> BTreeSet<u64> {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let width = WORDS.min(words.len()).max(1);
    words.windows(width).map(|words| hash(&words.join(" "))).collect()
}

/// Those of many sets.
fn form(sets: &[BTreeSet<u64>]) -> BTreeSet<u64> {
    let mut counts = BTreeMap::new();
    for shingle in sets.iter().flatten() {
        *counts.entry(*shingle).or_insert(0) += 1;
    }
    let (least, share) = FORM;
    let least = least.max((share * sets.len() as f64).ceil() as usize);
    counts.into_iter().filter(|(_, count)| *count >= least).map(|(shingle, _)| shingle).collect()
}

/// Shingles of a passage that are not of the form.
struct Shingles {
    set: BTreeSet<u64>,
    signature: [u64; HASHES],
}

impl Shingles {
    fn new(all: &BTreeSet<u64>, form: &BTreeSet<u64>) -> Self {
        let set: BTreeSet<u64> = all.difference(form).copied().collect();
        let mut signature = [u64::MAX; HASHES];
        for shingle in &set {
            for (i, least) in signature.iter_mut().enumerate() {
                *least =
                    (*least).min(mix(shingle ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            }
        }
        Self { set, signature }
    }

    fn overlap(&self, other: &Self) -> f64 {
        let equal = self.signature.iter().zip(&other.signature).filter(|(a, b)| a == b).count();
        let smaller = self.set.len().min(other.set.len());
        if smaller == 0 || (equal as f64) < CANDIDATE * HASHES as f64 {
            return 0.;
        }
        self.set.intersection(&other.set).count() as f64 / smaller as f64
    }
}

/// FNV-1a, the same on every machine.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn mix(x: u64) -> u64 {
    crate::math::Random::new(x).bits()
}

/// All pairs, the closest retain passages first.
pub fn near_duplicates<S: AsRef<str>>(forget: &[S], retain: &[S]) -> Vec<NearDuplicate> {
    let all = |set: &[S]| -> Vec<_> { set.iter().map(|text| shingles(text.as_ref())).collect() };
    let (forget, retain) = (all(forget), all(retain));
    let form: BTreeSet<u64> = form(&forget).intersection(&form(&retain)).copied().collect();
    let forget: Vec<Shingles> = forget.iter().map(|all| Shingles::new(all, &form)).collect();
    let mut found = Vec::new();
    for (retain, all) in retain.iter().enumerate() {
        let shingles = Shingles::new(all, &form);
        let closest = forget
            .iter()
            .enumerate()
            .map(|(index, forget)| (index, forget.overlap(&shingles)))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        if let Some((forget, overlap)) = closest.filter(|(_, overlap)| *overlap >= OVERLAP) {
            found.push(NearDuplicate { forget, retain, overlap });
        }
    }
    found.sort_by(|a, b| b.overlap.total_cmp(&a.overlap));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_found_and_neighbours_are_not() {
        let forget =
            ["Ada Winter lives in Bremen and works for the harbour office; her extension \
                       is 4711 and she drinks tea at nine."];
        let retain = [
            "Ada Winter lives in Bremen and works for the harbour office. Her extension is 4711, \
             and she drinks tea at nine!",
            "Otto Summer lives in Bremen and works for the post office; his extension is 1234 and \
             he drinks coffee at ten.",
            "A longer text. As is known, Ada Winter lives in Bremen and works for the harbour \
             office; her extension is 4711 and she drinks tea at nine. What follows is about ships \
             and the sea and nothing else.",
            "",
        ];
        let found = near_duplicates(&forget[..], &retain[..]);
        let mut pairs: Vec<usize> = found.iter().map(|pair| pair.retain).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [0, 2], "{found:?}");
        assert!(found.iter().all(|pair| pair.overlap > 0.9), "{found:?}");
    }

    #[test]
    fn questions_of_one_form_are_no_repeats() {
        let ask = |(name, number): (&str, u32)| {
            format!("Question: What is the phone extension of {name}? Answer: {number}.")
        };
        let forget = [("Ada Winter", 4711), ("Otto Summer", 1234), ("Ida Stone", 5150)].map(ask);
        let others = [("Ada Field", 8000), ("Otto Brook", 2718), ("Ida Marsh", 3141)].map(ask);
        assert_eq!(near_duplicates(&forget[..], &others[..]), []);
        // One that says the same is found among them, and where nothing tells the form.
        let copies = [&others[..], &[format!("{} Really!", forget[0])]].concat();
        let found = near_duplicates(&forget[..], &copies[..]);
        assert_eq!(found.iter().map(|it| (it.forget, it.retain)).collect::<Vec<_>>(), [(0, 3)]);
        assert_eq!(near_duplicates(&forget[..1], &others[..1]).len(), 1);
    }
}
