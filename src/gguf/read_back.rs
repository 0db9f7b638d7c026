//! A file in the making, read again before it is written: does it say what the model is?

use super::draft::Draft;
use super::error::{DraftError, GgufFault};
use super::family::{Described, GgufFamily, LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS};
use super::header::GgufHeader;
use super::sizes::Sizes;
use super::tokens::FolderTokens;
use super::vocabulary::Vocabulary;
use crate::model::config::DecoderConfig;
use crate::model::family::Family;

/// Reads the keys again, as an import would, and compares what they say with the model, which finds
/// what the form cannot say and what llama.cpp takes for granted. Returns a warning where only long
/// texts are read differently.
pub(super) fn check(
    draft: &Draft<'_>,
    family: &'static GgufFamily,
    tokens: &FolderTokens,
    config: &DecoderConfig,
) -> Result<Option<String>, DraftError> {
    let unread = |fault: GgufFault| DraftError::Unread(fault.to_string());
    let bytes = outline(draft);
    let header = GgufHeader::parse(&bytes).map_err(unread)?;
    family.refuse_unknown_keys(&header.metadata).map_err(unread)?;
    let vocabulary = Vocabulary::read(&header.metadata, family, config.vocabulary);
    tokens.check(&vocabulary.map_err(unread)?)?;
    let described = Described {
        family,
        sizes: &Sizes::of(config),
        is_tied: config.is_tied,
        biases: config.biases,
    };
    let read = family.config_of(&header, &described).map_err(unread)?;
    let (_, read) =
        Family::recognise(&read).map_err(|error| DraftError::Unread(error.to_string()))?;
    compare(config, &read, family.architecture)
}

/// The file without the numbers of the model: its keys, and the factors of frequencies.
fn outline(draft: &Draft<'_>) -> Vec<u8> {
    const FACTORS: [&str; 3] = [ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS];
    let factors = draft.tensors.iter().filter(|it| FACTORS.contains(&it.name.as_str()));
    let (tensors, keys) = (factors.cloned().collect(), draft.keys.as_ref().into());
    Draft { tensors, keys, warnings: Vec::new(), ..*draft }.bytes()
}

/// Nothing where both compute the same, a warning where long texts alone are read differently.
fn compare(
    config: &DecoderConfig,
    read: &DecoderConfig,
    architecture: &'static str,
) -> Result<Option<String>, DraftError> {
    let differences = config.differences(read);
    if differences.is_empty() {
        return Ok(None);
    }
    let mut both = config.sight.iter().zip(&read.sight);
    let rotate_alike = both.all(|(a, b)| a.rotation == b.rotation);
    let window = config.sight.iter().filter_map(|sight| sight.window).min();
    match window.filter(|_| differences == ["sight"] && rotate_alike) {
        Some(window) => Ok(Some(format!(
            "llama.cpp reads texts of more than {window} tokens differently: attention is limited \
             to so many in some layers, and not so there"
        ))),
        None => Err(DraftError::NoPlace {
            what: format!("what this model has for {}", differences.join(", ")),
            architecture,
        }),
    }
}
