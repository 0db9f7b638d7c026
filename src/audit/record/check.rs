//! Checks a record that was written before: every byte, both signatures, and the chain of requests.

use std::path::Path;

use p256::ecdsa::VerifyingKey;
use serde::Serialize;

use super::signature::{KeyError, public_key, verified};
use super::{
    FileDigest, LARGEST, LEDGER, MODEL_SIGNATURE, PUBLIC_KEY, SIGNATURE, folder_files, ledger,
};
use crate::files::{FileError, Sha256, read_regular};

/// What a check of a record found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordCheck {
    /// Files of the record whose digests were compared.
    pub files: usize,
    /// Files of the model that its signature lists.
    pub signed: usize,
    /// Files of a model folder that were compared with it; nothing where none was given.
    pub compared: Option<usize>,
    /// Digest of the public key that both signatures are of.
    pub key: Option<Sha256>,
    /// Everything that is wrong, in words.
    pub problems: Vec<String>,
}

impl RecordCheck {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Why a record could not be checked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A file cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// The key that the signature must be of is none.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// Checks the record in `folder`; `key` is the PEM of the public key that has to have signed it, by
/// default the record's own, and `model` a folder that should hold the audited files.
///
/// # Errors
///
/// [`CheckError`] where a file cannot be read, or `key` is no key. A record that was changed is no
/// error: what is wrong with it is in the result.
pub fn check_record(
    folder: &Path,
    key: Option<(&str, &str)>,
    model: Option<&Path>,
) -> Result<RecordCheck, CheckError> {
    let read = |name: &str| {
        let path = folder.join(name);
        read_regular(&path, LARGEST).map_err(FileError::reading(&path))
    };
    let (signature, own_key) = (read(SIGNATURE)?, read(PUBLIC_KEY)?);
    let files = folder_files(folder, &[SIGNATURE])?;
    let mut check =
        RecordCheck { files: files.len(), signed: 0, compared: None, key: None, problems: vec![] };
    let own_key = String::from_utf8_lossy(&own_key).into_owned();
    let key = match key {
        Some((pem, name)) => public_key(pem, name)?,
        None => match public_key(&own_key, PUBLIC_KEY) {
            Ok(key) => key,
            Err(error) => {
                check.problems.push(error.to_string());
                return Ok(check);
            }
        },
    };
    check.key = Some(Sha256::of(&own_key));
    check.record(&signature, &files, &key);
    let found = model.map(|model| folder_files(model, &[])).transpose()?;
    check.model(&read(MODEL_SIGNATURE)?, found.as_deref(), &key);
    check.ledger(&String::from_utf8_lossy(&read(LEDGER)?), &files);
    Ok(check)
}

impl RecordCheck {
    /// Every file of the record is as it was signed.
    fn record(&mut self, signature: &[u8], files: &[FileDigest], key: &VerifyingKey) {
        match verified(signature, key) {
            Ok(signed) => self.problems.extend(differences(&signed, files)),
            Err(error) => self.problems.push(format!("{SIGNATURE}: {error}")),
        }
    }

    /// The model's signature holds, and a folder that was given has the files that it lists.
    fn model(&mut self, signature: &[u8], found: Option<&[FileDigest]>, key: &VerifyingKey) {
        match verified(signature, key) {
            Ok(signed) => {
                self.signed = signed.len();
                self.compared = found.map(<[FileDigest]>::len);
                let wrong = found.map(|found| differences(&signed, found));
                self.problems.extend(wrong.into_iter().flatten());
            }
            Err(error) => self.problems.push(format!("{MODEL_SIGNATURE}: {error}")),
        }
    }

    /// The chain of requests is whole, and its last line lists files of this record.
    fn ledger(&mut self, text: &str, files: &[FileDigest]) {
        match ledger::checked(text) {
            Ok(listed) => {
                let listed = listed.into_iter().map(|(name, sha256)| FileDigest { name, sha256 });
                let listed: Vec<FileDigest> = listed.collect();
                let is_listed = |file: &&FileDigest| listed.iter().any(|it| it.name == file.name);
                let own: Vec<FileDigest> = files.iter().filter(is_listed).cloned().collect();
                let wrong = differences(&listed, &own);
                self.problems.extend(wrong.into_iter().map(|it| format!("{LEDGER}: {it}")));
            }
            Err(error) => self.problems.push(format!("{LEDGER}: {error}")),
        }
    }
}

/// Files that are missing, new or changed.
fn differences(signed: &[FileDigest], found: &[FileDigest]) -> Vec<String> {
    let of = |files: &[FileDigest], name: &str| {
        files.iter().find(|file| file.name == name).map(|file| file.sha256)
    };
    let lost = signed.iter().filter_map(|file| match of(found, &file.name) {
        None => Some(format!("{} is missing", file.name)),
        Some(sha256) => (sha256 != file.sha256).then(|| format!("{} was changed", file.name)),
    });
    let new = found.iter().filter(|file| of(signed, &file.name).is_none());
    lost.chain(new.map(|file| format!("{} is not signed", file.name))).collect()
}
