//! Tasks that are handed out to whoever is free.
//!
//! Rank 0 works as the others do, while a thread of its own answers them. What a task gives depends
//! on its number alone, and results are put together in the order of these numbers: who did which
//! task, and when, changes nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Ranks;
use super::error::RankError;
use super::message::Message;
use super::post::{PAUSE, Post};
use crate::files::Sha256;
use crate::progress::Progress;

/// Work in independent tasks.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// Digest of all that decides the results.
    pub job: Sha256,
    /// A word for the work, of which a job has one each.
    pub name: &'a str,
    /// Number of tasks.
    pub tasks: usize,
    /// What a task is about, for the person who watches.
    pub label: &'a (dyn Fn(usize) -> String + Sync),
}

impl Shared<'_> {
    /// The work as ranks and journals name it.
    fn key(&self) -> String {
        format!("{} ({} tasks) of job {}", self.name, self.tasks, &self.job.to_string()[..16])
    }
}

/// What became of the tasks so far.
struct Table {
    results: Vec<Option<Vec<u8>>>,
    next: usize,
    /// No more tasks are to be begun.
    is_stopped: bool,
}

impl Table {
    fn take(&mut self) -> Option<usize> {
        while self.results.get(self.next)?.is_some() {
            self.next += 1;
        }
        let task = (!self.is_stopped).then_some(self.next);
        self.next += 1;
        task
    }

    fn done(&self) -> usize {
        self.results.iter().flatten().count()
    }

    fn is_complete(&self) -> bool {
        self.results.iter().all(Option::is_some)
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ranks {
    /// The results of all tasks, in order, on every rank.
    ///
    /// Every rank has to come to the same work. `task` runs on the calling thread; finished tasks
    /// are kept in the journal, where there is one. `progress` is told how many are done.
    ///
    /// # Errors
    ///
    /// That of the first task that failed here, and [`RankError`] where another rank did.
    pub fn share<T, E>(
        &self,
        work: &Shared<'_>,
        progress: &dyn Progress,
        task: &mut dyn FnMut(usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<RankError>,
    {
        let stop = |stopped| E::from(RankError::Interrupted(stopped));
        let is_kept = lock(&self.journal).is_some();
        match &self.post {
            None if !is_kept => {
                let mut results = Vec::with_capacity(work.tasks);
                for at in 0..work.tasks {
                    progress.check().map_err(stop)?;
                    progress.advance(at as u64, &(work.label)(at));
                    results.push(task(at)?);
                }
                Ok(results)
            }
            Some(post) if post.link().rank() != 0 => self.follow(post, work, progress, task),
            post => self.lead(post.as_ref(), work, progress, task),
        }
    }

    /// What the journal holds of the tasks.
    fn known(&self, work: &Shared<'_>) -> Vec<Option<Vec<u8>>> {
        let (key, journal) = (work.key(), lock(&self.journal));
        let known = |at| Some(journal.as_ref()?.get(&key, at)?.to_vec());
        (0..work.tasks).map(known).collect()
    }

    /// Says how many of the tasks the journal holds, for work whose own progress is not shown.
    pub(crate) fn note_known(&self, work: &Shared<'_>, progress: &dyn Progress) {
        let known = {
            let (key, journal) = (work.key(), lock(&self.journal));
            let is_known =
                |at: &usize| journal.as_ref().is_some_and(|it| it.get(&key, *at).is_some());
            (0..work.tasks).filter(is_known).count()
        };
        if known > 0 {
            progress.note("journal", &format!("{known} of {} {} are done", work.tasks, work.name));
        }
    }

    /// The part of rank 0, and of a single process that keeps a journal.
    fn lead<T, E>(
        &self,
        post: Option<&Post>,
        work: &Shared<'_>,
        progress: &dyn Progress,
        task: &mut dyn FnMut(usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<RankError>,
    {
        self.note_known(work, progress);
        let table = Mutex::new(Table { results: self.known(work), next: 0, is_stopped: false });
        std::thread::scope(|scope| {
            let answering = post.map(|post| {
                scope.spawn(|| {
                    let answered = self.answer(post, work, &table, progress);
                    lock(&table).is_stopped |= answered.is_err();
                    answered
                })
            });
            let own = self.work(work, &table, progress, task);
            lock(&table).is_stopped |= own.is_err();
            let answered = answering.map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            own?;
            answered.transpose().map_err(E::from)
        })?;
        let results = table.into_inner().unwrap_or_else(PoisonError::into_inner).results;
        results.into_iter().flatten().map(|bytes| Ok(decode(&bytes, work.name)?)).collect()
    }

    /// Does tasks of rank 0 until none is left.
    fn work<T, E>(
        &self,
        work: &Shared<'_>,
        table: &Mutex<Table>,
        progress: &dyn Progress,
        task: &mut dyn FnMut(usize) -> Result<T, E>,
    ) -> Result<(), E>
    where
        T: Serialize,
        E: From<RankError>,
    {
        loop {
            progress.check().map_err(|stopped| E::from(RankError::Interrupted(stopped)))?;
            let (next, done) = {
                let mut table = lock(table);
                (table.take(), table.done())
            };
            let Some(at) = next else { return Ok(()) };
            progress.advance(done as u64, &(work.label)(at));
            let started = progress.now();
            let result = encode(&task(at)?);
            let seconds = (progress.now() - started).as_secs_f64();
            self.finish_task(work, table, (at, 0), (seconds, result))?;
        }
    }

    /// Takes the result of a task that a rank did.
    fn finish_task(
        &self,
        work: &Shared<'_>,
        table: &Mutex<Table>,
        (at, rank): (usize, usize),
        (seconds, result): (f64, Vec<u8>),
    ) -> Result<(), RankError> {
        if let Some(journal) = &mut *lock(&self.journal) {
            journal.keep(&work.key(), at, &result)?;
        }
        self.note_task(rank, seconds);
        let mut table = lock(table);
        if let Some(place) = table.results.get_mut(at) {
            *place = Some(result);
        }
        Ok(())
    }

    /// Answers the other ranks until all tasks are done and every rank has come for the results.
    fn answer(
        &self,
        post: &Post,
        work: &Shared<'_>,
        table: &Mutex<Table>,
        progress: &dyn Progress,
    ) -> Result<(), RankError> {
        let ours = work.key();
        let others = post.link().size() - 1;
        let (mut came, mut idle) = (0, Vec::new());
        loop {
            let received = post.next()?;
            let is_quiet = received.is_none();
            match received {
                Some((rank, Message::Ask { work: theirs, host })) => {
                    if theirs != ours {
                        return Err(RankError::Disagrees { rank, theirs, ours });
                    }
                    self.note_host(rank, host);
                    came += 1;
                    idle.push(rank);
                }
                Some((rank, Message::Done { task, seconds, result })) => {
                    let at = task as usize;
                    self.finish_task(work, table, (at, rank), (seconds, result))?;
                    let note = format!("rank {rank}: {}", (work.label)(at));
                    progress.advance(lock(table).done() as u64, &note);
                    idle.push(rank);
                }
                Some((rank, _)) => {
                    let theirs = "the end of its work".to_owned();
                    return Err(RankError::Disagrees { rank, theirs, ours });
                }
                None => {}
            }
            while let Some(rank) = idle.last() {
                let Some(task) = lock(table).take() else { break };
                post.send(*rank, &Message::Task(task as u64))?;
                idle.pop();
            }
            let (is_complete, is_stopped) = {
                let table = lock(table);
                (table.is_complete(), table.is_stopped)
            };
            if is_stopped {
                return Ok(());
            }
            if is_complete && came == others && idle.len() == others {
                break;
            }
            if is_quiet {
                progress.check()?;
                std::thread::sleep(PAUSE);
            }
        }
        let all = Message::All(lock(table).results.iter().flatten().cloned().collect());
        (1..=others).try_for_each(|rank| post.send(rank, &all))
    }

    /// The part of any other rank.
    fn follow<T, E>(
        &self,
        post: &Post,
        work: &Shared<'_>,
        progress: &dyn Progress,
        task: &mut dyn FnMut(usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<RankError>,
    {
        post.send(0, &Message::Ask { work: work.key(), host: post.link().host() })?;
        loop {
            match post.wait(0, progress)? {
                Message::Task(task_number) => {
                    let started = progress.now();
                    let result = encode(&task(task_number as usize)?);
                    let seconds = (progress.now() - started).as_secs_f64();
                    post.send(0, &Message::Done { task: task_number, seconds, result })?;
                }
                Message::All(results) => {
                    return results.iter().map(|bytes| Ok(decode(bytes, work.name)?)).collect();
                }
                _ => {
                    let (ours, theirs) = (work.key(), "other work".to_owned());
                    let rank = post.link().rank();
                    return Err(RankError::Disagrees { rank, theirs, ours }.into());
                }
            }
        }
    }
}

/// A result as bytes: CBOR, which has every number, NaN among them, and the names of fields.
pub(super) fn encode(result: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(result, &mut bytes).expect("plain data, and memory to write to");
    bytes
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], work: &str) -> Result<T, RankError> {
    ciborium::from_reader(bytes)
        .map_err(|error| RankError::Result { work: work.to_owned(), reason: error.to_string() })
}
