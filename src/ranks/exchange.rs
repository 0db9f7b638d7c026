//! Bytes that go from every rank to every other one.
//!
//! In turn k rank r meets rank (k − r) mod N, so that each pair meets once; the higher of two says that
//! it is there, the lower speaks first. A send may wait until it is received, and an MPI library waits
//! with a busy processor: so nobody speaks before the other is there. The pair of the earliest turn
//! that is open can always go on, so that no ranks wait for each other in a circle. What a rank sends
//! and receives does not grow with the number of ranks where the parts shrink with it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Ranks;
use super::error::RankError;
use super::message::Message;
use super::post::Post;
use super::share::{decode, encode};
use crate::progress::Progress;

impl Ranks {
    /// Gives every other rank what `give` has for it; what each rank gave to this one, by its
    /// number, and nothing for this rank itself.
    ///
    /// # Errors
    ///
    /// Those of `give`, and [`RankError`] where another rank failed.
    pub(crate) fn exchange<E: From<RankError>>(
        &self,
        give: &mut dyn FnMut(usize) -> Result<Vec<u8>, E>,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<u8>>, E> {
        let (rank, size) = (self.rank(), self.size());
        let mut got = vec![Vec::new(); size];
        let Some(post) = &self.post else { return Ok(got) };
        for turn in 0..size {
            let other = (turn + size - rank) % size;
            if other == rank {
                continue;
            }
            let own = Message::Bytes(give(other)?);
            if rank < other {
                match post.wait(other, progress)? {
                    Message::Go => post.send(other, &own)?,
                    _ => return Err(self.lost("an exchange").into()),
                }
                got[other] = self.bytes_of(post, other, progress)?;
            } else {
                post.send(other, &Message::Go)?;
                got[other] = self.bytes_of(post, other, progress)?;
                post.send(other, &own)?;
            }
        }
        Ok(got)
    }

    /// What each rank has of something, by its number.
    ///
    /// # Errors
    ///
    /// [`RankError`] where another rank failed.
    pub(crate) fn gather<T: Serialize + DeserializeOwned>(
        &self,
        own: T,
        progress: &dyn Progress,
    ) -> Result<Vec<T>, RankError> {
        if self.post.is_none() {
            return Ok(vec![own]);
        }
        let bytes = encode(&own);
        let mut got = self.exchange(&mut |_| Ok::<_, RankError>(bytes.clone()), progress)?;
        got[self.rank()] = bytes;
        got.iter().map(|bytes| decode(bytes, "all ranks")).collect()
    }

    /// Brings what `owner` has to rank 0; nothing on the others. Rank 0 asks first, so that it holds
    /// no more than it asked for.
    ///
    /// # Errors
    ///
    /// [`RankError`] where another rank failed.
    pub(crate) fn to_first(
        &self,
        owner: usize,
        own: &mut dyn FnMut() -> Vec<u8>,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<u8>>, RankError> {
        let rank = self.rank();
        let Some(post) = self.post.as_ref().filter(|_| owner != 0) else {
            return Ok((rank == 0).then(own));
        };
        if rank == 0 {
            post.send(owner, &Message::Go)?;
            return self.bytes_of(post, owner, progress).map(Some);
        }
        if rank == owner {
            match post.wait(0, progress)? {
                Message::Go => post.send(0, &Message::Bytes(own()))?,
                _ => return Err(self.lost("what rank 0 asks for")),
            }
        }
        Ok(None)
    }

    fn bytes_of(
        &self,
        post: &Post,
        other: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, RankError> {
        match post.wait(other, progress)? {
            Message::Bytes(bytes) => Ok(bytes),
            _ => Err(self.lost("an exchange")),
        }
    }
}
