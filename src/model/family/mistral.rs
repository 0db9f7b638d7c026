//! Mistral and Ministral: llama with a sliding window in all layers, or in those that are named.

use super::{Family, Fusion, TEXT_PART, TEXT_PART_MODULE, TensorNames, standard};
use crate::model::config::{ConfigError, ConfigReader, DecoderConfig};
use crate::ops::WeightLayout;

/// The layer for editing: 5 of 32, as in EasyEdit's settings for Mistral 7B; not swept here.
pub(super) const FAMILY: Family = Family {
    model_types: &["mistral", "ministral"],
    wrappers: &["mistral3"],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["model.", TEXT_PART, TEXT_PART_MODULE],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.16,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = standard::read(config, "hidden_act")?;
    let sight = standard::sight(config, decoder.layers, |_| true)?;
    Ok(DecoderConfig { sight, ..decoder })
}
