//! Plain English from a small grammar, so that perplexity and drift mean something.
//!
//! A sentence is a pattern with words of the right kinds in its slots: some hundred million
//! sentences, none of them about anybody. One in eight, by a hash of its letters, is held out: no
//! seed ever puts it into a corpus.

mod words;

use super::super::world::capitalized;
use crate::math::Random;
use words::{PATTERNS, SLOTS};

/// A part of the sentences of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Sentences that a corpus may have.
    Train,
    /// Sentences that no corpus has.
    HeldOut,
}

/// One sentence in this many is held out.
const HELD_OUT_OF: u64 = 8;

/// Whether no corpus has the sentence.
pub fn is_held_out(sentence: &str) -> bool {
    Random::named(0, sentence).bits().is_multiple_of(HELD_OUT_OF)
}

/// A sentence of a part of the grammar.
pub fn sentence(random: &mut Random, part: Part) -> String {
    loop {
        let sentence = capitalized(&filled(random.choose(&PATTERNS), random));
        if is_held_out(&sentence) == (part == Part::HeldOut) {
            return sentence;
        }
    }
}

/// A paragraph of three to five sentences of a part.
pub fn paragraph(random: &mut Random, part: Part) -> String {
    let count = 3 + random.below(3);
    (0..count).map(|_| sentence(random, part)).collect::<Vec<_>>().join(" ")
}

/// Paragraphs that no corpus has a sentence of.
pub fn held_out(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random::named(seed, "held-out English");
    (0..count).map(|_| paragraph(&mut random, Part::HeldOut)).collect()
}

/// The pattern with a word of its kind in each slot; words have slots of their own.
fn filled(pattern: &str, random: &mut Random) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, slot)) = rest.split_once('{') {
        let (kind, after) = slot.split_once('}').expect("slots are closed; checked by a test");
        let words = SLOTS.iter().find(|row| row.0 == kind).expect("a kind; checked by a test").1;
        text.push_str(before);
        text.push_str(&filled(random.choose(words), random));
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_slot_has_words_and_every_sentence_ends() {
        let words = SLOTS.iter().flat_map(|row| row.1.iter());
        let mut wrong = Vec::new();
        for text in PATTERNS.iter().chain(words) {
            let mut slots = text.split('{').skip(1).map(|rest| rest.split_once('}'));
            let is_known = |slot: Option<(&str, &str)>| {
                slot.is_some_and(|(kind, _)| SLOTS.iter().any(|row| row.0 == kind))
            };
            if !slots.all(is_known) {
                wrong.push(*text);
            }
        }
        wrong.extend(PATTERNS.iter().filter(|pattern| !pattern.ends_with('.')));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn sentences_vary_and_the_parts_are_disjoint() {
        let mut random = Random::new(1);
        let mut draw =
            |part| (0..2000).map(|_| sentence(&mut random, part)).collect::<BTreeSet<_>>();
        let (train, held_out) = (draw(Part::Train), draw(Part::HeldOut));
        assert!(train.len() > 1800 && held_out.len() > 1800, "{} {}", train.len(), held_out.len());
        assert!(train.is_disjoint(&held_out));
    }

    #[test]
    fn held_out_paragraphs_belong_to_their_seed() {
        assert_eq!(held_out(3, 4), held_out(3, 4));
        assert_ne!(held_out(3, 4), held_out(4, 4));
        let sentences = held_out(3, 40).join(" ");
        let is_whole = |text: &str| is_held_out(&format!("{}.", text.trim_end_matches('.')));
        assert!(sentences.split_inclusive(". ").all(|text| is_whole(text.trim_end())));
    }
}
