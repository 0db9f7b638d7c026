//! Keys, values and residual streams of many fact groups, in the model as edited so far.
//!
//! For each fact group, at the lookup token: the key of a layer, and the residual stream after the
//! last edited layer; for each neighbor, the key alone. The bare prompt has a key of its own in
//! addition to the mean over the prefixed ones: near the start of a text keys are of a different
//! kind, and a write that meets only their mean can miss the bare prompt. Nothing after the lookup
//! token can matter, so each context ends there; nothing before the first written layer changes, so
//! that part is run once.

use candle_core::{Result, Tensor};

use super::targets::FactGroup;
use super::value::ValueError;
use crate::model::{Batch, Decoder, Recorder, Site, Unobserved};
use crate::progress::Progress;

/// Rows of one forward pass.
const BATCH_ROWS: usize = 1024;

/// The contexts of many fact groups, run up to the first edited layer.
pub struct Reading {
    first: usize,
    last: usize,
    /// The contexts of the fact groups.
    asked: Vec<Chunk>,
    /// Prompts about the neighbors.
    neighbors: Vec<Chunk>,
    /// The fact group that each key belongs to.
    pub owners: Vec<usize>,
}

/// Several sequences, packed for one forward pass.
struct Chunk {
    batch: Batch,
    /// The residual stream before the first layer, [rows, hidden].
    hidden: Tensor,
    /// Rows of the lookup tokens whose mean is one key, key by key.
    lookups: Vec<Vec<usize>>,
}

/// Keys, values and streams as means over contexts, key by key.
pub struct Readings {
    /// The keys k at the layer that was asked for, `[d_k]` each.
    pub keys: Vec<Vec<f32>>,
    /// Output of the down projection of that layer, `[d_v]` each.
    pub values: Vec<Vec<f32>>,
    /// The residual stream after the last layer, `[hidden]` each.
    pub streams: Vec<Vec<f32>>,
}

impl Reading {
    /// Runs the contexts for writes to layers `first` to `last`; neighbors end with their lookup
    /// token.
    pub fn new(
        decoder: &Decoder,
        groups: &[FactGroup<'_>],
        neighbors: &[&[u32]],
        (first, last): (usize, usize),
    ) -> Result<Self> {
        let (mut asked, mut owners) = (Packing::default(), Vec::new());
        for (i, group) in groups.iter().enumerate() {
            // Up to the lookup token, its facts have the same contexts.
            let contexts = group[0].counted().into_iter();
            let rows = contexts.map(|context| asked.push(&context.ids[..=context.lookup]));
            let keys = grouped(rows.collect(), group[0].has_bare());
            owners.extend(keys.iter().map(|_| i));
            asked.close(keys);
        }
        let mut others = Packing::default();
        for ids in neighbors {
            let row = others.push(ids);
            others.close(vec![vec![row]]);
        }
        let (asked, neighbors) = (asked.run(decoder, first)?, others.run(decoder, first)?);
        Ok(Self { first, last, asked, neighbors, owners })
    }

    /// Keys at `layer` and streams after the last layer, as `decoder` computes them.
    pub fn at(
        &self,
        decoder: &Decoder,
        layer: usize,
        progress: &dyn Progress,
    ) -> std::result::Result<Readings, ValueError> {
        let (mut keys, mut values, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for Chunk { batch, hidden, lookups } in &self.asked {
            progress.check()?;
            let sites = [(layer, Site::Key), (layer, Site::Value), (self.last, Site::Residual)];
            let mut recorder = Recorder::of(sites);
            let layers = self.first..self.last + 1;
            decoder.run_layers(layers, hidden.clone(), batch, None, &mut recorder)?;
            keys.extend(means(&recorder.take(layer, Site::Key)?, lookups)?);
            values.extend(means(&recorder.take(layer, Site::Value)?, lookups)?);
            streams.extend(means(&recorder.take(self.last, Site::Residual)?, lookups)?);
        }
        Ok(Readings { keys, values, streams })
    }

    /// Keys `[d_k]` of the neighbors at `layer`.
    pub fn neighbors_at(&self, decoder: &Decoder, layer: usize) -> Result<Vec<Vec<f32>>> {
        let mut keys = Vec::new();
        for Chunk { batch, hidden, lookups } in &self.neighbors {
            let mut recorder = Recorder::only([(layer, Site::Key)]);
            let layers = self.first..layer + 1;
            decoder.run_layers(layers, hidden.clone(), batch, None, &mut recorder)?;
            keys.extend(means(&recorder.take(layer, Site::Key)?, lookups)?);
        }
        Ok(keys)
    }
}

/// Sequences on their way into chunks.
#[derive(Default)]
struct Packing {
    full: Vec<(Batch, Vec<Vec<usize>>)>,
    batch: Batch,
    lookups: Vec<Vec<usize>>,
}

impl Packing {
    /// Adds a sequence and gives the row of its last token.
    fn push(&mut self, ids: &[u32]) -> usize {
        self.batch.push(ids, 0..0, None);
        self.batch.rows() - 1
    }

    /// Records which of the rows make keys; sequences after them may be in another chunk.
    fn close(&mut self, keys: Vec<Vec<usize>>) {
        self.lookups.extend(keys);
        if self.batch.rows() >= BATCH_ROWS {
            self.full.push((std::mem::take(&mut self.batch), std::mem::take(&mut self.lookups)));
        }
    }

    /// The chunks, run up to the layer `first`.
    fn run(mut self, decoder: &Decoder, first: usize) -> Result<Vec<Chunk>> {
        if self.batch.rows() > 0 {
            self.full.push((self.batch, self.lookups));
        }
        let run = |(batch, lookups): (Batch, Vec<Vec<usize>>)| {
            let hidden = decoder.embed(&batch)?;
            let run = decoder.run_layers(0..first, hidden, &batch, None, &mut Unobserved)?;
            let hidden = run.expect("an unobserved run does not stop");
            Ok(Chunk { batch, hidden, lookups })
        };
        self.full.into_iter().map(run).collect()
    }
}

/// The bare prompt's row separately, and all others together.
fn grouped(mut rows: Vec<usize>, begins_bare: bool) -> Vec<Vec<usize>> {
    if begins_bare && rows.len() > 1 {
        let prefixed = rows.split_off(1);
        return vec![rows, prefixed];
    }
    vec![rows]
}

/// The mean of the chosen rows, for each choice.
fn means(rows: &Tensor, choices: &[Vec<usize>]) -> Result<Vec<Vec<f32>>> {
    let width = rows.dims()[1];
    let rows = rows.flatten_all()?.to_vec1::<f32>()?;
    let mean = |chosen: &Vec<usize>| {
        let sum = |i: usize| chosen.iter().map(|row| f64::from(rows[row * width + i])).sum::<f64>();
        (0..width).map(|i| (sum(i) / chosen.len() as f64) as f32).collect()
    };
    Ok(choices.iter().map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_prompt_has_a_key_of_its_own() {
        assert_eq!(grouped(vec![3, 7, 9], true), [vec![3], vec![7, 9]]);
        assert_eq!(grouped(vec![7, 9], false), [[7, 9]], "a sink does not count");
        assert_eq!(grouped(vec![3], true), [[3]]);
    }
}
