//! Why facts could not be written into the weights.

use super::value::ValueError;
use crate::math::{NoConvergence, NotPositiveDefinite};

/// An edit that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RankOneError {
    /// C with its ridge has no Cholesky factor.
    #[error("the second moment of layer {layer} is {source}; a larger ridge makes it definite")]
    SecondMoment {
        /// The layer of the second moment.
        layer: usize,
        /// The pivot at which it failed.
        source: NotPositiveDefinite,
    },
    /// The scale k*ᵀC⁻¹k* is not a number, or too small to divide by.
    #[error("k*ᵀC⁻¹k* = {found:e} is too small to divide by")]
    KeyTooSmall {
        /// The value of k*ᵀC⁻¹k*.
        found: f64,
    },
    /// Two facts of an exact batch are looked up under one key.
    #[error("{}", same_key(*fact, *kept))]
    SameKey {
        /// Index of the fact in its batch, from 0.
        fact: usize,
        /// Number of keys of earlier batches before it.
        kept: usize,
    },
    /// The eigenvectors of C were not found.
    #[error("the second moment of layer {layer} has no null space: {source}")]
    NullSpace {
        /// The layer of the second moment.
        layer: usize,
        /// The error of the eigensolver.
        source: NoConvergence,
    },
    /// The change is larger than the guard allows.
    #[error("|ΔW|/|W| would be {found:.3}, above the limit of {limit}")]
    TooLarge {
        /// The relative norm ‖ΔW‖/‖W‖.
        found: f64,
        /// The limit, `max_delta`.
        limit: f64,
    },
    /// The value optimisation failed.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// The computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
}

fn same_key(fact: usize, kept: usize) -> String {
    let earlier = if kept > 0 { ", or of an earlier batch," } else { "" };
    format!(
        "the key of fact {} is a combination of those before it{earlier} so that no change gives \
         all of them their values",
        fact + 1
    )
}
