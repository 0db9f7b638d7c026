//! Erased facts, each learnt again from one mention of it, beside facts that nobody knew.
//!
//! The control of a fact is the same sentence about an invented subject: the first half of the name of
//! another subject of the kind, and the second half of that of a third. Both are learnt by the audited
//! model, each from where it is.

use serde::Serialize;

use super::compared::mean;
use super::subject::Subject;
use crate::gradient::{Example, PassageSettings, Relearner, TokenLoss, TrainError};
use crate::model::ModelError;
use crate::probe::{ErasedFact, Leak};
use crate::progress::Inner;
use crate::run::{RunError, lesson};
use crate::spec::RateChoice;

/// Steps after which a lesson is given up.
const MOST: u64 = 40;
/// How much smaller than that of whoever learns passages again the rate is: at the full one, a single step
/// teaches most facts, known or not.
const FINER: f64 = 5.;
/// NLL of the answer, nats a token, at which it counts as learnt: a probability of a half.
const LEARNT: f64 = std::f64::consts::LN_2;

/// Steps until each erased fact is learnt again from one mention, and each of as many facts that were
/// never known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactsRelearnt {
    /// Of each erased fact, fractions by a straight line between two steps.
    pub erased: Vec<f64>,
    /// Of the same sentence about an invented subject.
    pub never_known: Vec<f64>,
    /// Learning rate.
    pub rate: f64,
}

impl FactsRelearnt {
    /// Mean steps of erased facts, and of facts that were never known.
    pub fn means(&self) -> [f64; 2] {
        [&self.erased, &self.never_known].map(|it| mean(it).unwrap_or(f64::NAN))
    }
}

/// Teaches each fact again, and each control; nothing where no fact has two other subjects of its kind.
pub(super) fn facts_relearnt(
    subject: &Subject<'_>,
    leaks: &[Leak],
) -> Result<Option<FactsRelearnt>, RunError> {
    let (tokenizer, progress) = (&subject.models.model.tokenizer, subject.tools.progress);
    let mention = |fact: &ErasedFact, name: &str| -> Result<Example, RunError> {
        let prompt = fact.prompt.replacen("{}", name, 1);
        let mut ids = tokenizer.encode(&prompt).map_err(ModelError::from)?.ids;
        let first_target = ids.len();
        ids.extend(&fact.answer);
        Ok(Example { ids, first_target, loss: TokenLoss::Mean, scale: 1. })
    };
    let mut pairs = Vec::new();
    for (at, leak) in leaks.iter().enumerate() {
        if let Some(invented) = invented(&leak.fact.others, at) {
            pairs.push([mention(&leak.fact, &leak.subject)?, mention(&leak.fact, &invented)?]);
        }
    }
    let Some([first, _]) = pairs.first() else { return Ok(None) };
    let longest = pairs.iter().flatten().map(|it| it.ids.len()).max().unwrap_or(1);
    let model = subject.models.model;
    let first = std::slice::from_ref(first);
    let mut settings = lesson(model, &subject.job, first, longest, subject.seed)?;
    settings.rate = RateChoice::Given(settings.rates()[0] / FINER);
    let mut found = FactsRelearnt {
        erased: Vec::with_capacity(pairs.len()),
        never_known: Vec::with_capacity(pairs.len()),
        rate: settings.rates()[0],
    };
    progress.phase("facts again", Some(pairs.len() as u64));
    for (at, [erased, control]) in pairs.iter().enumerate() {
        progress.advance(at as u64, "learning");
        found.erased.push(steps(subject, erased, &settings)?);
        found.never_known.push(steps(subject, control, &settings)?);
    }
    Ok(Some(found))
}

/// Steps on the whole sentence until its answer is learnt.
fn steps(
    subject: &Subject<'_>,
    mention: &Example,
    settings: &PassageSettings,
) -> Result<f64, RunError> {
    let models = &subject.models;
    let sentence = [Example { first_target: 1, ..mention.clone() }];
    let answer = std::slice::from_ref(mention);
    let mut learner = Relearner::new(models.model, models.decoder, &sentence, settings)?;
    let mut before = learner.nll(answer)?;
    if before <= LEARNT {
        return Ok(0.);
    }
    while learner.steps() < MOST {
        match learner.step(&Inner(subject.tools.progress)) {
            // What is left of a broken model learns nothing.
            Err(TrainError::NotFinite { .. }) => break,
            taken => taken?,
        }
        let now = learner.nll(answer)?;
        if now <= LEARNT {
            return Ok((learner.steps() - 1) as f64 + (before - LEARNT) / (before - now));
        }
        before = now;
    }
    Ok(MOST as f64)
}

/// A name of the kind of `others` that is none of them, the same for the same `at`: the first half of one
/// and the second half of the next. Nothing of fewer than two names.
fn invented(others: &[String], at: usize) -> Option<String> {
    let first = others.get(at % others.len().max(1))?;
    let second = &others[(at + 1) % others.len()];
    let name = format!("{}{}", halves(first).0, halves(second).1);
    (!others.contains(&name)).then_some(name)
}

/// A name, parted at the blank that is nearest to its middle, or in the middle of its only word. The
/// blank goes with the second half.
fn halves(name: &str) -> (&str, &str) {
    let middle = name.len() / 2;
    let blanks = name.match_indices(' ').map(|(at, _)| at);
    let letters = name.char_indices().map(|(at, _)| at);
    let at = blanks.min_by_key(|at| at.abs_diff(middle));
    let at = at.or_else(|| letters.min_by_key(|at| at.abs_diff(middle))).unwrap_or(0);
    name.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_are_of_the_kind_and_of_nobody() {
        let of = |others: &[&str], at| {
            invented(&others.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), at)
        };
        let people = ["Ada Lovelace", "Max Planck", "Jean Paul Sartre"];
        assert_eq!(of(&people, 0).as_deref(), Some("Ada Planck"));
        assert_eq!(of(&people, 2).as_deref(), Some("Jean Paul Lovelace"));
        assert_eq!(of(&["France", "Brazil"], 0).as_deref(), Some("Frazil"));
        assert_eq!(of(&["Österreich", "日本"], 1).as_deref(), Some("日rreich"));
        assert_eq!(of(&["France"], 0), None);
        assert_eq!(of(&[], 0), None);
    }

    #[test]
    fn means_of_both_by_hand() {
        let found = FactsRelearnt { erased: vec![1., 2.], never_known: vec![3., 3.], rate: 1e-4 };
        assert_eq!(found.means(), [1.5, 3.]);
    }
}
