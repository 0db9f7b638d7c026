//! Guided extraction: what whoever has both the base and the edited model can read out of the two.
//!
//! The base's log-probabilities are pushed away from the edited model's, ℓ = ℓ_base + w (ℓ_base −
//! ℓ_edited), which points at what was removed (arXiv 2505.24379). This says nothing against the
//! edited model alone; it says that a base which is kept is part of what remains.

use serde::Serialize;

use super::subject::Subject;
use crate::gradient::in_logits;
use crate::model::Decoder;
use crate::ops::log_sum_exp;
use crate::probe::recited_share;
use crate::run::RunError;

/// The weight w.
const GUIDANCE: f32 = 1.;

/// What is recited of each forgotten passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guided {
    /// By the base alone.
    pub base: Vec<f64>,
    /// By the base, guided by the edited model.
    pub guided: Vec<f64>,
}

/// Reads every passage with both models.
pub(super) fn guided(subject: &Subject<'_>, base: &Decoder) -> Result<Guided, RunError> {
    let progress = subject.tools.progress;
    progress.phase("guided", Some(subject.passages().len() as u64));
    let mut found = Guided { base: Vec::new(), guided: Vec::new() };
    for (at, passage) in subject.passages().iter().enumerate() {
        progress.check()?;
        progress.advance(at as u64, "");
        let (mut own, mut alone, mut both) = (Vec::new(), Vec::new(), Vec::new());
        let one = std::slice::from_ref(passage);
        in_logits(base, one, |_, logits, _| own.extend_from_slice(logits))?;
        in_logits(subject.models.decoder, one, |example, logits, vocabulary| {
            let rows = own.chunks_exact(vocabulary).zip(logits.chunks_exact(vocabulary));
            for ((base, edited), id) in rows.zip(&example.ids[example.first_target..]) {
                alone.push(is_largest(base, *id));
                both.push(is_largest(&pushed(base, edited), *id));
            }
        })?;
        let share = |hits: &[bool]| recited_share(passage, hits).unwrap_or(0.);
        found.base.push(share(&alone));
        found.guided.push(share(&both));
    }
    Ok(found)
}

/// The base's log-probabilities, pushed away from the edited model's.
fn pushed(base: &[f32], edited: &[f32]) -> Vec<f32> {
    let (base_sum, edited_sum) = (log_sum_exp(base), log_sum_exp(edited));
    let one = |(base, edited): (&f32, &f32)| {
        let (base, edited) = (base - base_sum, edited - edited_sum);
        base + GUIDANCE * (base - edited)
    };
    base.iter().zip(edited).map(one).collect()
}

fn is_largest(row: &[f32], id: u32) -> bool {
    let own = row[id as usize];
    row.iter().all(|other| *other <= own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edit_took_away_is_pushed_up() {
        // The base is undecided; the edited model lost the first of the two.
        let (base, edited) = ([1.0f32, 1.1, 0.], [-3.0f32, 1.1, 0.]);
        assert!(is_largest(&base, 1));
        assert!(is_largest(&pushed(&base, &edited), 0));
        assert!(is_largest(&pushed(&base, &base), 1), "equal models say the same");
    }
}
