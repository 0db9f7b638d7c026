//! What is asked of each sequence: to be learnt, to be forgotten, or to stay.

use std::sync::Arc;

use crate::gradient::TrainError;
use crate::gradient::data::refusals;
use crate::gradient::example::Example;
use crate::gradient::goals::Goals;
use crate::gradient::head::references;
use crate::gradient::little_read::little_read;
use crate::gradient::settings::PassageSettings;
use crate::model::{Decoder, Model};
use crate::objective::{Reference, TokenLoss};
use crate::spec::{ForgetMethod, PassageVerb, RetainLoss};

/// Tokens kept of each distribution of the start model.
const KEPT: usize = 64;

/// What is learnt or forgotten with its losses; of each sequence, the NLL of its tokens under `start` is given.
pub(super) fn changed(
    model: &Model,
    start: &Decoder,
    (passages, nll): (&[Example], &[Vec<f32>]),
    goals: Option<&Goals>,
    settings: &PassageSettings,
) -> Result<Vec<Example>, TrainError> {
    let with = |example: &Example, loss: TokenLoss| Example { loss, ..example.clone() };
    Ok(match (settings.verb, settings.method) {
        (PassageVerb::Learn, _) => {
            passages.iter().map(|it| with(it, settings.learn_loss())).collect()
        }
        (PassageVerb::Forget, ForgetMethod::Idk) => refusals(model, passages)?,
        (PassageVerb::Forget, ForgetMethod::Jensun) => {
            let toward = |(it, unknown): (&Example, Reference)| {
                with(it, TokenLoss::JensenShannon(Arc::new(unknown)))
            };
            passages.iter().zip(little_read(start, passages, KEPT)?).map(toward).collect()
        }
        (PassageVerb::Forget, _) => {
            let forget = |(at, it): (usize, &Example)| {
                let sum = nll[at].iter().map(|n| f64::from(*n)).sum();
                let goal = goals.map(|goals| goals.of(at));
                with(it, TokenLoss::Forget(settings.forget_loss(sum, goal)))
            };
            passages.iter().enumerate().map(forget).collect()
        }
    })
}

/// Gives what is to stay its losses.
pub(super) fn hold(
    start: &Decoder,
    (retain, nll): (&mut [Example], &[Vec<f32>]),
    settings: &PassageSettings,
) -> Result<(), TrainError> {
    match settings.retain_loss {
        RetainLoss::Nll => {
            for (example, nll) in retain.iter_mut().zip(nll) {
                example.loss = settings.retain_loss_from(nll);
            }
        }
        RetainLoss::Kl => {
            let found = references(start, retain, KEPT)?;
            for (example, reference) in retain.iter_mut().zip(found) {
                example.loss = TokenLoss::Divergence(Arc::new(reference));
            }
        }
    }
    Ok(())
}
