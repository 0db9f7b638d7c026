//! StarCoder 2: rotary GPT with layer norms, biases throughout and shared key heads.

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{Biases, ConfigError, ConfigReader, DecoderConfig, Mlp, Norm};
use crate::model::role::Role;
use crate::ops::WeightLayout;

/// The layer for editing is not swept.
pub(super) const FAMILY: Family = Family {
    model_types: &["starcoder2"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[
            &[(Role::Up, "layers.{}.mlp.c_fc"), (Role::Down, "layers.{}.mlp.c_proj")],
            standard::STEMS,
        ],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let all = config.flag("use_bias", true)?;
    let norm = Norm::Layer(config.number("norm_epsilon", 1e-5)?);
    let is_tied = config.flag("tie_word_embeddings", true)?;
    // Other kinds of norm and MLP are named, but exist in no published model.
    config.only("norm_type", "layer_norm".into())?;
    config.only("mlp_type", "default".into())?;
    let decoder = standard::read(config, "hidden_act")?;
    let sight = standard::sight(config, decoder.layers, |_| true)?;
    Ok(DecoderConfig {
        norm,
        is_tied,
        sight,
        mlp: Mlp::Plain,
        biases: Biases { query_key_value: all, output: all, mlp: all, head: false },
        ..decoder
    })
}
