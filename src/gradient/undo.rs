//! Weights shrunk toward random ones, so that what was hidden in them is gone.
//!
//! θ ← (1 − α) θ + α β N, where N of a matrix is what a new model has there (uniform within
//! √(6 / (rows + columns))) and of a vector zero. What the model should still know is learnt again
//! afterwards from the start model's distributions on text that does not tell of the passages
//! (UNDO, arXiv 2506.06278).

use candle_core::Result;

use crate::math::Random;
use crate::model::Trainable;
use crate::ops::with_values_mut;

/// Gives up the share α of every trained weight for random ones of size β.
pub(super) fn disturb(trainable: &Trainable, (share, size): (f64, f64), seed: u64) -> Result<()> {
    for (at, parameter) in trainable.parameters.iter().enumerate() {
        let slot = &parameter.slot;
        let mut random = Random::named(seed, &format!("noise {at}"));
        let bound = match slot.is_matrix() {
            true => (6. / slot.shape.iter().sum::<usize>() as f64).sqrt(),
            false => 0.,
        };
        with_values_mut(&parameter.values, |values| {
            for value in values {
                let drawn = bound * (2. * random.uniform() - 1.);
                *value = ((1. - share) * f64::from(*value) + share * size * drawn) as f32;
            }
        })?;
    }
    Ok(())
}
