//! A batch in shares, and tensors that belong to one process each.
//!
//! The examples of a batch are dealt into shares. The gradient g_i of a share is summed from zero, and
//! the shares are added in order: g = ((g_0 + g_1) + g_2) + …. N processes sum N shares at
//! once, turn by turn, so that the sum is the same to the bit for every N that divides their number.
//!
//! Each trained tensor belongs to one process: it alone adds the shares of its gradient, holds its
//! moments and changes its values, which it then gives to all others (the first stage of ZeRO, arXiv
//! 1910.02054). Between two sums the gradient buffers of all other tensors are zero.

use std::cmp::Reverse;
use std::ops::Range;

use super::TrainError;
use crate::model::Parameter;
use crate::ops::{with_values, with_values_mut};
use crate::progress::Progress;
use crate::ranks::Ranks;

/// How one training is dealt to processes.
pub(super) struct Shares<'a> {
    ranks: &'a Ranks,
    /// Shares of a batch.
    count: usize,
    /// The process of each tensor.
    owners: Vec<usize>,
    /// What each process has, by the turns in which it is sent.
    pieces: Vec<Vec<Vec<Piece>>>,
    /// The sum so far of each own tensor, while shares are added; none where there is one share.
    sums: Vec<Vec<f32>>,
}

/// Numbers of one tensor.
struct Piece {
    tensor: usize,
    range: Range<usize>,
}

/// What is given to all processes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    Values,
    Gradients,
}

/// Numbers of a turn, 4 MB: a process holds as many of each other one. Tensors of tests are small.
const TURN: usize = if cfg!(test) { 1000 } else { 1 << 20 };

/// All of some tensors, in turns.
fn in_turns(tensors: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<Piece>> {
    let (mut turns, mut room) = (Vec::<Vec<Piece>>::new(), 0);
    for (tensor, size) in tensors {
        let mut from = 0;
        while from < size {
            if room == 0 {
                turns.push(Vec::new());
                room = TURN;
            }
            let to = size.min(from + room);
            let turn = turns.last_mut().expect("one was begun");
            turn.push(Piece { tensor, range: from..to });
            (room, from) = (room - (to - from), to);
        }
    }
    turns
}

/// The part of each item: the largest first, each to the part that has least so far.
pub(super) fn dealt(sizes: &[usize], parts: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| (Reverse(sizes[*at]), *at));
    let (mut sums, mut of) = (vec![0; parts], vec![0; sizes.len()]);
    for at in order {
        let least = (0..parts).min_by_key(|part| sums[*part]).unwrap_or(0);
        (of[at], sums[least]) = (least, sums[least] + sizes[at]);
    }
    of
}

impl<'a> Shares<'a> {
    /// Deals batches into `count` shares, and tensors to `ranks`.
    ///
    /// # Panics
    /// If the number of ranks does not divide that of shares.
    pub(super) fn new(ranks: &'a Ranks, count: usize, parameters: &[Parameter]) -> Self {
        assert!(count.is_multiple_of(ranks.size()), "{count} shares for {} ranks", ranks.size());
        let sizes: Vec<usize> = parameters.iter().map(|it| it.values.elem_count()).collect();
        let owners = dealt(&sizes, ranks.size());
        let of = |rank: usize| {
            let own = sizes.iter().enumerate().filter(|(tensor, _)| owners[*tensor] == rank);
            in_turns(own.map(|(tensor, size)| (tensor, *size)))
        };
        let pieces = (0..ranks.size()).map(of).collect();
        let is_own = |at: usize| count > 1 && owners[at] == ranks.rank();
        let sum = |(at, size): (usize, &usize)| vec![0.; if is_own(at) { *size } else { 0 }];
        let sums = sizes.iter().enumerate().map(sum).collect();
        Self { ranks, count, owners, pieces, sums }
    }

    /// Whether this process has the tensor at this place.
    pub(super) fn owns(&self, tensor: usize) -> bool {
        self.owners[tensor] == self.ranks.rank()
    }

    /// The process that has a tensor.
    pub(super) fn owner(&self, tensor: usize) -> usize {
        self.owners[tensor]
    }

    /// The processes.
    pub(super) fn ranks(&self) -> &'a Ranks {
        self.ranks
    }

    /// The shares that this process sums, one in each turn of all processes.
    pub(super) fn own(&self) -> impl Iterator<Item = usize> + use<> {
        (self.ranks.rank()..self.count).step_by(self.ranks.size())
    }

    /// Puts the sums so far aside, so that the buffers can hold one share, and back again.
    pub(super) fn swap(&mut self, parameters: &[Parameter]) {
        for (sum, parameter) in self.sums.iter_mut().zip(parameters) {
            if !sum.is_empty() {
                std::mem::swap(sum, &mut *parameter.gradient.lock());
            }
        }
    }

    /// Adds the shares in the buffers of all processes to the sums, in the order of the processes,
    /// and empties the buffers.
    pub(super) fn add(
        &mut self,
        parameters: &[Parameter],
        progress: &dyn Progress,
    ) -> Result<(), TrainError> {
        let rank = self.ranks.rank();
        for turn in 0..self.turns() {
            let give = &mut |to: usize| self.bytes(Given::Gradients, (to, turn), parameters);
            let got = self.ranks.exchange(give, progress)?;
            let mut got: Vec<_> = got.iter().map(|bytes| numbers(bytes)).collect();
            for Piece { tensor, range } in self.pieces[rank].get(turn).into_iter().flatten() {
                let sum = &mut self.sums[*tensor][range.clone()];
                let own = parameters[*tensor].gradient.lock();
                for (from, got) in got.iter_mut().enumerate() {
                    match from == rank {
                        true => sum.iter_mut().zip(&own[range.clone()]).for_each(|(s, g)| *s += g),
                        false => sum.iter_mut().zip(got).for_each(|(s, g)| *s += g),
                    }
                }
            }
        }
        self.forget_share(parameters);
        Ok(())
    }

    /// Gives the own values or gradients to all others, and takes theirs.
    pub(super) fn spread(
        &self,
        what: Given,
        parameters: &[Parameter],
        progress: &dyn Progress,
    ) -> Result<(), TrainError> {
        let (rank, size) = (self.ranks.rank(), self.ranks.size());
        if size == 1 {
            return Ok(());
        }
        for turn in 0..self.turns() {
            let own = self.bytes(what, (rank, turn), parameters)?;
            let got = self.ranks.exchange(&mut |_| Ok::<_, TrainError>(own.clone()), progress)?;
            for from in (0..size).filter(|from| *from != rank) {
                let mut got = numbers(&got[from]);
                for Piece { tensor, range } in self.pieces[from].get(turn).into_iter().flatten() {
                    let mut write = |all: &mut [f32]| {
                        let all = all[range.clone()].iter_mut();
                        all.zip(&mut got).for_each(|(own, new)| *own = new);
                    };
                    let parameter = &parameters[*tensor];
                    match what {
                        Given::Values => with_values_mut(&parameter.values, write)?,
                        Given::Gradients => write(&mut parameter.gradient.lock()),
                    }
                }
            }
        }
        Ok(())
    }

    /// A number of each tensor, which its process computes; the same on all.
    pub(super) fn of_each(
        &self,
        number: &mut dyn FnMut(usize) -> f64,
        progress: &dyn Progress,
    ) -> Result<Vec<f64>, TrainError> {
        let own: Vec<f64> =
            (0..self.owners.len()).filter(|at| self.owns(*at)).map(number).collect();
        let mut all: Vec<_> =
            self.ranks.gather(own, progress)?.into_iter().map(Vec::into_iter).collect();
        let next = |owner: &usize| all[*owner].next().expect("as many as the process has tensors");
        Ok(self.owners.iter().map(next).collect())
    }

    /// Empties sums that were not put back.
    pub(super) fn forget(&mut self) {
        self.sums.iter_mut().for_each(|sum| sum.fill(0.));
    }

    fn forget_share(&self, parameters: &[Parameter]) {
        parameters.iter().for_each(|parameter| parameter.gradient.lock().fill(0.));
    }

    /// Exchanges until the process with most numbers has given all.
    fn turns(&self) -> usize {
        self.pieces.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// What a process has to give or get in a turn; empty where nothing is left.
    fn bytes(
        &self,
        what: Given,
        (owner, turn): (usize, usize),
        parameters: &[Parameter],
    ) -> Result<Vec<u8>, TrainError> {
        let mut out = Vec::new();
        for Piece { tensor, range } in self.pieces[owner].get(turn).into_iter().flatten() {
            let mut read = |all: &[f32]| put(&mut out, &all[range.clone()]);
            let parameter = &parameters[*tensor];
            match what {
                Given::Values => {
                    with_values(&parameter.values, "values", |all| {
                        read(all);
                        Ok(())
                    })?;
                }
                Given::Gradients => read(&parameter.gradient.lock()),
            }
        }
        Ok(out)
    }
}

/// Adds numbers as they travel.
pub(super) fn put(out: &mut Vec<u8>, numbers: &[f32]) {
    out.reserve(4 * numbers.len());
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// Numbers that travelled.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it))
}

#[cfg(test)]
mod tests {
    use super::dealt;

    #[test]
    fn the_largest_come_first_and_each_goes_where_least_is() {
        assert_eq!(dealt(&[1, 9, 2, 3, 4], 2), [0, 0, 1, 1, 1]);
        assert_eq!(dealt(&[5, 5, 5, 5, 5], 2), [0, 1, 0, 1, 0]);
        assert_eq!(dealt(&[7], 3), [0]);
        assert_eq!(dealt(&[], 3), [0; 0]);
    }
}
