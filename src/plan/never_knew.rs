//! The answer of a model that never knew a fact: the mean of its answers about other subjects.

use std::ops::Range;

use candle_core::{D, Result, Tensor};

use crate::model::{Batch, Decoder, Recorder, Site};

/// The distribution q `[vocabulary]`, from the prompt about other subjects; `token` is o.
pub fn never_knew(decoder: &Decoder, others: &[Vec<u32>], token: u32) -> Result<Vec<f32>> {
    let batch = Batch::new(others);
    let logits = decoder.logits(&decoder.forward(&batch, None)?, &batch.last_rows())?;
    mean_answer(&logits, token)
}

/// q(o) as the logit lens reads it after each of `layers`, ascending: the head applied to the
/// residual stream there.
pub fn never_knew_at(
    decoder: &Decoder,
    others: &[Vec<u32>],
    token: u32,
    layers: Range<usize>,
) -> Result<Vec<f32>> {
    let batch = Batch::new(others);
    let mut recorder = Recorder::of(layers.clone().map(|layer| (layer, Site::Residual)));
    decoder.observe(&batch, None, &mut recorder)?;
    let read = |layer| {
        let stream = recorder.take(layer, Site::Residual)?;
        let logits = decoder.logits(&stream, &batch.last_rows())?;
        Ok(mean_answer(&logits, token)?[token as usize])
    };
    layers.map(read).collect()
}

/// The distribution q from the logits of the prompts about other subjects, [others, vocabulary].
pub fn mean_answer(logits: &Tensor, token: u32) -> Result<Vec<f32>> {
    let each = candle_nn::ops::softmax(logits, D::Minus1)?;
    let of_token = each.narrow(1, token as usize, 1)?.flatten_all()?.to_vec1()?;
    Ok(without_excess(each.mean(0)?.to_vec1()?, of_token, token))
}

/// The mean distribution with the target's share cut to its median, and the sum kept at one.
fn without_excess(mut mean: Vec<f32>, mut of_token: Vec<f32>, token: u32) -> Vec<f32> {
    of_token.sort_by(f32::total_cmp);
    // The lower of two middle ones: half of the others know nothing of the target.
    let median = of_token[(of_token.len() - 1) / 2];
    let share = &mut mean[token as usize];
    *share = share.min(median);
    let sum: f64 = mean.iter().map(|p| f64::from(*p)).sum();
    mean.iter_mut().for_each(|p| *p = (f64::from(*p) / sum) as f32);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_keeps_the_share_that_most_others_give_it() {
        // Of five others one has the target as its own answer: mean 0.2, median 0.03.
        let of_token = vec![0.02, 0.9, 0.01, 0.03, 0.04];
        let q = without_excess(vec![0.5, 0.2, 0.3], of_token, 1);
        let expected = [0.5 / 0.83, 0.03 / 0.83, 0.3 / 0.83];
        // Products of two f32 numbers.
        q.iter().zip(expected).for_each(|(q, e)| assert!((q - e).abs() < 1e-6, "{q} {e}"));
        let kept = without_excess(vec![0.9, 0.1], vec![0.1, 0.2, 0.0], 1);
        assert_eq!(kept, [0.9, 0.1], "a share below the median is no excess");
    }
}
