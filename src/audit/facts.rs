//! Facts inserted and erased, measured as a probe of the spec measures them.

use super::subject::Subject;
use crate::run::{Outcome, RunError, probe};

/// What the audited model says of the facts of the spec; the base is the audited model itself where
/// there is none, so that only what it says counts.
pub(super) fn facts(subject: &Subject<'_>) -> Result<Outcome, RunError> {
    let models = &subject.models;
    let mut job = subject.job.clone();
    job.passages.clear();
    for case in &mut job.cases {
        // Texts of passages are measured by the other checks.
        case.prompts.forget.clear();
        case.prompts.holdout.clear();
        case.prompts.secrets.clear();
    }
    let base = models.base.unwrap_or(models.model);
    probe(base, models.name, &job, Some(models.decoder), subject.tools)
}
