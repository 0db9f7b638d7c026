//! Depth: whether layers below the last still know the passages, by the logit lens and a linear probe.
//!
//! After each layer the residual stream is read as if it were the last (softmax(head(norm(h_l)))), and
//! the mean log p of the passages is compared with that of the hold-out. What is hidden by the last
//! layers alone shows below them.

use std::ops::Range;

use candle_core::DType;
use serde::Serialize;

use super::compared::relative_auc;
use super::linear_probe::probe_scores;
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
    /// The area by a linear probe on the hidden states; nothing where there are few passages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<LayerProbe>,
}

/// Membership inference by a linear probe on the hidden states after one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerProbe {
    /// Area under the ROC curve over passages that the probe was not fitted to; the interval is a
    /// bootstrap by passage.
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
    let both = |decoder: &Decoder| -> Result<[Vec<Seen>; 2], RunError> {
        Ok([seen(decoder, sets[0], progress)?, seen(decoder, sets[1], progress)?])
    };
    let area = |[own, others]: [&[f64]; 2]| {
        bootstrap([own, others], subject.seed, |[own, others]| auc(own, others))
    };
    let [own, others] = both(subject.models.decoder)?;
    let mut layers = Vec::new();
    for (layer, (own, others)) in own.iter().zip(&others).enumerate() {
        let scores = probe_scores(&own.states, &others.states);
        let probe = scores
            .map(|[own, others]| LayerProbe { auc: area([&own, &others]), references: Vec::new() });
        let auc = area([&own.lens, &others.lens]);
        layers.push(LayerLens { layer, auc, references: Vec::new(), probe });
    }
    for name in subject.references() {
        let [own, others] = both(&subject.reference(name)?)?;
        for (layer, (own, others)) in layers.iter_mut().zip(own.iter().zip(&others)) {
            layer.references.push(auc(&own.lens, &others.lens));
            let scores = probe_scores(&own.states, &others.states);
            if let (Some(probe), Some([own, others])) = (&mut layer.probe, scores) {
                probe.references.push(auc(&own, &others));
            }
        }
    }
    Ok(layers)
}

/// What is read of each passage after one layer.
#[derive(Clone, Default)]
struct Seen {
    /// Mean log p by the lens.
    lens: Vec<f64>,
    /// The mean of the residual stream over the tokens.
    states: Vec<Vec<f64>>,
}

/// Each passage as it is seen after each layer but the last.
fn seen(
    decoder: &Decoder,
    passages: &[Example],
    progress: &dyn Progress,
) -> Result<Vec<Seen>, RunError> {
    let layers = decoder.config().layers - 1;
    let mut found = vec![Seen::default(); layers];
    for group in passages.chunks(TOGETHER) {
        progress.check()?;
        let fed: Vec<&[u32]> = group.iter().map(|it| &it.ids[..it.ids.len() - 1]).collect();
        let batch = Batch::new(&fed);
        let mut recorder = Recorder::of((0..layers).map(|layer| (layer, Site::Residual)));
        decoder.observe(&batch, None, &mut recorder)?;
        for (layer, found) in found.iter_mut().enumerate() {
            let hidden = recorder.take(layer, Site::Residual)?;
            found.lens.extend(read(decoder, &hidden, &batch, group)?);
            for span in &batch.spans {
                let rows = hidden.narrow(0, span.rows.start, span.rows.len())?;
                let mean = rows.mean(0)?.to_dtype(DType::F64)?;
                found.states.push(mean.to_vec1()?);
            }
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
