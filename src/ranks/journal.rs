//! A file of finished tasks, from which a job that was stopped goes on.
//!
//! The first line says which job it is about. Each further line is the result of one task with its
//! digest, and is on the disk before the next task is handed out. A last line that was not written
//! to its end is dropped; any other line that its digest does not fit is an error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::error::RankError;
use crate::files::{FileError, Sha256};

/// Version of the form of the lines.
const FORM: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    rescribe_journal: u32,
    version: String,
    /// Digest of everything that decides the results.
    job: Sha256,
    about: String,
}

/// A line of a finished task.
#[derive(Serialize, Deserialize)]
struct Line {
    work: String,
    task: usize,
    /// In base64.
    result: String,
    sha256: Sha256,
}

impl Line {
    fn digest(work: &str, task: usize, result: &[u8]) -> Sha256 {
        Sha256::of([format!("{work}\n{task}\n").as_bytes(), result].concat())
    }
}

/// A journal that is open for writing.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Results by work and task.
    known: BTreeMap<(String, usize), Vec<u8>>,
    /// Number of finished tasks.
    finished: usize,
}

impl Journal {
    /// Opens the journal of a job, or begins it.
    pub fn open(path: &Path, job: Sha256, about: &str) -> Result<Self, RankError> {
        let failed = FileError::writing(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // What is erased or forgotten may be named in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(&failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(RankError::InUse { path: path.to_owned() });
            }
            // Some file systems of clusters have no locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(FileError::reading(path))?;
        let mut journal = Self { path: path.to_owned(), file, known: BTreeMap::new(), finished: 0 };
        let end = journal.read(&bytes, job)?;
        // What follows the last whole line was not written to its end.
        journal.file.set_len(end as u64).map_err(&failed)?;
        journal.file.seek(SeekFrom::End(0)).map_err(&failed)?;
        if end == 0 {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let head = Head { rescribe_journal: FORM, version, job, about: about.to_owned() };
            journal.write(&head)?;
        }
        Ok(journal)
    }

    /// Reads the lines; the length of those that are whole.
    fn read(&mut self, bytes: &[u8], job: Sha256) -> Result<usize, RankError> {
        let damaged = |line, reason| RankError::Damaged { path: self.path.clone(), line, reason };
        let (mut end, mut known) = (0, BTreeMap::new());
        for (at, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let is_last = end + line.len() == bytes.len();
            let Some(whole) = line.strip_suffix(b"\n") else {
                if at == 1 && !b"{\"rescribe_journal\"".starts_with(&line[..line.len().min(19)]) {
                    return Err(damaged(at, "this is no journal of rescribe"));
                }
                break;
            };
            if at == 1 {
                let head: Head = serde_json::from_slice(whole)
                    .map_err(|_| damaged(at, "this is no journal of rescribe"))?;
                if (head.rescribe_journal, head.job) != (FORM, job) {
                    let about = format!("{}, by version {}", head.about, head.version);
                    return Err(RankError::OtherJob { path: self.path.clone(), about });
                }
            } else {
                match parsed(whole) {
                    Some((key, result)) => known.insert(key, result),
                    None if is_last => break,
                    None => return Err(damaged(at, "the line is damaged")),
                };
            }
            end += line.len();
        }
        (self.finished, self.known) = (known.len(), known);
        Ok(end)
    }

    /// The result of a task, if it was finished when the journal was opened.
    pub fn get(&self, work: &str, task: usize) -> Option<&[u8]> {
        self.known.get(&(work.to_owned(), task)).map(Vec::as_slice)
    }

    /// Number of finished tasks.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a result, and waits until the disk has it.
    pub fn keep(&mut self, work: &str, task: usize, result: &[u8]) -> Result<(), RankError> {
        let sha256 = Line::digest(work, task, result);
        let line =
            Line { work: work.to_owned(), task, result: Base64::encode_string(result), sha256 };
        self.write(&line)?;
        self.finished += 1;
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), RankError> {
        let mut bytes = serde_json::to_vec(line).expect("texts and numbers are JSON");
        bytes.push(b'\n');
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        Ok(written.map_err(FileError::writing(&self.path))?)
    }
}

/// The key and the result of a line; nothing where it is damaged.
fn parsed(line: &[u8]) -> Option<((String, usize), Vec<u8>)> {
    let Line { work, task, result, sha256 } = serde_json::from_slice(line).ok()?;
    let result = Base64::decode_vec(&result).ok()?;
    (Line::digest(&work, task, &result) == sha256).then_some(((work, task), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> Sha256 {
        Sha256::of(name)
    }

    #[test]
    fn what_was_finished_is_there_again_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let open = || Journal::open(&path, job("one"), "an edit of records.json");
        let mut journal = open().expect("a new journal");
        journal.keep("records", 0, b"zero").expect("room");
        journal.keep("records", 7, &[0, 255, 10]).expect("room");
        assert!(matches!(open(), Err(RankError::InUse { .. })), "one job writes");
        drop(journal);
        let whole = std::fs::read(&path).expect("the file");
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).expect("a write");
            let mut journal = open().expect("a torn journal");
            let lines = whole[..end].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(journal.finished(), lines.saturating_sub(1), "{end} bytes");
            journal.keep("records", 9, b"nine").expect("room");
            drop(journal);
            let again = open().expect("the same journal");
            assert_eq!(again.get("records", 9), Some(&b"nine"[..]), "{end} bytes");
            assert_eq!(again.finished(), lines.saturating_sub(1) + 1);
        }
    }

    #[test]
    fn other_jobs_and_damage_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let open = |name: &str| Journal::open(&path, job(name), &format!("job {name}"));
        let mut journal = open("one").expect("a new journal");
        for task in 0..3 {
            journal.keep("records", task, b"result").expect("room");
        }
        drop(journal);
        let other = open("two").map(drop).expect_err("another job");
        assert!(other.to_string().contains("another job: job one"), "{other}");
        let mut bytes = std::fs::read(&path).expect("the file");
        let second = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 30;
        bytes[second] ^= 1;
        std::fs::write(&path, &bytes).expect("a write");
        let damaged = open("one").map(drop).expect_err("a damaged line");
        assert!(damaged.to_string().contains("line 2: the line is damaged"), "{damaged}");
        for text in ["# a paper", "# a paper\n", "{}\n"] {
            std::fs::write(&path, text).expect("a write");
            let error = open("one").map(drop).expect_err("no journal");
            assert!(error.to_string().contains("no journal"), "{error}");
            assert_eq!(std::fs::read(&path).expect("the file"), text.as_bytes(), "left alone");
        }
    }
}
