//! Why work that several processes share could not be done.

use std::path::PathBuf;

use crate::files::FileError;
use crate::progress::Interrupted;

/// Work that several processes share, or that a journal keeps, and that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RankError {
    /// Another rank could not go on.
    #[error("rank {rank} on {host}: {reason}")]
    Failed {
        /// Its number.
        rank: usize,
        /// Its machine.
        host: String,
        /// What it says.
        reason: String,
    },
    /// Another rank came to other work than this one.
    #[error(
        "rank {rank} came to {theirs} where rank 0 came to {ours}: all ranks need the same files, \
         settings, version and kind of processor"
    )]
    Disagrees {
        /// Its number.
        rank: usize,
        /// The work that it came to.
        theirs: String,
        /// The work of rank 0.
        ours: String,
    },
    /// A call of the MPI library failed.
    #[error("MPI: {call}: {reason}")]
    Mpi {
        /// The call.
        call: &'static str,
        /// What the library says.
        reason: String,
    },
    /// Bytes that are no result of the task.
    #[error("a result of {work} cannot be read: {reason}")]
    Result {
        /// The work.
        work: String,
        /// Why.
        reason: String,
    },
    /// The journal of another job.
    #[error("{} is the journal of another job: {about}", path.display())]
    OtherJob {
        /// The journal.
        path: PathBuf,
        /// What it is about.
        about: String,
    },
    /// A file that is no journal, or one with a line that its digest does not fit.
    #[error("{}, line {line}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process writes to the journal.
    #[error("{}: another job writes to this journal", path.display())]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// The journal cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// Several processes of a program that was built without MPI.
    #[error(
        "this rescribe was started {} and cannot share out its work: build it with the MPI library \
         of this machine, by `cargo install --path . --features mpi`, or start it once",
        times(*ranks)
    )]
    WithoutMpi {
        /// Number of processes, where that is known.
        ranks: Option<usize>,
    },
    /// Several processes, each of which is alone for the MPI library.
    #[error(
        "this rescribe was started {}, but its MPI library finds one process: start it with the \
         launcher of the library that it was built with (Slurm: `srun --mpi=pmix` or `--mpi=pmi2`), \
         or build it again with this one's, after `cargo clean -p mpi-sys`",
        times(*ranks)
    )]
    OtherLauncher {
        /// Number of processes, where that is known.
        ranks: Option<usize>,
    },
    /// Rank 0 ended the job.
    #[error("rank 0 ended the job")]
    Ended,
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// How often a program was started.
fn times(ranks: Option<usize>) -> String {
    ranks.map_or_else(|| "by an MPI launcher".to_owned(), |n| format!("{n} times"))
}
