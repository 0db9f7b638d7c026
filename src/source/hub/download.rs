//! Downloads the files of one commit into the Hub's cache.
//!
//! The cache keeps each content once, as `blobs/<etag>`, and each commit as a folder of links to
//! them. `hf-hub` downloads into `blobs/<etag>.part` under a lock and resumes such a part; this
//! module adds what it leaves out: contents that an earlier commit brought are linked instead of
//! downloaded again, each file is checked against its announced SHA-256, a broken connection is
//! resumed, and Ctrl-C stops a file in the middle.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use hf_hub::CacheRepo;
use hf_hub::api::sync::{ApiError, ApiRepo};

use super::super::folder::{self, CONFIG, INDEX, TOKENIZER, WEIGHTS};
use super::HubErrorKind;
use super::patience::Patience;
use super::redirected::{Announced, Transfer, announced};
use super::server::{failure, protocol, status_of};
use super::speed::Speed;
use crate::files::Sha256;
use crate::model::check_config;
use crate::progress::{Interrupted, Progress};

/// Files that are also downloaded where a repository has them.
const OPTIONAL: [&str; 15] = [
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "LICENCE",
    "NOTICE",
    "USE_POLICY.md",
    "README.md",
    "added_tokens.json",
    "merges.txt",
    "tokenizer.model",
    "vocab.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// How often a connection that broke after bytes had arrived is resumed.
const RESUMPTIONS: usize = 4;

/// One commit on its way into the cache.
pub(super) struct Download<'a> {
    /// The cache's side of the commit.
    pub(super) cache: CacheRepo,
    /// The server's side of the commit.
    pub(super) remote: ApiRepo,
    /// The same without a token, for other hosts.
    pub(super) anonymous: ApiRepo,
    /// The commit's hash.
    pub(super) commit: &'a str,
    /// Whether a token is sent.
    pub(super) is_authorised: bool,
    /// Keys of `config.json` that are read as if they were not there.
    pub(super) ignored_config_keys: &'a [String],
    /// Waits for a server that is busy.
    pub(super) patience: &'a Patience<'a>,
    /// Receives the progress of every file.
    pub(super) progress: &'a dyn Progress,
}

impl Download<'_> {
    /// Downloads all files of the model and returns the snapshot's folder. The weights come last,
    /// so that a snapshot with weights is complete.
    pub(super) fn model(&self, listed: &[String]) -> Result<PathBuf, HubErrorKind> {
        let has = |file: &str| listed.iter().any(|name| name == file);
        let weights = match [WEIGHTS, INDEX].into_iter().find(|file| has(file)) {
            Some(weights) => weights,
            None => {
                let others = folder::other_weights(listed.iter().cloned());
                return Err(HubErrorKind::NoSafetensors { others });
            }
        };
        if let Some(file) = [CONFIG, TOKENIZER].into_iter().find(|file| !has(file)) {
            return Err(HubErrorKind::MissingFile { file: file.to_owned() });
        }
        self.bring(CONFIG)?;
        // A family that is not computed is refused before gigabytes of it have come.
        check_config(&self.cache.pointer_path(self.commit), self.ignored_config_keys)
            .map_err(Box::new)?;
        let small = OPTIONAL.into_iter().filter(|file| has(file));
        for file in small.chain([TOKENIZER, weights]) {
            self.bring(file)?;
        }
        if weights == INDEX {
            for shard in folder::shards(&self.pointer(INDEX))? {
                self.bring(&shard)?;
            }
        }
        let snapshot = self.cache.pointer_path(self.commit);
        folder::check(&snapshot)?;
        Ok(snapshot)
    }

    fn pointer(&self, file: &str) -> PathBuf {
        self.cache.pointer_path(self.commit).join(file)
    }

    /// Makes one file part of the snapshot.
    fn bring(&self, file: &str) -> Result<(), HubErrorKind> {
        self.progress.check()?;
        let pointer = self.pointer(file);
        if pointer.exists() {
            return Ok(());
        }
        let found = self.announced(file)?;
        let blob = self.cache.blob_path(&found.etag);
        let linked = || {
            let failed = |source| HubErrorKind::Cache { path: pointer.clone(), source };
            link(&blob, &pointer).map_err(failed)
        };
        if fs::metadata(&blob).is_ok_and(|it| it.len() == found.size) {
            return linked();
        }
        if self.is_authorised && found.elsewhere.is_some() {
            self.transfer_elsewhere(file, &found, &blob)?;
            linked()?;
        } else {
            self.patience.ask(file, || self.transfer(file, &blob))?;
        }
        verify(file, &found.etag, &blob, &pointer)
    }

    fn announced(&self, file: &str) -> Result<Announced, HubErrorKind> {
        let ask = || announced(&self.remote, file, self.is_authorised);
        let found = self.patience.ask(file, ask)?;
        if found.commit == self.commit && is_etag(&found.etag) {
            return Ok(found);
        }
        let (commit, etag) = (found.commit, found.etag);
        Err(protocol(format!(
            "{file} is announced for commit {commit:?} with etag {etag:?}; expected commit {:?}",
            self.commit
        )))
    }

    /// Downloads one file from another host, which is not shown the token.
    fn transfer_elsewhere(
        &self,
        file: &str,
        found: &Announced,
        blob: &Path,
    ) -> Result<(), HubErrorKind> {
        let (mut resumptions, mut elsewhere) = (0, found.elsewhere.clone());
        while let Some(address) = elsewhere {
            let (anonymous, progress) = (&self.anonymous, self.progress);
            let transfer =
                Transfer { anonymous, file, address: &address, size: found.size, progress };
            match self.patience.ask(file, || transfer.run(blob)) {
                Err(HubErrorKind::Transfer { source, .. })
                    if is_broken_off(&source) && resumptions < RESUMPTIONS =>
                {
                    resumptions += 1;
                }
                outcome => return outcome,
            }
            // Addresses on other hosts hold for a while only.
            elsewhere = self.announced(file)?.elsewhere;
        }
        self.patience.ask(file, || self.transfer(file, blob))
    }

    /// Downloads one file, waiting for another process that downloads it too.
    fn transfer(&self, file: &str, blob: &Path) -> Result<(), HubErrorKind> {
        let mut resumptions = 0;
        let mut may_restart = true;
        loop {
            self.progress.check()?;
            let mut arrived = 0;
            let meter = Meter::new(self.progress, file, &mut arrived);
            let outcome = stoppable(|| self.remote.download_with_progress(file, meter))?;
            match outcome {
                Ok(_) => return Ok(()),
                Err(error) if is_linked_already(&error) && self.pointer(file).exists() => {
                    return Ok(());
                }
                Err(ApiError::LockAcquisition(_)) => {
                    let waiting = format!("waiting for another download of {file}");
                    self.progress.phase(&waiting, None);
                    if self.pointer(file).exists() {
                        return Ok(());
                    }
                }
                Err(error) if is_broken_off(&error) && arrived > 0 && resumptions < RESUMPTIONS => {
                    resumptions += 1;
                }
                Err(error) if may_restart && is_unresumable(&error) => {
                    may_restart = false;
                    discard(&blob.with_extension("part"))?;
                }
                Err(error) => return Err(failure(file, error, self.is_authorised)),
            }
        }
    }
}

/// Etags become file names.
fn is_etag(etag: &str) -> bool {
    (1..=128).contains(&etag.len())
        && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether another process has already linked the same content.
fn is_linked_already(error: &ApiError) -> bool {
    matches!(error, ApiError::IoError(error) if error.kind() == io::ErrorKind::AlreadyExists)
}

/// Whether the connection ended before the file did.
fn is_broken_off(error: &ApiError) -> bool {
    let ApiError::IoError(error) = error else { return false };
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | TimedOut)
}

/// Whether the kept part is as long as the file or longer, so that nothing is left to request
/// (416).
fn is_unresumable(error: &ApiError) -> bool {
    matches!(error, ApiError::InvalidResume) || status_of(error) == Some(416)
}

fn discard(path: &Path) -> Result<(), HubErrorKind> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| HubErrorKind::Cache { path: path.to_owned(), source }),
    }
}

/// Large files have their SHA-256 as etag: compares it, and removes what differs.
fn verify(file: &str, etag: &str, blob: &Path, pointer: &Path) -> Result<(), HubErrorKind> {
    let Ok(announced) = etag.parse::<Sha256>() else { return Ok(()) };
    let unreadable =
        |error| HubErrorKind::Cache { path: blob.to_owned(), source: io::Error::other(error) };
    let found = Sha256::of_file(blob).map_err(unreadable)?;
    if found == announced {
        return Ok(());
    }
    discard(pointer)?;
    discard(blob)?;
    Err(HubErrorKind::Damaged {
        file: file.to_owned(),
        found: found.to_string(),
        announced: announced.to_string(),
    })
}

/// Links content that is in the cache already into a commit.
fn link(blob: &Path, pointer: &Path) -> io::Result<()> {
    if let Some(snapshot) = pointer.parent() {
        fs::create_dir_all(snapshot)?;
    }
    match link_to(blob, pointer) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Links as the Hub's own programs do: relative, so that a cache can be moved.
#[cfg(unix)]
fn link_to(blob: &Path, pointer: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), pointer)
}

#[cfg(not(unix))]
fn link_to(blob: &Path, pointer: &Path) -> io::Result<()> {
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop))
}

/// Runs `work`, which a [`Meter`] inside may leave by unwinding.
fn stoppable<T>(work: impl FnOnce() -> T) -> Result<T, Interrupted> {
    catch_unwind(AssertUnwindSafe(work)).or_else(|payload| {
        match payload.downcast::<Interrupted>() {
            Ok(stop) => Err(*stop),
            Err(bug) => resume_unwind(bug),
        }
    })
}

/// Passes the bytes of one file on to a [`Progress`].
///
/// `hf-hub` cannot be told to stop, so an interruption unwinds through it to [`stoppable`]:
/// without a panic message, closing the connection, releasing the lock and keeping the part.
struct Meter<'a> {
    progress: &'a dyn Progress,
    file: &'a str,
    /// Bytes that arrived over the connection, for the caller to see after a failure.
    arrived: &'a mut u64,
    /// Bytes that an earlier run left, once known.
    kept: Option<u64>,
    /// Bytes of the whole file, once known.
    size: Option<u64>,
    speed: Speed<'a>,
}

impl<'a> Meter<'a> {
    fn new(progress: &'a dyn Progress, file: &'a str, arrived: &'a mut u64) -> Self {
        Self { progress, file, arrived, kept: None, size: None, speed: Speed::from(0, progress) }
    }

    fn done(&self) -> u64 {
        self.kept.unwrap_or(0) + *self.arrived
    }
}

impl hf_hub::api::Progress for Meter<'_> {
    /// Called twice for a file: when it is opened and when its bytes begin.
    fn init(&mut self, size: usize, _: &str) {
        if self.size.replace(size as u64).is_none() {
            self.progress.phase(&format!("download {}", self.file), Some(size as u64));
        }
    }

    /// The first call gives the length of the part that was kept, all others what just came.
    fn update(&mut self, bytes: usize) {
        match self.kept {
            None => {
                self.kept = Some(bytes as u64);
                self.speed = Speed::from(bytes as u64, self.progress);
            }
            Some(_) => *self.arrived += bytes as u64,
        }
        if let Err(stop) = self.progress.check() {
            resume_unwind(Box::new(stop));
        }
        let done = self.done();
        self.progress.advance(done, &self.speed.note(done, self.size.unwrap_or(done)));
    }

    fn finish(&mut self) {
        self.progress.finish(&self.speed.summary(self.file, self.done()));
    }
}
