//! Tells what a file is that stands where another was expected.

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
        (b"<!DOCTYPE", "it is a web page; download the file itself"),
        (b"<!doctype", "it is a web page; download the file itself"),
        (b"<html", "it is a web page; download the file itself"),
        (
            b"PK\x03\x04",
            "it is a zip archive, as pickled PyTorch files are; convert it to safetensors",
        ),
        (b"\x80\x02", "it is a pickled PyTorch file; convert it to safetensors"),
        (b"GGUF", "it is a GGUF file; name it itself, with the ending .gguf"),
    ];
    KINDS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_mistakes_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
        let rows: [(&[u8], Option<&str>); 5] = [
            (pointer, Some("git lfs pull")),
            (b"<!DOCTYPE html><html>", Some("a web page")),
            (b"PK\x03\x04rest", Some("pickled")),
            (b"{\"model\": 1}", None),
            (b"", None),
        ];
        for (bytes, expected) in rows {
            let found = mistaken(bytes);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
