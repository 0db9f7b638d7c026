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
    let mut own_sums = vec![0.; plan.sets.own.passages.len()];
    let mut own_said = 0.;
    for name in &plan.references {
        let decoder: Decoder = (tools.open_reference)(name)
            .map_err(|source| RunError::Reference { name: name.clone(), source })?;
        let own = &plan.sets.own.passages;
        for (sums, set) in [(&mut sums, &plan.sets.passages), (&mut own_sums, own)] {
            for (sum, nll) in sums.iter_mut().zip(gradient::measure(&decoder, set)?) {
                let total: f64 = nll.iter().map(|n| f64::from(*n)).sum();
                *sum += total / nll.len() as f64;
            }
        }
        let said = gradient::answered(&decoder, own, tools.progress)?;
        own_said += said.iter().filter(|it| **it).count() as f64 / said.len() as f64;
        let memory = remembered(model, &decoder, &plan.sets, tools.progress)?;
        outcomes.push(ReferenceOutcome { name: name.clone(), memory });
    }
    if !outcomes.is_empty() {
        let mean = |sums: Vec<f64>| sums.iter().map(|sum| sum / outcomes.len() as f64).collect();
        plan.sets.references = mean(sums);
        let own = &mut plan.sets.own;
        own.goals = mean(own_sums);
        own.never_saw = (!own.goals.is_empty()).then(|| own_said / outcomes.len() as f64);
    }
    Ok(outcomes)
}
