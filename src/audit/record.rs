//! The record of an audit: files that others can check without this program.
//!
//! | file | form |
//! |---|---|
//! | `verify.intoto.json` | in-toto Statement v1, predicate test-result v0.1: what was tested, with which result |
//! | `edit.intoto.json` | in-toto Statement v1, predicate SLSA provenance v1: what was changed |
//! | `bom.cdx.json` | CycloneDX 1.7 bill of materials: the model, its base, the change as a patch of its pedigree |
//! | `model.sig` | OpenSSF model signing v1.0, ECDSA P-256: the files that were audited |
//! | `ledger.jsonl` | the requests, each with the SHA-256 of the line before it |
//! | `RECORD.md` | the same for a person |
//! | `key.pub.pem` | the public key |
//! | `record.sig` | as `model.sig`, over all other files of the record |
//!
//! What was removed is in none of them: neither texts nor subjects nor answers, and digests of them
//! only with a salt that is not in the record.

mod bom;
mod check;
mod ledger;
mod page;
mod provenance;
mod signature;
mod statement;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

pub use check::{CheckError, RecordCheck, check_record};
pub use signature::{KeyError, RecordKey};

use super::Audit;
use crate::files::{Building, FileError, Kind, Overwrite, Sha256, read_regular};

/// Names of the files of a record.
pub(super) const VERIFY: &str = "verify.intoto.json";
pub(super) const EDIT: &str = "edit.intoto.json";
pub(super) const BOM: &str = "bom.cdx.json";
pub(super) const MODEL_SIGNATURE: &str = "model.sig";
pub(super) const LEDGER: &str = "ledger.jsonl";
pub(super) const PAGE: &str = "RECORD.md";
pub(super) const PUBLIC_KEY: &str = "key.pub.pem";
pub(super) const SIGNATURE: &str = "record.sig";

/// A record's folder as output: replaced only by a later record.
pub const RECORD: Kind = Kind {
    name: "the record of an earlier audit",
    is_folder: true,
    is_ours: |path| [VERIFY, LEDGER, SIGNATURE].iter().all(|name| path.join(name).is_file()),
};

/// A longer file is none of a record.
const LARGEST: u64 = 64 << 20;

/// A file by its name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDigest {
    /// Its path inside its folder, with `/` between the parts.
    pub name: String,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

/// What a record says beyond the audit itself; names in it are free of what was removed.
#[derive(Debug, Clone)]
pub struct Request {
    /// A number of the request that means nothing: a UUID.
    pub id: String,
    /// When the audit began and when it ended, as RFC 3339.
    pub times: [String; 2],
    /// Name and salted digest of the spec.
    pub spec: (String, String),
    /// How many facts and passages it inserts, erases and forgets.
    pub asked: Vec<(usize, &'static str)>,
    /// Name of the audited folder or patch, and its files.
    pub model: (String, Vec<FileDigest>),
    /// Name of the base, and its files.
    pub base: Option<(String, Vec<FileDigest>)>,
    /// Patches that were applied.
    pub patches: Vec<FileDigest>,
    /// The architecture of the model, as its config names it.
    pub architecture: String,
    /// What still holds the data, in words.
    pub remaining: Vec<String>,
}

/// The files of a folder and below, sorted by name; links are not followed.
pub fn folder_files(folder: &Path, except: &[&str]) -> Result<Vec<FileDigest>, FileError> {
    let mut files = Vec::new();
    walk(folder, "", except, &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(
    folder: &Path,
    prefix: &str,
    except: &[&str],
    files: &mut Vec<FileDigest>,
) -> Result<(), FileError> {
    let fail = FileError::reading(folder);
    for entry in std::fs::read_dir(folder).map_err(&fail)? {
        let entry = entry.map_err(&fail)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.path().metadata().map_err(&fail)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), except, files)?;
        } else if !except.contains(&name.as_str()) {
            files.push(FileDigest { sha256: Sha256::of_file(&entry.path())?, name });
        }
    }
    Ok(())
}

/// Writes the record of an audit to the folder `out`, whole or not at all; the ledger of an earlier
/// record that it replaces goes on.
///
/// # Errors
///
/// [`FileError`] where the folder cannot be written.
pub fn write_record(
    out: &Path,
    overwrite: Overwrite,
    (audit, request): (&Audit, &Request),
    key: &RecordKey,
) -> Result<(), FileError> {
    let earlier = read_regular(&out.join(LEDGER), LARGEST).unwrap_or_default();
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let json = |value: &serde_json::Value| format!("{value:#}\n").into_bytes();
    files.insert(VERIFY, json(&statement::verify(audit, request)));
    files.insert(EDIT, json(&provenance::edit(audit, request)));
    files.insert(BOM, json(&bom::bom(audit, request)));
    let signed = signature::sign(&request.model.0, &request.model.1, &[], key);
    files.insert(MODEL_SIGNATURE, signed.into_bytes());
    let digests = files.iter().map(|(name, bytes)| (*name, Sha256::of(bytes))).collect();
    let ledger = ledger::extended(&earlier, audit, request, &digests);
    files.insert(LEDGER, ledger.into_bytes());
    files.insert(PAGE, page::page(audit, request).into_bytes());
    files.insert(PUBLIC_KEY, key.public_pem().into_bytes());
    let listed: Vec<FileDigest> = files
        .iter()
        .map(|(name, bytes)| FileDigest { name: (*name).to_owned(), sha256: Sha256::of(bytes) })
        .collect();
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let signed = signature::sign(&name, &listed, &[SIGNATURE], key);
    files.insert(SIGNATURE, signed.into_bytes());
    let building = Building::beside(out)?;
    for (name, bytes) in &files {
        let path = building.path().join(name);
        let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes));
        written.map_err(FileError::writing(&path))?;
    }
    building.publish(out, overwrite)
}

#[cfg(test)]
mod tests;
