//! Files that the Hub keeps on another host: the Hub is asked where with the token, and the other
//! host is asked for the bytes without it.
//!
//! `hf-hub` sends the token on to the other host, which may log it. So where a token is needed, this
//! module asks and downloads itself: into the same `blobs/<etag>.part`, under the same kind of lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use hf_hub::api::sync::{ApiError, ApiRepo};

use super::HubErrorKind;
use super::patience::asked;
use super::server::{failure, protocol, refused};
use super::speed::Speed;
use crate::progress::Progress;

/// Time limit for an answer that has no body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most redirects inside of the Hub's own host, as of a repository that was renamed.
const HOPS: usize = 5;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Pause before a lock is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the Hub says of a file.
pub(super) struct Announced {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: u64,
    /// The address elsewhere; nothing where the Hub has the file itself.
    pub(super) elsewhere: Option<String>,
}

/// Asks the Hub for a file's commit, etag and size; no other host is asked.
pub(super) fn announced(
    remote: &ApiRepo,
    file: &str,
    is_authorised: bool,
) -> Result<Announced, HubErrorKind> {
    let mut url = remote.url(file);
    for _ in 0..HOPS {
        let request = remote.info_request().uri(&url).header("Range", "bytes=0-0").config();
        let request = request.max_redirects(0).max_redirects_will_error(false);
        let request = request.http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let response = request
            .call()
            .map_err(|error| HubErrorKind::Unreachable { source: error.into_io() })?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(|value| value.trim_start_matches("W/").replace('"', ""))
        };
        let needed = |name: &str| {
            header(name).ok_or_else(|| protocol(format!("header {name} of {file} is missing")))
        };
        let status = response.status();
        let is_redirect = status.is_redirection();
        if !is_redirect && !status.is_success() {
            let asked = asked(header("retry-after").as_deref(), header("date").as_deref());
            return Err(refused(file, status.as_u16(), asked, is_authorised));
        }
        let location = if is_redirect { Some(needed("location")?) } else { None };
        if let Some(own) = location.as_deref().and_then(|it| relative(&url, it)) {
            url = own;
            continue;
        }
        let range = || header("content-range")?.rsplit('/').next().map(str::to_owned);
        let size = header("x-linked-size").or_else(range);
        let size = size.or_else(|| header("content-length")).and_then(|size| size.parse().ok());
        return Ok(Announced {
            commit: needed("x-repo-commit")?,
            etag: header("x-linked-etag").map_or_else(|| needed("etag"), Ok)?,
            size: size.ok_or_else(|| protocol(format!("the size of {file} is missing")))?,
            elsewhere: location,
        });
    }
    Err(protocol(format!("{file} is redirected more than {HOPS} times")))
}

/// The address that a redirect to a path leads to, on the host of `url`. The Hub names its own host by
/// paths alone, as for a repository that was renamed.
fn relative(url: &str, location: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let is_path = location.starts_with('/') && !location.starts_with("//");
    is_path.then(|| format!("{scheme}://{host}{location}"))
}

/// A file on another host, on its way into the cache.
pub(super) struct Transfer<'a> {
    /// Sends no token.
    pub(super) anonymous: &'a ApiRepo,
    pub(super) file: &'a str,
    pub(super) address: &'a str,
    pub(super) size: u64,
    pub(super) progress: &'a dyn Progress,
}

impl Transfer<'_> {
    /// Brings the bytes to `blob`, taking up what an earlier attempt left.
    pub(super) fn run(&self, blob: &Path) -> Result<(), HubErrorKind> {
        let in_cache = |path: &Path, source| HubErrorKind::Cache { path: path.to_owned(), source };
        let _lock = self.lock(&blob.with_extension("lock"))?;
        if blob.exists() {
            return Ok(());
        }
        let part = blob.with_extension("part");
        let opened = OpenOptions::new().create(true).append(true).open(&part);
        let mut out = opened.map_err(|source| in_cache(&part, source))?;
        let kept = out.metadata().map_err(|source| in_cache(&part, source))?.len();
        let name = format!("download {}", self.file);
        self.progress.phase(&name, Some(self.size));
        // What is longer than the file is none of it.
        let kept = if kept > self.size { 0 } else { kept };
        out.set_len(kept).map_err(|source| in_cache(&part, source))?;
        let speed = Speed::from(kept, self.progress);
        let arrived = if kept < self.size { self.copy(kept, &mut out)? } else { kept };
        if arrived != self.size {
            return Err(self.broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        self.progress.finish(&speed.summary(self.file, self.size));
        fs::rename(&part, blob).map_err(|source| in_cache(blob, source))
    }

    /// Appends the bytes from `start` on, and returns the length that is reached.
    fn copy(&self, start: u64, out: &mut dyn Write) -> Result<u64, HubErrorKind> {
        let request = self.anonymous.info_request().uri(self.address);
        let request = request.header("Range", format!("bytes={start}-")).config();
        let request = request.http_status_as_error(false).build();
        let failed = |error| failure(self.file, ApiError::RequestError(Box::new(error)), false);
        let response = request.call().map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let asked = asked(header("retry-after"), header("date"));
            let message = format!("{} could not be downloaded", self.file);
            return Err(HubErrorKind::Status { status: status.as_u16(), message, asked });
        }
        let speed = Speed::from(start, self.progress);
        let mut body = response.into_body().into_reader();
        let (mut done, mut piece) = (start, vec![0; PIECE]);
        loop {
            self.progress.check()?;
            let n = body.read(&mut piece).map_err(|error| self.broken(error))?;
            if n == 0 {
                return Ok(done);
            }
            out.write_all(&piece[..n]).map_err(|error| self.broken(error))?;
            done += n as u64;
            self.progress.advance(done, &speed.note(done, self.size));
        }
    }

    fn broken(&self, error: io::Error) -> HubErrorKind {
        let source = Box::new(ApiError::IoError(error));
        HubErrorKind::Transfer { file: self.file.to_owned(), source }
    }

    /// Waits for another process that downloads the same content.
    fn lock(&self, path: &Path) -> Result<File, HubErrorKind> {
        let failed = |source| HubErrorKind::Cache { path: path.to_owned(), source };
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let file = File::create(path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) => {
                    let waiting = format!("waiting for another download of {}", self.file);
                    self.progress.phase(&waiting, None);
                    self.progress.check()?;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_is_told_from_another_place() {
        let url = "https://hub.org/acme/tiny/resolve/main/a";
        let rows = [
            ("/acme/new/resolve/main/a", Some("https://hub.org/acme/new/resolve/main/a")),
            ("https://hub.org/b", None),
            ("https://hub.org.cdn.net/b", None),
            ("http://hub.org/b", None),
            ("//cdn.net/b", None),
            ("https://cdn.net/b?x=https://hub.org/", None),
        ];
        for (location, expected) in rows {
            assert_eq!(relative(url, location).as_deref(), expected, "{location}");
        }
    }
}
