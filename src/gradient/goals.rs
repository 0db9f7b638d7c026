//! The NLL at which forgetting ends, separately for texts and for answers to questions. Answers soon become
//! improbable: with one goal for both kinds, they would end a training whose texts are still known. Some
//! answers are guessed by models that never saw them and others are not: each has a goal of its own.

use super::example::Example;
use super::mean_nll::{mean, means};
use super::sets::PassageSets;

/// The NLL at which each sequence is forgotten, nats a token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Goals {
    each: Vec<f64>,
    /// Whether each counts among the answers.
    answers: Vec<bool>,
}

impl Goals {
    /// By the NLL of each of `passages` under models that never saw them: of texts the mean.
    fn of_references(passages: &[Example], nll: &[f64]) -> Self {
        let texts = mean_of(false, passages, nll);
        let goal = |(it, own): (&Example, &f64)| match is_answer(it) {
            true => *own,
            false => texts.unwrap_or(*own),
        };
        Self::new(passages, passages.iter().zip(nll).map(goal).collect())
    }

    /// By the NLL of sequences that were never seen: the mean of those of the same kind. A hold-out of one kind
    /// is the goal of all, and of the mean of all.
    fn of_holdout(passages: &[Example], holdout: &[Example], nll: &[f64]) -> Self {
        match [false, true].map(|answer| mean_of(answer, holdout, nll)) {
            [Some(texts), Some(answers)] => {
                let goal = |it: &Example| if is_answer(it) { answers } else { texts };
                Self::new(passages, passages.iter().map(goal).collect())
            }
            _ => {
                Self { each: vec![mean(nll); passages.len()], answers: vec![false; passages.len()] }
            }
        }
    }

    fn new(passages: &[Example], each: Vec<f64>) -> Self {
        Self { each, answers: passages.iter().map(is_answer).collect() }
    }

    /// That of a sequence.
    pub(super) fn of(&self, at: usize) -> f64 {
        self.each[at]
    }

    /// The mean over the first so many sequences.
    pub(super) fn mean_of_first(&self, count: usize) -> f64 {
        mean(&self.each[..count])
    }

    /// How far sequences with these mean NLL have come, as a share of their goals: those of the kind which
    /// has come least far.
    pub(super) fn share(&self, nll: &[f64]) -> f64 {
        let share = |answer| self.share_of_kind(answer, nll);
        [false, true].into_iter().filter_map(share).fold(f64::INFINITY, f64::min)
    }

    /// Of each sequence, whether those of its kind have come this share of their goals.
    pub(super) fn reach(&self, share: f64, nll: &[f64]) -> Vec<bool> {
        let reached = [false, true]
            .map(|answer| self.share_of_kind(answer, nll).is_some_and(|it| it >= share));
        self.answers.iter().map(|answer| reached[usize::from(*answer)]).collect()
    }

    /// How far the texts or the answers have come; nothing where there are none, or none with a goal.
    fn share_of_kind(&self, answer: bool, nll: &[f64]) -> Option<f64> {
        let own = self.answers.iter().enumerate().filter(|(_, it)| **it == answer);
        let (now, goal) =
            own.fold((0., 0.), |(now, goal), (at, _)| (now + nll[at], goal + self.each[at]));
        (goal > 0.).then_some(now / goal)
    }

    /// The same where the NLL of each token is known.
    pub(super) fn share_of_tokens(&self, nll: &[Vec<f32>]) -> f64 {
        self.share(&means(nll))
    }
}

/// Mean NLL of the sequences of a kind.
fn mean_of(answer: bool, of: &[Example], nll: &[f64]) -> Option<f64> {
    let own = of.iter().zip(nll).filter(|(it, _)| is_answer(it) == answer);
    let own: Vec<f64> = own.map(|(_, nll)| *nll).collect();
    (!own.is_empty()).then(|| mean(&own))
}

/// Whether a sequence is an answer, which is read with its question before it.
fn is_answer(example: &Example) -> bool {
    example.first_target > 1
}

impl PassageSets {
    /// What is forgotten: the passages, then what the model says of their subjects in its own words.
    pub(super) fn forgotten(&self) -> Vec<Example> {
        let own = self.own.passages.iter().zip(&self.own.goals).map(|(it, _)| it);
        self.passages.iter().chain(own).cloned().collect()
    }

    /// Where forgetting ends: by models that never saw the passages, or else by the hold-out, whose
    /// sequences have these mean NLL under the start model.
    pub(super) fn goals(&self, holdout: &[f64]) -> Option<Goals> {
        let mut goals = match (self.references.as_slice(), holdout) {
            ([], []) => return None,
            ([], _) => Goals::of_holdout(&self.passages, &self.holdout, holdout),
            (references, _) => Goals::of_references(&self.passages, references),
        };
        goals.each.extend(&self.own.goals);
        goals.answers.extend(self.own.goals.iter().map(|_| true));
        Some(goals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::OwnWords;
    use crate::objective::TokenLoss;

    fn example(first_target: usize) -> Example {
        Example { ids: vec![0; 4], first_target, loss: TokenLoss::Mean, scale: 1. }
    }

    #[test]
    fn each_answer_has_its_own_goal_and_texts_have_one() {
        let of = [example(1), example(3), example(1), example(3)];
        let sets = PassageSets {
            passages: of.to_vec(),
            references: vec![1., 4., 2., 6.],
            own: OwnWords { passages: vec![example(2)], goals: vec![5.], ..OwnWords::default() },
            ..PassageSets::default()
        };
        let goals = sets.goals(&[]).expect("there are some");
        assert_eq!(goals.each, [1.5, 4., 1.5, 6., 5.]);
        assert_eq!(sets.forgotten().len(), 5);
        assert_eq!(goals.mean_of_first(4), 3.25);
        // Answers beyond their goal do not stand in for texts.
        let share =
            goals.share_of_tokens(&[vec![0.5, 1.], vec![9.], vec![0.75], vec![9., 8.], vec![9.]]);
        assert!((share - 0.5).abs() < 1e-6, "{share}");
        // Texts are at half of theirs, answers at (4 + 8 + 5) / 15.
        let seen = [0.5, 4., 1., 8., 5.];
        assert_eq!(goals.reach(1.1, &seen), [false, true, false, true, true]);
        assert_eq!(goals.reach(1.2, &seen), [false; 5]);
    }

    #[test]
    fn a_hold_out_of_texts_is_the_goal_of_all() {
        let (passages, holdout) = (vec![example(1), example(3)], vec![example(1)]);
        let sets = PassageSets { passages, holdout, ..PassageSets::default() };
        let goals = sets.goals(&[2.]).expect("there is one");
        assert_eq!(goals.each, [2., 2.]);
        assert_eq!(goals.share(&[1., 3.]), 1.);
        assert_eq!(sets.goals(&[]), None);
    }
}
