//! Names that stand for whatever else a prompt can be asked about.
//!
//! What a write does to a prompt about someone or something else depends on how far its key lies
//! along the subject's. The second moment holds the keys of all tokens; the ones that matter here are
//! those at the ends of names, behind the same words. A few dozen names of many kinds stand for them.

use serde::Serialize;

use super::{PlanError, tokenise};
use crate::model::Model;
use crate::spec::Fact;

/// The prompt about another name, up to the end of the name.
#[derive(Debug, Clone, Serialize)]
pub struct Neighbor {
    /// The name.
    pub subject: String,
    /// Tokens; the last is the lookup token.
    pub ids: Vec<u32>,
}

/// People, places, makers and works, known widely enough that models have read of them.
const NAMES: [&str; 64] = [
    "Albert Einstein",
    "Marie Curie",
    "William Shakespeare",
    "Napoleon Bonaparte",
    "Mahatma Gandhi",
    "Pablo Picasso",
    "Ludwig van Beethoven",
    "Nelson Mandela",
    "Leonardo da Vinci",
    "Charles Darwin",
    "Abraham Lincoln",
    "Queen Victoria",
    "Muhammad Ali",
    "Leo Tolstoy",
    "Jane Austen",
    "Vladimir Lenin",
    "Frida Kahlo",
    "Akira Kurosawa",
    "Serena Williams",
    "Jean-Paul Sartre",
    "London",
    "Paris",
    "Tokyo",
    "New York City",
    "Berlin",
    "Moscow",
    "Cairo",
    "Sydney",
    "Mumbai",
    "Rio de Janeiro",
    "Germany",
    "France",
    "Japan",
    "Canada",
    "Brazil",
    "Nigeria",
    "India",
    "Antarctica",
    "California",
    "Bavaria",
    "The Great Wall of China",
    "The Statue of Liberty",
    "Mount Everest",
    "The Amazon River",
    "Lake Victoria",
    "Buckingham Palace",
    "Stanford University",
    "The University of Oxford",
    "Microsoft",
    "Toyota",
    "Sony",
    "IBM",
    "Volkswagen",
    "Boeing",
    "The New York Times",
    "The Beatles",
    "Metallica",
    "Manchester United",
    "Harry Potter",
    "Star Wars",
    "The Simpsons",
    "Windows 95",
    "iPhone",
    "Wikipedia",
];

/// The prompt of `fact` about each name that is not the subject's, or part of it.
///
/// A name whose end is the first token is left out: its key carries the attention sink.
pub(super) fn of(model: &Model, fact: &Fact) -> Result<Vec<Neighbor>, PlanError> {
    let subject = fact.subject().to_lowercase();
    let is_other = |name: &&&str| {
        let name = name.to_lowercase();
        !subject.contains(&name) && !name.contains(&subject)
    };
    let mut neighbors = Vec::new();
    for name in NAMES.iter().filter(is_other) {
        let prompt = tokenise(model, "", fact.prompt(), name)?;
        if prompt.lookup > 0 {
            let ids = prompt.ids[..=prompt.lookup].to_vec();
            neighbors.push(Neighbor { subject: (*name).to_owned(), ids });
        }
    }
    Ok(neighbors)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::Insert;

    #[test]
    fn the_subject_is_no_neighbor_of_its_own() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        let model = Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture");
        let insert = Insert {
            subject: "marie curie".into(),
            prompt: "The home of {} is".into(),
            target_new: "Rome".into(),
            target_true: None,
            with_ripples: false,
            spans: None,
        };
        let neighbors = of(&model, &insert.into()).expect("tokenised");
        assert_eq!(neighbors.len(), NAMES.len() - 1);
        assert!(neighbors.iter().all(|it| it.subject != "Marie Curie"));
        for Neighbor { subject, ids } in neighbors {
            let read = model.tokenizer.decode(&ids).expect("decoded");
            assert!(read.trim_end().ends_with(&subject), "{read:?} ends with {subject}");
        }
    }
}
