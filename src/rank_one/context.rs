//! The contexts of one fact, run once: everything that no step of the optimisation changes.
//!
//! δ enters at layer l and token t. Layers up to l, and at every layer the tokens before t,
//! are the same in all steps. They are computed here: the key at t, the residual stream
//! behind layer l from t on, and the keys and values that later tokens attend to.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::erase::Goal;
use crate::model::{Batch, Decoder, KvCache, Recorder, Site, Unobserved};
use crate::plan::Located;

/// What the optimisation of one fact starts from.
pub struct EditContexts {
    /// The layer l that is edited.
    pub layer: usize,
    /// Keys at the lookup tokens, [contexts, d_k]; without the essence prompt.
    pub keys: Tensor,
    /// Values at the lookup tokens, [contexts, d_v].
    pub values: Tensor,
    /// Residual stream behind layer l, from each lookup token on, [tail rows, hidden].
    pub(super) residual: Tensor,
    /// The tail rows, behind what the cache holds of their sequences.
    pub(super) tail: Batch,
    pub(super) cache: KvCache,
    /// Tail rows that predict the target's tokens, context by context.
    pub(super) target_rows: Vec<usize>,
    /// The targets' tokens, context by context.
    pub(super) targets: Vec<u32>,
    /// What each context's targets are there for; without any, all are to be said.
    pub(super) goals: Vec<(Range<usize>, Goal)>,
}

impl EditContexts {
    /// Runs the contexts, each followed by `target`, and the essence prompt "{subject} is a", whose
    /// last token is the one that is read.
    pub fn new(
        decoder: &Decoder,
        layer: usize,
        contexts: &[Located],
        target: &[u32],
        essence: &Located,
    ) -> Result<Self> {
        let asked: Vec<_> = contexts.iter().map(|context| (context, target)).collect();
        Self::of_each(decoder, layer, &asked, essence)
    }

    /// The same where each context has a target of its own: several facts under one key.
    pub fn of_each(
        decoder: &Decoder,
        layer: usize,
        asked: &[(&Located, &[u32])],
        essence: &Located,
    ) -> Result<Self> {
        let fed = |(context, target): &(&Located, &[u32])| {
            [&context.ids, &target[..target.len() - 1]].concat()
        };
        let mut sequences: Vec<Vec<u32>> = asked.iter().map(fed).collect();
        sequences.push(essence.ids.clone());
        let lookups = asked.iter().map(|(context, _)| context.lookup).chain([essence.lookup]);
        let lookups: Vec<usize> = lookups.collect();

        let whole = Batch::filling(&sequences);
        let cache = KvCache::new(decoder.config(), whole.rows(), decoder.device())?;
        let mut recorder =
            Recorder::only([(layer, Site::Key), (layer, Site::Value), (layer, Site::Residual)]);
        decoder.observe(&whole, Some(&cache), &mut recorder)?;
        let residual = recorder.take(layer, Site::Residual)?;

        let starts: Vec<usize> = whole.spans.iter().map(|span| span.rows.start).collect();
        let at_lookup: Vec<usize> = starts.iter().zip(&lookups).map(|(s, l)| s + l).collect();
        fill_cache(decoder, layer, &whole, &lookups, &residual, &cache)?;

        let mut tail = Batch::default();
        let mut tail_rows = Vec::new();
        for ((ids, start), lookup) in sequences.iter().zip(&starts).zip(&lookups) {
            tail.push(&ids[*lookup..], *start..start + lookup, None);
            tail_rows.extend(start + lookup..start + ids.len());
        }
        let target_rows = asked.iter().zip(&tail.spans).flat_map(|((context, target), span)| {
            let first = span.rows.start + context.ids.len() - 1 - context.lookup;
            first..first + target.len()
        });
        let target_rows = target_rows.collect();
        let facts = &at_lookup[..asked.len()];
        Ok(Self {
            layer,
            keys: rows(&recorder.take(layer, Site::Key)?, facts)?,
            values: rows(&recorder.take(layer, Site::Value)?, facts)?,
            residual: rows(&residual, &tail_rows)?,
            tail,
            cache,
            target_rows,
            goals: Vec::new(),
            targets: asked.iter().flat_map(|(_, target)| *target).copied().collect(),
        })
    }

    /// Tail rows of the lookup tokens: the first of each sequence.
    pub(super) fn lookup_rows(&self) -> Vec<usize> {
        self.tail.spans.iter().map(|span| span.rows.start).collect()
    }

    /// Tail rows whose next token is read: those of the targets, then the last of the essence prompt.
    pub(super) fn read_rows(&self) -> Vec<usize> {
        self.target_rows.iter().copied().chain([self.tail.rows() - 1]).collect()
    }
}

/// Keys and values of the rows before each lookup token, in the layers above `layer`.
fn fill_cache(
    decoder: &Decoder,
    layer: usize,
    whole: &Batch,
    lookups: &[usize],
    residual: &Tensor,
    cache: &KvCache,
) -> Result<()> {
    let mut heads = Batch::default();
    let mut head_rows = Vec::new();
    for (span, lookup) in whole.spans.iter().zip(lookups).filter(|(_, lookup)| **lookup > 0) {
        let rows = span.rows.start..span.rows.start + lookup;
        heads.push(&whole.ids[rows.clone()], 0..0, Some(rows.start));
        head_rows.extend(rows);
    }
    if head_rows.is_empty() {
        return Ok(());
    }
    let above = layer + 1..decoder.config().layers;
    let hidden = rows(residual, &head_rows)?;
    decoder.run_layers(above, hidden, &heads, Some(cache), &mut Unobserved)?;
    Ok(())
}

fn rows(matrix: &Tensor, chosen: &[usize]) -> Result<Tensor> {
    let chosen: Vec<u32> = chosen.iter().map(|row| *row as u32).collect();
    matrix.index_select(&Tensor::new(chosen, matrix.device())?, 0)
}
