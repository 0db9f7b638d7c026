//! The end of a frozen pass: norm and head at the rows whose next token matters.

use candle_core::Result;

use crate::model::decoder::Decoder;
use crate::ops::{WeightLayout, with_values};

/// Norm and head of a decoder at chosen rows; the gradient of the logits takes their place.
pub struct FrozenHead<'a> {
    decoder: &'a Decoder,
    rows: Vec<usize>,
    /// The stream at the chosen rows and its norm, [chosen, hidden].
    input: Vec<f32>,
    normed: Vec<f32>,
    /// [chosen, vocabulary].
    logits: Vec<f32>,
}

impl<'a> FrozenHead<'a> {
    /// For `rows` of a residual stream.
    pub fn new(decoder: &'a Decoder, rows: Vec<usize>) -> Self {
        let zeros = |width: usize| vec![0f32; rows.len() * width];
        let config = decoder.config();
        let (input, normed) = (zeros(config.hidden), zeros(config.hidden));
        Self { logits: zeros(config.vocabulary), decoder, rows, input, normed }
    }

    /// Next-token scores at the chosen rows of `stream`, [chosen, vocabulary].
    pub fn forward(&mut self, stream: &[f32]) -> Result<&mut [f32]> {
        let config = self.decoder.config();
        let width = config.hidden;
        for (row, input) in self.rows.iter().zip(self.input.chunks_exact_mut(width)) {
            input.copy_from_slice(&stream[row * width..][..width]);
        }
        self.decoder.final_norm.write(&mut self.normed, &self.input)?;
        with_values(&self.decoder.head, "head", |head| {
            let widths = (width, config.vocabulary);
            WeightLayout::OutIn.write(&mut self.logits, &self.normed, head, widths);
            Ok(())
        })?;
        Ok(&mut self.logits)
    }

    /// Writes the gradient with respect to the stream to `gradient`, [rows, hidden], where the
    /// slice that [`forward`](Self::forward) gave now holds the gradient of the logits.
    pub fn backward(&mut self, gradient: &mut [f32]) -> Result<()> {
        let config = self.decoder.config();
        let width = config.hidden;
        with_values(&self.decoder.head, "head", |head| {
            let widths = (width, config.vocabulary);
            WeightLayout::OutIn.write_input_gradient(&mut self.normed, &self.logits, head, widths);
            Ok(())
        })?;
        let mut chosen = vec![0f32; self.input.len()];
        self.decoder.final_norm.add_gradient(&mut chosen, &self.input, &self.normed)?;
        gradient.fill(0.);
        for (row, part) in self.rows.iter().zip(chosen.chunks_exact(width)) {
            gradient[row * width..][..width].copy_from_slice(part);
        }
        Ok(())
    }
}
