//! Prompt by prompt: how probable each target is before and after, as a section of a report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::probe::{PromptKind, PromptScore, Said};
use crate::run::{CaseMeasures, CaseOutcome, Outcome};

/// Prompts of a kind that are listed.
const LISTED: usize = 24;

/// A prompt, its target, and how probable both models find it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromptShift {
    /// The kind of the prompt.
    pub kind: PromptKind,
    /// The text of the prompt.
    pub prompt: String,
    /// The target; nothing where it is the prompt's own answer, which should stay.
    pub target: Option<String>,
    /// Whether the target was erased.
    pub is_erased: bool,
    /// The base, or the only model.
    pub before: Option<Told>,
    /// The edited model.
    pub after: Option<Told>,
}

/// What a model says of a prompt's target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Probability of the target after the prompt.
    pub probability: Option<f64>,
    /// Whether free decoding says it; nothing where that was not tried.
    pub is_said: Option<bool>,
}

impl From<&Said> for Told {
    fn from(said: &Said) -> Self {
        Self { probability: Some(said.probability), is_said: Some(said.is_said) }
    }
}

impl From<&PromptScore> for Told {
    /// The target of a neighborhood prompt is the one that is true.
    fn from(score: &PromptScore) -> Self {
        Self { probability: Some((-score.nll_true).exp()), is_said: None }
    }
}

/// The prompts of all cases, as many of each kind as a page lists; nothing without prompts.
pub(super) fn prompt_section(outcome: &Outcome) -> Option<Section> {
    use PromptKind::{Neighborhood, Paraphrase, Rewrite, Ripple};
    let shifts: Vec<PromptShift> = outcome.cases.iter().flat_map(of_case).collect();
    let mut listed = Vec::new();
    for kind in [Rewrite, Paraphrase, Ripple, Neighborhood] {
        listed.extend(shifts.iter().filter(|shift| shift.kind == kind).take(LISTED).cloned());
    }
    let left_out = shifts.len() - listed.len();
    let section = Section::detail("Prompt by prompt: how probable each target is");
    match (listed.is_empty(), left_out) {
        (true, _) => None,
        (_, 0) => Some(section.block(listed)),
        _ => Some(section.block(listed).block(format!("{left_out} more are in the data."))),
    }
}

fn of_case(case: &CaseOutcome) -> Vec<PromptShift> {
    let (before, after) = (&case.before, case.after.as_ref());
    let free = |list: fn(&CaseMeasures) -> &Vec<Said>, is_erased| {
        let shift = move |(at, said): (usize, &Said)| PromptShift {
            kind: said.kind,
            prompt: said.prompt.clone(),
            target: Some(said.target.clone()),
            is_erased,
            before: Some(said.into()),
            after: after.and_then(|after| list(after).get(at)).map(Told::from),
        };
        list(before).iter().enumerate().map(shift).collect::<Vec<_>>()
    };
    let scores = before.scores.prompts.iter().enumerate();
    let neighbors = scores.filter(|(_, score)| score.kind == PromptKind::Neighborhood);
    let neighbors = neighbors.map(|(at, score)| PromptShift {
        kind: score.kind,
        prompt: score.prompt.clone(),
        target: None,
        is_erased: false,
        before: Some(score.into()),
        after: after.and_then(|after| after.scores.prompts.get(at)).map(Told::from),
    });
    let free = [free(|it| &it.said, false), free(|it| &it.erased, true)].concat();
    free.into_iter().chain(neighbors).collect()
}
