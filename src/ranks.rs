//! The processes that take part in a run, and the work that they share.
//!
//! A run on many machines is one program that MPI starts many times, once a *rank*. Every rank goes
//! the same way through the run; where the way leads through many independent tasks, each rank does
//! some of them ([`Ranks::share`]), and all get all results. Rank 0 alone talks to the user and
//! writes files. A run without MPI is one rank.
//!
//! **The same result to the bit.** A task's result depends on its number and on the job alone, and
//! results are put together in the order of the numbers. Neither the number of ranks, nor which of
//! them did what and when, changes a bit. Nor do threads. Processors of another kind may: their
//! vector units add in another order, so that the nodes of a job should be alike.
//!
//! **A journal.** With `--journal FILE` rank 0 writes every finished task to a file, and has it on
//! the disk (`fsync`) before it hands out the next; the same command goes on from there after the
//! job was killed, on as many ranks as there are then. It needs no MPI.
//!
//! **Errors.** A rank that cannot go on tells rank 0, which names the rank and its machine, and ends
//! the job. A process that is killed is named by `mpirun` or `srun`, which end the others (MPICH's names
//! a process and its machine, and no rank). What was finished is in the journal.
//!
//! # Building
//!
//! With the MPI library of the site, whichever it is (Open MPI, MPICH and those made of them), and
//! without a container:
//!
//! ```text
//! module load openmpi            # so that `mpicc` is found; or MPICC=/path/to/mpicc
//! cargo install --path . --features mpi
//! ```
//!
//! The bindings are made from the header of that library, for which `libclang` is needed
//! (`libclang-dev` on Debian; `LIBCLANG_PATH` names another place). The binary then belongs to that
//! library and its launcher: build again after changing it, once `cargo clean -p mpi-sys` has removed
//! its bindings. Started by the launcher of another, where each process would be alone, it is refused.
//!
//! # Running
//!
//! ```text
//! #!/bin/bash
//! #SBATCH --job-name=records
//! #SBATCH --nodes=16
//! #SBATCH --ntasks-per-node=1          # a rank a node: a model is in its memory once
//! #SBATCH --cpus-per-task=64
//! #SBATCH --time=04:00:00
//! #SBATCH --signal=TERM@60
//! #SBATCH --requeue                    # starts again after a node failed, and goes on
//! export RESCRIBE_CACHE=$SCRATCH/rescribe
//! srun --cpus-per-task=$SLURM_CPUS_PER_TASK \
//!     rescribe edit records.json --model $SCRATCH/llama-3.1-8b \
//!     --threads $SLURM_CPUS_PER_TASK --journal $SCRATCH/records.journal --json > records.json
//! ```
//!
//! `mpirun -n 4 rescribe …` does the same on one machine; there, `--threads` should be the number of
//! cores divided by that of ranks. The cache may be on a disk that all nodes share, or on each node:
//! what is missing in it is computed again. `edit` shares out records, the values of a batch and what
//! `[[learn]]` and `[[forget]]` train, `probe` records, `compare` methods and seeds, `atlas zoo` its
//! models, `stats` its corpus; other verbs are refused on more than one rank.
//!
//! # Learning and forgetting
//!
//! With `shares = 8` in `[gradient]` a training runs on 1, 2, 4 or 8 ranks. Every rank has the
//! weights and goes the same way, draws, measurements and stops included; of a step's batch each sums
//! the gradients of its own shares, and each trained tensor belongs to one rank, which alone adds its
//! gradient, has its moments and changes it. One process holds four numbers a trained weight, five
//! where there are shares; each of N holds 2 + 3 / N. `--checkpoint FILE`, on a disk that all ranks
//! read, is written by rank 0, in the form that one process writes, and goes on on any number of
//! ranks that divides the shares. Measurements before and after, an attack and the noise of `undo`
//! are the same on every rank, and each does all of them.
//!
//! # What is added in which order
//!
//! A second moment is a sum over groups of the corpus, 4,032 keys of the model's own text or 8,192
//! tokens of a file each. Every group is summed by itself, in f64, by the rank whose turn it is, and
//! rank 0 adds the groups one after the other ([`Ranks::in_order`]): the same sum on any number of
//! ranks, and on one.
//!
//! The examples of a batch are dealt into `shares` shares, the longest first and each to the share that
//! has least; a share's gradient is summed from zero, in f32, and the shares are added one after the
//! other, g = ((g₀ + g₁) + g₂) + …, by the rank that has the tensor. Squares for the norm are summed
//! by tensor and then in the order of tensors. So a number of shares has its own bits, and the number
//! of ranks changes none. Everything else that ranks share is not added but listed.
//!
//! # What travels, and where it stops to scale
//!
//! On paper, for 64 nodes with 100 Gbit/s (12.5 GB/s) each, a model of 8 B parameters (32 layers,
//! keys of width 14,336) and 2 TFLOP/s a node.
//!
//! | work | bytes | seconds | limit |
//! |---|---|---|---|
//! | opening the model | 16 GB a node, 1 TB in all | 51 at 20 GB/s of the shared disk | the disk; a copy on each node has none |
//! | 20,000 records | 20 kB a record to rank 0, 400 MB from it to each node: 25 GB | 2 | rank 0 has a result on its disk in 5 ms, so 200 records a second: at a minute a record, 12,000 nodes |
//! | the end of the records | none | up to one record, 60 of 18,750 | 64 nodes work 99.7 % of the time; more nodes than records gain nothing |
//! | C of one layer, 114,688 keys | 1.64 GB a group, 29 groups: 48 GB to rank 0, then 1.64 GB to each in 6 rounds | 29 × 0.25 to take and add, 6 × 0.13 | a group takes 40 s, so that 29 ranks need 48 s and one 1,160: 83 %; more ranks than groups gain nothing, and of a longer corpus more than 160 |
//! | a step of a training of all weights, 64 shares | 31.5 GB of gradients from each rank and as many to it, then the same of values: each pair of ranks meets, one speaks after the other | 5 and 5, were all ranks to have as much; 10.6 and 10.6, as one has the embedding, 525 M numbers | 1,024 tokens a rank take 25 s, 4,096 take 98: 54 and 82 %; from 16 ranks on, the largest tensor |
//! | its checkpoint | 64 GB of moments to rank 0, twice | 2 × 5 | 96 GB to the disk |
//!
//! The rank that adds a second moment needs memory for two matrices, 3.3 GB here, as does one process
//! alone. A rank of the training needs 16 GB for the stored weights, 64 for values and gradients and
//! 1.5 for what belongs to it (6.3 with the embedding); one process without shares needs 144.

mod error;
mod exchange;
mod journal;
mod launch;
mod message;
#[cfg(feature = "mpi")]
mod mpi;
mod post;
mod share;
mod sum;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod threads;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::RankError;
use journal::Journal;
pub use launch::{Launch, start};
use message::Message;
pub use post::Link;
use post::{PAUSE, Post};
pub use share::Shared;

use crate::files::Sha256;
use crate::progress::Progress;

/// The processes of a run.
pub struct Ranks {
    /// Nothing where one process works alone.
    post: Option<Post>,
    journal: Mutex<Option<Journal>>,
    /// What each rank did, as far as this one knows.
    done: Mutex<BTreeMap<usize, RankWork>>,
}

/// What a rank did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RankWork {
    /// Number of the rank.
    pub rank: usize,
    /// Its machine.
    pub host: String,
    /// Tasks that it did.
    pub tasks: usize,
    /// Wall-clock seconds that they took.
    pub seconds: f64,
    /// Tasks a minute.
    pub per_minute: Option<f64>,
}

/// One process without a journal.
pub static ALONE: Ranks = Ranks::alone();

impl Ranks {
    /// One process.
    pub const fn alone() -> Self {
        Self { post: None, journal: Mutex::new(None), done: Mutex::new(BTreeMap::new()) }
    }

    /// The processes that a link connects; one of them alone needs none.
    pub fn over(link: Box<dyn Link>) -> Self {
        if link.size() == 1 {
            link.close();
            return Self::alone();
        }
        let post = Some(Post::new(link));
        Self { post, ..Self::alone() }
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.post.as_ref().map_or(0, |post| post.link().rank())
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.post.as_ref().map_or(1, |post| post.link().size())
    }

    /// Whether this process talks to the user and writes files.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Keeps finished tasks in a file from now on, and takes those that it holds for done. `job`
    /// names everything that decides the results, `about` says what they are for a person.
    ///
    /// # Errors
    ///
    /// [`RankError`] where the file is the journal of another job, is damaged, or cannot be written.
    pub fn keep(&self, file: &Path, job: Sha256, about: &str) -> Result<(), RankError> {
        if self.is_first() {
            *self.journal() = Some(Journal::open(file, job, about)?);
        }
        Ok(())
    }

    /// The journal's finished tasks and its name; nothing where there is none.
    pub fn kept(&self) -> Option<(usize, String)> {
        let journal = self.journal();
        let journal = journal.as_ref()?;
        Some((journal.finished(), journal.path().display().to_string()))
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self) -> MutexGuard<'_, BTreeMap<usize, RankWork>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_host(&self, rank: usize, host: String) {
        self.done().entry(rank).or_default().host = host;
    }

    fn note_task(&self, rank: usize, seconds: f64) {
        let mut done = self.done();
        let work = done.entry(rank).or_default();
        (work.tasks, work.seconds) = (work.tasks + 1, work.seconds + seconds);
    }

    /// What each rank did so far, as rank 0 knows it; empty where one process works alone.
    pub fn done_by_rank(&self) -> Vec<RankWork> {
        let Some(post) = &self.post else { return Vec::new() };
        let done = self.done();
        let of = |rank| {
            let mut work = done.get(&rank).cloned().unwrap_or_default();
            work.rank = rank;
            if rank == post.link().rank() {
                work.host = post.link().host();
            }
            work.per_minute = (work.seconds > 0.).then(|| 60. * work.tasks as f64 / work.seconds);
            work
        };
        (0..post.link().size()).map(of).collect()
    }

    /// Does something on rank 0 first and then on all others, which find in the cache what it left
    /// there.
    ///
    /// # Errors
    ///
    /// Those of `work`, and [`RankError`] where rank 0 ended the job.
    pub fn first_on_rank_0<T, E: From<RankError>>(
        &self,
        progress: &dyn Progress,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(post) = &self.post else { return work() };
        if post.link().rank() != 0 {
            match post.wait(0, progress)? {
                Message::Go => return work(),
                _ => return Err(self.lost("its turn").into()),
            }
        }
        let done = work()?;
        (1..post.link().size()).try_for_each(|rank| post.send(rank, &Message::Go))?;
        Ok(done)
    }

    /// The error of a message that belongs to another step of the work.
    fn lost(&self, ours: &str) -> RankError {
        let (ours, theirs) = (ours.to_owned(), "another step of the work".to_owned());
        RankError::Disagrees { rank: self.rank(), theirs, ours }
    }

    /// Ends the work of this rank: rank 0 waits for all others, and they for it.
    ///
    /// # Errors
    ///
    /// [`RankError`] where another rank failed.
    pub fn finish(&self, progress: &dyn Progress) -> Result<(), RankError> {
        let Some(post) = &self.post else { return Ok(()) };
        let others = 1..post.link().size();
        if post.link().rank() != 0 {
            post.send(0, &Message::Finished)?;
            return match post.wait(0, progress) {
                Err(RankError::Ended) => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(self.lost("the end")),
            };
        }
        for rank in others.clone() {
            match post.wait(rank, progress)? {
                Message::Finished => {}
                _ => return Err(self.lost("the end")),
            }
        }
        others.clone().try_for_each(|rank| post.send(rank, &Message::End))
    }

    /// Tells rank 0 that this rank cannot go on, and waits for the end of the job.
    pub fn fail(&self, reason: &str) {
        let Some(post) = self.post.as_ref().filter(|post| post.link().rank() != 0) else { return };
        let (host, reason) = (post.link().host(), reason.to_owned());
        if post.send(0, &Message::Failed { host, reason }).is_err() {
            return;
        }
        while let Ok(Some(_)) | Ok(None) = post.next() {
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends all processes at once; does nothing where this one works alone.
    pub fn abort(&self, code: u8) {
        if let Some(post) = &self.post {
            post.link().abort(code);
        }
    }

    /// Ends the connection to the other processes; nothing else may follow.
    pub fn close(&self) {
        if let Some(post) = &self.post {
            post.link().close();
        }
    }
}
