//! The objective through candle's gradients, on any device.

use candle_core::{D, DType, Result, Tensor, Var};

use super::{Objective, StepLoss};
use crate::model::{AddToRows, Decoder, Site, Unobserved};
use crate::plan::Settings;
use crate::rank_one::EditContexts;

/// Keeps what the next gradient needs.
pub(super) struct Tracked<'a> {
    decoder: &'a Decoder,
    contexts: &'a EditContexts,
    settings: &'a Settings,
    variable: Var,
    /// The loss of the latest evaluation.
    loss: Option<Tensor>,
    /// Log-probabilities of the essence prompt at δ = 0, [1, vocabulary].
    initial: Option<Tensor>,
}

impl<'a> Tracked<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        contexts: &'a EditContexts,
        settings: &'a Settings,
    ) -> Result<Self> {
        let variable = Var::zeros(decoder.config().hidden, DType::F32, decoder.device())?;
        Ok(Self { decoder, contexts, settings, variable, loss: None, initial: None })
    }

    fn divergence(&mut self, logits: &Tensor) -> Result<Tensor> {
        let new = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        let initial = self.initial.get_or_insert_with(|| new.detach());
        let difference = (&new - &*initial)?;
        if self.settings.parity {
            (new.exp()? * difference)?.sum_all()
        } else {
            (initial.exp()? * difference)?.sum_all()?.neg()
        }
    }
}

impl Objective for Tracked<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        let contexts = self.contexts;
        self.variable.set(&Tensor::new(delta, self.decoder.device())?)?;
        let rows = contexts.lookup_rows();
        let site = (contexts.layer, Site::Residual);
        let add = AddToRows::new(site, &rows, contexts.tail.rows(), &self.variable)?;
        let hidden = add.apply(&contexts.residual)?;
        let above = contexts.layer + 1..self.decoder.config().layers;
        let cache = Some(&contexts.cache);
        let hidden =
            self.decoder.run_layers(above, hidden, &contexts.tail, cache, &mut Unobserved)?;
        let hidden = hidden.expect("an unobserved run does not stop");

        let logits = self.decoder.logits(&hidden, &contexts.read_rows())?;
        let targets = contexts.targets.len();
        let nll = contexts.fact_loss(&logits.narrow(0, 0, targets)?)?;
        let kl = (self.divergence(&logits.narrow(0, targets, 1)?)? * self.settings.kl_weight)?;
        let loss = (&nll + &kl)?;
        let number = |scalar: &Tensor| scalar.to_scalar::<f32>().map(f64::from);
        let parts =
            StepLoss { loss: number(&loss)?, nll: number(&nll)?, kl: number(&kl)?, decay: 0. };
        self.loss = Some(loss);
        Ok(parts)
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        let loss = self.loss.take().expect("an evaluation comes before each gradient");
        let gradients = loss.backward()?;
        gradients.get(&self.variable).expect("the loss depends on δ").to_vec1::<f32>()
    }
}
