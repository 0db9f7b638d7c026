//! Repeats an edit without the facts that only follow from others, for comparison.

use super::RunError;
use super::job::Job;
use super::layers;
use super::measure::{AskedFact, CaseQuestions, size};
use super::plan::Plan;
use super::tools::Tools;
use super::write::FactWriter;
use crate::model::Model;
use crate::probe::ProbeScores;
use crate::rank_one::targets::ValueStore;

/// The scores of the job's facts without their ripples; nothing where no ripple was written.
pub(super) fn without_ripples(
    model: &Model,
    job: &Job,
    plan: &Plan,
    tools: &Tools<'_>,
) -> Result<Option<ProbeScores>, RunError> {
    let (Some(bare), Some(write)) = (&job.without_ripples, plan.write()) else { return Ok(None) };
    let progress = tools.progress;
    progress.note("ripples", "the same edit without them, for comparison");
    let write = write.for_facts(model, bare, progress)?;
    let corpus = job.rank_one.corpus.as_ref();
    let factored = layers::ready(model, &write, corpus, tools)?;
    let store = ValueStore::open(tools.cache, job.start.weights(model.weights_hash()?))?;
    let start = job.start.edited(model)?;
    let mut writer = FactWriter::new(model, &write, (&factored, &store), (start, false), None);
    let ids: Vec<String> = write.edits.iter().map(|edit| edit.subject.clone()).collect();
    writer.write(&write.edits, &ids, true, progress)?;
    let case = &job.cases[0];
    let facts: Vec<AskedFact> = case.asked.iter().map(|at| (&plan.edits()[*at]).into()).collect();
    let questions = CaseQuestions::new(model, &case.prompts, &facts, size(0, 1))?;
    Ok(Some(ProbeScores::of_one(&questions.scores(writer.decoder())?)))
}
