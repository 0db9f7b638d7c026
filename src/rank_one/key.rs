//! The keys of a fact: what the down projection sees at the lookup token.
//!
//! As published, k* = mean over contexts. But near the start of a text keys are of a different
//! kind, and a write that meets only the mean can miss the bare prompt, the one that people use. So
//! the bare prompt has a key of its own in addition to the mean over the prefixed ones, and both
//! get δ.
//!
//! Position 0 is an attention sink whose key has a different scale, and so may position 1 be; a
//! context whose lookup token is a sink does not count, unless all are.

use candle_core::{Result, Tensor};

use crate::model::{Batch, Decoder, Recorder, Site};

/// The key of the bare prompt, which comes first if it counts, and the mean of the others.
pub fn bare_and_mean(keys: &Tensor, has_bare: bool) -> Result<Vec<Vec<f32>>> {
    let rows = keys.dims2()?.0;
    if !has_bare || rows == 1 {
        return Ok(vec![mean_key(keys)?]);
    }
    Ok(vec![mean_key(&keys.narrow(0, 0, 1)?)?, mean_key(&keys.narrow(0, 1, rows - 1)?)?])
}

/// The key k* `[d_k]` from the keys of the contexts that count, [contexts, d_k].
pub fn mean_key(keys: &Tensor) -> Result<Vec<f32>> {
    let keys = keys.to_vec2::<f32>()?;
    let width = keys.first().map_or(0, Vec::len);
    let mean = |i: usize| keys.iter().map(|key| f64::from(key[i])).sum::<f64>();
    Ok((0..width).map(|i| (mean(i) / keys.len() as f64) as f32).collect())
}

/// The deviation of each context's key, [contexts, d_k], from their mean.
pub fn deviations(keys: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mean = mean_key(keys)?;
    let difference = |key: Vec<f32>| key.iter().zip(&mean).map(|(k, mean)| k - mean).collect();
    Ok(keys.to_vec2::<f32>()?.into_iter().map(difference).collect())
}

/// Keys `[d_k]` of `layer` at the last token of each sequence.
pub fn keys_at(decoder: &Decoder, layer: usize, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
    if sequences.is_empty() {
        return Ok(Vec::new());
    }
    let batch = Batch::filling(sequences);
    let mut recorder = Recorder::only([(layer, Site::Key)]);
    decoder.observe(&batch, None, &mut recorder)?;
    let last: Vec<u32> = batch.spans.iter().map(|span| span.rows.end as u32 - 1).collect();
    let last = Tensor::new(last, decoder.device())?;
    recorder.take(layer, Site::Key)?.index_select(&last, 0)?.to_vec2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_mean_of_the_contexts() -> Result<()> {
        let keys = Tensor::new(&[[1f32, 3.], [3., 5.]], &candle_core::Device::Cpu)?;
        assert_eq!(mean_key(&keys)?, [2., 4.]);
        assert_eq!(bare_and_mean(&keys, false)?, [[2., 4.]]);
        assert_eq!(bare_and_mean(&keys, true)?, [[1., 3.], [3., 5.]]);
        assert_eq!(deviations(&keys)?, [[-1., -1.], [1., 1.]]);
        Ok(())
    }
}
