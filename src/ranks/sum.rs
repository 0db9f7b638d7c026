//! Sums whose parts are computed on many ranks and added in the order of their numbers.
//!
//! Floating-point sums depend on their order, and a sum by ranks would depend on how many there are.
//! So the parts are fixed, whoever computes them: ranks take turns, and rank 0 adds one part after
//! the other, for which it needs memory for the sum and one part.

use std::ops::Range;

use super::Ranks;
use super::error::RankError;
use super::message::Message;
use crate::progress::Progress;

impl Ranks {
    /// Computes parts on all ranks, and adds them in order on rank 0.
    ///
    /// # Errors
    ///
    /// Those of `part` and `add`, and [`RankError`] where another rank failed.
    pub fn in_order<E: From<RankError>>(
        &self,
        parts: Range<usize>,
        progress: &dyn Progress,
        part: &mut dyn FnMut(usize) -> Result<Vec<f64>, E>,
        add: &mut dyn FnMut(usize, Vec<f64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (rank, size) = (self.rank(), self.size());
        for first in parts.clone().step_by(size) {
            let own = first + rank;
            let started = progress.now();
            let numbers = if own < parts.end { Some(part(own)?) } else { None };
            let seconds = (progress.now() - started).as_secs_f64();
            let Some(post) = &self.post else {
                numbers.map_or(Ok(()), |numbers| add(own, numbers))?;
                continue;
            };
            if rank != 0 {
                let Some(numbers) = numbers else { continue };
                match post.wait(0, progress)? {
                    Message::Go => post.send(0, &Message::Numbers(numbers))?,
                    _ => return Err(self.lost("a part of a sum").into()),
                }
                continue;
            }
            if let Some(numbers) = numbers {
                self.note_task(0, seconds);
                add(own, numbers)?;
            }
            for other in 1..size.min(parts.end - first) {
                post.send(other, &Message::Go)?;
                match post.wait(other, progress)? {
                    Message::Numbers(numbers) => add(first + other, numbers)?,
                    _ => return Err(self.lost("a part of a sum").into()),
                }
            }
        }
        Ok(())
    }

    /// Gives all ranks the numbers of rank 0: each that has them gives them to another, until all
    /// do.
    ///
    /// # Errors
    ///
    /// [`RankError`] where another rank failed.
    pub fn spread(&self, numbers: &mut Vec<f64>, progress: &dyn Progress) -> Result<(), RankError> {
        let Some(post) = &self.post else { return Ok(()) };
        let (rank, size) = (self.rank(), self.size());
        let mut have = 1;
        while have < size {
            if rank < have && rank + have < size {
                post.send(rank + have, &Message::Numbers(numbers.clone()))?;
            } else if (have..2 * have).contains(&rank) {
                match post.wait(rank - have, progress)? {
                    Message::Numbers(theirs) => *numbers = theirs,
                    _ => return Err(self.lost("numbers of rank 0")),
                }
            }
            have *= 2;
        }
        Ok(())
    }
}
