//! Models that never saw the passages: what they say of them is what forgetting aims at.

use std::path::{Path, PathBuf};

use super::plan::PassagePlan;
use super::train::remembered;
use crate::cli::args::Global;
use crate::cli::failure::Usage;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::gradient;
use rescribe::model::Decoder;
use rescribe::report::ReferenceReport;

/// Measures every reference of a plan, one after the other, and sets the plan's goal.
pub fn measure(
    session: &Session,
    plan: &mut PassagePlan,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<Vec<ReferenceReport>> {
    let mut reports = Vec::new();
    let mut sums = vec![0.; plan.sets.passages.len()];
    for name in &plan.references {
        let decoder = open(session, name, global, ui)?;
        for (sum, nll) in sums.iter_mut().zip(gradient::measure(&decoder, &plan.sets.passages)?) {
            let total: f64 = nll.iter().map(|n| f64::from(*n)).sum();
            *sum += total / nll.len() as f64;
        }
        let memory = remembered(&decoder, &plan.sets, ui)?;
        reports.push(ReferenceReport { name: name.clone(), memory });
    }
    if !reports.is_empty() {
        plan.sets.references = sums.iter().map(|sum| sum / reports.len() as f64).collect();
    }
    Ok(reports)
}

/// A patch of the session's model, or another model with its tokens.
fn open(session: &Session, name: &str, global: &Global, ui: &Ui) -> anyhow::Result<Decoder> {
    if name.ends_with(".safetensors") && Path::new(name).is_file() {
        return session.patched(&session.patches(&[PathBuf::from(name)])?);
    }
    let other = Session::open(Some(name), global, ui)?;
    if other.model.tokenizer.hash() != session.model.tokenizer.hash() {
        let message = format!(
            "reference {name}: it splits text into other tokens than {}, so that the two cannot \
             be compared",
            session.name
        );
        return Err(Usage(message).into());
    }
    Ok(other.model.decoder)
}
