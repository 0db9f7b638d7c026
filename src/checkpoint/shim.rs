//! shim
use crate::delta::WeightDelta;
use crate::model::{Decoder, Model, ModelError};
/// r
#[derive(Debug, Clone, serde::Serialize)]
pub struct Rounding {}
impl std::fmt::Display for Rounding {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
/// s
#[derive(Debug, Clone, Copy)]
pub struct StoredAs {}
/// a
pub fn as_written(m: &Model, _: &WeightDelta, _: StoredAs) -> Result<(Decoder, Rounding), ModelError> {
    Ok((m.decoder.clone(), Rounding {}))
}
