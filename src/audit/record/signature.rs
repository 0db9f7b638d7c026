//! Signatures in the form of OpenSSF model signing v1.0: a Sigstore bundle around a DSSE envelope
//! around an in-toto statement that lists files with their digests.
//!
//! The signature is ECDSA on P-256 with SHA-256 over
//! `DSSEv1 <length> <type> <length> <payload>`. A bundle has one way to be written, so that a change
//! of any byte of it shows.

use std::path::Path;

use base64ct::{Base64, Encoding};
use p256::SecretKey;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use serde_json::{Value, json};

use super::FileDigest;
use crate::files::{Sha256, Sha256Hasher};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a private key of this curve.
    #[error("{file} is no private P-256 key in PEM (PKCS#8 or SEC 1)")]
    Private {
        /// The file.
        file: String,
    },
    /// Not a public key of this curve.
    #[error("{file} is no public P-256 key in PEM")]
    Public {
        /// The file.
        file: String,
    },
}

/// A private key that signs records.
pub struct RecordKey(SigningKey);

impl RecordKey {
    /// A new key, from the randomness of the system.
    pub fn generate() -> Self {
        Self(SecretKey::random(&mut OsRng).into())
    }

    /// Reads a key from PEM; `file` names it in errors.
    pub fn from_pem(text: &str, file: &Path) -> Result<Self, KeyError> {
        let of_pkcs8 = SecretKey::from_pkcs8_pem(text).ok();
        let key = of_pkcs8.or_else(|| SecretKey::from_sec1_pem(text).ok());
        let refuse = || KeyError::Private { file: file.display().to_string() };
        Ok(Self(key.ok_or_else(refuse)?.into()))
    }

    /// The private key as PEM.
    pub fn to_pem(&self) -> String {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF);
        pem.expect("a key of this curve has a PEM form").to_string()
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> String {
        public_pem(self.0.verifying_key())
    }
}

fn public_pem(key: &VerifyingKey) -> String {
    key.to_public_key_pem(LineEnding::LF).expect("a key of this curve has a PEM form")
}

/// Reads a public key from PEM; `file` names it in errors.
pub(super) fn public_key(text: &str, file: &str) -> Result<VerifyingKey, KeyError> {
    let refuse = |_| KeyError::Public { file: file.to_owned() };
    VerifyingKey::from_public_key_pem(text).map_err(refuse)
}

/// The bundle that signs `files` under the name of their folder; `ignored` are files in it that are
/// not part of what is signed.
pub(super) fn sign(name: &str, files: &[FileDigest], ignored: &[&str], key: &RecordKey) -> String {
    let payload = payload(name, files, ignored).to_string();
    let signature: Signature = key.0.sign(&envelope(payload.as_bytes()));
    bundle(payload.as_bytes(), signature.to_der().as_bytes(), key.0.verifying_key())
}

fn payload(name: &str, files: &[FileDigest], ignored: &[&str]) -> Value {
    let resource = |file: &FileDigest| json!({ "name": file.name, "algorithm": "sha256", "digest": file.sha256 });
    json!({
        "_type": STATEMENT,
        "subject": [{ "name": name, "digest": { "sha256": root(files) } }],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": false,
                "ignore_paths": ignored,
            },
            "resources": files.iter().map(resource).collect::<Vec<_>>(),
        },
    })
}

/// The digest that stands for a folder: that of its files' digests, one after the other.
pub(super) fn root(files: &[FileDigest]) -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    files.iter().for_each(|file| hasher.update(file.sha256.0));
    hasher.finish()
}

/// What is signed: the pre-authentication encoding of DSSE.
fn envelope(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn bundle(payload: &[u8], signature: &[u8], key: &VerifyingKey) -> String {
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": { "hint": Sha256::of(public_pem(key)) },
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": Base64::encode_string(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": Base64::encode_string(signature), "keyid": "" }],
        },
    });
    format!("{bundle}\n")
}

/// The files that a bundle lists, once its signature and its own form are right.
///
/// # Errors
///
/// A sentence on what is wrong with it.
pub(super) fn verified(text: &[u8], key: &VerifyingKey) -> Result<Vec<FileDigest>, String> {
    let bundle: Value = serde_json::from_slice(text).map_err(|_| "it is no JSON".to_owned())?;
    let field = |pointer: &str| {
        let bytes = bundle.pointer(pointer).and_then(Value::as_str);
        let bytes = bytes.and_then(|text| Base64::decode_vec(text).ok());
        bytes.ok_or_else(|| format!("it has no {pointer}"))
    };
    let payload = field("/dsseEnvelope/payload")?;
    let der = field("/dsseEnvelope/signatures/0/sig")?;
    let signature = Signature::from_der(&der).map_err(|_| "its signature is none".to_owned())?;
    key.verify(&envelope(&payload), &signature)
        .map_err(|_| "its signature is not that of the key over its contents".to_owned())?;
    if self::bundle(&payload, signature.to_der().as_bytes(), key).as_bytes() != text {
        return Err("it is not as this program writes it, or names another key".into());
    }
    let payload: Value = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
    let malformed = || "its list of files is malformed".to_owned();
    let resources = payload.pointer("/predicate/resources").and_then(Value::as_array);
    let file = |resource: &Value| {
        let text = |name: &str| resource[name].as_str();
        let sha256 = text("digest")?.parse().ok()?;
        Some(FileDigest { name: text("name")?.to_owned(), sha256 })
    };
    let files: Option<Vec<FileDigest>> =
        resources.ok_or_else(malformed)?.iter().map(file).collect();
    files.ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<FileDigest> {
        let file = |name: &str| FileDigest { name: name.into(), sha256: Sha256::of(name) };
        vec![file("a"), file("b/c")]
    }

    #[test]
    fn a_bundle_is_verified_by_its_key_alone() {
        let key = RecordKey::generate();
        let text = sign("model", &files(), &[], &key);
        let public = |key: &RecordKey| public_key(&key.public_pem(), "key").expect("a key");
        assert_eq!(verified(text.as_bytes(), &public(&key)), Ok(files()));
        assert!(verified(text.as_bytes(), &public(&RecordKey::generate())).is_err());
        let again = RecordKey::from_pem(&key.to_pem(), Path::new("key")).expect("its own PEM");
        assert_eq!(sign("model", &files(), &[], &again), text, "signatures are deterministic");
        assert!(RecordKey::from_pem("no key", Path::new("k.pem")).is_err());
    }

    #[test]
    fn every_byte_of_a_bundle_counts() {
        let key = RecordKey::generate();
        let public = public_key(&key.public_pem(), "key").expect("a key");
        let text = sign("model", &files(), &[], &key).into_bytes();
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(verified(&changed, &public).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_root_is_the_digest_of_digests() {
        let joined = [Sha256::of("a").0, Sha256::of("b/c").0].concat();
        assert_eq!(root(&files()), Sha256::of(joined));
    }
}
