//! Models that never saw the passages: forgetting aims at what they remember of them.

use super::RunError;
use super::tools::Tools;
use super::train::{ReferenceOutcome, remembered};
use super::train_plan::TrainPlan;
use crate::gradient;
use crate::model::{Decoder, Model};

/// Measures every reference of a plan, one after the other, and sets the plan's goal.
pub fn measure_references(
    model: &Model,
    plan: &mut TrainPlan,
    tools: &Tools<'_>,
) -> Result<Vec<ReferenceOutcome>, RunError> {
    let mut outcomes = Vec::new();
    let mut sums = vec![0.; plan.sets.passages.len()];
    for name in &plan.references {
        let decoder: Decoder = (tools.open_reference)(name)
            .map_err(|source| RunError::Reference { name: name.clone(), source })?;
        for (sum, nll) in sums.iter_mut().zip(gradient::measure(&decoder, &plan.sets.passages)?) {
            let total: f64 = nll.iter().map(|n| f64::from(*n)).sum();
            *sum += total / nll.len() as f64;
        }
        let memory = remembered(model, &decoder, &plan.sets, tools.progress)?;
        outcomes.push(ReferenceOutcome { name: name.clone(), memory });
    }
    if !outcomes.is_empty() {
        plan.sets.references = sums.iter().map(|sum| sum / outcomes.len() as f64).collect();
    }
    Ok(outcomes)
}
