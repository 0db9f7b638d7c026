//! Qwen 2 and 2.5: llama with biases at query, key and value. Qwen 3: norms there in their place.

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{Biases, ConfigError, ConfigReader, DecoderConfig, QueryKeyNorm};
use crate::ops::WeightLayout;

/// Layer 2 of 24 was best of a sweep on the 0.5B of Qwen 2.5 Coder; larger ones are not swept.
pub(super) const QWEN2: Family = Family {
    model_types: &["qwen2"],
    wrappers: &[],
    defaults: &[],
    read_config: read_qwen2,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.1,
};

/// The layer for editing is not swept.
pub(super) const QWEN3: Family = Family {
    model_types: &["qwen3"],
    read_config: read_qwen3,
    names: TensorNames { stems: &[standard::STEMS, standard::QUERY_KEY_NORMS], ..QWEN2.names },
    editing_depth: 0.15,
    ..QWEN2
};

fn read_qwen2(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let biases = Biases { query_key_value: true, ..Biases::default() };
    Ok(DecoderConfig { biases, ..read_windowed(config)? })
}

fn read_qwen3(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let biases = standard::biases(config)?;
    let query_key_norm = Some(QueryKeyNorm::Head);
    Ok(DecoderConfig { biases, query_key_norm, ..read_windowed(config)? })
}

/// The upper layers may have a window.
fn read_windowed(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = standard::read(config, "hidden_act")?;
    let first = config.optional_size("max_window_layers").unwrap_or_default().unwrap_or(0);
    let mut sight = standard::sight(config, decoder.layers, |layer| layer >= first)?;
    if !config.flag("use_sliding_window", false)? {
        sight.iter_mut().for_each(|sight| sight.window = None);
    }
    Ok(DecoderConfig { sight, ..decoder })
}
