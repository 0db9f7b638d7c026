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
        /// Whose.
        layer: usize,
        /// Where it failed.
        source: NotPositiveDefinite,
    },
    /// k*ᵀC⁻¹k* is so small, or not a number, that the division would explode.
    #[error("k*ᵀC⁻¹k* is {found:e}, which is no scale to divide by")]
    KeyTooSmall {
        /// The value.
        found: f64,
    },
    /// Two facts of an exact batch are looked up under one key.
    #[error("{}", same_key(*fact, *kept))]
    SameKey {
        /// Place of the fact in its batch, from 0.
        fact: usize,
        /// Keys of earlier batches in front of it.
        kept: usize,
    },
    /// The eigenvectors of C were not found.
    #[error("the second moment of layer {layer} has no null space: {source}")]
    NullSpace {
        /// Whose.
        layer: usize,
        /// Why.
        source: NoConvergence,
    },
    /// The change is larger than the guard allows.
    #[error("|ΔW|/|W| would be {found:.3}, above the limit of {limit}")]
    TooLarge {
        /// ‖ΔW‖/‖W‖.
        found: f64,
        /// `max_delta`.
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
