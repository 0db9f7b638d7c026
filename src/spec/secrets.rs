//! Secrets of passages and erased facts: texts that must not be recoverable from the edited model.

use super::Passage;

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
#[error("{}; write each exactly as it appears there", absent(.0))]
pub struct SecretsNotFound(pub Vec<String>);

fn absent(secrets: &[String]) -> String {
    let list = secrets.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ");
    match secrets.len() {
        1 => format!("the secret {list} occurs in no passage"),
        _ => format!("the secrets {list} occur in no passage"),
    }
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
            absent.push(secret.clone());
        }
    }
    if absent.is_empty() { Ok(places) } else { Err(SecretsNotFound(absent)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_every_passage_that_holds_them() {
        let passage = |text: &str| Passage { question: None, text: text.into() };
        let passages = [passage("call 0199"), passage("nothing"), passage("0199 or 0199")];
        let place = |passage, at| SecretPlace { secret: "0199".into(), passage, at };
        let found = find_secrets(&passages, &["0199".into()]);
        assert_eq!(found, Ok(vec![place(0, 5), place(2, 0)]));
        let secrets = ["0199".to_owned(), "0198".to_owned(), "Pim".to_owned()];
        let error = find_secrets(&passages, &secrets).expect_err("two are absent");
        assert!(error.to_string().starts_with("the secrets \"0198\", \"Pim\" occur in no passage"));
    }
}
