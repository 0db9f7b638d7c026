//! Ranks that are threads of one process, for tests without an MPI library.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::Ranks;
use super::error::RankError;
use super::post::Link;

/// A mailbox of each rank.
struct Threads {
    rank: usize,
    to: Vec<Sender<(usize, Vec<u8>)>>,
    own: Mutex<Receiver<(usize, Vec<u8>)>>,
}

impl Link for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn host(&self) -> String {
        format!("node{}", self.rank)
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError> {
        // A rank that ended reads nothing.
        self.to[to].send((self.rank, bytes.to_vec())).ok();
        Ok(())
    }

    fn receive(&self) -> Result<Option<(usize, Vec<u8>)>, RankError> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(own.try_recv().ok())
    }

    fn abort(&self, code: u8) -> ! {
        panic!("aborted with {code}")
    }

    fn close(&self) {}
}

/// What `run` gives on each of some ranks; what rank 0 gives ends all.
pub fn on_ranks<T: Send>(size: usize, run: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
    let (to, own): (Vec<_>, Vec<_>) = (0..size).map(|_| channel()).unzip();
    let ranks = own.into_iter().enumerate().map(|(rank, own)| {
        Ranks::over(Box::new(Threads { rank, to: to.clone(), own: Mutex::new(own) }))
    });
    let ranks: Vec<Ranks> = ranks.collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = ranks.iter().map(|ranks| scope.spawn(|| run(ranks))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}
