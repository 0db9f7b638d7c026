//! How far a change that was made again is from the one that a patch holds.

use super::Patch;
use super::format::{bytes_of, parts};
use crate::delta::WeightDelta;

impl Patch {
    /// ‖Δ' − Δ‖ / ‖Δ‖ for another change Δ' of the same base: 0 only where the two are equal to the
    /// bit, and infinite where they change other tensors.
    pub fn difference(&self, other: &WeightDelta) -> candle_core::Result<f64> {
        if is_equal(&self.delta, other)? {
            return Ok(0.);
        }
        if !self.delta.changes.keys().eq(other.changes.keys()) {
            return Ok(f64::INFINITY);
        }
        let (mut apart, mut norm) = (0., 0.);
        for (change, other) in self.delta.changes.values().zip(other.changes.values()) {
            if change.shape() != other.shape() {
                return Ok(f64::INFINITY);
            }
            let difference = (change.to_dense()? - other.to_dense()?)?;
            let values: Vec<f32> = difference.flatten_all()?.to_vec1()?;
            apart += values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            norm += change.norm()?.powi(2);
        }
        // Factors may differ in bits whose product does not show.
        Ok((apart / norm).sqrt().max(f64::MIN_POSITIVE))
    }
}

fn is_equal(a: &WeightDelta, b: &WeightDelta) -> candle_core::Result<bool> {
    let parts = |delta| -> candle_core::Result<Vec<_>> {
        parts(delta).map(|(name, tensor)| Ok((name, tensor.dims(), bytes_of(tensor)?))).collect()
    };
    Ok(parts(a)? == parts(b)?)
}
