//! A hidden state that is pulled toward a fixed vector: the loss of representation steering.
//!
//! With h the residual stream after a layer at the rows of a sequence and c the vector, the loss is
//! the mean of (h − c)² over rows and width, as in RMU (arXiv 2403.03218).

use std::sync::Arc;

use super::Outcome;

/// The layer, and the vector toward which its residual stream is pulled.
#[derive(Debug, Clone)]
pub struct Steer {
    /// The layer after which the stream is read.
    pub layer: usize,
    /// The vector c, `[hidden]`.
    pub toward: Arc<Vec<f32>>,
}

impl Steer {
    /// The loss of states [rows, hidden], which become `scale` times its gradient.
    pub(crate) fn descend(&self, states: &mut [f32], scale: f32) -> Outcome {
        let count = states.len() as f64;
        let slope = (2. * f64::from(scale) / count) as f32;
        let mut loss = 0.;
        for row in states.chunks_exact_mut(self.toward.len()) {
            for (h, c) in row.iter_mut().zip(&*self.toward) {
                let away = *h - c;
                loss += f64::from(away).powi(2);
                *h = slope * away;
            }
        }
        Outcome { loss: loss / count, nll: Vec::new() }
    }
}
