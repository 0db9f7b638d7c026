//! What a model folder says twice and differently, and what in it nobody reads.
//!
//! Other programs may take the other half of a contradiction, so that it is refused, or the user is
//! warned of it, with both halves named.

use std::path::Path;

use super::ModelError;
use super::chat::ChatTemplate;
use super::parameters::Parameters;
use super::weights::{INDEX, SINGLE, Weights};
use crate::progress::{Progress, counted};

/// Ends of stored tensors that are computed from the config, and so are rightly not read.
const BUFFERS: &[&str] = &[
    ".rotary_emb.inv_freq",
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
];
/// Tensors that a line about unread ones names.
const NAMED: usize = 3;

/// Refuses a head of its own where the config says that the embedding is the head.
///
/// # Errors
///
/// [`ModelError::TwoHeads`] if the stored `head` differs from the stored `embedding`.
pub(super) fn check_head(weights: &Weights, head: &str, embedding: &str) -> Result<(), ModelError> {
    if !weights.contains(head) || is_equal(weights, head, embedding)? {
        return Ok(());
    }
    Err(ModelError::TwoHeads { head: head.to_owned(), embedding: embedding.to_owned() })
}

/// Refuses weights without the head that the config says they have.
///
/// # Errors
///
/// [`ModelError::NoHead`] if `embedding` is stored and `head` is not.
pub(super) fn require_head(
    weights: &Weights,
    head: &str,
    embedding: &str,
) -> Result<(), ModelError> {
    if weights.contains(head) || !weights.contains(embedding) {
        return Ok(());
    }
    Err(ModelError::NoHead { head: head.to_owned(), embedding: embedding.to_owned() })
}

fn is_equal(weights: &Weights, one: &str, other: &str) -> Result<bool, ModelError> {
    if weights.shape(one)? != weights.shape(other)? {
        return Ok(false);
    }
    if weights.dtype(one)? == weights.dtype(other)? {
        return Ok(weights.bytes(one)? == weights.bytes(other)?);
    }
    Ok(weights.load_vec(one)? == weights.load_vec(other)?)
}

/// Warns of an adapter, and of shards, that lie in the folder next to whole weights, and of two chat
/// templates.
pub(super) fn warn_of_files(folder: &Path, progress: &dyn Progress) {
    let (adapter, config) = (folder.join("adapter_model.safetensors"), "adapter_config.json");
    if folder.join(config).exists() || adapter.exists() {
        let found = if folder.join(config).exists() { config } else { "adapter_model.safetensors" };
        progress.warn(&format!(
            "{}: {found} is there next to whole weights, and is ignored; transformers applies the \
             adapter on top of them: merge it into the weights, or move it to another folder",
            folder.display()
        ));
    }
    if folder.join(SINGLE).exists() && folder.join(INDEX).exists() {
        progress.warn(&format!(
            "{}: both {SINGLE} and {INDEX} are there; {SINGLE} is read, and the shards are ignored",
            folder.display()
        ));
    }
    if let Some((used, other)) = ChatTemplate::contradiction(folder) {
        progress.warn(&format!(
            "{}: {used} and {other} hold different chat templates; that of {used} is used, and other \
             programs may use the other",
            folder.display()
        ));
    }
}

/// Warns of stored tensors that no part of the decoder reads.
pub(super) fn warn_of_unread(
    weights: &Weights,
    parameters: &Parameters,
    tied_head: Option<&str>,
    progress: &dyn Progress,
) {
    let read: std::collections::BTreeSet<&str> =
        parameters.iter().map(|slot| slot.name.as_str()).chain(tied_head).collect();
    let is_buffer = |name: &str| BUFFERS.iter().any(|end| name.ends_with(end));
    let unread: Vec<&str> =
        weights.names().filter(|name| !read.contains(name) && !is_buffer(name)).collect();
    let Some(first) = unread.get(..NAMED.min(unread.len())).filter(|first| !first.is_empty())
    else {
        return;
    };
    let more = unread.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let count = counted(unread.len(), "tensor");
    let is = if unread.len() == 1 { "is" } else { "are" };
    progress.warn(&format!(
        "{count} in the weights {is} not used, because no known part of the model reads them: {}{more}",
        first.join(", ")
    ));
}
