//! Llama 1 to 3.x and what shares its layout: SmolLM2, TinyLlama.

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{ConfigError, ConfigReader, DecoderConfig};
use crate::ops::WeightLayout;

pub(super) const FAMILY: Family = Family {
    model_types: &["llama"],
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
    Ok(DecoderConfig { biases, ..standard::read(config, "hidden_act")? })
}
