//! Why other subjects moved: how alike their keys and the edited subject's are, next to what became
//! of their answers.
//!
//! ΔW = δ (C⁻¹k*)ᵀ / (k*ᵀC⁻¹k*) changes what the layer gives for every key k by a share of δ that
//! grows with the likeness of k and k*. The cosine of the two tells it before anything is written.

use serde::Serialize;

use super::RunError;
use crate::math::cosine;
use crate::model::{Model, ModelError};
use crate::plan::WritePlan;
use crate::probe::{Background, OtherKey};
use crate::rank_one::key::keys_at;

/// Another subject under the prompt of a fact that was written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bleed {
    /// Cosine of its key and the edited subject's, in the first layer that was written.
    pub cosine: f64,
    /// Lead of its answer over the most probable other one in the base, in nats.
    pub margin_before: f64,
    /// The same in the edited model; negative where the answer moved.
    pub margin_after: f64,
}

/// The other subjects of a case whose facts `asked` are among those that `write` plans, and how
/// their answers fared.
pub(super) fn bleed(
    model: &Model,
    write: &WritePlan,
    asked: &[usize],
    others: &[OtherKey<'_>],
    background: &Background,
) -> Result<Vec<Bleed>, RunError> {
    let layer = write.layers.first().copied().unwrap_or(write.layer);
    let keys = |ids: &[&[u32]]| keys_at(&model.decoder, layer, ids).map_err(ModelError::from);
    let own = asked.iter().map(|at| {
        let bare = &write.edits[*at].contexts[0];
        &bare.ids[..=bare.lookup]
    });
    let own = keys(&own.collect::<Vec<_>>())?;
    let found = keys(&others.iter().map(|other| other.ids).collect::<Vec<_>>())?;
    let pairs = others.iter().zip(found).filter_map(|(other, key)| {
        let margin = background.margins.get(other.question)?;
        Some(Bleed {
            cosine: cosine(&key, own.get(other.fact)?),
            margin_before: margin.before,
            margin_after: margin.after,
        })
    });
    Ok(pairs.collect())
}
