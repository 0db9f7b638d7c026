//! Drift: how far a model moved on texts named by the user that no edit is about.

use serde::{Deserialize, Serialize};

use super::damage::damage;
use crate::math::Interval;
use crate::model::{Decoder, ModelError, Tokenizer};
use crate::progress::Progress;

/// Drift and perplexity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drift {
    /// Mean KL(before ‖ after) a token, nats; n counts tokens.
    pub kl: Interval,
    /// Perplexity before, exp of the mean NLL a token.
    pub perplexity_before: f64,
    /// Perplexity after, exp of the mean NLL a token.
    pub perplexity_after: f64,
}

/// Measures both models on `texts`; nothing where all have fewer than two tokens.
pub fn drift(
    before: &Decoder,
    after: &Decoder,
    tokenizer: &Tokenizer,
    texts: &[String],
    progress: &dyn Progress,
) -> Result<Option<Drift>, ModelError> {
    let sequences = text_tokens(before, tokenizer, texts)?;
    let damage = damage(before, after, &sequences, tokenizer, progress)?;
    Ok(damage.map(|damage| Drift {
        kl: damage.drift,
        perplexity_before: damage.perplexity_before,
        perplexity_after: damage.perplexity_after,
    }))
}

/// The tokens of texts, each cut to the decoder's context.
pub fn text_tokens(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    texts: &[String],
) -> Result<Vec<Vec<u32>>, ModelError> {
    let tokens = |text: &String| {
        let mut ids = tokenizer.encode(text)?.ids;
        ids.truncate(decoder.config().context);
        Ok(ids)
    };
    texts.iter().map(tokens).collect()
}
