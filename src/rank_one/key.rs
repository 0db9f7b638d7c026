//! k* = mean over contexts of the key at the lookup token.
//!
//! Position 0 carries an attention sink whose key is of another scale, so a context whose
//! lookup token is its first token does not count, unless no other is left.

use candle_core::{Result, Tensor};

use super::context::Located;

/// k* `[d_k]` from the keys of the contexts, [contexts, d_k].
pub fn mean_key(keys: &Tensor, contexts: &[Located]) -> Result<Vec<f32>> {
    let keys = keys.to_vec2::<f32>()?;
    let counts = |located: &Located| located.lookup > 0;
    let any = contexts.iter().any(counts);
    let chosen: Vec<&Vec<f32>> = keys
        .iter()
        .zip(contexts)
        .filter(|(_, located)| !any || counts(located))
        .map(|(key, _)| key)
        .collect();
    let width = chosen.first().map_or(0, |key| key.len());
    let mean = |i: usize| chosen.iter().map(|key| f64::from(key[i])).sum::<f64>();
    Ok((0..width).map(|i| (mean(i) / chosen.len() as f64) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_position_does_not_count() -> Result<()> {
        let keys = Tensor::new(&[[100f32, 100.], [1., 3.], [3., 5.]], &candle_core::Device::Cpu)?;
        let located = |lookup| Located { ids: vec![], lookup };
        let mixed = mean_key(&keys, &[located(0), located(2), located(4)])?;
        assert_eq!(mixed, [2., 4.]);
        let only = mean_key(&keys.narrow(0, 0, 1)?, &[located(0)])?;
        assert_eq!(only, [100., 100.]);
        Ok(())
    }
}
