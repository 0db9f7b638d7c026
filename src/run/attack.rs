//! The attack on what was forgotten or erased: how much of it the weights still hold.
//!
//! The forgotten passages are split by seed into halves. A copy of the model learns one half again,
//! and the NLL of the other half, which is not shown, is watched (arXiv 2410.08827): what comes back
//! was hidden, not removed. Models that never saw the passages take the same lesson for comparison;
//! without one, the hold-out is split and learnt in the same way. Then the matrices are rounded as in
//! GGUF files (arXiv 2410.16454), and after each of these attacks secrets are asked for again.

mod plan;
mod quantised;
mod relearning;
mod secrets;
mod ticks;

use serde::{Deserialize, Serialize};

pub(crate) use plan::lesson;
pub use plan::{AttackPlan, Compared, RelearnPlan};
pub use quantised::QuantisedMemory;
pub use relearning::{RelearnCurve, RelearnPoint, Relearning};

use super::RunError;
use super::tools::Tools;
use crate::gradient::{self, Example, Memory};
use crate::model::{Decoder, Model};
use crate::probe::{SecretLeak, SecretQuestion};
use crate::progress::Progress;
use ticks::Ticks;

/// What an attack brought back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attack {
    /// Half of the passages is learnt again.
    pub relearning: Relearning,
    /// What is remembered of all forgotten passages as the model is.
    pub memory: Option<Memory>,
    /// The same after the matrices were rounded.
    pub quantised: Vec<QuantisedMemory>,
    /// Wall-clock seconds of this model's share.
    pub seconds: f64,
}

/// Curves of models that never saw the passages: the same for every model that is attacked.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReferenceCurves(Vec<RelearnCurve>);

impl ReferenceCurves {
    /// Teaches every reference half of the passages.
    pub(super) fn new(
        model: &Model,
        plan: &AttackPlan,
        tools: &Tools<'_>,
    ) -> Result<Self, RunError> {
        match &plan.relearn {
            Some(relearn) => Self::of(model, relearn, tools),
            None => Ok(Self::default()),
        }
    }

    /// Teaches every reference half of the passages.
    pub(crate) fn of(
        model: &Model,
        relearn: &RelearnPlan,
        tools: &Tools<'_>,
    ) -> Result<Self, RunError> {
        let curve = |name: &String| relearning::of_reference(model, relearn, name, tools);
        relearn.references.iter().map(curve).collect::<Result<_, _>>().map(Self)
    }
}

/// Secrets that are asked for after each attack, and what was found of them so far.
pub(crate) type Asked<'a> = (&'a [SecretQuestion], &'a mut [SecretLeak]);

/// Attacks `decoder`, which is what a run left of `model`; `secrets` are asked for after each attack,
/// and what is found of them is noted in `leaks`.
///
/// Nothing where the plan has no forgotten passages.
pub(super) fn attack(
    model: &Model,
    decoder: &Decoder,
    plan: &AttackPlan,
    (references, secrets, leaks): (&ReferenceCurves, &[SecretQuestion], &mut [SecretLeak]),
    tools: &Tools<'_>,
) -> Result<Option<Attack>, RunError> {
    let progress = tools.progress;
    let started = progress.now();
    let mut found = None;
    let mut all: &[Example] = &[];
    if let Some(plan) = &plan.relearn {
        found = Some(relearn(model, decoder, plan, references, (secrets, &mut *leaks), progress)?);
        all = &plan.all;
    }
    let memory = gradient::memory(decoder, all, progress)?;
    let quantised = rounded(model, decoder, all, (secrets, leaks), progress)?;
    let seconds = (progress.now() - started).as_secs_f64();
    Ok(found.map(|relearning| Attack { relearning, memory, quantised, seconds }))
}

/// Learns half of the passages again, and asks for secrets after a few steps of it.
pub(crate) fn relearn(
    model: &Model,
    decoder: &Decoder,
    plan: &RelearnPlan,
    references: &ReferenceCurves,
    asked: Asked<'_>,
    progress: &dyn Progress,
) -> Result<Relearning, RunError> {
    let ticks = Ticks::new(progress, "attack", plan.own_steps());
    let found = relearning::of(model, decoder, plan, references.0.clone(), &ticks)?;
    secrets::relearn(model, decoder, plan, asked, progress)?;
    Ok(found)
}

/// Rounds the matrices in each way, measures the passages and asks for secrets.
pub(crate) fn rounded(
    model: &Model,
    decoder: &Decoder,
    passages: &[Example],
    asked: Asked<'_>,
    progress: &dyn Progress,
) -> Result<Vec<QuantisedMemory>, RunError> {
    quantised::measure(model, decoder, passages, asked, progress)
}
