//! k* = mean over contexts of the key at the lookup token.
//!
//! Position 0 carries an attention sink whose key is of another scale, so a context whose
//! lookup token is its first token does not count, unless no other is left.

use candle_core::{Result, Tensor};

use super::context::Located;

/// The contexts that count.
pub fn counted(contexts: Vec<Located>) -> Vec<Located> {
    let (kept, first): (Vec<_>, Vec<_>) = contexts.into_iter().partition(|it| it.lookup > 0);
    if kept.is_empty() { first } else { kept }
}

/// k* `[d_k]` from the keys of the contexts that count, [contexts, d_k].
pub fn mean_key(keys: &Tensor) -> Result<Vec<f32>> {
    let keys = keys.to_vec2::<f32>()?;
    let width = keys.first().map_or(0, Vec::len);
    let mean = |i: usize| keys.iter().map(|key| f64::from(key[i])).sum::<f64>();
    Ok((0..width).map(|i| (mean(i) / keys.len() as f64) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_position_does_not_count_unless_it_is_all_there_is() {
        let located = |lookup| Located { ids: vec![], lookup };
        assert_eq!(counted(vec![located(0), located(2), located(4)]), [located(2), located(4)]);
        assert_eq!(counted(vec![located(0), located(0)]), [located(0), located(0)]);
    }

    #[test]
    fn the_key_is_the_mean_of_the_contexts() -> Result<()> {
        let keys = Tensor::new(&[[1f32, 3.], [3., 5.]], &candle_core::Device::Cpu)?;
        assert_eq!(mean_key(&keys)?, [2., 4.]);
        Ok(())
    }
}
