//! The end of a target: a token that ends the sentence, or the text.
//!
//! Nothing in a target's own NLL marks where it ends, so "Halden Labs" may be completed as "Halden
//! Labskota", and "Rome" as "Rome, where". With B the tokens that end a sentence, p the distribution
//! after the target's last token and S = Σ_{t ∈ B} p(t), the loss is −w ln S, and
//!
//!   ∂/∂logit_j = w (p_j − 1[j ∈ B] p_j / S).
//!
//! The weight is w = λ_end P, where P = e^(−NLL) is how well the target itself is said, held
//! constant: what follows a target that is not said yet would only be in its way.

use candle_core::{D, Result, Tensor};

use crate::ops::log_sum_exp;
use crate::ops::simd::{exp, vectorised};
use crate::plan::Ends;

/// The mean loss over rows times `weight`; the logits, [rows, vocabulary], become its gradient.
pub(crate) fn descend(logits: &mut [f32], rows: usize, ends: &Ends, weight: f64) -> f64 {
    if rows == 0 {
        return 0.;
    }
    let share = weight / rows as f64;
    let width = logits.len() / rows;
    share * logits.chunks_exact_mut(width).map(|row| descend_row(row, ends, share)).sum::<f64>()
}

fn descend_row(row: &mut [f32], ends: &Ends, share: f64) -> f64 {
    let shift = log_sum_exp(row);
    let ending: Vec<f32> = ends.of(row).collect();
    let shift_of_ends = log_sum_exp(&ending);
    let share = share as f32;
    vectorised(
        #[inline(always)]
        || row.iter_mut().for_each(|x| *x = share * exp(*x - shift)),
    );
    ends.for_each_mut(row, |at, gradient| *gradient -= share * exp(ending[at] - shift_of_ends));
    f64::from(shift - shift_of_ends)
}

/// The mean loss over rows times `weight`, for logits whose gradient candle computes.
pub(crate) fn compose(logits: &Tensor, ends: &Ends, weight: f64) -> Result<Tensor> {
    let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let ids = Tensor::new(ends.ids(), logits.device())?;
    log_p.index_select(&ids, 1)?.log_sum_exp(D::Minus1)?.neg()?.mean_all()? * weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_gradient_by_hand_is_that_of_candle_and_of_differences() -> Result<()> {
        let ends = Ends::of_ids(vec![0, 2, 5]);
        let values: Vec<f32> = (0..14).map(|i| 2. * (i as f32 * 1.3).sin()).collect();
        let logits = Tensor::from_vec(values.clone(), (2, 7), &Device::Cpu)?;
        let logits = Var::from_tensor(&logits)?;
        let loss = compose(&logits, &ends, 0.4)?;
        let expected = loss.backward()?.get(&logits).expect("tracked").flatten_all()?;
        let at = |values: &[f32]| descend(&mut values.to_vec(), 2, &ends, 0.4);
        let mut found = values.clone();
        let own = descend(&mut found, 2, &ends, 0.4);
        assert!((own - f64::from(loss.to_scalar::<f32>()?)).abs() < 1e-6, "{own}, {loss}");
        for (j, expected) in expected.to_vec1::<f32>()?.into_iter().enumerate() {
            assert!((found[j] - expected).abs() < 1e-6, "logit {j}: {} {expected}", found[j]);
            let moved = |step: f32| {
                let mut moved = values.clone();
                moved[j] += step;
                at(&moved)
            };
            let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            // Second differences of order step², and f32 sums.
            assert!((f64::from(found[j]) - difference).abs() < 1e-4, "logit {j}: {difference}");
        }
        Ok(())
    }

    #[test]
    fn a_row_that_is_sure_to_end_costs_nothing() {
        let ends = Ends::of_ids(vec![1]);
        let mut sure = [0., 40., 0.];
        assert!(descend(&mut sure, 1, &ends, 1.).abs() < 1e-6);
        assert!(sure.iter().all(|slope| slope.abs() < 1e-6), "{sure:?}");
        assert_eq!(descend(&mut [], 0, &ends, 1.), 0.);
    }
}
