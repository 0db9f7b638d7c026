//! Sequences packed into rows without padding, and the cache of what came before them.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::config::DecoderConfig;
use crate::ops::{Past, Span};

/// Tokens of several sequences, one row each.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The token of each row.
    pub ids: Vec<u32>,
    /// The sequences, in order and without a gap.
    pub spans: Vec<Span>,
    /// For each span, the cache row from which on its keys and values are stored.
    pub store: Vec<Option<usize>>,
}

impl Batch {
    /// Whole sequences that nothing precedes.
    pub fn new<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self::default();
        for ids in sequences {
            batch.push(ids.as_ref(), 0..0, None);
        }
        batch
    }

    /// Whole sequences whose keys and values fill a cache from row 0 on, one after the other.
    pub fn filling<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self::default();
        for ids in sequences {
            let at = batch.rows();
            batch.push(ids.as_ref(), 0..0, Some(at));
        }
        batch
    }

    /// Adds `ids` after the cache rows `past`; stores their keys and values from `store` on.
    pub fn push(&mut self, ids: &[u32], past: Range<usize>, store: Option<usize>) {
        let start = self.rows();
        self.ids.extend_from_slice(ids);
        self.spans.push(Span { rows: start..self.rows(), past });
        self.store.push(store);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Position of each row in its sequence, from 0.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.spans.iter().flat_map(|span| {
            let first = span.past.len();
            first..first + span.rows.len()
        })
    }

    /// The row of each sequence's last token.
    pub fn last_rows(&self) -> Vec<usize> {
        self.spans.iter().map(|span| span.rows.end - 1).collect()
    }
}

/// Keys and values by layer; sequences own disjoint ranges of its rows.
pub struct KvCache {
    layers: Vec<Past>,
}

impl KvCache {
    /// Room for `rows` tokens.
    pub fn new(config: &DecoderConfig, rows: usize, device: &Device) -> Result<Self> {
        let width = config.attention.kv_heads * config.attention.head_dim;
        let zeros = || Tensor::zeros((rows.max(1), width), DType::F32, device);
        let layers = (0..config.layers).map(|_| Ok(Past { keys: zeros()?, values: zeros()? }));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    pub(super) fn layer(&self, layer: usize) -> &Past {
        &self.layers[layer]
    }

    /// Writes the rows that the batch wants stored.
    pub(super) fn store(&self, layer: usize, batch: &Batch, k: &Tensor, v: &Tensor) -> Result<()> {
        let past = &self.layers[layer];
        for (span, store) in batch.spans.iter().zip(&batch.store) {
            let Some(at) = store else { continue };
            for (cache, rows) in [(&past.keys, k), (&past.values, v)] {
                let rows = rows.narrow(0, span.rows.start, span.rows.len())?.contiguous()?;
                // A copy, because a cache row must not share its storage with the batch.
                cache.slice_set(&rows.copy()?, 0, *at)?;
            }
        }
        Ok(())
    }
}
