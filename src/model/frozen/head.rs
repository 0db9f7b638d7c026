//! The end of a frozen pass: norm and head at the rows whose next token matters.

use candle_core::Result;

use crate::model::decoder::Decoder;
use crate::ops::{WeightLayout, add_bias};

/// Norm and head of a decoder at some rows; the gradient of the logits takes their place.
pub struct FrozenHead<'a> {
    decoder: &'a Decoder,
    /// The stream and its norm, [rows, hidden].
    input: Vec<f32>,
    normed: Vec<f32>,
    /// The logits, [rows, vocabulary].
    logits: Vec<f32>,
    /// A copy of them where the logits have a limit, whose slope depends on them.
    kept: Vec<f32>,
}

impl<'a> FrozenHead<'a> {
    /// Buffers for `rows` rows.
    pub fn new(decoder: &'a Decoder, rows: usize) -> Self {
        let config = decoder.config();
        let zeros = |width: usize| vec![0f32; rows * width];
        let (input, normed) = (zeros(config.hidden), zeros(config.hidden));
        Self { logits: zeros(config.vocabulary), decoder, input, normed, kept: Vec::new() }
    }

    /// Next-token scores of the rows of a residual stream [rows, hidden], [rows, vocabulary].
    pub fn forward(&mut self, stream: &[f32]) -> Result<&mut [f32]> {
        let config = self.decoder.config();
        self.input.copy_from_slice(stream);
        self.decoder.final_norm.write(&mut self.normed, &self.input)?;
        self.decoder.head.with_numbers("head", |head| {
            let widths = (config.hidden, config.vocabulary);
            WeightLayout::OutIn.write(&mut self.logits, &self.normed, head, widths);
            Ok(())
        })?;
        if let Some(bias) = &self.decoder.head_bias {
            add_bias(&mut self.logits, bias)?;
        }
        config.logits.write(&mut self.logits);
        self.kept = config.logits.kept(&self.logits);
        Ok(&mut self.logits)
    }

    /// Writes the gradient with respect to the stream to `gradient`, [rows, hidden], where the
    /// slice that [`forward`](Self::forward) gave now holds the gradient of the logits.
    pub fn backward(&mut self, gradient: &mut [f32]) -> Result<()> {
        let config = self.decoder.config();
        config.logits.write_gradient(&mut self.logits, &self.kept);
        self.decoder.head.with_numbers("head", |head| {
            let widths = (config.hidden, config.vocabulary);
            WeightLayout::OutIn.write_input_gradient(&mut self.normed, &self.logits, head, widths);
            Ok(())
        })?;
        gradient.fill(0.);
        self.decoder.final_norm.add_gradient(gradient, &self.input, &self.normed)
    }
}
