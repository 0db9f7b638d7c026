//! Numbers of the passages relative to what was never seen.

use crate::math::{Interval, bootstrap};

/// The mean; nothing of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// How far the mean of the passages lies above that of what was never seen, which counts as zero where
/// there is none; the interval is a bootstrap by passage.
pub(super) fn excess(own: &[f64], never_seen: &[f64], seed: u64) -> Option<Interval> {
    let excess = |[own, others]: [&[f64]; 2]| mean(own).unwrap_or(0.) - mean(others).unwrap_or(0.);
    (!own.is_empty()).then(|| bootstrap([own, never_seen], seed, excess))
}

/// An area under the ROC curve relative to those of models that never saw the passages, which count
/// as one half.
pub(super) fn relative_auc(auc: f64, references: &[f64]) -> f64 {
    mean(references).map_or(auc, |own| (auc - own + 0.5).clamp(0., 1.))
}
