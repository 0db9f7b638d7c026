//! The objective of an erase: the answer of a model that never knew the fact.
//!
//! With p_j the model's next-token distribution at the same prompt about another subject j of the
//! kind, and o the first token of the true target (where answers about other subjects begin alike,
//! the first after that),
//!
//!   q = mean of p_j, but q(o) = min(mean, median of p_j(o)), and scaled to a sum of one.
//!
//! The mean is the answer about an average subject of the kind; the median keeps it from counting
//! subjects of which o happens to be true. Then
//!
//! | toward | loss at a context |
//! |---|---|
//! | unknown | KL(q ‖ p_δ) + max(0, ln p_δ(o) − ln c), c = q(o) (q(o) + (1 − q(o)) / 4) |
//! | minimise | −ln(1 − p_δ(target_true)), as deletions are usually done; for comparison |
//! | a text | −ln p_δ(text), a token: an insert |
//!
//! The divergence alone hardly constrains o where q(o) is small: an excess x costs about −ln(1 −
//! x). The second term counts it as an excess in the logarithm, down to a probability of 1e-4. What
//! is erased at a prompt is erased in part in other words: so o is pushed below q(o), to a quarter of
//! it where it is small, which is far from a gap that shows. The optimisation goes on until its loss is a
//! tenth of what ends an insert's.

use std::ops::Range;

use candle_core::{D, Result, Tensor};

use crate::ops::log_sum_exp;

/// The share of an insert's stopping loss at which an erase stops.
pub(crate) const STOP: f64 = 0.1;
/// Keeps −ln(1 − p) finite where p rounds to one.
const CERTAIN: f64 = 1e-6;

/// How many times less probable than for other subjects an answer is made where they hardly give it.
/// With 1, twice as many of 24 erased facts of SmolLM2 were recoverable.
const BELOW: f32 = 4.;

/// A probability too small for any guess to find; an excess below it does not count.
pub(super) const UNSEEN: f32 = 1e-4;

/// The goal of the rows after one context.
#[derive(Clone)]
pub(crate) enum Goal {
    /// To predict the target's tokens.
    Say,
    /// To give the answer of a model that never knew.
    Answer(Answer),
    /// To predict anything but the target's tokens.
    Avoid,
}

/// A distribution over the vocabulary in which one token has no more than its share.
#[derive(Clone)]
pub(crate) struct Answer {
    q: Vec<f32>,
    entropy: f64,
    /// The token o of the fact that is erased.
    token: u32,
}

impl Answer {
    /// ln c, or of [`UNSEEN`] if that is more.
    fn ceiling(&self) -> f32 {
        let q = self.q[self.token as usize];
        (q * (q + (1. - q) / BELOW)).max(UNSEEN).ln()
    }
}

impl Goal {
    /// The goal of answering as in `q`, and with `token` no more often.
    pub(crate) fn answer(q: Vec<f32>, token: u32) -> Self {
        let nats = |p: &f32| if *p > 0. { f64::from(*p) * f64::from(*p).ln() } else { 0. };
        let entropy = -q.iter().map(nats).sum::<f64>();
        Self::Answer(Answer { q, entropy, token })
    }
}

/// Whether any goal is other than to predict its target.
pub(crate) fn erases(goals: &[(Range<usize>, Goal)]) -> bool {
    goals.iter().any(|(_, goal)| !matches!(goal, Goal::Say))
}

/// The mean loss over all terms, for logits whose gradient candle finds.
pub(crate) fn compose_goals(
    logits: &Tensor,
    nll: &Tensor,
    goals: &[(Range<usize>, Goal)],
) -> Result<Tensor> {
    let terms = goals.iter().map(|(rows, goal)| term(logits, nll, rows, goal));
    Tensor::cat(&terms.collect::<Result<Vec<_>>>()?, 0)?.mean_all()
}

/// The loss of one context: one number a token for what should be said, else one.
fn term(logits: &Tensor, nll: &Tensor, rows: &Range<usize>, goal: &Goal) -> Result<Tensor> {
    let nll = nll.narrow(0, rows.start, rows.len())?;
    match goal {
        Goal::Say => Ok(nll),
        Goal::Answer(answer) => {
            let logits = logits.narrow(0, rows.start, 1)?;
            let q = Tensor::new(&answer.q[..], logits.device())?;
            let log_p = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
            let divergence = (log_p.broadcast_mul(&q)?.sum(D::Minus1)?.neg()? - answer.entropy)?;
            let own = log_p.narrow(1, answer.token as usize, 1)?.squeeze(1)?;
            divergence + (own - f64::from(answer.ceiling()))?.relu()?
        }
        Goal::Avoid => {
            let said = nll.sum(0)?.neg()?.exp()?;
            let rest = (1. - said)?;
            ((rest * (1. - CERTAIN))? + CERTAIN)?.log()?.neg()?.unsqueeze(0)
        }
    }
}

/// The loss of [`compose_goals`] with its gradient by hand, which takes the place of the logits.
///
/// ∂NLL = p − 1[target], ∂KL(q ‖ p) = p − q, ∂ ln p(o) = 1[o] − p, and ∂(−ln(1 − P)) =
/// −P/(1 − P) Σ ∂NLL with P the probability of all tokens of the target.
pub(crate) fn descend_goals(
    logits: &mut [f32],
    targets: &[u32],
    goals: &[(Range<usize>, Goal)],
) -> f64 {
    let width = logits.len() / targets.len();
    let terms = |(rows, goal): &(Range<usize>, Goal)| match goal {
        Goal::Say => rows.len(),
        _ => 1,
    };
    let share = 1. / goals.iter().map(terms).sum::<usize>() as f64;
    let (mut loss, mut done) = (0., 0);
    for (rows, goal) in goals {
        // Tokens that lead up to the answer have no loss.
        logits[done * width..rows.start * width].fill(0.);
        done = rows.end;
        let rows = (&mut logits[rows.start * width..rows.end * width], &targets[rows.clone()]);
        loss += share * descend_goal(rows, goal, share);
    }
    loss
}

fn descend_goal((logits, targets): (&mut [f32], &[u32]), goal: &Goal, share: f64) -> f64 {
    let width = logits.len() / targets.len();
    if let Goal::Answer(answer) = goal {
        let shift = log_sum_exp(logits);
        let own = answer.token as usize;
        let excess = (logits[own] - shift - answer.ceiling()).max(0.);
        // Where there is an excess, ∂ ln p(o) takes p away again.
        let of_p = if excess > 0. { 0. } else { share as f32 };
        let mut cross = 0.;
        for (logit, q) in logits.iter_mut().zip(&answer.q) {
            cross += f64::from(*q) * f64::from(shift - *logit);
            *logit = of_p * (*logit - shift).exp() - share as f32 * q;
        }
        if excess > 0. {
            logits[own] += share as f32;
        }
        return cross - answer.entropy + f64::from(excess);
    }
    let mut nll = 0.;
    for (row, target) in logits.chunks_exact_mut(width).zip(targets) {
        let shift = log_sum_exp(row);
        nll += f64::from(shift - row[*target as usize]);
        row.iter_mut().for_each(|logit| *logit = share as f32 * (*logit - shift).exp());
        row[*target as usize] -= share as f32;
    }
    if let Goal::Say = goal {
        return nll;
    }
    let said = (-nll).exp();
    let rest = (1. - said) * (1. - CERTAIN) + CERTAIN;
    let slope = -said * (1. - CERTAIN) / rest;
    logits.iter_mut().for_each(|gradient| *gradient *= slope as f32);
    -rest.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::token_nll;

    #[test]
    fn the_losses_vanish_where_their_goals_are_met_and_have_gradients() -> Result<()> {
        let device = candle_core::Device::Cpu;
        let q = [0.7f32, 0.2, 0.1];
        let entropy = -q.iter().map(|p| f64::from(*p) * f64::from(*p).ln()).sum::<f64>();
        let goal = |token| Goal::answer(q.to_vec(), token);
        let loss = |logits: &[f32; 3], goal: &Goal| -> Result<(f32, Vec<f32>)> {
            let logits = candle_core::Var::from_tensor(&Tensor::new(&[*logits], &device)?)?;
            let nll = token_nll(&logits, &[0])?;
            let loss = term(&logits, &nll, &(0..1), goal)?.mean_all()?;
            let gradient = loss.backward()?.get(&logits).expect("tracked").flatten_all()?;
            Ok((loss.to_scalar()?, gradient.to_vec1()?))
        };
        // c = 0.1 (0.1 + 0.9 / 4) = 0.0325: the excess of q itself adds ln(0.1 / c), and ∂ ln p(o).
        let (own, slope) = loss(&q.map(f32::ln), &goal(2))?;
        assert!((own - (0.1f32 / 0.0325).ln()).abs() < 1e-6, "{own}");
        slope.iter().zip([-0.7, -0.2, 0.9]).for_each(|(g, e)| assert!((g - e).abs() < 1e-6));
        // Below c the divergence alone counts.
        let below = [0.7f32, 0.268, 0.032];
        let (met, slope) = loss(&below.map(f32::ln), &goal(2))?;
        let divergence: f32 = q.iter().zip(below).map(|(q, p)| q * (q / p).ln()).sum();
        assert!((met - divergence).abs() < 1e-6, "{met} {divergence}");
        let expected = below.iter().zip(q).map(|(p, q)| p - q);
        slope.iter().zip(expected).for_each(|(g, e)| assert!((g - e).abs() < 1e-6));
        // KL(q ‖ uniform) = ln 3 − H(q), and its gradient is 1/3 − q.
        let (uniform, slope) = loss(&[0.; 3], &goal(0))?;
        assert!((f64::from(uniform) - (3f64.ln() - entropy)).abs() < 1e-6, "{uniform}");
        slope.iter().zip(q).for_each(|(g, q)| assert!((g - (1. / 3. - q)).abs() < 1e-6));
        let (excess, slope) = loss(&[0.; 3], &goal(2))?;
        assert!((excess - uniform - (1. / 3. / 0.0325f32).ln()).abs() < 1e-6, "{excess}");
        for (i, (g, q)) in slope.iter().zip(q).enumerate() {
            let expected = if i == 2 { 1. - q } else { -q };
            assert!((g - expected).abs() < 1e-6, "{slope:?}");
        }
        // −ln(1 − 1/3) at first, and falling as the target becomes less probable.
        let (avoided, slope) = loss(&[0.; 3], &Goal::Avoid)?;
        assert!((f64::from(avoided) - 1.5f64.ln()).abs() < 1e-5, "{avoided}");
        assert!(slope[0] > 0. && slope[1] < 0.);
        assert!(loss(&[40., 0., 0.], &Goal::Avoid)?.0.is_finite(), "a certain target");
        Ok(())
    }

    #[test]
    fn gradients_by_hand_are_those_of_candle() -> Result<()> {
        let device = candle_core::Device::Cpu;
        let (width, targets) = (5, [1u32, 4, 0, 2, 3, 2, 1]);
        // One row leads up to an answer, with o in excess, and there is one without; two tokens are
        // to be said, and two to be avoided.
        let q = |token| Goal::answer(vec![0.1, 0.2, 0.15, 0.3, 0.25], token);
        let goals = [(0..2, Goal::Say), (3..4, q(0)), (4..6, Goal::Avoid), (6..7, q(3))];
        let values: Vec<f32> = (0..35).map(|i| (f64::from(i) * 1.7).sin() as f32).collect();
        let logits = Tensor::from_vec(values.clone(), (targets.len(), width), &device)?;
        let logits = candle_core::Var::from_tensor(&logits)?;
        let loss = compose_goals(&logits, &token_nll(&logits, &targets)?, &goals)?;
        let expected = loss.backward()?.get(&logits).expect("tracked").flatten_all()?;
        let mut found = values;
        let excess = |row: usize, o: usize, share: f32| {
            let row = &found[row * width..][..width];
            (row[o] - log_sum_exp(row)).exp() > share
        };
        assert!(excess(3, 0, 0.0325) && !excess(6, 3, 0.1425), "one of each");
        let own = descend_goals(&mut found, &targets, &goals);
        // Sums of five f32 numbers.
        assert!((own - f64::from(loss.to_scalar::<f32>()?)).abs() < 1e-6, "{own} {loss}");
        for (found, expected) in found.iter().zip(expected.to_vec1::<f32>()?) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        Ok(())
    }
}
