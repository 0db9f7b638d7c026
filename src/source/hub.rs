//! Models of the Hub, from its cache or its server.
//!
//! A full commit whose files are all cached needs no server. Otherwise the server is asked which
//! commit a branch or tag stands for, and the files that the snapshot of that commit lacks are
//! downloaded. If the server cannot be reached, the commit that the cache knows is used, with a
//! warning; a refusal (no such repository, wrong token) is an error.

mod download;
mod error;
mod patience;
mod redirected;
mod server;
mod speed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

pub use error::{HubError, HubErrorKind};

use super::{FolderError, HubId, HubOptions, Token, folder};
use crate::progress::Progress;
use patience::Patience;

/// Finds a repository's model in the cache or downloads it: its folder and its commit.
pub(super) fn fetch(
    id: &HubId,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<(PathBuf, String), Box<HubError>> {
    snapshot(id, options, progress).map_err(|kind| {
        Box::new(HubError { id: id.clone(), endpoint: options.endpoint.clone(), kind })
    })
}

/// A complete snapshot and its commit.
fn snapshot(
    id: &HubId,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<(PathBuf, String), HubErrorKind> {
    progress.check()?;
    let cached = cached(id, &options.cache);
    match cached {
        Ok(found) if options.offline || id.is_pinned() => return Ok(found),
        Err(lacking) if options.offline => {
            return Err(HubErrorKind::Offline { cache: options.cache.clone(), lacking });
        }
        _ => {}
    }
    progress.note(
        "hub",
        &format!(
            "no file or folder here is named {}; {} is asked for it",
            id.name, options.endpoint
        ),
    );
    // With a complete copy at hand, a busy server is not waited for.
    let patience = if cached.is_ok() { Duration::ZERO } else { options.patience };
    let outcome = online(id, options, &Patience::new(patience, progress), progress);
    match (outcome.as_ref().err().and_then(outage), cached) {
        (Some(outage), Ok((path, commit))) => {
            progress.warn(&format!(
                "the Hub could not be reached ({outage}), so the cached commit {} of {id} is \
                 used; HF_HUB_OFFLINE=1 skips the attempt",
                short(&commit)
            ));
            Ok((path, commit))
        }
        _ => outcome,
    }
}

/// The reason why the server did not answer at all; nothing where it refused.
fn outage(kind: &HubErrorKind) -> Option<String> {
    match kind {
        HubErrorKind::Unreachable { source } => Some(source.to_string()),
        HubErrorKind::Status { status: status @ (429 | 500..), .. } => {
            Some(format!("status {status}"))
        }
        _ => None,
    }
}

/// The complete snapshot that the cache holds for a revision, or what it lacks.
fn cached(id: &HubId, cache: &Path) -> Result<(PathBuf, String), String> {
    let cache = Cache::new(cache.to_owned());
    let pinned = cache_of(&cache, id, id.revision()).pointer_path(id.revision());
    let path = if id.is_pinned() && pinned.is_dir() {
        pinned
    } else {
        let config = cache_of(&cache, id, id.revision()).get(folder::CONFIG);
        let snapshot = config.as_deref().and_then(|config| config.parent());
        snapshot.ok_or("anything of this revision")?.to_owned()
    };
    folder::check(&path).map_err(|error| match error {
        FolderError::Missing { file, .. } => file,
        error => format!("a whole model ({error})"),
    })?;
    let commit = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((path, commit))
}

fn online(
    id: &HubId,
    options: &HubOptions,
    patience: &Patience<'_>,
    progress: &dyn Progress,
) -> Result<(PathBuf, String), HubErrorKind> {
    let cache = Cache::new(options.cache.clone());
    let connected = |token: Option<&Token>| {
        ApiBuilder::from_cache(cache.clone())
            .with_endpoint(options.endpoint.clone())
            .with_token(token.map(|token| token.reveal().to_owned()))
            .with_progress(false)
            .build()
            .map_err(|error| HubErrorKind::Protocol { reason: error.to_string() })
    };
    let token = options.token.as_ref();
    let api = connected(token)?;
    let remote = api.repo(repository(id, id.revision()));
    let list = || server::list(&remote, id, token.is_some());
    let listing = patience.ask("the list of files", list)?;
    // What anybody may read is fetched without the token.
    let token = token.filter(|_| !listing.is_public);
    let api = connected(token)?;
    let is_authorised = token.is_some();
    let download = download::Download {
        cache: cache_of(&cache, id, &listing.commit),
        remote: api.repo(repository(id, &listing.commit)),
        anonymous: connected(None)?.repo(repository(id, &listing.commit)),
        commit: &listing.commit,
        is_authorised,
        ignored_config_keys: &options.ignored_config_keys,
        patience,
        progress,
    };
    let path = download.model(&listing.files)?;
    remember(&cache_of(&cache, id, id.revision()), &listing.commit)?;
    Ok((path, listing.commit))
}

fn repository(id: &HubId, revision: &str) -> Repo {
    Repo::with_revision(id.name.clone(), RepoType::Model, revision.to_owned())
}

fn cache_of(cache: &Cache, id: &HubId, revision: &str) -> CacheRepo {
    cache.repo(repository(id, revision))
}

/// Notes which commit a branch stands for, once all of its files are there, so that an
/// interrupted update leaves the older, complete commit for offline use.
fn remember(cache: &CacheRepo, commit: &str) -> Result<(), HubErrorKind> {
    let snapshot = cache.pointer_path(commit);
    if cache.get(folder::CONFIG).is_some_and(|config| config.starts_with(&snapshot)) {
        return Ok(());
    }
    cache.create_ref(commit).map_err(|source| HubErrorKind::Cache { path: snapshot, source })
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
