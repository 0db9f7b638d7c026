//! Why the built-in model could not be trained or measured.

use crate::checkpoint::CheckpointError;
use crate::files::FileError;
use crate::gradient::TrainError;
use crate::model::ModelError;
use crate::progress::Interrupted;
use crate::ranks::RankError;
use crate::run::RunError;

/// A training of the built-in model that could not be done, or a measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The tokenizer could not be trained.
    #[error("cannot train the tokenizer: {0}")]
    Tokenizer(String),
    /// The initial weights could not be written.
    #[error("cannot write to the folder for temporary files")]
    Temporary(#[source] std::io::Error),
    /// A model of the control zoo could not be audited.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Other ranks or the journal failed.
    #[error("{0}")]
    Ranks(#[from] RankError),
    /// References were asked for, of passages that name nobody of the world.
    #[error(
        "the passages name nobody of the built-in world, whose model alone can be trained again"
    )]
    NamesNobody,
    /// A training step failed.
    #[error("{0}")]
    Train(#[from] TrainError),
    /// The model cannot be opened or run.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// The folder cannot be written.
    #[error("{0}")]
    Folder(#[from] CheckpointError),
    /// A file cannot be written.
    #[error("{0}")]
    File(#[from] FileError),
    /// A computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}
