//! What the second moment of a layer costs, and how many keys are affordable by default.
//!
//! A key that is sampled takes a pass through the whole model; every key takes one through the
//! layers up to its own. Two floating-point operations are counted for each weight on the way.

use crate::model::{Decoder, Slot};

/// Operations that the default may take: about a minute and a half on a core with AVX-512.
const AFFORDABLE: f64 = 9e12;
/// Keys below which the default does not go, whatever they cost.
const FEWEST: usize = 2048;
/// Keys that suffice, as multiples of their width: two to ten, arXiv 2506.04226.
const ENOUGH: usize = 8;

/// Floating-point operations that one key of a layer takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentCost {
    /// Operations for a key.
    pub operations: f64,
    /// Width of a key.
    width: usize,
}

impl MomentCost {
    /// The cost of the keys of `layer` in samples of the model, or in a text.
    pub fn new(decoder: &Decoder, layer: usize, is_sampled: bool) -> Self {
        let config = decoder.config();
        let weights = |counts: &dyn Fn(&Slot) -> bool| {
            let slots = decoder.parameters().iter();
            let counted = slots.filter(|slot| slot.is_matrix() && counts(slot));
            counted.map(|slot| slot.elements() as f64).sum::<f64>()
        };
        let mut passed = weights(&|slot| slot.layer.is_some_and(|own| own <= layer));
        if is_sampled {
            passed += weights(&|slot| slot.layer.is_some());
            passed += (config.hidden * config.vocabulary) as f64;
        }
        Self { operations: 2. * passed, width: config.intermediate }
    }

    /// Keys that are measured by default: enough for their width, where that is affordable.
    pub fn default_tokens(self) -> usize {
        let affordable = (AFFORDABLE / self.operations) as usize;
        (ENOUGH * self.width).min(affordable.max(FEWEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_many_as_their_width_asks_for_or_as_are_affordable() {
        let of = |operations: f64, width| MomentCost { operations, width }.default_tokens();
        // Sampled keys of a model with 135 million weights, and with 1.5 billion.
        assert_eq!(of(0.33e9, 1536), 8 * 1536);
        assert_eq!(of(3.6e9, 8960), 2500);
        assert_eq!(of(19e9, 14_336), FEWEST, "eight billion weights");
    }
}
