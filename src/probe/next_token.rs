//! The most probable next tokens after a prompt, and by the logit lens after each layer.

use candle_core::Tensor;
use candle_nn::ops::softmax;
use serde::Serialize;

use crate::model::{Batch, Decoder, ModelError, Recorder, Site, Tokenizer};

/// A token that may follow, and how probable it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextToken {
    /// The text of the token, with the blank before it; of one that no text shows, its name.
    pub text: String,
    /// Its probability, from 0 to 1.
    pub probability: f64,
}

/// The `n` most probable tokens after `ids`, the most probable first.
pub fn next_tokens(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    ids: &[u32],
    n: usize,
) -> Result<Vec<NextToken>, ModelError> {
    let batch = Batch::new(&[ids]);
    let hidden = decoder.forward(&batch, None)?;
    most_probable(&decoder.logits(&hidden, &batch.last_rows())?, tokenizer, n)
}

/// What the head reads out of the residual stream after each layer, at the last token of `ids`: its
/// most probable next token (the logit lens).
pub fn lens_tokens(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    ids: &[u32],
) -> Result<Vec<NextToken>, ModelError> {
    let batch = Batch::new(&[ids]);
    let layers = decoder.config().layers;
    let mut recorder = Recorder::of((0..layers).map(|layer| (layer, Site::Residual)));
    decoder.observe(&batch, None, &mut recorder)?;
    let mut found = Vec::with_capacity(layers);
    for layer in 0..layers {
        let hidden = recorder.take(layer, Site::Residual)?;
        let logits = decoder.logits(&hidden, &batch.last_rows())?;
        found.extend(most_probable(&logits, tokenizer, 1)?);
    }
    Ok(found)
}

/// The `n` most probable tokens of one row of logits; of equals, those with the smaller id.
fn most_probable(
    logits: &Tensor,
    tokenizer: &Tokenizer,
    n: usize,
) -> Result<Vec<NextToken>, ModelError> {
    let probabilities = softmax(logits, 1)?.flatten_all()?.to_vec1::<f32>()?;
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let token = |id: usize| {
        let text = tokenizer.decode(&[id as u32])?;
        // Tokens that no text shows, such as the end, have names.
        let text = if text.is_empty() { tokenizer.piece(id as u32) } else { text };
        Ok(NextToken { text, probability: f64::from(probabilities[id]) })
    };
    order.into_iter().take(n).map(token).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::{Choice, Model, generate};
    use crate::progress::Silent;

    fn tiny() -> Model {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture")
    }

    #[test]
    fn the_first_is_what_greedy_decoding_takes_and_all_sum_to_one() {
        let model = tiny();
        let ids = model.tokenizer.encode("The Eiffel Tower is").expect("tokens").ids;
        let all = next_tokens(&model.decoder, &model.tokenizer, &ids, usize::MAX).expect("tokens");
        let sum: f64 = all.iter().map(|it| it.probability).sum();
        assert!((sum - 1.).abs() < 1e-4, "{sum}");
        assert!(all.iter().all(|it| !it.text.is_empty()), "a token without a name");
        assert!(all.is_sorted_by(|a, b| a.probability >= b.probability));
        let written =
            generate(&model.decoder, &[&ids], 1, Choice::Greedy, &[], &Silent).expect("a token");
        assert_eq!(all[0].text, model.tokenizer.decode(&written[0]).expect("text"));
    }

    #[test]
    fn the_lens_after_the_last_layer_is_the_answer() {
        let model = tiny();
        let ids = model.tokenizer.encode("The Eiffel Tower is").expect("tokens").ids;
        let lens = lens_tokens(&model.decoder, &model.tokenizer, &ids).expect("a lens");
        let next = next_tokens(&model.decoder, &model.tokenizer, &ids, 1).expect("a token");
        assert_eq!(lens.len(), model.decoder.config().layers);
        assert_eq!(lens.last(), next.first());
    }
}
