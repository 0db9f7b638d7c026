//! Secrets of passages and erased facts: texts that must not be recoverable from the edited model.

use super::Passage;
use super::hidden::alike;

/// The place of a secret in the passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// The text of the secret.
    pub secret: String,
    /// Number of the passage that holds it.
    pub passage: usize,
    /// Byte offset of its first occurrence in the passage's text.
    pub at: usize,
}

/// Secrets that no passage holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; write each exactly as it appears there{}", absent(.0), nearly(.0))]
pub struct SecretsNotFound(pub Vec<AbsentSecret>);

/// A secret that no passage holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentSecret {
    /// Its text.
    pub secret: String,
    /// The number of a passage with the same letters and digits, from 0, and how they stand there.
    pub nearly: Option<(usize, String)>,
}

fn absent(secrets: &[AbsentSecret]) -> String {
    let list: Vec<String> = secrets.iter().map(|it| format!("{:?}", it.secret)).collect();
    let list = list.join(", ");
    match secrets.len() {
        1 => format!("the secret {list} occurs in no passage"),
        _ => format!("the secrets {list} occur in no passage"),
    }
}

/// How the secrets do stand in the passages, with escapes for what is not seen.
fn nearly(secrets: &[AbsentSecret]) -> String {
    let found = secrets.iter().filter_map(|it| it.nearly.as_ref());
    let found = found.map(|(passage, text)| format!("{text:?} in passage {}", passage + 1));
    let found: Vec<String> = found.collect();
    if found.is_empty() { String::new() } else { format!(": {}", found.join(", ")) }
}

/// The first place of each secret in every passage that holds it.
pub fn find_secrets(
    passages: &[Passage],
    secrets: &[String],
) -> Result<Vec<SecretPlace>, SecretsNotFound> {
    let mut places = Vec::new();
    let mut absent = Vec::new();
    for secret in secrets {
        let known = places.len();
        places.extend(passages.iter().enumerate().filter_map(|(passage, it)| {
            let at = it.text.find(secret.as_str())?;
            Some(SecretPlace { secret: secret.clone(), passage, at })
        }));
        if places.len() == known {
            let near =
                |(at, it): (usize, &Passage)| Some((at, alike(&it.text, secret)?.to_owned()));
            let nearly = passages.iter().enumerate().find_map(near);
            absent.push(AbsentSecret { secret: secret.clone(), nearly });
        }
    }
    if absent.is_empty() { Ok(places) } else { Err(SecretsNotFound(absent)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_every_passage_that_holds_them() {
        let passage = |text: &str| Passage::of_text(text);
        let passages = [passage("call 0199"), passage("nothing"), passage("0199 or 0199")];
        let place = |passage, at| SecretPlace { secret: "0199".into(), passage, at };
        let found = find_secrets(&passages, &["0199".into()]);
        assert_eq!(found, Ok(vec![place(0, 5), place(2, 0)]));
        let secrets = ["0199".to_owned(), "0198".to_owned(), "Pim".to_owned()];
        let error = find_secrets(&passages, &secrets).expect_err("two are absent");
        assert!(error.to_string().starts_with("the secrets \"0198\", \"Pim\" occur in no passage"));
    }

    #[test]
    fn a_secret_that_is_written_otherwise_is_shown_as_it_stands() {
        let texts = ["born on 12\nMay 1971 in Cork", "call 0170\u{a0}555\u{200b}0199 now"];
        let passages = texts.map(Passage::of_text);
        let secrets = ["12 May 1971", "0170 555 0199", "--"].map(str::to_owned);
        let error = find_secrets(&passages, &secrets).expect_err("none is there");
        let expected =
            "\"12\\nMay 1971\" in passage 1, \"0170\\u{a0}555\\u{200b}0199\" in passage 2";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}
