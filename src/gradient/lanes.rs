//! Runs of a batch side by side, each on one thread.
//!
//! The matrices of a small model give a product too little work for two threads: sharing out whole
//! runs keeps them busy where sharing out products does not. A lane is a view of the weights with
//! gradients of its own. Which run goes to which lane, and the order in which lanes are added,
//! depend on the settings alone, so the result is the same to the bit on any number of threads.

use rayon::prelude::*;

use super::TrainError;
use super::backward::accumulate;
use super::example::Example;
use crate::model::Trainable;
use crate::objective::Outcome;

/// The lanes other than the trained decoder itself, and a pool of one thread for each of all.
pub(super) struct Lanes {
    others: Vec<Trainable>,
    pools: Vec<rayon::ThreadPool>,
}

type Result<T> = std::result::Result<T, TrainError>;

impl Lanes {
    /// `lanes` in all; one lane has all threads to itself.
    pub(super) fn new(trainable: &Trainable, lanes: usize) -> Self {
        let others: Vec<Trainable> = (1..lanes).map(|_| trainable.replica()).collect();
        let threads = if others.is_empty() { 0 } else { lanes.min(rayon::current_num_threads()) };
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pools: std::result::Result<Vec<_>, _> = (0..threads).map(pool).collect();
        // Where threads are not to be had, the lanes run one after the other.
        Self { others, pools: pools.unwrap_or_default() }
    }

    /// Adds the gradients of each run to its lane; outcomes in the order of the runs.
    pub(super) fn accumulate(
        &self,
        first: &Trainable,
        runs: &[&[Example]],
        recompute: bool,
    ) -> Result<Vec<Outcome>> {
        let lanes: Vec<(&Trainable, &[Example])> =
            std::iter::once(first).chain(&self.others).zip(runs.iter().copied()).collect();
        if self.pools.len() < 2 || lanes.len() < 2 {
            let one = |(lane, run)| Ok(accumulate(lane, run, recompute)?);
            let all = lanes.into_iter().map(one).collect::<Result<Vec<_>>>()?;
            return Ok(all.into_iter().flatten().collect());
        }
        let turns = |(turn, pool): (usize, &rayon::ThreadPool)| {
            let own = lanes.iter().enumerate().skip(turn).step_by(self.pools.len());
            pool.install(|| {
                own.map(|(at, (lane, run))| Ok((at, accumulate(lane, run, recompute)?)))
                    .collect::<Result<Vec<_>>>()
            })
        };
        let done: Result<Vec<_>> =
            self.pools.par_iter().enumerate().with_max_len(1).map(turns).collect();
        let mut all: Vec<(usize, Vec<Outcome>)> = done?.into_iter().flatten().collect();
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().flat_map(|(_, outcomes)| outcomes).collect())
    }

    /// Adds the lanes to the trained decoder's own gradients, in order, and empties them.
    pub(super) fn join(&self, first: &Trainable) {
        first.parameters.par_iter().enumerate().for_each(|(at, parameter)| {
            let mut sum = parameter.gradient.lock();
            for lane in &self.others {
                let mut part = lane.parameters[at].gradient.lock();
                for (sum, part) in sum.iter_mut().zip(part.iter_mut()) {
                    *sum += std::mem::take(part);
                }
            }
        });
    }

    /// Empties the lanes.
    pub(super) fn forget(&self) {
        for parameter in self.others.iter().flat_map(|lane| &lane.parameters) {
            parameter.gradient.lock().fill(0.);
        }
    }
}
