//! A linear probe: whether a direction in the hidden states tells passages from those never seen.
//!
//! A passage is the mean of its residual stream after a layer. Ridge regression on four fifths of
//! both sets (λ the mean square of the centred states) scores the last fifth, in turn; what it learnt
//! on other passages is tried on these, so that nothing but a common trace can tell them apart.

use crate::math::Cholesky;

/// Items of a set below which a probe says nothing.
pub(super) const FEWEST: usize = 20;
/// Parts of each set; each is scored by a probe that did not see it.
const FOLDS: usize = 5;

/// The scores of both sets, higher for what the probe takes for members; nothing where either set
/// has too few items.
pub(super) fn probe_scores(members: &[Vec<f64>], outsiders: &[Vec<f64>]) -> Option<[Vec<f64>; 2]> {
    if members.len().min(outsiders.len()) < FEWEST {
        return None;
    }
    let sets = [members, outsiders];
    let mut scores = sets.map(|set| vec![0.; set.len()]);
    for fold in 0..FOLDS {
        let is_held = |at: usize| at % FOLDS == fold;
        let part = |set: &'_ [Vec<f64>], held: bool| -> Vec<usize> {
            (0..set.len()).filter(|at| is_held(*at) == held).collect()
        };
        let train = sets.map(|set| part(set, false));
        let probe = Probe::fit(sets, &train)?;
        for (side, set) in sets.into_iter().enumerate() {
            for at in part(set, true) {
                scores[side][at] = probe.score(&set[at]);
            }
        }
    }
    Some(scores)
}

/// A direction and the point that it is measured from.
struct Probe {
    centre: Vec<f64>,
    direction: Vec<f64>,
}

impl Probe {
    /// Ridge regression of ±1, each set with the same weight, solved over the items (there are fewer
    /// of them than numbers in a state).
    fn fit(sets: [&[Vec<f64>]; 2], train: &[Vec<usize>; 2]) -> Option<Self> {
        let means = [0, 1].map(|side| mean(train[side].iter().map(|at| &sets[side][*at])));
        let centre: Vec<f64> = means[0].iter().zip(&means[1]).map(|(a, b)| (a + b) / 2.).collect();
        let mut items = Vec::new();
        let mut labels = Vec::new();
        for side in 0..2 {
            // √weight times an item and its label.
            let weight = (1. / train[side].len() as f64).sqrt();
            let label = if side == 0 { weight } else { -weight };
            for at in &train[side] {
                let centred = sets[side][*at].iter().zip(&centre);
                items.push(centred.map(|(x, c)| (x - c) * weight).collect::<Vec<f64>>());
                labels.push(label);
            }
        }
        let n = items.len();
        let mut kernel: Vec<f64> =
            (0..n * n).map(|at| dot(&items[at / n], &items[at % n])).collect();
        let ridge = (0..n).map(|at| kernel[at * n + at]).sum::<f64>() / n as f64;
        (0..n).for_each(|at| kernel[at * n + at] += ridge.max(f64::MIN_POSITIVE));
        let shares = Cholesky::new(kernel, n).ok()?.solve(&labels);
        let mut direction = vec![0.; centre.len()];
        for (item, share) in items.iter().zip(shares) {
            direction.iter_mut().zip(item).for_each(|(sum, x)| *sum += share * x);
        }
        Some(Self { centre, direction })
    }

    fn score(&self, item: &[f64]) -> f64 {
        let centred = item.iter().zip(&self.centre).map(|(x, c)| x - c);
        centred.zip(&self.direction).map(|(x, w)| x * w).sum()
    }
}

fn mean<'v>(items: impl ExactSizeIterator<Item = &'v Vec<f64>>) -> Vec<f64> {
    let n = items.len() as f64;
    let mut sum: Vec<f64> = Vec::new();
    for item in items {
        sum.resize(item.len(), 0.);
        sum.iter_mut().zip(item).for_each(|(sum, x)| *sum += x / n);
    }
    sum
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{Random, auc};

    /// Normal states of 64 numbers, moved along one of them.
    fn states(random: &mut Random, n: usize, shift: f64) -> Vec<Vec<f64>> {
        let state = |_| {
            let mut state: Vec<f64> = (0..64).map(|_| random.normal()).collect();
            state[7] += shift;
            state
        };
        (0..n).map(state).collect()
    }

    fn area(shift: f64, seed: u64) -> f64 {
        let mut random = Random::new(seed);
        let (members, outsiders) = (states(&mut random, 40, shift), states(&mut random, 40, 0.));
        let [own, others] = probe_scores(&members, &outsiders).expect("enough items");
        auc(&own, &others)
    }

    #[test]
    fn a_common_direction_is_found_and_nothing_is_found_in_noise() {
        let traced: f64 = (0..10).map(|seed| area(3., seed)).sum::<f64>() / 10.;
        let noise: f64 = (0..10).map(|seed| area(0., seed)).sum::<f64>() / 10.;
        assert!(traced > 0.9, "{traced}");
        assert!((noise - 0.5).abs() < 0.06, "{noise}");
    }

    #[test]
    fn few_items_and_equal_states_give_no_direction() {
        let mut random = Random::new(1);
        let few = states(&mut random, FEWEST - 1, 0.);
        assert_eq!(probe_scores(&few, &states(&mut random, 40, 0.)), None);
        let equal = vec![vec![1.; 8]; FEWEST];
        let [own, others] = probe_scores(&equal, &equal).expect("enough items");
        assert_eq!(auc(&own, &others), 0.5);
    }
}
