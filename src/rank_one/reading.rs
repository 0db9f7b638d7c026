//! What a layer gives for many facts, in the model as it is by now.
//!
//! For each fact, over its contexts: the mean key of a layer at the lookup token, and the mean
//! residual stream behind the last layer that is written. Nothing behind the lookup token can
//! matter, so each context ends there; nothing in front of the first written layer changes, so
//! that part is run once.

use candle_core::{Result, Tensor};

use crate::model::{Batch, Decoder, Recorder, Site, Unobserved};
use crate::plan::PlannedEdit;
use crate::progress::Progress;
use crate::rank_one::value::ValueError;

/// Rows of one forward pass.
const BATCH_ROWS: usize = 1024;

/// The contexts of many facts, run up to the first layer that is written.
pub struct Reading {
    first: usize,
    last: usize,
    chunks: Vec<Chunk>,
}

/// Some facts, packed.
struct Chunk {
    batch: Batch,
    /// The residual stream in front of the first layer, [rows, hidden].
    hidden: Tensor,
    /// Rows of the lookup tokens, fact by fact.
    lookups: Vec<Vec<usize>>,
}

/// Means over contexts, fact by fact.
pub struct Readings {
    /// k at the layer that was asked for, `[d_k]` each.
    pub keys: Vec<Vec<f32>>,
    /// The residual stream behind the last layer, `[hidden]` each.
    pub streams: Vec<Vec<f32>>,
}

impl Reading {
    /// For writes to layers `first` to `last`.
    pub fn new(
        decoder: &Decoder,
        edits: &[PlannedEdit],
        (first, last): (usize, usize),
    ) -> Result<Self> {
        let (mut chunks, mut batch, mut lookups) = (Vec::new(), Batch::default(), Vec::new());
        for (i, edit) in edits.iter().enumerate() {
            let rows = edit.counted().into_iter().map(|context| {
                let ids = &context.ids[..=context.lookup];
                batch.push(ids, 0..0, None);
                batch.rows() - 1
            });
            lookups.push(rows.collect());
            if batch.rows() >= BATCH_ROWS || i + 1 == edits.len() {
                let (batch, lookups) = (std::mem::take(&mut batch), std::mem::take(&mut lookups));
                let hidden = decoder.embed(&batch)?;
                let run = decoder.run_layers(0..first, hidden, &batch, None, &mut Unobserved)?;
                let hidden = run.expect("an unobserved run does not stop");
                chunks.push(Chunk { batch, hidden, lookups });
            }
        }
        Ok(Self { first, last, chunks })
    }

    /// Keys at `layer` and streams behind the last layer, as `decoder` computes them.
    pub fn at(
        &self,
        decoder: &Decoder,
        layer: usize,
        progress: &dyn Progress,
    ) -> std::result::Result<Readings, ValueError> {
        let (mut keys, mut streams) = (Vec::new(), Vec::new());
        for Chunk { batch, hidden, lookups } in &self.chunks {
            progress.check()?;
            let mut recorder = Recorder::of([(layer, Site::Key), (self.last, Site::Residual)]);
            let layers = self.first..self.last + 1;
            decoder.run_layers(layers, hidden.clone(), batch, None, &mut recorder)?;
            keys.extend(means(&recorder.take(layer, Site::Key)?, lookups)?);
            streams.extend(means(&recorder.take(self.last, Site::Residual)?, lookups)?);
        }
        Ok(Readings { keys, streams })
    }
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
