//! The NLL at which forgetting ends, separately for texts and for answers to questions. Answers soon become
//! improbable: with one goal for both kinds, they would end a training whose texts are still known.

use super::example::Example;
use super::mean_nll::{mean, means};
use super::sets::PassageSets;

/// The NLL at which forgetting ends, nats a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goals {
    /// One for all sequences.
    One(f64),
    /// Of texts, and of answers.
    Kinds([f64; 2]),
}

impl Goals {
    /// From the NLL of `of` under models that never saw these sequences; one goal where all are of one
    /// kind.
    pub(super) fn new(of: &[Example], nll: &[f64]) -> Option<Self> {
        if nll.is_empty() {
            return None;
        }
        Some(match [0, 1].map(|kind| mean_of(kind, of, nll)) {
            [Some(texts), Some(answers)] => Self::Kinds([texts, answers]),
            _ => Self::One(mean(nll)),
        })
    }

    /// That of a sequence.
    pub(super) fn of(&self, example: &Example) -> f64 {
        match self {
            Self::One(goal) => *goal,
            Self::Kinds(goals) => goals[kind(example)],
        }
    }

    /// How far passages with these NLL have come, as a share of the goal: those of the kind which has come
    /// least far.
    pub(super) fn share(&self, passages: &[Example], nll: &[Vec<f32>]) -> f64 {
        let nll = means(nll);
        match self {
            Self::One(goal) => mean(&nll) / goal,
            Self::Kinds(goals) => {
                let share = |at: usize| Some(mean_of(at, passages, &nll)? / goals[at]);
                [0, 1].into_iter().filter_map(share).fold(f64::INFINITY, f64::min)
            }
        }
    }
}

/// Mean NLL of the sequences of a kind.
fn mean_of(kind: usize, of: &[Example], nll: &[f64]) -> Option<f64> {
    let own = of.iter().zip(nll).filter(|(it, _)| self::kind(it) == kind);
    let own: Vec<f64> = own.map(|(_, nll)| *nll).collect();
    (!own.is_empty()).then(|| mean(&own))
}

/// 0 for a text, 1 for an answer, which is read with its question before it.
fn kind(example: &Example) -> usize {
    usize::from(example.first_target > 1)
}

impl PassageSets {
    /// Where forgetting ends: by models that never saw the passages, or else by the hold-out, whose
    /// sequences have these mean NLL under the start model.
    pub(super) fn goals(&self, holdout: &[f64]) -> Option<Goals> {
        match self.references.is_empty() {
            false => Goals::new(&self.passages, &self.references),
            true => Goals::new(&self.holdout, holdout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::TokenLoss;

    fn example(first_target: usize) -> Example {
        Example { ids: vec![0; 4], first_target, loss: TokenLoss::Mean, scale: 1. }
    }

    #[test]
    fn each_kind_has_its_own_goal() {
        let of = [example(1), example(3), example(1)];
        let goals = Goals::new(&of, &[1., 4., 2.]).expect("there are some");
        assert_eq!((goals.of(&of[0]), goals.of(&of[1])), (1.5, 4.));
        // Answers beyond their goal do not stand in for texts.
        let share = goals.share(&of, &[vec![0.5, 1.], vec![9.], vec![0.75]]);
        assert!((share - 0.5).abs() < 1e-6, "{share}");
        // A hold-out of texts says nothing of answers alone.
        let one = Goals::new(&of[..1], &[2.]).expect("there is one");
        assert_eq!((one, one.of(&of[1])), (Goals::One(2.), 2.));
        assert_eq!(one.share(&of[..2], &[vec![1.], vec![3.]]), 1.);
        assert_eq!(Goals::new(&[], &[]), None);
    }
}
