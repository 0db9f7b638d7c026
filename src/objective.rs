//! Objectives: losses of some rows of a decoder, with their gradients in place of the rows.
//!
//! Optimising a value, erasing a fact and training on passages differ in their losses, not in how
//! a loss meets the decoder. An [`Objective`] names the rows that it reads; whoever runs the
//! decoder hands them over and takes their gradient back. Losses of tokens are in [`token`],
//! divergences from earlier distributions of a decoder in `drift` and `reference`, the
//! answers of a model that never knew a fact in `answer`, the end of a target in `end`, an
//! answer that shows on the way in `lens`, a hidden state in `steer`.

pub(crate) mod answer;
pub(crate) mod drift;
pub(crate) mod end;
pub(crate) mod lens;
pub mod reference;
pub mod steer;
pub mod token;

pub use reference::Reference;
pub use steer::Steer;
pub use token::{ForgetLoss, TokenLoss};

/// The rows that an objective reads, by their places in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readout {
    /// Next-token scores, [rows, vocabulary].
    Logits(Vec<usize>),
    /// The residual stream after a layer, [rows, hidden].
    State {
        /// The layer after which the stream is read.
        layer: usize,
        /// The rows that are read.
        rows: Vec<usize>,
    },
}

impl Readout {
    /// The rows, wherever they are read.
    pub fn rows(&self) -> &[usize] {
        match self {
            Self::Logits(rows) | Self::State { rows, .. } => rows,
        }
    }
}

/// A loss of some rows of a decoder.
pub trait Objective {
    /// The loss and its parts.
    type Loss;

    /// The rows that it reads.
    fn readout(&self) -> Readout;

    /// The loss of these rows, in the order of the readout; they become its gradient.
    fn descend(&self, rows: &mut [f32]) -> Self::Loss;
}

/// Loss and NLL of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The loss of the sequence, not scaled.
    pub loss: f64,
    /// Negative log-likelihood of each target, nats; none where the loss reads no logits.
    pub nll: Vec<f32>,
}
