//! SmolLM3: llama in which some layers do not rotate queries and keys.

use serde_json::Value;

use super::{Family, Fusion, TensorNames, rope, standard};
use crate::model::config::{ConfigError, ConfigReader, DecoderConfig, Position};
use crate::ops::WeightLayout;

/// The layer for editing is not swept.
pub(super) const FAMILY: Family = Family {
    model_types: &["smollm3"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let biases = standard::biases(config)?;
    let is_tied = config.flag("tie_word_embeddings", true)?;
    let decoder = standard::read(config, "hidden_act")?;
    let rotates = rotating(config, decoder.layers)?;
    let mut sight = standard::sight(config, decoder.layers, |layer| !rotates[layer])?;
    let has_windows = config.flag("use_sliding_window", false)?;
    for (sight, rotates) in sight.iter_mut().zip(rotates) {
        sight.window = sight.window.filter(|_| has_windows);
        sight.rotation = sight.rotation.filter(|_| rotates);
    }
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let usual = rope::Usual { theta: 2e6, fraction: 1. };
    let rotation = rope::read_with(config, rope::FULL, head, usual)?;
    let position = Position::Rotary(vec![rotation]);
    Ok(DecoderConfig { biases, is_tied, sight, position, ..decoder })
}

/// For each layer, whether it rotates: all but every fourth, where no list says otherwise.
fn rotating(config: &mut ConfigReader<'_>, layers: usize) -> Result<Vec<bool>, ConfigError> {
    const KEY: &str = "no_rope_layers";
    let interval = config.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    let Some(found) = config.optional(KEY) else {
        return Ok((1..=layers).map(|layer| layer % interval != 0).collect());
    };
    let flags = found.as_array().filter(|flags| flags.len() == layers);
    let flags = flags.and_then(|flags| flags.iter().map(Value::as_u64).collect::<Option<_>>());
    let flags: Vec<u64> =
        flags.ok_or(ConfigError::Key { key: KEY.into(), expected: "0 or 1 for each layer" })?;
    Ok(flags.into_iter().map(|flag| flag != 0).collect())
}
