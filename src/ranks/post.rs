//! How messages get from one rank to another, and how a rank waits for one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::RankError;
use super::message::Message;
use crate::progress::Progress;

/// What carries bytes between the processes of a job.
///
/// Bytes from one rank to another arrive in the order in which they were sent. Calls may come from
/// any thread, several at once.
pub trait Link: Send + Sync {
    /// Number of this process, from 0.
    fn rank(&self) -> usize;
    /// Number of processes.
    fn size(&self) -> usize;
    /// Name of the machine.
    fn host(&self) -> String;
    /// Sends bytes; may wait until they are received.
    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError>;
    /// What arrived next, and from whom, if anything did.
    fn receive(&self) -> Result<Option<(usize, Vec<u8>)>, RankError>;
    /// Ends all processes of the job.
    fn abort(&self, code: u8) -> !;
    /// Ends the connection of this process; nothing is sent afterwards.
    fn close(&self);
}

/// Messages over a link, with those that arrived before anybody waited for them.
pub struct Post {
    link: Box<dyn Link>,
    early: Mutex<VecDeque<(usize, Message)>>,
}

/// Time between two looks for a message: a rank that waits leaves its processor to others, which an
/// MPI library that waits by itself does not.
pub const PAUSE: Duration = Duration::from_micros(500);
/// Looks before the first pause: in an exchange the other's bytes are often under way.
const EAGER: usize = 50;

impl Post {
    /// Messages over `link`.
    pub fn new(link: Box<dyn Link>) -> Self {
        Self { link, early: Mutex::default() }
    }

    /// The link itself.
    pub fn link(&self) -> &dyn Link {
        &*self.link
    }

    /// Sends a message.
    pub fn send(&self, to: usize, message: &Message) -> Result<(), RankError> {
        self.link.send(to, &message.encode())
    }

    fn early(&self) -> MutexGuard<'_, VecDeque<(usize, Message)>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, if there is one. That a rank failed is an error of whoever reads it.
    pub fn next(&self) -> Result<Option<(usize, Message)>, RankError> {
        let early = self.early().pop_front();
        if early.is_some() { Ok(early) } else { self.arrived() }
    }

    fn arrived(&self) -> Result<Option<(usize, Message)>, RankError> {
        let Some((from, bytes)) = self.link.receive()? else { return Ok(None) };
        let unread = || RankError::Mpi {
            call: "receive",
            reason: format!("{} bytes from rank {from} are no message", bytes.len()),
        };
        match Message::decode(&bytes).ok_or_else(unread)? {
            Message::Failed { host, reason } => Err(RankError::Failed { rank: from, host, reason }),
            Message::End if self.link.rank() != 0 => Err(RankError::Ended),
            message => Ok(Some((from, message))),
        }
    }

    /// Waits for the next message of one rank; what others send meanwhile is kept.
    pub fn wait(&self, from: usize, progress: &dyn Progress) -> Result<Message, RankError> {
        let mut looks = 0;
        loop {
            let known = {
                let mut early = self.early();
                let at = early.iter().position(|(rank, _)| *rank == from);
                at.and_then(|at| early.remove(at))
            };
            if let Some((_, message)) = known {
                return Ok(message);
            }
            match self.arrived()? {
                Some((rank, message)) if rank == from => return Ok(message),
                Some(other) => self.early().push_back(other),
                None => {
                    progress.check()?;
                    looks += 1;
                    match looks {
                        0..EAGER => std::thread::yield_now(),
                        _ => std::thread::sleep(PAUSE),
                    }
                }
            }
        }
    }
}
