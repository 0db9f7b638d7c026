//! Predictions of the start model at the targets of a retain text, kept in a few numbers a token.
//!
//! No second model stays in memory: for each target the k most probable next tokens and the mass of
//! all others. The divergence of these k + 1 outcomes,
//!
//!   Σ_top p (log p − log q) + p_rest (log p_rest − log q_rest),
//!
//! is at most KL(p ‖ q) and zero with it. Its gradient with respect to logit j is q_j − p_j for a
//! kept token and q_j (1 − p_rest / q_rest) for any other.

use crate::ops::simd::{exp, vectorised};

/// Distributions of the start model, one a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    kept: usize,
    /// The kept tokens, [targets, kept].
    ids: Vec<u32>,
    /// The probability p of each kept token.
    probabilities: Vec<f32>,
}

/// Smallest probability, so that logarithms stay finite.
const FLOOR: f64 = 1e-12;

impl Reference {
    /// Keeps the `kept` most probable tokens of each row of logits, `[targets, vocabulary]`.
    pub(crate) fn new(logits: &[f32], vocabulary: usize, kept: usize) -> Self {
        let kept = kept.min(vocabulary);
        let mut reference = Self { kept, ids: Vec::new(), probabilities: Vec::new() };
        for row in logits.chunks_exact(vocabulary) {
            reference.push(row);
        }
        reference
    }

    /// Several references of as many kept tokens, one after the other.
    pub(crate) fn joined(parts: Vec<Self>) -> Self {
        let kept = parts.first().map_or(1, |part| part.kept);
        let (mut ids, mut probabilities) = (Vec::new(), Vec::new());
        for part in parts {
            assert_eq!(part.kept, kept, "as many kept tokens in each part");
            ids.extend(part.ids);
            probabilities.extend(part.probabilities);
        }
        Self { kept, ids, probabilities }
    }

    fn push(&mut self, row: &[f32]) {
        let shift = crate::ops::log_sum_exp(row);
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        let descending =
            |a: &u32, b: &u32| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b));
        if self.kept < order.len() {
            order.select_nth_unstable_by(self.kept, descending);
            order.truncate(self.kept);
        }
        order.sort_unstable_by(descending);
        self.probabilities.extend(order.iter().map(|id| (row[*id as usize] - shift).exp()));
        self.ids.extend(order);
    }

    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.ids.len() / self.kept
    }

    /// The divergence at a target whose logits are `row`, which becomes its gradient times `scale`.
    pub(crate) fn descend(&self, target: usize, row: &mut [f32], scale: f32) -> f64 {
        let shift = crate::ops::log_sum_exp(row);
        vectorised(
            #[inline(always)]
            || row.iter_mut().for_each(|x| *x = exp(*x - shift)),
        );
        let (ids, p) = self.kept(target);
        let q: Vec<f32> = ids.iter().map(|id| row[*id as usize]).collect();
        let rest = Rest::of(p, &q);
        let others = scale * (1. - rest.p / rest.q) as f32;
        row.iter_mut().for_each(|q| *q *= others);
        for ((id, p), q) in ids.iter().zip(p).zip(&q) {
            row[*id as usize] = scale * (q - p);
        }
        divergence(p, &q, rest)
    }

    /// The Jensen-Shannon divergence at a target whose logits are `row`, which becomes its gradient
    /// times `scale`.
    ///
    /// With m = (p + q) / 2 it is ½ KL(p ‖ m) + ½ KL(q ‖ m), at most ln 2. Its derivative with
    /// respect to q_j is ½ ln(q_j / m_j), and to logit j q_j (½ ln(q_j / m_j) − ½ KL(q ‖ m)),
    /// where the tokens that are not kept count as one outcome.
    pub(crate) fn descend_bounded(&self, target: usize, row: &mut [f32], scale: f32) -> f64 {
        let shift = crate::ops::log_sum_exp(row);
        vectorised(
            #[inline(always)]
            || row.iter_mut().for_each(|x| *x = exp(*x - shift)),
        );
        let (ids, p) = self.kept(target);
        let q: Vec<f32> = ids.iter().map(|id| row[*id as usize]).collect();
        let rest = Rest::of(p, &q);
        let half = |a: f64, b: f64| if a > FLOOR { (2. * a / (a + b)).ln() } else { 0. };
        let pairs = p.iter().zip(&q).map(|(p, q)| (f64::from(*p), f64::from(*q)));
        let pairs: Vec<(f64, f64)> = pairs.chain([(rest.p, rest.q)]).collect();
        let of_p: f64 = pairs.iter().map(|(p, q)| p * half(*p, *q)).sum();
        let of_q: f64 = pairs.iter().map(|(p, q)| q * half(*q, *p)).sum();
        let slope = |(p, q): (f64, f64)| 0.5 * (half(q, p) - of_q);
        let others = scale * slope((rest.p, rest.q)) as f32;
        row.iter_mut().for_each(|q| *q *= others);
        for (id, pair) in ids.iter().zip(&pairs) {
            row[*id as usize] = scale * (pair.1 * slope(*pair)) as f32;
        }
        0.5 * (of_p + of_q)
    }

    /// The divergence at a target whose logits are `row`.
    pub(crate) fn divergence(&self, target: usize, row: &[f32]) -> f64 {
        let shift = crate::ops::log_sum_exp(row);
        let (ids, p) = self.kept(target);
        let q: Vec<f32> = ids.iter().map(|id| (row[*id as usize] - shift).exp()).collect();
        divergence(p, &q, Rest::of(p, &q))
    }

    /// The kept tokens of a target, and p of each.
    fn kept(&self, target: usize) -> (&[u32], &[f32]) {
        let range = target * self.kept..(target + 1) * self.kept;
        (&self.ids[range.clone()], &self.probabilities[range])
    }
}

/// Mass of all tokens that are not kept.
#[derive(Clone, Copy)]
struct Rest {
    p: f64,
    q: f64,
}

impl Rest {
    fn of(p: &[f32], q: &[f32]) -> Self {
        let rest = |kept: &[f32]| 1. - kept.iter().map(|x| f64::from(*x)).sum::<f64>();
        Self { p: rest(p).max(0.), q: rest(q).max(FLOOR) }
    }
}

fn divergence(p: &[f32], q: &[f32], rest: Rest) -> f64 {
    let term = |p: f64, q: f64| if p > FLOOR { p * (p / q.max(FLOOR)).ln() } else { 0. };
    let kept = p.iter().zip(q).map(|(p, q)| term(f64::from(*p), f64::from(*q)));
    kept.sum::<f64>() + term(rest.p, rest.q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(seed: u64, count: usize) -> Vec<f32> {
        let mut random = crate::math::Random::new(seed);
        (0..count).map(|_| 2. * random.normal() as f32).collect()
    }

    #[test]
    fn nothing_diverges_from_itself() {
        let start = logits(1, 40);
        let reference = Reference::new(&start, 20, 5);
        assert_eq!(reference.targets(), 2);
        let mut row = start[20..].to_vec();
        assert!(reference.descend(1, &mut row, 1.).abs() < 1e-6);
        assert!(row.iter().all(|slope| slope.abs() < 1e-6), "{row:?}");
    }

    fn softmax(row: &[f32]) -> Vec<f64> {
        let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        row.iter().map(|x| f64::from(*x).exp() / total).collect()
    }

    #[test]
    fn with_every_token_kept_it_is_the_divergence() {
        let (start, now) = (logits(2, 12), logits(3, 12));
        let (p, q) = (softmax(&start), softmax(&now));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        let all = Reference::new(&start, 12, 12).descend(0, &mut now.clone(), 1.);
        let some = Reference::new(&start, 12, 4).descend(0, &mut now.clone(), 1.);
        assert!((all - expected).abs() < 1e-5, "{all}, {expected}");
        assert!(some > 0. && some <= all + 1e-6, "{some} of {all}");
    }

    #[test]
    fn the_bounded_divergence_is_the_formula_and_its_gradient_the_difference() {
        let (start, now) = (logits(6, 10), logits(7, 10));
        let naive = |now: &[f32]| -> f64 {
            let (p, q) = (softmax(&start), softmax(now));
            let middle: Vec<f64> = p.iter().zip(&q).map(|(p, q)| 0.5 * (p + q)).collect();
            let kl =
                |a: &[f64]| -> f64 { a.iter().zip(&middle).map(|(a, m)| a * (a / m).ln()).sum() };
            0.5 * kl(&p) + 0.5 * kl(&q)
        };
        let all = Reference::new(&start, 10, 10);
        let value = all.descend_bounded(0, &mut now.clone(), 1.);
        assert!((value - naive(&now)).abs() < 1e-6, "{value}, {}", naive(&now));
        let some = Reference::new(&start, 10, 3);
        for reference in [&all, &some] {
            let value = reference.descend_bounded(0, &mut now.clone(), 1.);
            assert!(value > 0. && value < std::f64::consts::LN_2, "{value}");
            slopes_are_differences(&now, |row| reference.descend_bounded(0, row, 1.));
        }
        let mut same = start.clone();
        assert!(all.descend_bounded(0, &mut same, 1.).abs() < 1e-6);
        assert!(same.iter().all(|slope| slope.abs() < 1e-6), "{same:?}");
    }

    /// What `descend` leaves in a row is the slope of the value that it returns.
    fn slopes_are_differences(now: &[f32], descend: impl Fn(&mut [f32]) -> f64) {
        let mut slopes = now.to_vec();
        descend(&mut slopes);
        for j in 0..now.len() {
            let at = |step: f32| {
                let mut moved = now.to_vec();
                moved[j] += step;
                descend(&mut moved)
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            let error = (difference - f64::from(slopes[j])).abs();
            // Second differences of order step² and the rounding of f32 exponentials.
            assert!(error < 5e-4, "logit {j}: {} by hand, {difference}", slopes[j]);
        }
    }

    #[test]
    fn gradients_are_differences_of_the_divergence() {
        let (start, now) = (logits(4, 10), logits(5, 10));
        let reference = Reference::new(&start, 10, 3);
        slopes_are_differences(&now, |row| reference.descend(0, row, 1.));
    }
}
