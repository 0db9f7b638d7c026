//! How many bytes a training needs, and what is given up where there are fewer.
//!
//! Four f32 stand for a trained value (itself, gradient, two moments; one more, its copy, where
//! forgetting looks ahead, and one, the sum of the gradient's shares, where a batch has several), in
//! addition to the weights of the model as they are stored; a preconditioner holds up to the square
//! of each input's width. Activations grow with the rows that pass through the layers at once:
//! smaller micro-batches, whose gradients are added, cost little time; running each layer twice costs
//! a third more arithmetic and leaves one row of `hidden` a layer.
//!
//! What is counted is the need of one process that trains alone. One of N that share a training holds
//! 2 + 3 / N numbers a value; that way the plan, and with it each bit, is the same for every N.

use super::precondition;
use super::settings::PassageSettings;
use super::trainer_settings::TrainerSettings;
use crate::model::config::DecoderConfig;
use crate::model::{Parameters, Slot};

/// Sizes that decide how much memory a training takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    /// Bytes of the model's weights, as they are stored.
    pub weights: usize,
    /// Values that are trained.
    pub trained: usize,
    /// Numbers that are held for each of them.
    pub copies: usize,
    /// Numbers of the preconditioner.
    pub preconditioner: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

/// Memory that does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the training needs {:.2} GiB, but --memory allows {:.2} GiB", gib(*needed), gib(*allowed))]
pub struct TooLarge {
    /// Bytes of the most frugal way.
    pub needed: u64,
    /// Bytes that are allowed.
    pub allowed: u64,
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

/// Rows of logits that exist at once.
const LOGIT_ROWS: usize = 256;
/// Micro-batches that are tried, in rows: three, two or one passage of 128 tokens.
const ROWS: [usize; 3] = [TrainerSettings::ROWS, 256, 128];

impl Footprint {
    /// Program, tokenizer, scratch space of the products and what the allocator keeps: what a
    /// training of SmolLM2 took beyond the numbers that are counted here.
    pub const BASE: usize = 256 << 20;

    /// The sizes of a training under `settings`, where the model's weights are stored in `weights`
    /// bytes.
    pub fn new(
        parameters: &Parameters,
        weights: usize,
        settings: &PassageSettings,
        longest: usize,
    ) -> Self {
        let rule = &settings.rule;
        let values = |slot: &Slot| match rule.rank {
            Some(rank) => rank * slot.shape.iter().sum::<usize>(),
            None => slot.elements(),
        };
        let trained = parameters.iter().filter(|slot| rule.trains(slot)).map(values).sum();
        let further = [settings.relearn > 0, settings.shares > 1];
        let copies = 4 + further.into_iter().filter(|is_held| *is_held).count();
        let preconditioner = match settings.precondition {
            true => precondition::numbers(parameters, rule),
            false => 0,
        };
        Self { weights, trained, copies, preconditioner, longest }
    }

    /// Bytes at the peak of a training.
    pub fn bytes(&self, config: &DecoderConfig, rows: usize, recompute: bool) -> u64 {
        let rows = rows.max(self.longest);
        let shape = config.attention;
        let (heads, key_values) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        // Norms, residual sums and outputs; query, key and value twice, for their rotation; the
        // MLP.
        let layer = 7 * config.hidden + 3 * heads + 3 * key_values + 3 * config.intermediate;
        let kept = match recompute {
            true => layer + config.layers * config.hidden,
            false => config.layers * layer,
        };
        let logits = LOGIT_ROWS.max(self.longest) * config.vocabulary;
        let held = self.copies * self.trained + self.preconditioner;
        let numbers = held + rows * kept + logits;
        (4 * numbers + self.weights + Self::BASE) as u64
    }
}

impl PassageSettings {
    /// Chooses the fastest way that `memory` allows; the settings' own where it is not limited.
    pub fn fit(
        &mut self,
        footprint: Footprint,
        config: &DecoderConfig,
        memory: Option<u64>,
    ) -> Result<(), TooLarge> {
        let Some(allowed) = memory else { return Ok(()) };
        let ways = [false, true].into_iter().flat_map(|again| ROWS.map(|rows| (rows, again)));
        let ways = ways.filter(|(_, recompute)| *recompute || !self.recompute);
        let mut needed = u64::MAX;
        for (rows, recompute) in ways {
            needed = footprint.bytes(config, rows, recompute);
            if needed <= allowed {
                (self.micro_rows, self.recompute) = (rows, recompute);
                return Ok(());
            }
        }
        Err(TooLarge { needed, allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::tests::open;
    use crate::gradient::{Extent, PassageSets};
    use crate::model::{TrainRule, Trained};
    use crate::spec::{GradientOptions, PassageVerb};

    fn learning() -> PassageSettings {
        let extent = Extent::new(&PassageSets::default(), 48, 2, false);
        PassageSettings::new(&GradientOptions::default(), PassageVerb::Learn, &extent)
    }

    #[test]
    fn trained_values_are_counted_as_they_are() {
        for name in ["llama", "gpt2"] {
            let model = open(name);
            for rule in [
                TrainRule::default(),
                TrainRule { rank: Some(3), ..TrainRule::default() },
                TrainRule { layers: Some(vec![1]), ..TrainRule::default() },
                TrainRule { trained: Trained::Mlp, ..TrainRule::default() },
            ] {
                let trainable = model.trainable(&rule).expect("trainable");
                let parameters = model.decoder.parameters();
                let settings = PassageSettings { rule: rule.clone(), ..learning() };
                let counted = Footprint::new(parameters, 0, &settings, 1).trained;
                assert_eq!(counted, trainable.elements(), "{name}, {rule:?}");
            }
        }
    }

    #[test]
    fn short_memory_takes_smaller_steps_and_then_runs_layers_twice() {
        let model = open("llama");
        let config = model.decoder.config();
        let footprint =
            Footprint { weights: 1000, trained: 1000, copies: 4, preconditioner: 0, longest: 64 };
        let fitted = |memory| {
            let mut settings = learning();
            settings.fit(footprint, config, memory)?;
            Ok::<_, TooLarge>((settings.micro_rows, settings.recompute))
        };
        let bytes = |rows, recompute| footprint.bytes(config, rows, recompute);
        assert_eq!(fitted(None), Ok((384, false)));
        for (rows, recompute) in
            [(384, false), (256, false), (128, false), (384, true), (256, true), (128, true)]
        {
            let needed = bytes(rows, recompute);
            let chosen = fitted(Some(needed)).expect("it fits");
            assert!(bytes(chosen.0, chosen.1) <= needed, "{rows}, {recompute}: {chosen:?}");
        }
        assert_eq!(fitted(Some(bytes(256, false))), Ok((256, false)));
        assert_eq!(fitted(Some(bytes(128, true))), Ok((128, true)));
        let least = bytes(128, true);
        let error = fitted(Some(least - 1)).expect_err("too little");
        assert_eq!(error, TooLarge { needed: least, allowed: least - 1 });
        assert!(error.to_string().contains("--memory allows"), "{error}");
    }
}
