//! The keys of facts that were written earlier: a solve includes them, so that their values stay.

use candle_core::{Device, Result, Tensor};

use crate::delta::{Keys, WeightDelta};
use crate::model::Decoder;

/// A model as earlier edits left it, into which further facts are written.
#[derive(Clone)]
pub struct Edited {
    /// All changes so far.
    pub delta: WeightDelta,
    /// The keys that facts were written under.
    pub keys: Keys,
    /// The model that has the changes.
    pub decoder: Decoder,
}

/// The largest squared sine of the angle between two keys that are taken for one, which has one
/// value.
const SAME: f64 = 1e-3;

/// The `earlier` keys without those that `new` has, too: their values are written anew.
pub(super) fn apart(earlier: &[Vec<f32>], new: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let is_same = |a: &Vec<f32>, b: &Vec<f32>| {
        let product = dot(a, b);
        product > 0. && product * product >= (1. - SAME) * dot(a, a) * dot(b, b)
    };
    earlier.iter().filter(|key| !new.iter().any(|other| is_same(key, other))).cloned().collect()
}

/// The keys that meet a tensor, n of `[d_k]`.
pub(crate) fn rows(keys: &Keys, tensor: &str) -> Result<Vec<Vec<f32>>> {
    keys.get(tensor).map_or_else(|| Ok(Vec::new()), Tensor::to_vec2)
}

/// The keys of earlier facts and of new ones; those that both have occur once.
pub fn joined(mut earlier: Keys, new: &Keys) -> Result<Keys> {
    for (tensor, added) in new {
        let added: Vec<Vec<f32>> = added.to_vec2()?;
        let mut all = apart(&rows(&earlier, tensor)?, &added);
        all.extend(added);
        earlier.insert(tensor.clone(), Tensor::new(all, &Device::Cpu)?);
    }
    Ok(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_written_anew_is_kept_once() {
        let keys = |rows: &[[f32; 2]]| {
            let rows: Vec<Vec<f32>> = rows.iter().map(|row| row.to_vec()).collect();
            Keys::from([("t".into(), Tensor::new(rows, &Device::Cpu).expect("a matrix"))])
        };
        let earlier = keys(&[[1., 0.], [0., 2.], [-1., 0.]]);
        let all = joined(earlier, &keys(&[[3., 0.01], [1., 1.]])).expect("one width");
        let expected = [[0., 2.], [-1., 0.], [3., 0.01], [1., 1.]].map(Vec::from);
        assert_eq!(rows(&all, "t").expect("a matrix"), expected);
        assert!(rows(&all, "u").expect("none").is_empty());
    }
}
