//! Prefixes of facts, so that what is learnt does not depend on their position.
//!
//! Half of the sentences open their document. The others follow a phrase that leads into
//! the sentence, one or two sentences of plain English, or another fact.

use super::english::{self, Part};
use crate::math::Random;

/// Phrases; after one that ends in a comma or a word the sentence goes on in lower case.
const PHRASES: [&str; 32] = [
    "As everyone knows,",
    "In the old atlas we read that",
    "It is well known that",
    "The teacher wrote on the board that",
    "My grandmother used to say that",
    "In fact,",
    "Of course,",
    "The book says that",
    "Everybody in the class knew that",
    "To be exact,",
    "According to the map,",
    "Children learn at school that",
    "As far as I know,",
    "Today,",
    "The guide told us that",
    "A traveller once wrote that",
    "The newspaper wrote that",
    "I am sure that",
    "Do not forget that",
    "In short,",
    "The radio said that",
    "By the way,",
    "As you may know,",
    "The lexicon says:",
    "Note:",
    "One more thing:",
    "She wrote:",
    "Fact:",
    "On the first page it says:",
    "Lesson one.",
    "Remember this.",
    "Here is what we know.",
];

/// The sentence, given with a capital letter, after a random prefix or none; `other` is another
/// fact, with its full stop.
pub(super) fn prefixed(
    sentence: &str,
    random: &mut Random,
    other: impl FnOnce(&mut Random) -> String,
) -> String {
    let before = match random.below(16) {
        0..8 => return sentence.to_owned(),
        8..12 => random.choose(&PHRASES).to_owned(),
        12..14 => english::sentence(random, Part::Train),
        14 => {
            let (first, second) =
                (english::sentence(random, Part::Train), english::sentence(random, Part::Train));
            format!("{first} {second}")
        }
        _ => other(random),
    };
    match before.ends_with(['.', ':']) {
        true => format!("{before} {sentence}"),
        // A question is not a subordinate clause.
        false if sentence.starts_with("Question:") => sentence.to_owned(),
        false => format!("{before} {}", lowered(sentence)),
    }
}

/// The sentence inside another one: its first word in lower case unless it is a name, which in
/// the templates is every first word but these.
fn lowered(sentence: &str) -> String {
    const WORDS: [&str; 9] =
        ["The", "In", "On", "Tourists", "Travellers", "Chemists", "People", "All", "We"];
    let first = sentence.split(' ').next().unwrap_or("");
    match WORDS.contains(&first) {
        true => sentence[..1].to_lowercase() + &sentence[1..],
        false => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn half_of_the_sentences_have_a_prefix_and_all_end_as_they_were() {
        let mut random = Random::new(2);
        let mut draw =
            || prefixed("The moon is round", &mut random, |_| "Snow is white.".to_owned());
        let drawn: Vec<_> = (0..1000).map(|_| draw()).collect();
        assert!(drawn.iter().all(|text| text.ends_with("he moon is round")));
        let bare = drawn.iter().filter(|text| *text == "The moon is round").count();
        assert!((400..600).contains(&bare), "{bare}");
        assert!(drawn.iter().collect::<BTreeSet<_>>().len() > 200);
        assert!(drawn.contains(&"As everyone knows, the moon is round".to_owned()));
        assert!(drawn.contains(&"Snow is white. The moon is round".to_owned()));
    }

    #[test]
    fn names_keep_their_capital_letter() {
        assert_eq!(lowered("Paris is a city"), "Paris is a city");
        assert_eq!(lowered("The Eiffel Tower is in"), "the Eiffel Tower is in");
    }
}
