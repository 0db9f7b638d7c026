//! Secrets, asked for again after an attack.

use super::plan::{RelearnPlan, SECRET_STEPS};
use super::relearning::learns_until;
use super::ticks::Ticks;
use crate::gradient::{Example, Relearner};
use crate::model::{Decoder, Model, TokenizerError};
use crate::probe::{SecretAttack, SecretAttackKind, SecretLeak, SecretOrigin, SecretQuestion};
use crate::progress::{Inner, Progress};
use crate::run::RunError;

/// How recoverable a secret is from a model after an attack.
pub(super) fn ask(
    model: &Model,
    decoder: &Decoder,
    kind: SecretAttackKind,
    question: &SecretQuestion,
    progress: &dyn Progress,
) -> Result<SecretAttack, RunError> {
    let seen = question.seen(model, decoder, &Inner(progress))?;
    Ok(SecretAttack { kind, seen })
}

/// Learns, for each secret of a passage, the passages without it again, and asks for it; those that
/// leave the same passages share a lesson.
pub(super) fn relearn(
    model: &Model,
    decoder: &Decoder,
    plan: &RelearnPlan,
    (secrets, leaks): (&[SecretQuestion], &mut [SecretLeak]),
    progress: &dyn Progress,
) -> Result<(), RunError> {
    let texts = plan.all.iter().map(|example| model.tokenizer.decode(&example.ids));
    let texts = texts.collect::<Result<Vec<String>, TokenizerError>>();
    let texts = texts.map_err(crate::model::ModelError::from)?;
    let without = |question: &SecretQuestion| -> Vec<usize> {
        (0..texts.len()).filter(|at| !question.is_in(&texts[*at])).collect()
    };
    let lessons = lessons(secrets, without);
    if lessons.is_empty() {
        return Ok(());
    }
    let ticks = Ticks::new(progress, "attack", SECRET_STEPS * lessons.len() as u64);
    for (passages, asked) in lessons {
        let learnt: Vec<Example> = passages.iter().map(|at| plan.all[*at].clone()).collect();
        let mut relearner = Relearner::new(model, decoder, &learnt, &plan.settings)?;
        if !learns_until(&mut relearner, SECRET_STEPS, (&ticks, "secrets"))? {
            continue;
        }
        for at in asked {
            let (kind, question) = (SecretAttackKind::Relearnt, &secrets[at]);
            let found = ask(model, relearner.current(), kind, question, progress)?;
            leaks[at].attacks.push(found);
        }
    }
    Ok(())
}

/// Passages to learn, and the secrets that none of them holds.
type Lesson = (Vec<usize>, Vec<usize>);

fn lessons(
    secrets: &[SecretQuestion],
    without: impl Fn(&SecretQuestion) -> Vec<usize>,
) -> Vec<Lesson> {
    let mut lessons: Vec<Lesson> = Vec::new();
    let of_passages = |(_, it): &(usize, &SecretQuestion)| it.origin() == SecretOrigin::Passage;
    for (at, question) in secrets.iter().enumerate().filter(of_passages) {
        let passages = without(question);
        match lessons.iter_mut().find(|(known, _)| *known == passages) {
            _ if passages.is_empty() => {}
            Some((_, asked)) => asked.push(at),
            None => lessons.push((passages, vec![at])),
        }
    }
    lessons
}
