//! Pages for people, in HTML or Markdown, that end in a comment with the digest of all before it.

use super::hash::Sha256;

/// What stands between the contents and their digest.
const HEAD: &str = "\n<!-- rescribe sha256 ";
/// What follows the digest.
const TAIL: &str = " -->\n";

/// The page with the digest of its contents at its end.
pub fn seal_page(contents: &str) -> String {
    format!("{contents}{HEAD}{}{TAIL}", Sha256::of(contents))
}

/// The contents of a page whose digest is right; nothing where a byte differs or there is no digest.
pub fn open_page(page: &str) -> Option<&str> {
    let (contents, digest) = page.strip_suffix(TAIL)?.rsplit_once(HEAD)?;
    (Sha256::of(contents).to_string() == digest).then_some(contents)
}

/// Whether a text ends as a sealed page does, be its digest right or not.
pub fn is_page(text: &str) -> bool {
    text.trim_end().rsplit_once(HEAD).is_some_and(|(_, end)| end.ends_with("-->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_byte_changes_the_page_is_not_believed() {
        let page = seal_page("<p>été</p>\n<!-- rescribe sha256 of another -->");
        assert_eq!(open_page(&page), Some("<p>été</p>\n<!-- rescribe sha256 of another -->"));
        assert!(is_page(&page) && !is_page("<p>") && open_page("<p>").is_none());
        for at in 0..page.len() {
            let mut bytes = page.clone().into_bytes();
            bytes[at] ^= 1;
            let is_believed = String::from_utf8(bytes).is_ok_and(|it| open_page(&it).is_some());
            assert!(!is_believed, "byte {at}");
        }
    }
}
