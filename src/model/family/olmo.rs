//! OLMo 2 and 3: norms after the branches in place of those before them, and on queries and keys.

use super::{Family, Fusion, TensorNames, rope, standard};
use crate::model::config::{
    Before, ConfigError, ConfigReader, DecoderConfig, Position, QueryKeyNorm, Sight,
};
use crate::model::role::Role;
use crate::ops::WeightLayout;

/// The layer for editing is not swept.
pub(super) const OLMO2: Family = Family {
    model_types: &["olmo2"],
    wrappers: &[],
    defaults: &[],
    read_config: read_olmo2,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[
            &[
                (Role::PostAttentionNorm, "layers.{}.post_attention_layernorm"),
                (Role::PostMlpNorm, "layers.{}.post_feedforward_layernorm"),
            ],
            standard::QUERY_KEY_NORMS,
            standard::STEMS,
        ],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

/// Layers with a window turn by the plain frequencies, the others by scaled ones.
pub(super) const OLMO3: Family =
    Family { model_types: &["olmo3"], read_config: read_olmo3, ..OLMO2 };

fn read_olmo2(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let biases = standard::biases(config)?;
    Ok(DecoderConfig {
        biases,
        query_key_norm: Some(QueryKeyNorm::Whole),
        before: Before::Neither,
        has_post_norms: true,
        ..standard::read(config, "hidden_act")?
    })
}

fn read_olmo3(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = read_olmo2(config)?;
    let mut sight = standard::sight(config, decoder.layers, |layer| (layer + 1) % 4 != 0)?;
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let local = rope::read_local(config, head, None)?;
    let Position::Rotary(mut rotations) = decoder.position else {
        unreachable!("the standard decoder rotates")
    };
    rotations.push(local);
    let local = |sight: &mut Sight| sight.rotation = Some(usize::from(sight.window.is_some()));
    sight.iter_mut().for_each(local);
    Ok(DecoderConfig { sight, position: Position::Rotary(rotations), ..decoder })
}
