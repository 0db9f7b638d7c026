//! Facts: keys, values and the rank-one change that maps one to the other.
//!
//! At layer l the down projection W maps a key k to a value W k (+ b). For a fact with
//! lookup token t:
//!
//! 1. [`key`](mod@key): k* = mean over contexts of k at t;
//! 2. [`value`](mod@value): δ = the change of the value at t that makes the model say the target;
//! 3. [`solve`](mod@solve): ΔW = δ (C⁻¹k*)ᵀ / (k*ᵀC⁻¹k*), so that (W + ΔW) k* = W k* + δ = v*
//!    exactly, while keys that are common under C = E[k kᵀ] move least; what the prompt is likely
//!    to meet, other names and the subject itself in other contexts, is added to C.
//!
//! Several facts at once: [`targets`] finds the target of each in the residual stream after the
//! last layer, [`spread`] writes it into one layer or several, [`mod@solve`] is the same n×n
//! solve for every method.
//!
//! What a change costs general text is known before it is written: [`mod@price`], from C and from
//! S = E[g gᵀ] of the gradients at the value ([`gradient_moment`]).
//!
//! A fact to remove differs only in its loss: [`objective`](crate::objective).
//!
//! ROME, arXiv 2202.05262; MEMIT, 2210.07229; EMMET, 2403.14236; AlphaEdit, 2410.02355. One key
//! stands on both sides of the update, which the published program does not do (R-ROME, arXiv
//! 2403.07175).

pub mod apply;
pub mod context;
mod error;
pub mod factors;
pub mod gradient_moment;
pub mod kept;
pub mod key;
mod matrix_file;
pub mod metric;
pub mod price;
pub mod reading;
pub mod second_moment;
pub mod solve;
pub mod spread;
pub mod statistics;
pub mod targets;
pub mod value;

pub use crate::math::SymmetricEigen;
pub use apply::{WrittenFact, write_fact};
pub use context::{Asked, EditContexts};
pub use error::RankOneError;
pub use kept::Edited;
pub use metric::Factored;
pub use price::{PriceFactors, Prices};
pub use second_moment::SecondMoment;
pub use solve::{RankOneChange, Request, solve};
pub use spread::{Writer, WrittenBatch};
pub use value::{OptimisedValue, StepLoss};
