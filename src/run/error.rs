//! Why a run could not be planned or finished.

use crate::checkpoint::CheckpointError;
use crate::files::FileError;
use crate::gradient::{TooLarge, TrainError};
use crate::model::ModelError;
use crate::patch::PatchError;
use crate::plan::PlanError;
use crate::progress::{Interrupted, counted};
use crate::rank_one::RankOneError;
use crate::rank_one::factors::FactorError;
use crate::rank_one::statistics::StatisticsError;
use crate::ranks::RankError;
use crate::spec::{SecretsNotFound, SpecError};

/// A run that could not be planned or finished; nothing was written to disk but caches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The spec or a file that it names is wrong.
    #[error("{0}")]
    Spec(#[from] SpecError),
    /// The facts cannot be planned.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// A second moment cannot be computed.
    #[error("{0}")]
    Factor(#[from] FactorError),
    /// A fact could not be written.
    #[error("cannot write {what}")]
    Write {
        /// The facts that could not be written.
        what: String,
        /// The error of the write.
        source: RankOneError,
    },
    /// Passages could not be learnt or forgotten.
    #[error("cannot {verb} the passages")]
    Train {
        /// The verb, `learn` or `forget`.
        verb: &'static str,
        /// The error of the training.
        source: TrainError,
    },
    /// Passages could not be measured.
    #[error("{0}")]
    Measure(#[from] TrainError),
    /// A sweep of layers for a job without facts.
    #[error("layers = \"sweep\" tries layers on facts, and there are none")]
    NothingToSweep,
    /// General text of the user that is too short to train on some of it and check the rest.
    #[error("general text {}: {sequences} of at least 2 passages", file.display())]
    GeneralTooShort {
        /// The file that `general` names.
        file: std::path::PathBuf,
        /// Passages found that do not repeat what is to be forgotten.
        sequences: usize,
    },
    /// The training does not fit into the memory that it is allowed.
    #[error("{0}")]
    TooLarge(#[from] TooLarge),
    /// The model cannot be used for the run.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// The change cannot be stored.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// Secrets that no passage holds.
    #[error("{0}")]
    Secrets(#[from] SecretsNotFound),
    /// A reference model cannot be used.
    #[error("reference {name}: {source}")]
    Reference {
        /// Name of the reference in the spec.
        name: String,
        /// Why it cannot be used.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
    /// `with_ripples` without any ripple.
    #[error(
        "with_ripples = true, but no [[ripple]] prompt of the spec's probe file names {subjects}"
    )]
    NoRipples {
        /// The subjects that ask for ripples.
        subjects: String,
    },
    /// Facts that contradict or repeat each other.
    #[error("{what}:\n  {}", lines.join("\n  "))]
    Clashes {
        /// The kind of clash.
        what: String,
        /// One line a clash.
        lines: Vec<String>,
    },
    /// Facts that the patches that a run starts from hold, too, or that contradict theirs.
    #[error("the patch that the edit starts from holds such facts already:\n  {}", lines.join("\n  "))]
    HeldAlready {
        /// One line a clash.
        lines: Vec<String>,
    },
    /// Patches that a run starts from cannot be added.
    #[error("{0}")]
    Patch(#[from] PatchError),
    /// A record without a true target that could be erased.
    #[error("record {record} has no true target to erase")]
    NothingToErase {
        /// Number of the record.
        record: String,
    },
    /// A record without a new target of its own, which can be erased but not written.
    #[error(
        "record {record} has no target_new that differs from its target_true; --erase removes that"
    )]
    NothingToWrite {
        /// Number of the record.
        record: String,
    },
    /// Batches by a method that writes one fact at a time.
    #[error(
        "method rome writes one fact at a time; batches need --method memit, emmet or alphaedit"
    )]
    OneAtATime,
    /// Passages of fewer than two tokens.
    #[error("the passages have fewer than two tokens")]
    Empty,
    /// `learning_rate = "auto"` without a hold-out to choose by.
    #[error(
        "learning_rate = \"auto\" needs a `holdout` in [[forget]]: passages of the same kind that \
         the model never saw"
    )]
    RateWithoutHoldout,
    /// A method without a hold-out or references that say how improbable passages should be.
    #[error(
        "method {method} needs a `holdout` or a `reference` in [[forget]]: they say how \
         improbable the passages should be, and stay"
    )]
    WithoutGoal {
        /// The method.
        method: &'static str,
    },
    /// Method undo on low-rank changes, which leave the weights as they are.
    #[error("method undo disturbs the weights themselves; leave out `rank` in [gradient]")]
    UndoOfLowRank,
    /// An attack on passages of which there are too few to learn some and watch others.
    #[error(
        "--attack learns half of the forgotten passages again and watches the other half, which \
         takes at least {fewest} passages; there {} {passages}",
        if *passages == 1 { "is" } else { "are" }
    )]
    TooFewToAttack {
        /// The passages that are forgotten.
        passages: usize,
        /// How many are needed.
        fewest: usize,
    },
    /// An attack without anything that was forgotten.
    #[error("--attack learns forgotten passages again, and the spec has no [[forget]]")]
    NothingToAttack,
    /// Other ranks or the journal failed.
    #[error("{0}")]
    Ranks(#[from] RankError),
    /// A training on a number of ranks to which its batches cannot be dealt.
    #[error(
        "{ranks} processes cannot share out batches of {}: set `shares = {}` in [gradient], or start \
         a number of processes that divides the shares",
        counted(*shares, "share"), common_multiple(*shares, *ranks)
    )]
    Shares {
        /// Shares of a batch.
        shares: usize,
        /// Processes.
        ranks: usize,
    },
    /// One checkpoint file for two trainings.
    #[error("--checkpoint holds one training; split the spec")]
    TwoTrainings,
}

/// The least number that both divide.
fn common_multiple(a: usize, b: usize) -> usize {
    (1..=b).map(|n| n * a).find(|multiple| multiple.is_multiple_of(b)).unwrap_or(a * b)
}

impl From<StatisticsError> for RunError {
    fn from(error: StatisticsError) -> Self {
        Self::Factor(error.into())
    }
}

impl RunError {
    /// Whether the error lies in what was asked for, and not in a model or file.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoRipples { .. }
                | Self::Clashes { .. }
                | Self::HeldAlready { .. }
                | Self::NothingToErase { .. }
                | Self::NothingToWrite { .. }
                | Self::OneAtATime
                | Self::Empty
                | Self::RateWithoutHoldout
                | Self::WithoutGoal { .. }
                | Self::UndoOfLowRank
                | Self::TooFewToAttack { .. }
                | Self::NothingToAttack
                | Self::NothingToSweep
                | Self::TwoTrainings
                | Self::Shares { .. }
                | Self::TooLarge(_)
                | Self::Secrets(_)
                | Self::Spec(_)
        )
    }
}
