//! How much memory the work on a model takes, from its `config.json` alone.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::gradient::{Extent, Footprint, PassageSets, PassageSettings};
use crate::model::config::{ConfigError, DecoderConfig};
use crate::model::family::Family;
use crate::model::{Model, Parameters};
use crate::spec::{GradientOptions, PassageVerb};

/// Bytes of a weight in bf16 or f16.
const HALF: usize = 2;
/// Bytes of a number of the second moment.
const DOUBLE: u64 = 8;
/// Tokens that pass through the layers at once, and of the longest passage, where memory is short.
const ROWS: usize = 128;
/// Rank of a training with few weights.
const RANK: usize = 8;

/// Bytes at the peak of each kind of work, in the most frugal way that `--memory` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Number of weights.
    pub parameters: u64,
    /// The weights as they are stored.
    pub weights: u64,
    /// An edit of facts: the weights, a layer's second moment and its factor.
    pub edit: u64,
    /// Learning or forgetting passages with changes of rank 8.
    pub low_rank: u64,
    /// Learning or forgetting passages with all weights.
    pub dense: u64,
}

impl Needs {
    /// Those of the model that a `config.json` describes, stored in two bytes a weight.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where no family can compute it.
    pub fn of_config(config: &Map<String, Value>) -> Result<Self, ConfigError> {
        let (family, decoder) = Family::recognise(config)?;
        let parameters = Parameters::of_family(family, &decoder);
        let count: usize = parameters.iter().map(|slot| slot.elements()).sum();
        Ok(Self::new(&parameters, &decoder, HALF * count))
    }

    /// Those of an open model.
    pub fn of_model(model: &Model) -> Self {
        let decoder = &model.decoder;
        Self::new(decoder.parameters(), decoder.config(), model.weights.stored_bytes())
    }

    fn new(parameters: &Parameters, config: &DecoderConfig, weights: usize) -> Self {
        let training = |rank| {
            let extent = Extent::new(&PassageSets::default(), config.hidden, config.layers, false);
            let options = GradientOptions { rank, ..GradientOptions::default() };
            let settings = PassageSettings::new(&options, PassageVerb::Learn, &extent);
            Footprint::new(parameters, weights, &settings, ROWS).bytes(config, ROWS, true)
        };
        let width = config.intermediate as u64;
        Self {
            parameters: parameters.iter().map(|slot| slot.elements() as u64).sum(),
            weights: weights as u64,
            edit: weights as u64 + 2 * DOUBLE * width * width + Footprint::BASE as u64,
            low_rank: training(Some(RANK)),
            dense: training(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(config: Value) -> Needs {
        Needs::of_config(config.as_object().expect("an object")).expect("a family")
    }

    #[test]
    fn larger_models_and_more_trained_weights_need_more() {
        // SmolLM2-135M, whose edit took 0.78 GB with weights of 0.54 GB in f32.
        let smol = of(json!({
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
            "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
            "num_key_value_heads": 3, "rms_norm_eps": 1e-5, "rope_theta": 1e5,
            "max_position_embeddings": 8192, "tie_word_embeddings": true, "hidden_act": "silu",
        }));
        assert_eq!(smol.parameters, 134_515_008);
        assert_eq!(smol.weights, 2 * 134_515_008);
        let in_single = smol.edit + smol.weights;
        assert!((700_000_000..900_000_000).contains(&in_single), "{in_single}");
        assert!(smol.edit < smol.low_rank && smol.low_rank < smol.dense, "{smol:?}");
        assert!(smol.dense > smol.weights + 16 * smol.parameters, "four f32 a weight");
    }
}
