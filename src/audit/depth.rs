//! Depth: whether layers below the last still know the passages, by the logit lens.
//!
//! After each layer the residual stream is read as if it were the last (softmax(head(norm(h_l)))), and
//! the mean log p of the passages is compared with that of the hold-out. What is hidden by the last
//! layers alone shows below them.

use std::ops::Range;

use serde::Serialize;

use super::compared::relative_auc;
use super::subject::Subject;
use crate::gradient::Example;
use crate::math::{Interval, auc, bootstrap};
use crate::model::{Batch, Decoder, Recorder, Site};
use crate::ops::token_nll;
use crate::progress::Progress;
use crate::run::RunError;

/// Passages that one forward pass takes.
const TOGETHER: usize = 4;
/// Rows of logits that are held at once.
const HEAD_ROWS: usize = 128;

/// Membership inference by the logit lens after one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerLens {
    /// The layer, from 0.
    pub layer: usize,
    /// Area under the ROC curve of the mean log p; the interval is a bootstrap by passage.
    pub auc: Interval,
    /// The same under each model that never saw the passages.
    pub references: Vec<f64>,
}

impl LayerLens {
    /// The area relative to models that never saw the passages, whose own counts as one half.
    pub fn relative_auc(&self) -> f64 {
        relative_auc(self.auc.mean, &self.references)
    }
}

/// The lens after every layer but the last, whose output is what the model says.
pub(super) fn depth(subject: &Subject<'_>) -> Result<Vec<LayerLens>, RunError> {
    let sets = [subject.passages(), subject.holdout()];
    if sets.iter().any(|set| set.is_empty()) {
        return Ok(Vec::new());
    }
    let progress = subject.tools.progress;
    progress.phase("depth", None);
    let both = |decoder: &Decoder| -> Result<[Vec<Vec<f64>>; 2], RunError> {
        Ok([lens(decoder, sets[0], progress)?, lens(decoder, sets[1], progress)?])
    };
    let [own, others] = both(subject.models.decoder)?;
    let mut layers: Vec<LayerLens> = own
        .iter()
        .zip(&others)
        .enumerate()
        .map(|(layer, (own, others))| LayerLens {
            layer,
            auc: bootstrap([own.as_slice(), others], subject.seed, |[a, b]| auc(a, b)),
            references: Vec::new(),
        })
        .collect();
    for name in subject.references() {
        let [members, outsiders] = both(&subject.reference(name)?)?;
        for (layer, (a, b)) in layers.iter_mut().zip(members.iter().zip(&outsiders)) {
            layer.references.push(auc(a, b));
        }
    }
    Ok(layers)
}

/// Mean log p of each passage by the lens, layer by layer.
fn lens(
    decoder: &Decoder,
    passages: &[Example],
    progress: &dyn Progress,
) -> Result<Vec<Vec<f64>>, RunError> {
    let layers = decoder.config().layers - 1;
    let mut found = vec![Vec::with_capacity(passages.len()); layers];
    for group in passages.chunks(TOGETHER) {
        progress.check()?;
        let fed: Vec<&[u32]> = group.iter().map(|it| &it.ids[..it.ids.len() - 1]).collect();
        let batch = Batch::new(&fed);
        let mut recorder = Recorder::of((0..layers).map(|layer| (layer, Site::Residual)));
        decoder.observe(&batch, None, &mut recorder)?;
        for (layer, found) in found.iter_mut().enumerate() {
            let hidden = recorder.take(layer, Site::Residual);
            let read = hidden.and_then(|hidden| read(decoder, &hidden, &batch, group));
            found.extend(read?);
        }
    }
    Ok(found)
}

/// Mean log p of each passage of a batch, from the residual stream `hidden`.
fn read(
    decoder: &Decoder,
    hidden: &candle_core::Tensor,
    batch: &Batch,
    group: &[Example],
) -> candle_core::Result<Vec<f64>> {
    let one = |(example, rows): (&Example, Range<usize>)| {
        let rows: Vec<usize> = (rows.start + example.first_target - 1..rows.end).collect();
        let targets = &example.ids[example.first_target..];
        let mut sum = 0.;
        for (rows, targets) in rows.chunks(HEAD_ROWS).zip(targets.chunks(HEAD_ROWS)) {
            let nll = token_nll(&decoder.logits(hidden, rows)?, targets)?.to_vec1::<f32>()?;
            sum += nll.iter().map(|nll| f64::from(*nll)).sum::<f64>();
        }
        Ok(-sum / targets.len() as f64)
    };
    group.iter().zip(batch.spans.iter().map(|span| span.rows.clone())).map(one).collect()
}
