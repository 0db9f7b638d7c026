//! The contexts of one fact, run once: everything that no step of the optimisation changes.
//!
//! δ enters at the value of layer l at token t. Layers up to l, and at every layer the tokens
//! before t, are the same in all steps. They are computed here: the key at t, the residual stream
//! after layer l from t on, and the keys and values that later tokens attend to.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::model::{Batch, Decoder, KvCache, Recorder, Site, Unobserved};
use crate::objective::answer::Goal;
use crate::objective::lens::Lens;
use crate::plan::{Ends, Located};

/// The contexts of one fact, from which its optimisation starts.
pub struct EditContexts {
    /// The layer l that is edited.
    pub layer: usize,
    /// Keys at the lookup tokens, [contexts, d_k]; without the essence prompt.
    pub keys: Tensor,
    /// Values at the lookup tokens, [contexts, d_v].
    pub values: Tensor,
    /// Values at the lookup tokens, the essence prompt's last, [sequences, d_v].
    pub(super) lookup_values: Tensor,
    /// Residual stream after layer l, from each lookup token on, [tail rows, hidden].
    pub(super) residual: Tensor,
    /// The tail rows, after what the cache holds of their sequences.
    pub(super) tail: Batch,
    pub(super) cache: KvCache,
    /// Tail rows that predict the target's tokens, context by context.
    pub(super) target_rows: Vec<usize>,
    /// The targets' tokens, context by context.
    pub(super) targets: Vec<u32>,
    /// The goal of each context's targets; without any, all targets are to be predicted.
    pub(super) goals: Vec<(Range<usize>, Goal)>,
    /// Tail rows of the last tokens of targets that should end there.
    pub(super) end_rows: Vec<usize>,
    /// The tokens with which they end.
    pub(super) ends: Option<Arc<Ends>>,
    /// What the residual streams of some targets' rows should not show on the way.
    pub(super) lens: Lens,
}

/// One context, and the target that follows it.
pub struct Asked<'a> {
    /// The context.
    pub context: &'a Located,
    /// The target's tokens.
    pub target: &'a [u32],
    /// Whether the token after the target is read too.
    pub reads_end: bool,
}

impl Asked<'_> {
    /// The tokens that are fed; the last of those that are read is only predicted.
    fn fed(&self) -> Vec<u32> {
        let fed = self.target.len() - usize::from(!self.reads_end);
        [&self.context.ids, &self.target[..fed]].concat()
    }

    /// The row of the context's last token, where the row of its lookup token is `lookup`.
    fn last_row(&self, lookup: usize) -> usize {
        lookup + self.context.ids.len() - 1 - self.context.lookup
    }
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
        let asked = |context| Asked { context, target, reads_end: false };
        let asked: Vec<Asked<'_>> = contexts.iter().map(asked).collect();
        Self::of_each(decoder, layer, &asked, essence)
    }

    /// Runs contexts that have a target each: several facts under one key.
    pub fn of_each(
        decoder: &Decoder,
        layer: usize,
        asked: &[Asked<'_>],
        essence: &Located,
    ) -> Result<Self> {
        let mut sequences: Vec<Vec<u32>> = asked.iter().map(Asked::fed).collect();
        sequences.push(essence.ids.clone());
        let lookups = asked.iter().map(|one| one.context.lookup).chain([essence.lookup]);
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
        let placed = || asked.iter().zip(&tail.spans).map(|(one, span)| (one, span.rows.start));
        let target_rows = placed().flat_map(|(one, lookup)| {
            let first = one.last_row(lookup);
            first..first + one.target.len()
        });
        let target_rows = target_rows.collect();
        let ended = placed().filter(|(one, _)| one.reads_end);
        let end_rows = ended.map(|(one, lookup)| one.last_row(lookup) + one.target.len());
        let end_rows = end_rows.collect();
        let facts = &at_lookup[..asked.len()];
        let values = recorder.take(layer, Site::Value)?;
        Ok(Self {
            layer,
            keys: rows(&recorder.take(layer, Site::Key)?, facts)?,
            values: rows(&values, facts)?,
            lookup_values: rows(&values, &at_lookup)?,
            residual: rows(&residual, &tail_rows)?,
            tail,
            cache,
            target_rows,
            goals: Vec::new(),
            end_rows,
            ends: None,
            lens: Lens::default(),
            targets: asked.iter().flat_map(|one| one.target).copied().collect(),
        })
    }

    /// Tail rows of the lookup tokens: the first of each sequence.
    pub(super) fn lookup_rows(&self) -> Vec<usize> {
        self.tail.spans.iter().map(|span| span.rows.start).collect()
    }

    /// Tail rows whose next token is read: those of the targets, those of their ends, then the last
    /// of the essence prompt.
    pub(super) fn read_rows(&self) -> Vec<usize> {
        let rows = self.target_rows.iter().chain(&self.end_rows).copied();
        rows.chain([self.tail.rows() - 1]).collect()
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
