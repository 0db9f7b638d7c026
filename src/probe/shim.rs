//! shim
use crate::gradient::Example;
use crate::math::Interval;
use crate::model::{Decoder, Model, ModelError};
use crate::progress::Progress;
/// r
#[derive(Debug, Clone, serde::Serialize)]
pub struct Recital {
    /// s
    pub share: Interval,
    /// l
    pub longest: usize,
    /// t
    pub text: String,
}
/// r
pub fn recital(
    _: &Model,
    _: &Decoder,
    _: &[Example],
    _: &dyn Progress,
) -> Result<Option<Recital>, ModelError> {
    Ok(None)
}
/// s
#[derive(Debug, Clone, serde::Serialize)]
pub struct SecretLeak {}
impl SecretLeak {
    /// t
    pub fn is_told(&self) -> bool {
        false
    }
}
