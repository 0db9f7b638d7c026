//! The digest of everything that decides what a run finds.

use super::RunError;
use super::job::Job;
use crate::files::Sha256;
use crate::model::Model;

/// Part of every digest; results of another form need another number.
const FORM: u32 = 1;

/// Names the version, the model, what is asked for and the files that it names; `verb` says what is
/// done with them.
///
/// # Errors
///
/// [`RunError`] where a file cannot be read.
pub fn identity(model: &Model, job: &Job, verb: &str) -> Result<Sha256, RunError> {
    let version = env!("CARGO_PKG_VERSION");
    let weights = job.start.weights(model.weights_hash()?);
    let model = format!("{weights} {} {}", model.config_hash, model.tokenizer.hash());
    let Job { form, facts, passages, cases, grouping, groups, rank_one, gradient, .. } = job;
    let asked = format!("{form:?} {facts:?} {passages:?} {cases:?} {grouping:?} {groups:?}");
    let how = format!("{rank_one:?} {gradient:?} {:?} {:?}", job.thresholds, job.memory);
    let files: Vec<Sha256> = job.inputs()?.iter().map(|input| input.sha256).collect();
    Ok(Sha256::of(format!("{FORM} {version} {verb}\n{model}\n{asked}\n{how}\n{files:?}")))
}
