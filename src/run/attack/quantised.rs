//! What is remembered after the matrices were rounded as in GGUF files.

use serde::{Deserialize, Serialize};

use super::secrets::ask;
use crate::gradient::{Example, Memory, memory};
use crate::model::{Decoder, Model, Quantisation};
use crate::probe::{SecretAttackKind, SecretLeak, SecretQuestion};
use crate::progress::Progress;
use crate::run::RunError;

/// What a rounded model remembers of the forgotten passages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuantisedMemory {
    /// How it was rounded.
    pub kind: Quantisation,
    /// NLL and extraction strength.
    pub memory: Memory,
}

/// Rounds `decoder` in each way, one after the other, and measures it.
pub(super) fn measure(
    model: &Model,
    decoder: &Decoder,
    passages: &[Example],
    (secrets, leaks): (&[SecretQuestion], &mut [SecretLeak]),
    progress: &dyn Progress,
) -> Result<Vec<QuantisedMemory>, RunError> {
    let all = Quantisation::ALL;
    progress.phase("quantise", Some(all.len() as u64));
    let mut found = Vec::new();
    for (at, kind) in all.into_iter().enumerate() {
        progress.check()?;
        progress.advance(at as u64, kind.name());
        let rounded = decoder.quantised(kind)?;
        let measured = memory(&rounded, passages, progress)?;
        found.extend(measured.map(|memory| QuantisedMemory { kind, memory }));
        for (question, leak) in secrets.iter().zip(leaks.iter_mut()) {
            let kind = SecretAttackKind::Rounded(kind);
            leak.attacks.push(ask(model, &rounded, kind, question, progress)?);
        }
    }
    Ok(found)
}
