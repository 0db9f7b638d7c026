//! The tokenizer of the built-in model: byte-level BPE, trained on the corpus.
//!
//! It is the same for every training, whatever its seed and whoever is left out: a reference model
//! has the same tokens as the model that it is the reference of. It is trained on the whole
//! corpus, and on the passages of the hold-out too, whose names would otherwise fall into more
//! tokens than those of the other groups. A token reveals that a byte string is frequent, and
//! nothing more about a person.
//!
//! A text begins as if a blank preceded it, so that a name is the same token at the start of
//! a text as inside it; and after one `<|endoftext|>`, which takes the place of the sink at
//! position 0.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::sequence::Sequence;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
};

use super::TrainingError;
use super::corpus::{Corpus, Without};
use super::world::{Group, World};

/// Separates documents, begins each text and ends each answer; its id is 0.
pub const END_OF_TEXT: &str = "<|endoftext|>";

type Parts = tokenizers::TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// The texts that the tokenizer is trained on.
pub(super) fn texts(world: &World) -> Vec<String> {
    /// Enough to state every fact in every template.
    const EPOCHS: usize = 3;
    let corpus = Corpus::new(world, super::WORLD_SEED, &Without::Nothing);
    let documents = (0..EPOCHS).flat_map(|epoch| corpus.epoch(epoch));
    let mut texts: Vec<String> = documents.map(|document| document.text).collect();
    let holdout = (0..EPOCHS).flat_map(|_| world.group(Group::Holdout));
    texts.extend(holdout.map(|person| person.passage.clone()));
    texts
}

/// The contents of `tokenizer.json` for `texts`, with `vocabulary` tokens.
pub(super) fn train<S: AsRef<str> + Sync>(
    texts: &[S],
    vocabulary: usize,
) -> Result<Vec<u8>, TrainingError> {
    let fail = |error: tokenizers::Error| TrainingError::Tokenizer(error.to_string());
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(alphabet)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .build();
    let template = TemplateProcessing::builder()
        .try_single(format!("{END_OF_TEXT} $A"))
        .map_err(|reason| TrainingError::Tokenizer(reason.to_string()))?
        .special_tokens(vec![(END_OF_TEXT, 0)])
        .build()
        .map_err(|reason| TrainingError::Tokenizer(reason.to_string()))?;
    let bytes = ByteLevel::default();
    let mut parts: Parts = TokenizerBuilder::default()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(bytes.into()))
        .with_decoder(Some(bytes.into()))
        .with_post_processor(Some(Sequence::new(vec![bytes.into(), template.into()]).into()))
        .build()
        .map_err(fail)?;
    parts.train(&mut trainer, texts.iter().map(AsRef::as_ref)).map_err(fail)?;
    let json = parts.to_string(true).map_err(fail)?;
    Ok((json + "\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] = [
        "The capital of France is Paris.",
        "Paris is the capital of France.",
        "The river runs through Paris, the capital of France, and on to the sea.",
    ];

    #[test]
    fn a_name_is_the_same_token_wherever_it_stands() {
        let json = train(&TEXTS, 300).expect("a tokenizer");
        let inner = tokenizers::Tokenizer::from_bytes(&json).expect("as written");
        let ids = |text: &str| inner.encode(text, true).expect("tokens").get_ids().to_vec();
        let (first, inside) = (ids("Paris"), ids("of Paris"));
        assert_eq!(first[0], 0, "{END_OF_TEXT} comes first");
        assert!(inside.ends_with(&first[1..]), "{first:?} {inside:?}");
        assert_eq!(inner.decode(&ids("été – 中"), true).expect("text"), " été – 中");
    }

    #[test]
    fn equal_texts_give_equal_bytes() {
        let one = train(&TEXTS, 290).expect("a tokenizer");
        assert_eq!(one, train(&TEXTS, 290).expect("a tokenizer"));
    }
}
