//! The loss of δ through candle's gradients, on any device.

use candle_core::{DType, Result, Tensor, Var};

use super::fact::FactObjective;
use super::{LossOfDelta, StepLoss};
use crate::model::{Decoder, Recorder, Site};
use crate::objective::Objective;
use crate::plan::Settings;
use crate::rank_one::EditContexts;

/// Keeps what the next gradient needs.
pub(super) struct Tracked<'a> {
    decoder: &'a Decoder,
    contexts: &'a EditContexts,
    objective: FactObjective<'a>,
    variable: Var,
    /// The loss of the latest evaluation.
    loss: Option<Tensor>,
}

impl<'a> Tracked<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        contexts: &'a EditContexts,
        settings: &Settings,
    ) -> Result<Self> {
        let variable = Var::zeros(decoder.config().hidden, DType::F32, decoder.device())?;
        let objective = FactObjective::new(contexts, settings);
        Ok(Self { decoder, contexts, objective, variable, loss: None })
    }
}

impl LossOfDelta for Tracked<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        let contexts = self.contexts;
        self.variable.set(&Tensor::new(delta, self.decoder.device())?)?;
        let rows: Vec<u32> = contexts.lookup_rows().into_iter().map(|row| row as u32).collect();
        let rows = Tensor::new(rows, self.decoder.device())?;
        let path = self.decoder.value_path(contexts.layer);
        let change = path.change(&contexts.lookup_values, &self.variable.unsqueeze(0)?)?;
        let hidden = contexts.residual.index_add(&rows, &change, 0)?;
        let above = contexts.layer + 1..self.decoder.config().layers;
        let cache = Some(&contexts.cache);
        let layers = contexts.lens.layers();
        let mut recorder = Recorder::of(layers.iter().map(|layer| (*layer, Site::Residual)));
        let hidden =
            self.decoder.run_layers(above, hidden, &contexts.tail, cache, &mut recorder)?;
        let hidden = hidden.expect("a run that is only recorded does not stop");

        let logits = self.decoder.logits(&hidden, self.objective.readout().rows())?;
        let (mut loss, mut parts) = self.objective.compose(&logits)?;
        if !layers.is_empty() {
            let read = |layer: usize| {
                let rows = contexts.lens.rows().iter().filter(|row| row.layer == layer);
                let rows: Vec<usize> = rows.map(|row| contexts.target_rows[row.target]).collect();
                self.decoder.logits(&recorder.take(layer, Site::Residual)?, &rows)
            };
            let logits: Vec<Tensor> = layers.into_iter().map(read).collect::<Result<_>>()?;
            let lens = contexts.lens.compose(&Tensor::cat(&logits, 0)?)?;
            parts.lens = f64::from(lens.to_scalar::<f32>()?);
            (loss, parts.loss) = ((loss + lens)?, parts.loss + parts.lens);
        }
        self.loss = Some(loss);
        Ok(parts)
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        let loss = self.loss.take().expect("an evaluation comes before each gradient");
        let gradients = loss.backward()?;
        gradients.get(&self.variable).expect("the loss depends on δ").to_vec1::<f32>()
    }
}
