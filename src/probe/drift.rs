//! How far a model moved on texts that no edit is about.

use candle_core::{D, Result};
use serde::Serialize;

use crate::math::{Interval, mean_interval};
use crate::model::{Batch, Decoder, ModelError, Tokenizer};
use crate::ops::token_nll;
use crate::progress::Progress;

/// Drift and perplexity.
#[derive(Debug, Clone, Serialize)]
pub struct Drift {
    /// Mean per-token KL(before ‖ after), nats; n counts tokens.
    pub kl: Interval,
    /// exp of the mean NLL a token, before.
    pub perplexity_before: f64,
    /// After.
    pub perplexity_after: f64,
}

/// Measures both models on `texts`; nothing where they have no two tokens.
pub fn drift(
    before: &Decoder,
    after: &Decoder,
    tokenizer: &Tokenizer,
    texts: &[String],
    progress: &dyn Progress,
) -> std::result::Result<Option<Drift>, ModelError> {
    let (mut divergences, mut nll_before, mut nll_after) = (Vec::new(), 0., 0.);
    for text in texts {
        progress.check()?;
        let mut ids = tokenizer.encode(text)?.ids;
        ids.truncate(before.config().context);
        if ids.len() < 2 {
            continue;
        }
        let [first, second] = [before, after].map(|decoder| log_probabilities(decoder, &ids));
        let ((p, p_nll), (q, q_nll)) = (first?, second?);
        let kl = (p.exp()? * (p - q)?)?.sum(D::Minus1)?.to_vec1::<f32>()?;
        divergences.extend(kl.into_iter().map(f64::from));
        nll_before += p_nll;
        nll_after += q_nll;
    }
    let tokens = divergences.len() as f64;
    Ok(mean_interval(&divergences).map(|kl| Drift {
        kl,
        perplexity_before: (nll_before / tokens).exp(),
        perplexity_after: (nll_after / tokens).exp(),
    }))
}

/// Log-probabilities behind every token but the last, and the summed NLL of what follows.
fn log_probabilities(decoder: &Decoder, ids: &[u32]) -> Result<(candle_core::Tensor, f64)> {
    let hidden = decoder.forward(&Batch::new(&[&ids[..ids.len() - 1]]), None)?;
    let logits = decoder.head_logits(&hidden)?;
    let nll: f32 = token_nll(&logits, &ids[1..])?.sum_all()?.to_scalar()?;
    Ok((candle_nn::ops::log_softmax(&logits, D::Minus1)?, f64::from(nll)))
}
