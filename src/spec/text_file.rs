//! The files that a spec is read from and names: whether they must exist, and their text.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::table::{Problems, Text};
use super::{SourceText, SpecError};
use crate::files::{mistaken_text, open_regular};

/// The full CounterFact file has 45 MB; a far larger file is a checkpoint given by mistake.
const LIMIT: u64 = 512 << 20;

/// Whether the files that a spec names must exist.
///
/// A spec inside a patch may be read again where the files that it names are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileCheck {
    MustExist,
    NotAsked,
}

impl FileCheck {
    /// The path that `text` names, relative to `folder`.
    pub(super) fn locate(self, text: &Text, folder: &Path, problems: &Problems) -> PathBuf {
        let path = folder.join(&text.value);
        if self == Self::MustExist && !path.is_file() {
            let is_there = path.metadata().is_ok();
            let reason = open_regular(&path).err().filter(|_| is_there);
            let label = reason.map_or_else(|| "not found".to_owned(), |reason| reason.to_string());
            problems.push(
                Problem::new(format!(
                    "`{}` names {}, which is not a file",
                    text.key,
                    path.display()
                ))
                .label(&text.span, label)
                .help("paths are relative to the file that names them"),
            );
        }
        path
    }
}

/// The text of a file, which must be UTF-8 and no larger than a collection of records can be.
pub(super) fn read_text(path: &Path) -> Result<SourceText, SpecError> {
    let unreadable = |source| SpecError::Unreadable { path: path.to_owned(), source };
    let file = open_regular(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > LIMIT {
        return Err(SpecError::TooLarge { path: path.to_owned(), bytes, limit: LIMIT });
    }
    let mut raw = Vec::new();
    // The file may grow: the bound holds while reading, too.
    file.take(LIMIT).read_to_end(&mut raw).map_err(unreadable)?;
    if let Some(what) = mistaken_text(&raw) {
        return Err(SpecError::Mistaken { path: path.to_owned(), what });
    }
    match String::from_utf8(raw) {
        // Where a line ends depends on the editor; a model would take the difference for a token.
        Ok(text) => Ok(SourceText::new(&path.to_string_lossy(), &text.replace("\r\n", "\n"))),
        Err(error) => Err(SpecError::NotText {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_the_same_whatever_ends_its_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            read_text(&path).expect("a text").text().to_owned()
        };
        let text = "[[insert]]\nprompt = \"\"\"\nQuestion: {}?\nAnswer:\"\"\"\n";
        assert_eq!(read("unix", text), text);
        assert_eq!(read("windows", &text.replace('\n', "\r\n")), text);
    }
}
