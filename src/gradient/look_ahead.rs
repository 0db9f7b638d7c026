//! Forgetting that withstands relearning.
//!
//! Passages that became improbable together come back together: a few steps that learn some of them
//! again undo what was done to all. So an adversary learns half of the passages again, one step for each
//! step of forgetting, from where the weights are; at it, the other half should be a little less probable
//! than text that was never seen. The gradient there is taken for the gradient here (first-order
//! meta-learning, arXiv 1703.03400). The adversary keeps its distance from the weights while they move
//! (as perturbations do in arXiv 1904.12843, which therefore cost little), and begins anew, with other
//! halves, after `relearn` steps.

use super::TrainError;
use super::example::Example;
use super::goals::Goals;
use super::mean_nll::{mean, means};
use super::settings::PassageSettings;
use super::trainer::Trainer;
use crate::math::Random;
use crate::objective::{ForgetLoss, TokenLoss};
use crate::progress::Progress;

/// What the adversary learns in a step, and what is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draw {
    /// It begins at the weights.
    is_new: bool,
    /// Passages that it learns.
    taught: Vec<usize>,
    /// Passages that are watched, none of which it learnt.
    watched: Vec<usize>,
}

impl Draw {
    /// That of the step after `steps`. As long as an adversary lives, it learns from the same half of
    /// `passages` passages.
    fn new(passages: usize, steps: u64, settings: &PassageSettings) -> Self {
        let life = settings.relearn as u64;
        let (turn, age) = (steps / life, (steps % life) as usize);
        let mut random = Random::named(settings.seed.wrapping_add(turn), "relearning");
        let mut order: Vec<usize> = (0..passages).collect();
        random.shuffle(&mut order);
        let (learnt, other) = order.split_at(passages / 2);
        let next = |of: &[usize], count: usize| -> Vec<usize> {
            let count = count.min(of.len());
            of.iter().copied().cycle().skip(age * count).take(count).collect()
        };
        let batch = settings.batch;
        let (taught, watched) = (next(learnt, batch), next(other, WATCHED * batch));
        Self { is_new: age == 0, taught, watched }
    }
}

/// Passages watched, relative to those of a step.
const WATCHED: usize = 2;
/// NLL that they should have at the adversary, relative to their goal: a lesson on other passages leaves
/// them less probable to a model that never saw them, too.
const AHEAD: f64 = 1.2;

/// Adds the gradient at the adversary to that of the trainer's next step; the mean NLL of the
/// watched passages there, nats a token. Nothing where there are not two passages to part.
pub(super) fn look_ahead(
    trainer: &mut Trainer<'_>,
    passages: &[Example],
    goals: &Goals,
    settings: &PassageSettings,
    progress: &dyn Progress,
) -> Result<Option<f64>, TrainError> {
    if settings.relearn == 0 || passages.len() < 2 {
        return Ok(None);
    }
    let draw = Draw::new(passages.len(), trainer.steps(), settings);
    let with = |chosen: &[usize], loss: &dyn Fn(usize) -> TokenLoss, weight: f64| {
        let scale = (weight / chosen.len() as f64) as f32;
        let one = |at: &usize| Example { loss: loss(*at), scale, ..passages[*at].clone() };
        chosen.iter().map(one).collect::<Vec<_>>()
    };
    let lesson = with(&draw.taught, &|_| TokenLoss::Mean, 1.);
    let until = |at: usize| TokenLoss::Forget(ForgetLoss::Until { goal: AHEAD * goals.of(at) });
    let watched = with(&draw.watched, &until, settings.forget_weight);
    let lesson = (&lesson[..], settings.relearn_rate);
    let outcomes = trainer.follow(draw.is_new, lesson, &watched, progress)?;
    let nll: Vec<Vec<f32>> = outcomes.into_iter().map(|outcome| outcome.nll).collect();
    Ok(Some(mean(&means(&nll))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::{Extent, PassageSets};
    use crate::spec::{ForgetMethod, GradientOptions, PassageVerb};

    #[test]
    fn an_adversary_learns_from_one_half_and_another_from_another() {
        let given = GradientOptions {
            method: Some(ForgetMethod::LookAhead),
            relearn: Some(5),
            batch: Some(2),
            ..GradientOptions::default()
        };
        let extent = Extent::new(&PassageSets::default(), 48, 2, false);
        let settings = PassageSettings::new(&given, PassageVerb::Forget, &extent);
        let draws: Vec<Draw> = (0..15).map(|steps| Draw::new(12, steps, &settings)).collect();
        let halves: Vec<Vec<usize>> = draws
            .chunks(5)
            .map(|life| {
                assert!(life[0].is_new && life[1..].iter().all(|draw| !draw.is_new));
                let all = |part: fn(&Draw) -> &Vec<usize>| -> Vec<usize> {
                    let mut all: Vec<usize> = life.iter().flat_map(part).copied().collect();
                    all.sort_unstable();
                    all.dedup();
                    all
                };
                let (taught, watched) = (all(|it| &it.taught), all(|it| &it.watched));
                let mut both = [taught.clone(), watched].concat();
                both.sort_unstable();
                assert_eq!(both, (0..12).collect::<Vec<_>>(), "two halves, each whole");
                taught
            })
            .collect();
        assert!(halves[0] != halves[1] && halves[1] != halves[2], "{halves:?}");
        assert_eq!(draws[3].taught.len(), 2);
        assert_eq!(Draw::new(2, 0, &settings).watched.len(), 1);
    }
}
