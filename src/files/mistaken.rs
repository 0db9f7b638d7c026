//! Tells what a file is that stands where another was expected.

/// Bytes from which a file of zeros is told.
const BEGINNING: usize = 4096;

/// What the file is that begins with `bytes`, and how to get the one that was meant; nothing where
/// it is not one of the usual mistakes.
pub(crate) fn mistaken(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (
            b"version https://git-lfs.github.com/",
            "it is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder",
        ),
        (
            b"version https://hawser.github.com/",
            "it is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder",
        ),
        (
            b"PK\x03\x04",
            "it is a zip archive, as pickled PyTorch files are; convert it to safetensors",
        ),
        (b"\x80\x02", "it is a pickled PyTorch file; convert it to safetensors"),
        (b"GGUF", "it is a GGUF file; name it itself, with the ending .gguf"),
    ];
    if bytes.is_empty() {
        return Some("it is empty; download or save it again");
    }
    if bytes.iter().take(BEGINNING).all(|byte| *byte == 0) {
        return Some("it begins with zeros alone, as after a broken download; download it again");
    }
    if is_page(bytes) {
        return Some(
            "it is a web page or a server's error message, not the file itself; download the \
             file itself",
        );
    }
    if bytes.starts_with(b"\xef\xbb\xbf{") {
        return Some(
            "it begins with a byte order mark, which other programs do not read here; save it as \
             UTF-8 without one",
        );
    }
    KINDS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, what)| *what)
}

/// The same where a safetensors file was meant, which a text is not.
pub(crate) fn mistaken_tensors(bytes: &[u8]) -> Option<&'static str> {
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    let is_written = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    // The length that a safetensors file begins with has zeros.
    let is_text = || !beginning.is_empty() && beginning.iter().take(8).all(is_written);
    mistaken(bytes).or_else(|| is_text().then_some("it is a text, not a safetensors file"))
}

/// What the file is that begins with `bytes` where a text was expected; nothing where it may be one.
pub(crate) fn mistaken_text(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (
            b"version https://git-lfs.github.com/",
            "it is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder",
        ),
        (
            b"version https://hawser.github.com/",
            "it is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder",
        ),
        (b"%PDF-", "it is a PDF; save its text as UTF-8"),
        (b"{\\rtf", "it is an RTF document; save its text as UTF-8"),
        (
            b"PK\x03\x04",
            "it is a zip archive, as .docx and .xlsx files are; save it as text or CSV, in UTF-8",
        ),
        (b"\xd0\xcf\x11\xe0", "it is an old Office file; save it as text or CSV, in UTF-8"),
        (b"\x1f\x8b", "it is compressed with gzip; unpack it"),
        (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard; unpack it"),
        (b"BZh", "it is compressed with bzip2; unpack it"),
        (b"\xfd7zXZ", "it is compressed with xz; unpack it"),
        (b"PAR1", "it is a Parquet file; save it as JSON lines"),
        (b"ARROW1", "it is an Arrow file; save it as JSON lines"),
        (b"GGUF", "it is a GGUF file: a model is named with --model"),
        (b"\xff\xfe", "it is UTF-16 text, which some programs call Unicode; save it as UTF-8"),
        (b"\xfe\xff", "it is UTF-16 text, which some programs call Unicode; save it as UTF-8"),
    ];
    if is_page(bytes) {
        return Some(
            "it is a web page or a server's error message, not the file itself; download the \
             file itself, or save the text of the page",
        );
    }
    if bytes.get(5..9) == Some(b"\0\0\0{") {
        return Some(
            "it is a safetensors file, as patches and weights are: a patch is named with --patch, a \
             model with --model",
        );
    }
    KINDS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, what)| *what)
}

/// What a server sends in place of a file: HTML, XML, or an error as JSON.
fn is_page(bytes: &[u8]) -> bool {
    const BEGINNINGS: &[&str] = &["<!doctype", "<html", "<head", "<?xml", "<error", "{\"error\":"];
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |with: &&str| {
        bytes.get(..with.len()).is_some_and(|found| found.eq_ignore_ascii_case(with.as_bytes()))
    };
    BEGINNINGS.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_mistakes_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
        let rows: [(&[u8], Option<&str>); 10] = [
            (pointer, Some("git lfs pull")),
            (b"<!DOCTYPE html><html>", Some("a web page")),
            (b"PK\x03\x04rest", Some("pickled")),
            (b"{\"model\": 1}", None),
            (b"", Some("it is empty")),
            (&[0; 5000], Some("zeros")),
            (b"\xef\xbb\xbf\n <HTML><body>", Some("a web page")),
            (b"<?xml version=\"1.0\"?><Error>", Some("error message")),
            (b"{\"error\":\"Repository not found\"}", Some("error message")),
            (b"\xef\xbb\xbf{\"model\": 1}", Some("byte order mark")),
        ];
        for (bytes, expected) in rows {
            let found = mistaken(bytes);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }

    #[test]
    fn what_is_no_text_is_named_and_texts_are_left_alone() {
        let rows: [(&[u8], &str); 7] = [
            (b"\x40\x01\0\0\0\0\0\0{\"__metadata__\"", "--patch"),
            (b"version https://git-lfs.github.com/spec/v1\r\noid sha256:4d", "git lfs pull"),
            (b"\n<!doctype HTML>\n<p>Sign in", "a web page"),
            (b"%PDF-1.7", "a PDF"),
            (b"PK\x03\x04\x14", ".docx"),
            (b"\xff\xfeM\0a\0", "UTF-16"),
            (b"\x1f\x8b\x08", "gzip"),
        ];
        for (bytes, expected) in rows {
            let found = mistaken_text(bytes).unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found:?}");
        }
        assert!(mistaken_tensors(b"[[insert]]\n").is_some_and(|it| it.contains("a text")));
        assert_eq!(mistaken_tensors(b"\x40\x01\0\0\0\0\0\0{"), None);
        for text in ["", "version 2 of the contract", "\u{feff}Marta", "<b>Marta</b>", "{\"a\": 1}"]
        {
            assert_eq!(mistaken_text(text.as_bytes()), None, "{text:?}");
        }
    }
}
