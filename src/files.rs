//! Files and hashes: nothing is ever half-written, and everything that goes in is named by its SHA-256.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest;
use tempfile::NamedTempFile;

/// Bytes moved at once when a file is hashed.
const CHUNK: usize = 1 << 18;

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of the contents of the file at `path`, read in pieces.
    pub fn of_file(path: &Path) -> Result<Self, FileError> {
        let fail = FileError::reading(path);
        let mut file = File::open(path).map_err(&fail)?;
        let mut hasher = Sha256Hasher::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk).map_err(&fail)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&chunk[..n]),
            }
        }
    }
}

/// Digests bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Takes in the next piece.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The digest of all pieces in their order.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that should have been a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits (a SHA-256), found {found:?}")]
pub struct NotASha256 {
    found: String,
}

impl FromStr for Sha256 {
    type Err = NotASha256;

    fn from_str(text: &str) -> Result<Self, NotASha256> {
        let refuse = || NotASha256 { found: text.chars().take(80).collect() };
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err(refuse());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(refuse());
            };
            *byte = high << 4 | low;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What to do where a file or folder already stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Leave it alone and fail.
    #[default]
    Refuse,
    /// Put the new one in its place, in one step.
    Replace,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path is taken and [`Overwrite::Refuse`] was asked for.
    #[error("{} already exists", path.display())]
    Exists {
        /// The path that is taken.
        path: PathBuf,
    },
    /// Opening or reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed; the old file, if any, is as it was.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said, or what the writer returned.
        source: io::Error,
    },
}

impl FileError {
    /// What reading `path` fails with.
    pub(crate) fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    /// What writing `path` fails with.
    pub(crate) fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// Writes a file whole or not at all.
///
/// `write` fills a sibling temporary file, which is synced and then renamed to
/// `path`. If anything fails on the way the temporary file is removed and
/// whatever stood at `path` is unchanged.
pub fn write_atomically(
    path: &Path,
    overwrite: Overwrite,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let fail = FileError::writing(path);
    if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    let temporary = sibling_file(path).map_err(&fail)?;
    let mut writer = BufWriter::new(temporary.reopen().map_err(&fail)?);
    write(&mut writer).map_err(&fail)?;
    writer.flush().map_err(&fail)?;
    writer.get_ref().sync_all().map_err(&fail)?;
    drop(writer);
    persist(temporary, path, overwrite)?;
    sync_folder(parent(path));
    Ok(())
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A prefix for temporary names beside `path`: hidden, and telling what they belong to.
pub(crate) fn temporary_prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

fn sibling_file(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = temporary_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // Temporary files are private by default; this one becomes the user's file, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(parent(path))
}

fn persist(temporary: NamedTempFile, path: &Path, overwrite: Overwrite) -> Result<(), FileError> {
    let outcome = match overwrite {
        Overwrite::Refuse => temporary.persist_noclobber(path),
        Overwrite::Replace => temporary.persist(path),
    };
    outcome.map(drop).map_err(|failure| match failure.error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
        _ => FileError::Write { path: path.to_owned(), source: failure.error },
    })
}

/// Makes a rename in `folder` outlive a power cut, where the system can; failing to is no error.
pub(crate) fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("test folder");
        entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .collect()
    }

    #[test]
    fn digest_of_bytes_and_of_a_file_agree_with_the_standard() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("write");
        assert_eq!(Sha256::of("abc").to_string(), ABC);
        assert_eq!(Sha256::of_file(&path).expect("read"), Sha256::of("abc"));
        assert_eq!(ABC.parse::<Sha256>().expect("digits"), Sha256::of("abc"));
        let json = serde_json::to_string(&Sha256::of("abc")).expect("json");
        assert_eq!(json, format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).expect("json"), Sha256::of("abc"));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in
            ["", "ab", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &"é".repeat(32)]
        {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Sha256::of_file(Path::new("nowhere/at/all")).expect_err("no such file");
        assert_eq!(error.to_string(), "cannot read nowhere/at/all");
    }

    #[test]
    fn a_file_is_replaced_only_on_demand() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("patch");
        let put = |text: &str, overwrite| {
            write_atomically(&path, overwrite, |out| out.write_all(text.as_bytes()))
        };
        put("one", Overwrite::Refuse).expect("first write");
        assert!(matches!(put("two", Overwrite::Refuse), Err(FileError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "one");
        put("two", Overwrite::Replace).expect("replace");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "two");
        assert_eq!(names(folder.path()), ["patch"]);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("patch");
        std::fs::write(&path, "old").expect("write");
        let outcome = write_atomically(&path, Overwrite::Replace, |out| {
            out.write_all(&vec![7; 1 << 20])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(outcome, Err(FileError::Write { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(names(folder.path()), ["patch"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("temporary folder");
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, Overwrite::Refuse, |_| Ok(())).expect("write");
        File::create(&plain).expect("create");
        let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
