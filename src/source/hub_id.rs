//! The id of a repository on the Hub: `org/name[@revision]`.

use std::fmt;

/// The longest `org` or `name` that the Hub gives out.
const LONGEST_PART: usize = 96;

/// A repository on the Hub, `org/name[@revision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// The repository, `org/name`.
    pub name: String,
    /// A branch, tag or commit; nothing stands for `main`.
    pub revision: Option<String>,
}

impl HubId {
    /// Reads `org/name[@revision]`; nothing if the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (text, None),
        };
        let (organisation, repository) = name.split_once('/')?;
        let is_valid = is_part(organisation)
            && is_part(repository)
            && revision.is_none_or(|revision| revision.split('/').all(is_part));
        is_valid.then(|| Self { name: name.to_owned(), revision: revision.map(str::to_owned) })
    }

    /// The revision asked for, `main` by default.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// Whether the revision is a full commit hash, whose files can never change.
    pub(super) fn is_pinned(&self) -> bool {
        self.revision().len() == 40 && self.revision().bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Parts become components of cache paths and of URLs, so nothing that either could misread passes.
fn is_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_edge = |byte: u8| b".-".contains(&byte);
    (1..=LONGEST_PART).contains(&part.len())
        && part.bytes().all(is_plain)
        && !part.starts_with(|c| u8::try_from(c).is_ok_and(is_edge))
        && !part.ends_with('.')
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_ids_have_two_parts_and_perhaps_a_revision() {
        let rows = [
            ("HuggingFaceTB/SmolLM2-135M-Instruct", Some(("main", false))),
            ("org/name@v1.0", Some(("v1.0", false))),
            ("org/name@refs/pr/5", Some(("refs/pr/5", false))),
            ("org/name@0123456789abcdef0123456789abcdef01234567", Some(("", true))),
            ("gpt2", None),
            ("a/b/c", None),
            ("org/", None),
            ("/name", None),
            ("org/na me", None),
            ("org/name?x", None),
            ("../name", None),
            ("org/..", None),
            ("org/name@", None),
            ("org/name@../../x", None),
            ("org/name@refs//5", None),
            ("org/name@a%2Fb", None),
        ];
        for (text, expected) in rows {
            let id = HubId::parse(text);
            assert_eq!(id.is_some(), expected.is_some(), "{text}");
            if let (Some(id), Some((revision, is_pinned))) = (id, expected) {
                assert_eq!(id.to_string(), text);
                assert_eq!(id.is_pinned(), is_pinned, "{text}");
                assert!(id.revision().starts_with(revision), "{text}");
            }
        }
    }
}
