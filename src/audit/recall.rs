//! What outputs give away of the passages, form by form, relative to text that was never seen.

use serde::Serialize;

use super::compared::{excess, mean};
use super::forms::{Form, Former};
use super::scores::{Scored, score};
use super::subject::Subject;
use crate::gradient::Example;
use crate::math::{Interval, mean_bootstrap};
use crate::model::Decoder;
use crate::run::RunError;

/// Numbers of a set, one for each passage.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SetScores {
    /// Mean NLL, nats a token.
    pub nll: Vec<f64>,
    /// Extraction strength.
    pub extraction: Vec<f64>,
    /// Share that the longest recited run holds.
    pub recital: Vec<f64>,
}

impl SetScores {
    pub(super) fn of(scored: &[Scored]) -> Self {
        Self {
            nll: scored.iter().map(Scored::nll).collect(),
            extraction: scored.iter().map(|it| it.extraction).collect(),
            recital: scored.iter().map(|it| it.recital).collect(),
        }
    }
}

/// What outputs give away in one form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormRecall {
    /// The form in which the passages were put.
    pub form: Form,
    /// The passages that should have been forgotten.
    pub forgotten: SetScores,
    /// Passages that were never seen, in the same form.
    pub holdout: SetScores,
    /// The forgotten passages under each model that never saw them.
    pub references: Vec<SetScores>,
}

impl FormRecall {
    /// Mean NLL of the forgotten passages.
    pub fn nll(&self, seed: u64) -> Option<Interval> {
        mean_bootstrap(&self.forgotten.nll, seed)
    }

    /// The NLL of what was never seen: the references' or the hold-out's; nothing without both.
    pub fn never_seen_nll(&self) -> Option<f64> {
        let pooled: Vec<f64> = self.references.iter().flat_map(|it| it.nll.clone()).collect();
        mean(&pooled).or_else(|| mean(&self.holdout.nll))
    }

    /// How much more of a forgotten passage is recited than of what was never seen; how much of it
    /// where there is nothing to compare with.
    pub fn recital_excess(&self, seed: u64) -> Option<Interval> {
        let pooled: Vec<f64> = self.references.iter().flat_map(|it| it.recital.clone()).collect();
        let others = if pooled.is_empty() { &self.holdout.recital } else { &pooled };
        let own = self.forgotten.recital.as_slice();
        excess(own, others, seed)
    }
}

/// The scores of one model, form by form.
pub(super) struct Asked {
    forms: Vec<(Form, [Vec<Example>; 2])>,
}

impl Asked {
    /// The passages as they stand.
    pub(super) fn verbatim(subject: &Subject<'_>) -> Self {
        let sets = [subject.passages().to_vec(), subject.holdout().to_vec()];
        Self { forms: vec![(Form::Verbatim, sets)] }
    }

    /// All other forms that can be made for this model.
    pub(super) fn others(subject: &Subject<'_>) -> Result<Self, RunError> {
        // What is retained was read; its beginnings give nothing away of the rest.
        let former = Former::new(subject.models.model, subject.retained())?;
        let mut forms = Vec::new();
        let made = Form::MADE.into_iter().filter(|form| *form != Form::Verbatim);
        for form in made.filter(|form| former.has(*form)) {
            let put = |set: &[Example]| former.put(form, set);
            let sets = [put(subject.passages())?, put(subject.holdout())?];
            if !sets[0].is_empty() {
                forms.push((form, sets));
            }
        }
        if !subject.paraphrases[0].is_empty() {
            forms.push((Form::Paraphrase, subject.paraphrases.clone()));
        }
        if let Some([passages, holdout]) = subject.asked() {
            forms.push((Form::Questions, [passages.to_vec(), holdout.to_vec()]));
        }
        Ok(Self { forms })
    }

    /// What the base says of the subjects in its own words; nothing where that is nothing.
    pub(super) fn own_words(subject: &Subject<'_>) -> Result<Self, RunError> {
        // The hold-out is no measure here: of the passages, only what the base was sure of was taken.
        let sets = [subject.own_words()?.passages, Vec::new()];
        let forms = if sets[0].is_empty() { Vec::new() } else { vec![(Form::OwnWords, sets)] };
        Ok(Self { forms })
    }

    /// Scores both sets of every form.
    pub(super) fn of(
        &self,
        subject: &Subject<'_>,
        decoder: &Decoder,
    ) -> Result<Vec<FormRecall>, RunError> {
        let progress = subject.tools.progress;
        progress.phase("outputs", Some(self.forms.len() as u64));
        let mut all = Vec::new();
        for (at, (form, [passages, holdout])) in self.forms.iter().enumerate() {
            progress.advance(at as u64, form.name());
            let scores = |set: &[Example]| Ok(SetScores::of(&score(decoder, set, progress)?));
            let scores = |set: &[Example]| -> Result<SetScores, RunError> { scores(set) };
            let (forgotten, holdout) = (scores(passages)?, scores(holdout)?);
            let (form, references) = (*form, Vec::new());
            all.push(FormRecall { form, forgotten, holdout, references });
        }
        Ok(all)
    }

    /// Scores the audited model and every reference.
    pub(super) fn measure(&self, subject: &Subject<'_>) -> Result<Vec<FormRecall>, RunError> {
        let mut own = self.of(subject, subject.models.decoder)?;
        for name in subject.references() {
            let reference = self.of(subject, &subject.reference(name)?)?;
            for (own, other) in own.iter_mut().zip(reference) {
                own.references.push(other.forgotten);
            }
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recital_counts_beyond_what_was_never_seen() {
        let scores = |recital: &[f64]| SetScores {
            nll: recital.iter().map(|share| 4. - share).collect(),
            extraction: recital.to_vec(),
            recital: recital.to_vec(),
        };
        let mut form = FormRecall {
            form: Form::Verbatim,
            forgotten: scores(&[0.5, 0.7]),
            holdout: scores(&[0.1, 0.3]),
            references: Vec::new(),
        };
        let excess = |form: &FormRecall| form.recital_excess(0).expect("passages").mean;
        assert!((excess(&form) - 0.4).abs() < 1e-12);
        assert_eq!(form.never_seen_nll(), Some(3.8));
        form.references = vec![scores(&[0.6, 0.6]), scores(&[0.5, 0.5])];
        assert!((excess(&form) - 0.05).abs() < 1e-12, "references are nearer than the hold-out");
        form.references.clear();
        form.holdout = SetScores::default();
        assert!((excess(&form) - 0.6).abs() < 1e-12 && form.never_seen_nll().is_none());
    }
}
