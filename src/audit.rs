//! Audits a model that was edited: what can still be found of the data, by which means, and what
//! follows from it.
//!
//! An audit reads the spec that made the edit, runs the [`Check`]s that fit a budget, cheapest first,
//! and reaches [`AuditVerdict`]s by thresholds whose digest is taken before anything is measured:
//!
//! ```text
//! spec, model, base, references ──▶ checks ──▶ findings ──▶ verdicts ──▶ record
//!                       budget ───────┘  │                     ▲
//!                                        └──▶ what was not run │
//!                       thresholds, hashed first ──────────────┘
//! ```
//!
//! Evidence, not a promise: it says against what the model was tested, and no more.

mod attacks;
mod check;
mod compared;
mod depth;
mod equivalent;
mod facts;
mod facts_relearnt;
mod findings;
mod forms;
mod guided;
mod integrity;
mod judge;
mod limits;
mod linear_probe;
mod measures;
mod membership;
mod recall;
pub mod record;
mod sampled;
mod scores;
mod strata;
mod subject;
mod truth;

use std::time::Duration;

use serde::Serialize;

pub use attacks::{StepsToRelearn, steps_to_relearn};
pub use check::Check;
pub use depth::{LayerLens, LayerProbe};
pub use equivalent::EquivalenceTest;
pub use facts_relearnt::FactsRelearnt;
pub use findings::{Done, Findings, NotRun};
pub use forms::Form;
pub use guided::Guided;
pub use integrity::{ChangedTensor, CodeChange, Integrity};
pub use judge::{AuditReason, AuditState, AuditVerdict, VerdictOf};
pub use limits::{Limits, LimitsFile};
pub use measures::AuditMeasure;
pub use membership::{Inference, Membership};
pub use recall::{FormRecall, SetScores};
pub use sampled::Sampled;
pub use strata::{Stratum, StratumKind};
pub use subject::Audited;
pub use truth::TruthRatio;

use crate::run::{Job, RunError, Tools};
use judge::Evidence;
use recall::Asked;
use subject::Subject;

/// The result of an audit.
#[derive(Serialize)]
pub struct Audit {
    /// Display name of the audited model.
    pub model: String,
    /// The thresholds, with the digest that was taken first.
    pub limits: LimitsFile,
    /// Models that never saw the passages.
    pub references: Vec<String>,
    /// Forgotten passages.
    pub passages: usize,
    /// Passages of the hold-out.
    pub holdout: usize,
    /// The checks that were run, in their order.
    pub done: Vec<Done>,
    /// The checks that were not run, and why.
    pub not_run: Vec<NotRun>,
    /// Every number as a row.
    pub measures: Vec<AuditMeasure>,
    /// Equivalence with the references, measure by measure.
    pub equivalence: Vec<EquivalenceTest>,
    /// The verdicts.
    pub verdicts: Vec<AuditVerdict>,
    /// Seed of samples, halves and bootstraps.
    pub seed: u64,
    /// Everything that was found, in full.
    pub findings: Findings,
}

impl Audit {
    /// Whether every verdict says that what was asked for can be taken as done.
    pub fn passes(&self) -> bool {
        !self.verdicts.is_empty() && self.verdicts.iter().all(|verdict| verdict.state.passes())
    }
}

/// How an audit is run.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// Models that never saw the passages, in addition to those of the spec.
    pub references: Vec<String>,
    /// Most time that checks may take; nothing: all are run.
    pub budget: Option<Duration>,
    /// Checks that are left out.
    pub without: Vec<Check>,
    /// Most steps of relearning; nothing: as many as an attack takes.
    pub relearn_steps: Option<u64>,
    /// The thresholds.
    pub limits: LimitsFile,
}

/// Audits a model on what `job` asked for.
///
/// # Errors
///
/// [`RunError`] where a file that the job names cannot be read, or the user stops it.
pub fn audit(
    models: Audited<'_>,
    job: &Job,
    options: &AuditOptions,
    tools: &Tools<'_>,
) -> Result<Audit, RunError> {
    let subject = Subject::new(models, job, options, tools)?;
    let (findings, done, not_run) = run_checks(&subject, options)?;
    let limits = &options.limits.limits;
    let equivalence = equivalent::equivalence_tests(&findings.recall, limits);
    let counts = [subject.passages().len(), subject.holdout().len()];
    let verdicts = judge::verdicts(&Evidence {
        findings: &findings,
        equivalence: &equivalence,
        not_run: &not_run,
        limits,
        counts,
        seed: subject.seed,
    });
    Ok(Audit {
        model: models.name.to_owned(),
        limits: options.limits.clone(),
        references: subject.references().to_vec(),
        passages: counts[0],
        holdout: counts[1],
        measures: measures::measures(&findings, subject.seed),
        seed: subject.seed,
        done,
        not_run,
        equivalence,
        verdicts,
        findings,
    })
}

/// Floating-point operations a second before anything was timed: of one slow core.
const FIRST_RATE: f64 = 2e10;

/// Runs what fits the budget, cheapest first; each check that was run says how fast the next will be.
fn run_checks(
    subject: &Subject<'_>,
    options: &AuditOptions,
) -> Result<(Findings, Vec<Done>, Vec<NotRun>), RunError> {
    let progress = subject.tools.progress;
    let (mut findings, mut done, mut not_run) = (Findings::default(), Vec::new(), Vec::new());
    let mut checks = Check::ALL.map(|check| (check, check.cost(subject)));
    checks.sort_by(|a, b| a.1.total_cmp(&b.1));
    let begun = progress.now();
    let (mut operations, mut busy) = (0., 0.);
    for (check, cost) in checks {
        progress.check()?;
        let left_out = options.without.contains(&check).then_some("it was left out");
        if let Some(reason) = left_out.or_else(|| check.lacks(subject)) {
            not_run.push(NotRun { check, reason: reason.to_owned() });
            continue;
        }
        let rate = if busy > 0. { operations / busy } else { FIRST_RATE };
        if let Some(budget) = options.budget {
            let left = budget.as_secs_f64() - (progress.now() - begun).as_secs_f64();
            if cost / rate > left {
                let reason = format!(
                    "the budget: it takes about {:.0} s, and {:.0} s were left",
                    (cost / rate).ceil(),
                    left.max(0.)
                );
                not_run.push(NotRun { check, reason });
                continue;
            }
        }
        let started = progress.now();
        run_check(check, subject, &mut findings)?;
        let seconds = (progress.now() - started).as_secs_f64();
        // Hashes say nothing of how fast a model is read.
        if check != Check::Integrity {
            (operations, busy) = (operations + cost, busy + seconds);
        }
        done.push(Done { check, seconds });
    }
    Ok((findings, done, not_run))
}

fn run_check(check: Check, subject: &Subject<'_>, findings: &mut Findings) -> Result<(), RunError> {
    match check {
        Check::Integrity => findings.integrity = Some(integrity::integrity(subject)?),
        Check::Verbatim => {
            let found = Asked::verbatim(subject).measure(subject)?;
            findings.recall.splice(0..0, found);
        }
        Check::Forms => {
            findings.recall.extend(Asked::others(subject)?.measure(subject)?);
            findings.truth = Some(truth::truth_ratio(subject)?);
        }
        Check::OwnWords => {
            findings.recall.extend(Asked::own_words(subject)?.measure(subject)?);
        }
        Check::Membership => findings.membership = membership::membership(subject)?,
        Check::Secrets => {
            ask_secrets(subject, findings)?;
            findings.asked_secrets = true;
        }
        Check::Depth => findings.depth = depth::depth(subject)?,
        Check::Damage => {
            if let Some(base) = subject.models.base {
                findings.strata = strata::strata(subject, base)?;
            }
        }
        Check::Guided => {
            if let Some(base) = subject.models.base {
                findings.guided = Some(guided::guided(subject, &base.decoder)?);
            }
        }
        Check::Facts => findings.facts = Some(facts::facts(subject)?),
        Check::Sampled => findings.sampled = Some(sampled::sampled(subject)?),
        Check::Quantised => {
            ask_secrets(subject, findings)?;
            findings.quantised = attacks::round(subject, &mut findings.secrets)?;
        }
        Check::Relearned => {
            ask_secrets(subject, findings)?;
            let Some(plan) = &subject.relearn else { return Ok(()) };
            let asked = (subject.questions.as_slice(), findings.secrets.as_mut_slice());
            let found = attacks::learn_again(subject, plan, asked)?;
            findings.relearned = Some(found);
        }
        Check::FactsRelearnt => {
            if findings.facts.is_none() {
                findings.facts = Some(facts::facts(subject)?);
            }
            let leaks = findings.facts.as_ref().map_or(&[][..], |found| &found.leaks);
            findings.facts_relearnt = facts_relearnt::facts_relearnt(subject, leaks)?;
        }
        Check::LowRank => {
            let Some(plan) = &subject.low_rank else { return Ok(()) };
            // Secrets are asked for after the lesson that moves all weights.
            findings.low_rank = Some(attacks::learn_again(subject, plan, (&[], &mut []))?);
        }
    }
    Ok(())
}

/// Asks the audited model for the named secrets, once.
fn ask_secrets(subject: &Subject<'_>, findings: &mut Findings) -> Result<(), RunError> {
    if findings.secrets.is_empty() && !subject.questions.is_empty() {
        let models = &subject.models;
        let base = models.base.unwrap_or(models.model);
        let (questions, progress) = (&subject.questions, subject.tools.progress);
        findings.secrets = crate::run::secrets(base, questions, Some(models.decoder), progress)?;
    }
    Ok(())
}
