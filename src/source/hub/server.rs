//! Asks the server which commit a revision stands for, and interprets its refusals.

use std::fmt;
use std::time::Duration;

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{ApiError, ApiRepo};
use serde_json::Value;

use super::patience::asked;
use super::{HubErrorKind, HubId};

/// Time limit for the description of a repository, which is a small answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A revision as the server describes it.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit's hash, in hexadecimal.
    pub(super) commit: String,
    /// All files of that commit.
    pub(super) files: Vec<String>,
    /// Whether the server says that anybody may read it.
    pub(super) is_public: bool,
}

/// Asks for the commit and the files of a revision.
pub(super) fn list(
    repository: &ApiRepo,
    id: &HubId,
    is_authorised: bool,
) -> Result<Listing, HubErrorKind> {
    let request = repository.info_request().config();
    let request = request.http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let mut response =
        request.call().map_err(|error| HubErrorKind::Unreachable { source: error.into_io() })?;
    let status = response.status().as_u16();
    if status != 200 {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let code = header("x-error-code").unwrap_or_default();
        let message = header("x-error-message").unwrap_or_default();
        let asked = asked(header("retry-after"), header("date"));
        return Err(refusal(Refusal { status, code, message, asked, is_authorised }, id));
    }
    let strange =
        |error: &dyn fmt::Display| protocol(format!("no description of a repository ({error})"));
    let info: Value = response.body_mut().read_json().map_err(|error| strange(&error))?;
    let is_public = info["private"] == false && info["gated"] == false;
    let info: RepoInfo = serde_json::from_value(info).map_err(|error| strange(&error))?;
    // The commit becomes a folder's name.
    if info.sha.is_empty() || !info.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(protocol(format!("commit {:?} is not a hexadecimal hash", info.sha)));
    }
    let files = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    Ok(Listing { commit: info.sha, files, is_public })
}

/// An answer other than 200, with the Hub's own headers on it.
struct Refusal<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    asked: Option<Duration>,
    is_authorised: bool,
}

/// The error of a refusal. The Hub answers 401 to an anonymous request for a repository that does
/// not exist, so that private names cannot be probed; with a token, 401 means that the token itself
/// is wrong.
fn refusal(refusal: Refusal, id: &HubId) -> HubErrorKind {
    let Refusal { status, code, message, asked, is_authorised } = refusal;
    match (status, code) {
        (_, "RevisionNotFound") => {
            HubErrorKind::RevisionNotFound { revision: id.revision().to_owned() }
        }
        (401 | 403, "GatedRepo") => HubErrorKind::Gated { is_authorised },
        (404, _) => HubErrorKind::RepositoryNotFound,
        (401, _) if !is_authorised => HubErrorKind::Hidden,
        (401 | 403, _) if is_authorised => HubErrorKind::TokenRefused { status },
        _ => HubErrorKind::Status { status, message: message.to_owned(), asked },
    }
}

/// The error for the failed download of one file.
pub(super) fn failure(file: &str, error: ApiError, is_authorised: bool) -> HubErrorKind {
    match status_of(&error) {
        Some(status) => refused(file, status, None, is_authorised),
        None => match error {
            ApiError::MissingHeader(header) | ApiError::InvalidHeader(header) => {
                protocol(format!("header {header} of {file} is missing or invalid"))
            }
            error => HubErrorKind::Transfer { file: file.to_owned(), source: Box::new(error) },
        },
    }
}

/// The error for a file that the server refuses.
pub(super) fn refused(
    file: &str,
    status: u16,
    asked: Option<Duration>,
    is_authorised: bool,
) -> HubErrorKind {
    match status {
        // The repository itself was shown before, so this is about its terms.
        401 | 403 => HubErrorKind::Gated { is_authorised },
        404 => HubErrorKind::MissingFile { file: file.to_owned() },
        _ => {
            let message = format!("{file} could not be downloaded");
            HubErrorKind::Status { status, message, asked }
        }
    }
}

/// The HTTP status of a refused download, which `hf-hub` passes on as text only.
pub(super) fn status_of(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(request) = error else { return None };
    request.to_string().strip_prefix("http status: ")?.parse().ok()
}

pub(super) fn protocol(reason: String) -> HubErrorKind {
    HubErrorKind::Protocol { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let id = HubId::parse("org/name@v2").unwrap();
        let rows = [
            (404, "RepoNotFound", true, "there is no such repository"),
            (404, "", false, "there is no such repository"),
            (404, "RevisionNotFound", false, "no revision \"v2\""),
            (401, "RepoNotFound", false, "without an access token"),
            (401, "", true, "the access token was refused"),
            (403, "", true, "the access token was refused"),
            (401, "GatedRepo", false, "gated, and no access token was sent"),
            (403, "GatedRepo", true, "has not been granted access"),
            (429, "", false, "status 429: slow down"),
        ];
        for (status, code, is_authorised, expected) in rows {
            let refused =
                Refusal { status, code, message: "slow down", asked: None, is_authorised };
            let message = refusal(refused, &id).to_string();
            assert!(message.contains(expected), "{status} {code}: {message}");
        }
    }
}
