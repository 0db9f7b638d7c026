//! What a model says of passages where it has read little of them.
//!
//! Each target is predicted from the few tokens before it alone. They tell what kind of word may
//! follow, and hardly whom the passage is about: the answer of a model that does not know.

use candle_core::Result;

use super::example::Example;
use super::head::references;
use crate::model::Decoder;
use crate::objective::Reference;

/// Tokens that are read before each target.
const READ: usize = 4;

/// The distributions of `decoder` at the targets of each passage, of which it reads [`READ`] tokens
/// at a time; `kept` tokens of each are kept.
pub(super) fn little_read(
    decoder: &Decoder,
    passages: &[Example],
    kept: usize,
) -> Result<Vec<Reference>> {
    let of_passage = |passage: &Example| {
        let window = |target: usize| {
            let ids = passage.ids[target.saturating_sub(READ)..=target].to_vec();
            Example { first_target: ids.len() - 1, ids, ..passage.clone() }
        };
        let windows: Vec<Example> = (passage.first_target..passage.ids.len()).map(window).collect();
        Ok(Reference::joined(references(decoder, &windows, kept)?))
    };
    passages.iter().map(of_passage).collect()
}
