//! How fast this machine computes with a model, so that work can be announced with the time it takes.

use candle_core::{DType, Tensor};

use super::Decoder;
use crate::progress::Progress;

/// Norms, attention and the choice of tokens, relative to the products alone.
pub const OVERHEAD: f64 = 1.25;
/// Rows of the product that is timed.
const ROWS: usize = 64;

impl Decoder {
    /// Operations a second in products with a layer's weight; nothing where `progress` has no clock.
    pub fn operations_a_second(&self, layer: usize, progress: &dyn Progress) -> Option<f64> {
        let (weight, layout) = self.down_projection(layer);
        let stored = weight.dims2().ok()?;
        let width_in = layout.widths(stored).0;
        let rows = Tensor::ones((ROWS, width_in), DType::F32, weight.device()).ok()?;
        let product = || weight.linear(&rows, layout, None).ok();
        // The first one waits for the file.
        product()?;
        let started = progress.now();
        product()?;
        let seconds = (progress.now() - started).as_secs_f64();
        let operations = 2. * (ROWS * stored.0 * stored.1) as f64;
        (seconds > 0.).then(|| operations / seconds)
    }
}
