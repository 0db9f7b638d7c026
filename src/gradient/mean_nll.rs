//! Means of the NLL: over the tokens of each sequence, then over sequences.

/// Mean NLL of each sequence, nats a token.
pub(super) fn means(nll: &[Vec<f32>]) -> Vec<f64> {
    let mean = |nll: &Vec<f32>| nll.iter().map(|n| f64::from(*n)).sum::<f64>() / nll.len() as f64;
    nll.iter().map(mean).collect()
}

/// Mean over sequences.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
