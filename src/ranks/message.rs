//! What ranks say to each other.

/// A message between rank 0 and another rank.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// To rank 0: the rank came to this work and wants a task of it.
    Ask {
        /// Names the work, and all that decides its results.
        work: String,
        /// The machine that the rank runs on.
        host: String,
    },
    /// From rank 0: the task to do.
    Task(u64),
    /// To rank 0: a task is done, and the rank wants another one.
    Done {
        /// Number of the task.
        task: u64,
        /// Seconds that it took.
        seconds: f64,
        /// The result.
        result: Vec<u8>,
    },
    /// From rank 0: the results of all tasks.
    All(Vec<Vec<u8>>),
    /// From rank 0: it is the other rank's turn.
    Go,
    /// Numbers.
    Numbers(Vec<f64>),
    /// Bytes whose meaning both ranks know.
    Bytes(Vec<u8>),
    /// To rank 0: the rank cannot go on.
    Failed {
        /// The machine that the rank runs on.
        host: String,
        /// Why.
        reason: String,
    },
    /// To rank 0: the rank has nothing left to do.
    Finished,
    /// From rank 0: the process may end.
    End,
}

impl Message {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Ask { work, host } => {
                out.push(0);
                put(&mut out, work.as_bytes());
                put(&mut out, host.as_bytes());
            }
            Self::Task(task) => {
                out.push(1);
                out.extend(task.to_le_bytes());
            }
            Self::Done { task, seconds, result } => {
                out.push(2);
                out.extend(task.to_le_bytes());
                out.extend(seconds.to_le_bytes());
                put(&mut out, result);
            }
            Self::All(results) => {
                out.reserve(results.iter().map(|it| it.len() + 8).sum::<usize>() + 9);
                out.push(3);
                out.extend((results.len() as u64).to_le_bytes());
                results.iter().for_each(|result| put(&mut out, result));
            }
            Self::Go => out.push(4),
            Self::Numbers(numbers) => {
                out.reserve(8 * numbers.len() + 9);
                out.push(5);
                out.extend((numbers.len() as u64).to_le_bytes());
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
            Self::Failed { host, reason } => {
                out.push(6);
                put(&mut out, host.as_bytes());
                put(&mut out, reason.as_bytes());
            }
            Self::Finished => out.push(7),
            Self::End => out.push(8),
            Self::Bytes(bytes) => {
                out.reserve(bytes.len() + 9);
                out.push(9);
                put(&mut out, bytes);
            }
        }
        out
    }

    /// The message that was encoded; nothing where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        let mut rest = Rest(bytes);
        let message = match kind {
            0 => Self::Ask { work: rest.text()?, host: rest.text()? },
            1 => Self::Task(rest.number()?),
            2 => Self::Done {
                task: rest.number()?,
                seconds: f64::from_bits(rest.number()?),
                result: rest.bytes()?.to_vec(),
            },
            3 => {
                let count = rest.number()?;
                let results = (0..count).map(|_| Some(rest.bytes()?.to_vec()));
                Self::All(results.collect::<Option<_>>()?)
            }
            4 => Self::Go,
            5 => {
                let count = usize::try_from(rest.number()?).ok()?;
                let numbers = rest.take(count.checked_mul(8)?)?;
                Self::Numbers(
                    numbers.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it)).collect(),
                )
            }
            6 => Self::Failed { host: rest.text()?, reason: rest.text()? },
            7 => Self::Finished,
            8 => Self::End,
            9 => Self::Bytes(rest.bytes()?.to_vec()),
            _ => return None,
        };
        rest.0.is_empty().then_some(message)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// What of a message is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_and_pieces_of_them_do_not() {
        let text = || "zweite Ebene".to_owned();
        let all = [
            Message::Ask { work: text(), host: "node7".into() },
            Message::Task(u64::MAX),
            Message::Done { task: 3, seconds: 0.1 + 0.2, result: vec![0, 255] },
            Message::All(vec![vec![], vec![1, 2, 3]]),
            Message::Go,
            Message::Numbers(vec![-0., f64::INFINITY, 1e-310]),
            Message::Failed { host: "node7".into(), reason: text() },
            Message::Finished,
            Message::End,
            Message::Bytes(vec![]),
            Message::Bytes(vec![7, 0, 255]),
        ];
        for message in all {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes).as_ref(), Some(&message));
            for end in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes[..end]), None, "{message:?} up to {end}");
            }
            assert_eq!(Message::decode(&[bytes.as_slice(), &[0]].concat()), None);
        }
    }
}
