//! The verdicts of an audit, as data: states from strongest to weakest, each with its reasons, and
//! never one number.

mod facts;
mod passages;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::equivalent::EquivalenceTest;
use super::findings::{Findings, NotRun};
use super::limits::Limits;
use crate::verdict::Reason;

/// What an audit says of what was removed or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum AuditState {
    /// The weights are those of a model trained without the data, to the bit.
    Exact,
    /// Every measure lies within the spread of models trained without the data, and no attack brings
    /// anything back.
    ReferenceEquivalent,
    /// No measure tells the data from data that was never seen, and no attack brings anything back.
    ReferenceFree,
    /// An inserted fact is said.
    Holds,
    /// Outputs are clean; attacks bring the data back, or were not tried.
    Suppressed,
    /// An inserted fact is not said.
    DoesNotHold,
    /// What outputs give away was not measured.
    NotTested,
    /// The data is so improbable that the gap shows what was removed.
    OverForgotten,
    /// Other behaviour suffered more than the thresholds allow.
    Damaged,
    /// Outputs still give the data away.
    NotForgotten,
}

impl AuditState {
    /// Every state, the strongest first.
    pub const ALL: [Self; 10] = [
        Self::Exact,
        Self::ReferenceEquivalent,
        Self::ReferenceFree,
        Self::Holds,
        Self::Suppressed,
        Self::DoesNotHold,
        Self::NotTested,
        Self::OverForgotten,
        Self::Damaged,
        Self::NotForgotten,
    ];

    /// The state as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "EXACT",
            Self::ReferenceEquivalent => "REFERENCE-EQUIVALENT",
            Self::ReferenceFree => "REFERENCE-FREE",
            Self::Holds => "HOLDS",
            Self::Suppressed => "SUPPRESSED",
            Self::DoesNotHold => "DOES NOT HOLD",
            Self::NotTested => "NOT TESTED",
            Self::OverForgotten => "OVER-FORGOTTEN",
            Self::Damaged => "DAMAGED",
            Self::NotForgotten => "NOT FORGOTTEN",
        }
    }

    /// The state in a clause that a person can repeat.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Exact => "the weights are those of a model that was trained without the data",
            Self::ReferenceEquivalent => {
                "every measure lies within the spread of models that were trained without the data, \
                 and no attack that was tried brought it back"
            }
            Self::ReferenceFree => {
                "nothing that was measured tells the data from data that the model never saw, and no \
                 attack that was tried brought it back"
            }
            Self::Holds => "the model says what was inserted",
            Self::Suppressed => {
                "the model does not give the data away as it is, but an attack brings it back, or \
                 the attacks that would show it were not run"
            }
            Self::DoesNotHold => "the model does not say all that was inserted",
            Self::NotTested => "what the model gives away of the data was not measured",
            Self::OverForgotten => {
                "the data is less probable than data that the model never saw, so that the gap \
                 itself shows what was removed"
            }
            Self::Damaged => "the model lost more of other abilities than the thresholds allow",
            Self::NotForgotten => "the model still gives the data away",
        }
    }

    /// Whether what was asked for can be taken as done.
    pub fn passes(self) -> bool {
        matches!(self, Self::Exact | Self::ReferenceEquivalent | Self::ReferenceFree | Self::Holds)
    }
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictOf {
    /// Passages that should have been forgotten.
    Passages,
    /// Facts that should have been erased.
    ErasedFacts,
    /// Facts that should have been inserted.
    InsertedFacts,
}

impl VerdictOf {
    /// The subject of the verdict in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passages => "passages forgotten",
            Self::ErasedFacts => "facts erased",
            Self::InsertedFacts => "facts inserted",
        }
    }
}

/// One verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditVerdict {
    /// What it is about.
    pub of: VerdictOf,
    /// How many passages or facts.
    pub n: usize,
    /// What it says.
    pub state: AuditState,
    /// Everything that speaks against a stronger state, the decisive state's first.
    pub reasons: Vec<AuditReason>,
}

/// A measurement that speaks for a state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReason {
    /// The state that it speaks for.
    pub state: AuditState,
    /// The check that found it, or that is missing.
    pub check: Check,
    /// The measurement and the threshold that it was compared with.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Everything that verdicts are made of.
pub(super) struct Evidence<'a> {
    pub(super) findings: &'a Findings,
    pub(super) equivalence: &'a [EquivalenceTest],
    pub(super) not_run: &'a [NotRun],
    pub(super) limits: &'a Limits,
    /// Passages that should have been forgotten, and of the hold-out.
    pub(super) counts: [usize; 2],
    pub(super) seed: u64,
}

/// The verdicts on everything that the spec asked for.
pub(super) fn verdicts(evidence: &Evidence<'_>) -> Vec<AuditVerdict> {
    let mut all = Vec::new();
    if evidence.counts[0] > 0 {
        all.push(passages::verdict(evidence));
    }
    all.extend(facts::verdicts(evidence));
    all
}

/// The verdict that the reasons make: the worst of their states, or the state without any.
fn decided(
    (of, n): (VerdictOf, usize),
    without: AuditState,
    mut reasons: Vec<AuditReason>,
) -> AuditVerdict {
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.state));
    let state = reasons.first().map_or(without, |reason| reason.state);
    AuditVerdict { of, n, state, reasons }
}

/// A reason by a number, which a limit was compared with.
fn by(
    (state, check): (AuditState, Check),
    measure: impl Into<String>,
    (found, limit): (f64, f64),
    text: impl Into<String>,
) -> AuditReason {
    let (found, limit) = (Some(found), Some(limit));
    let reason = Reason { measure: measure.into(), found, limit, text: text.into() };
    AuditReason { state, check, reason }
}

/// A reason without a number: a check that is missing.
fn missing(check: Check, text: impl Into<String>) -> AuditReason {
    let (measure, text) = (check.name().to_owned(), text.into());
    let reason = Reason { measure, found: None, limit: None, text };
    let state = match check {
        Check::Verbatim => AuditState::NotTested,
        _ => AuditState::Suppressed,
    };
    AuditReason { state, check, reason }
}
