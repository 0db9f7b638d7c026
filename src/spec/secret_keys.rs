//! `secrets` as a key of `[[forget]]` and `[[erase]]`, in specs and prompt files.

use super::error::Problem;
use super::table::{Fields, Problems, Text};

/// Reads `secrets`, without empty ones.
pub(super) fn read(fields: &mut Fields<'_>) -> Vec<Text> {
    let mut secrets = fields.texts("secrets").unwrap_or_default();
    for empty in secrets.iter().filter(|secret| secret.value.trim().is_empty()) {
        fields.problems().push(
            Problem::new("a secret is empty")
                .label(&empty.span, "no text here")
                .help("secrets = [\"0170 555 0199\"]"),
        );
    }
    secrets.retain(|secret| !secret.value.trim().is_empty());
    secrets
}

/// Refuses secrets that `text`, the value of the key `place`, does not hold.
pub(super) fn check(secrets: &[Text], place: &str, text: &Text, problems: &Problems) {
    for secret in secrets.iter().filter(|secret| !text.value.contains(secret.value.trim())) {
        problems.push(
            Problem::new(format!("the secret {:?} does not occur in `{place}`", secret.value))
                .label(&secret.span, "this text is looked for")
                .label(&text.span, "here")
                .help("write it exactly as it appears there"),
        );
    }
}
