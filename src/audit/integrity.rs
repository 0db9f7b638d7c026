//! Integrity: what the audited files are, whether their weights are finite, and what differs from the
//! base.

use candle_core::Tensor;
use serde::Serialize;

use super::subject::{Audited, Subject};
use crate::files::{Sha256, Sha256Hasher};
use crate::model::{Decoder, Quantisation, changed_codes};
use crate::run::RunError;

/// A stored tensor that differs from the base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangedTensor {
    /// Its stored name.
    pub name: String,
    /// ‖Δ‖/‖W‖.
    pub relative: f64,
}

/// How many weights a quantised file stores by another code than that of the base.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodeChange {
    /// The kind of file.
    pub kind: Quantisation,
    /// Weights with another code.
    pub changed: usize,
    /// Weights stored as codes.
    pub of: usize,
}

/// What the audited files are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Integrity {
    /// Digest of the stored weights of the audited folder; of the base's, where patches change them.
    pub weights: Sha256,
    /// Digest of the audited weights as they are computed with.
    pub computed: Sha256,
    /// The model that never saw the passages whose weights are these to the bit, if there is one.
    pub equal_to: Option<String>,
    /// Digest of the tokenizer.
    pub tokenizer: Sha256,
    /// Digest of `config.json`.
    pub config: Sha256,
    /// Weights.
    pub parameters: usize,
    /// Weights that are NaN or infinite.
    pub not_finite: usize,
    /// Tensors that differ from the base; nothing without one.
    pub changed: Option<Vec<ChangedTensor>>,
    /// Codes that differ from those of the base.
    pub codes: Vec<CodeChange>,
}

/// Reads every weight once.
pub(super) fn integrity(subject: &Subject<'_>) -> Result<Integrity, RunError> {
    let Audited { model, decoder, base, .. } = subject.models;
    subject.tools.progress.phase("integrity", None);
    let (mut parameters, mut not_finite) = (0, 0);
    for tensor in decoder.tensors() {
        let (_, tensor) = tensor?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        parameters += values.len();
        not_finite += values.iter().filter(|value| !value.is_finite()).count();
    }
    let (mut codes, mut changed) = (Vec::new(), None);
    if let Some(base) = base {
        changed = Some(differing(decoder, &base.decoder)?);
        for kind in Quantisation::ALL {
            let (changed, of) = changed_codes(&base.decoder, decoder, kind)?;
            codes.push(CodeChange { kind, changed, of });
        }
    }
    let computed = digest(decoder)?;
    let mut equal_to = None;
    for name in subject.references() {
        let reference = digest(&subject.reference(name)?)?;
        equal_to = equal_to.or((reference == computed).then(|| name.clone()));
    }
    Ok(Integrity {
        weights: model.weights_hash()?,
        computed,
        equal_to,
        tokenizer: model.tokenizer.hash(),
        config: model.config_hash,
        parameters,
        not_finite,
        changed,
        codes,
    })
}

/// Digest of all tensors with their names, in the order of the parameter table.
fn digest(decoder: &Decoder) -> candle_core::Result<Sha256> {
    let mut hasher = Sha256Hasher::default();
    for tensor in decoder.tensors() {
        let (slot, tensor) = tensor?;
        hasher.update(&slot.name);
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(bytes);
    }
    Ok(hasher.finish())
}

/// Tensors that differ, the most changed first.
fn differing(own: &Decoder, base: &Decoder) -> candle_core::Result<Vec<ChangedTensor>> {
    let mut changed = Vec::new();
    for (own, base) in own.tensors().zip(base.tensors()) {
        let ((slot, own), (_, base)) = (own?, base?);
        let norm = |tensor: &Tensor| -> candle_core::Result<f64> {
            Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt())
        };
        let (difference, whole) = (norm(&(own - &base)?)?, norm(&base)?);
        if difference != 0. {
            let relative = difference / whole.max(f64::MIN_POSITIVE);
            changed.push(ChangedTensor { name: slot.name.clone(), relative });
        }
    }
    changed.sort_by(|a, b| b.relative.total_cmp(&a.relative));
    Ok(changed)
}
