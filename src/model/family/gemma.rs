//! Gemma 1 to 3: norms by 1 + weight, a scaled embedding; from 2 on norms after the branches too.

use super::{Family, Fusion, TEXT_PART, TEXT_PART_MODULE, TensorNames, rope, standard};
use crate::model::config::{
    ConfigError, ConfigReader, DecoderConfig, Norm, Position, QueryKeyNorm, Sight,
};
use crate::model::role::Role;
use crate::ops::{Activation, LogitRule, WeightLayout};

/// The layer for editing is not swept.
pub(super) const GEMMA: Family = Family {
    model_types: &["gemma"],
    wrappers: &[],
    defaults: &[],
    read_config: read_gemma,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

/// Alternating windows, limits of scores and logits.
pub(super) const GEMMA2: Family = Family {
    model_types: &["gemma2"],
    read_config: read_gemma2,
    names: TensorNames { stems: &[FOUR_NORMS, standard::STEMS], ..GEMMA.names },
    ..GEMMA
};

/// Norms of queries and keys in place of the limits, and two rotary encodings. Larger models have a
/// vision part beside this one.
pub(super) const GEMMA3: Family = Family {
    model_types: &["gemma3_text"],
    wrappers: &["gemma3"],
    defaults: &[
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 256),
        ("vocab_size", 262_208),
        ("max_position_embeddings", 131_072),
    ],
    read_config: read_gemma3,
    names: TensorNames {
        prefixes: &["model.", TEXT_PART, TEXT_PART_MODULE],
        stems: &[FOUR_NORMS, standard::QUERY_KEY_NORMS, standard::STEMS],
        ..GEMMA.names
    },
    ..GEMMA
};

const FOUR_NORMS: &[(Role, &str)] = &[
    (Role::PostAttentionNorm, "layers.{}.post_attention_layernorm"),
    (Role::MlpNorm, "layers.{}.pre_feedforward_layernorm"),
    (Role::PostMlpNorm, "layers.{}.post_feedforward_layernorm"),
];

fn read_gemma(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let newer = config.optional("hidden_activation").is_some();
    let activation = if newer { "hidden_activation" } else { "hidden_act" };
    config.optional("hidden_act");
    let biases = standard::biases(config)?;
    let is_tied = config.flag("tie_word_embeddings", true)?;
    let epsilon = config.number("rms_norm_eps", 1e-6)?;
    let decoder = standard::read(config, activation)?;
    let activation = match decoder.activation {
        // The first configs say gelu where the models were trained with its approximation.
        Activation::Gelu => Activation::GeluTanh,
        other => other,
    };
    Ok(DecoderConfig {
        biases,
        is_tied,
        activation,
        norm: Norm::RmsFromOne(epsilon),
        embedding_scale: (decoder.hidden as f32).sqrt(),
        ..decoder
    })
}

fn read_gemma2(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = read_gemma(config)?;
    let sight = standard::sight(config, decoder.layers, |layer| layer % 2 == 0)?;
    let head_dim = decoder.attention.head_dim as f64;
    let scalar = config.number("query_pre_attn_scalar", head_dim)?;
    let mut cap = |key| Ok(Some(config.number(key, 0.)? as f32).filter(|cap| *cap > 0.));
    Ok(DecoderConfig {
        sight,
        has_post_norms: true,
        score_scale: scalar.powf(-0.5) as f32,
        score_cap: cap("attn_logit_softcapping")?,
        logits: LogitRule { scale: 1., cap: cap("final_logit_softcapping")? },
        ..decoder
    })
}

fn read_gemma3(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = read_gemma2(config)?;
    let mut pattern = |key| config.optional_size(key);
    let old = pattern("sliding_window_pattern")?;
    let pattern = old.or(pattern("_sliding_window_pattern")?).unwrap_or(6);
    let mut sight = standard::sight(config, decoder.layers, |layer| (layer + 1) % pattern != 0)?;
    let local = |sight: &mut Sight| sight.rotation = Some(usize::from(sight.window.is_some()));
    sight.iter_mut().for_each(local);
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let theta = Some(config.number("rope_local_base_freq", 10_000.)?);
    let usual = |theta| rope::Usual { theta, fraction: 1. };
    let position = Position::Rotary(vec![
        rope::read_with(config, rope::FULL, head, usual(1e6))?,
        rope::read_local(config, head, theta)?,
    ]);
    Ok(DecoderConfig { sight, position, query_key_norm: Some(QueryKeyNorm::Head), ..decoder })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use candle_core::{Device, Tensor, safetensors};
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Batch, Model};
    use crate::progress::{Progress, Silent};

    fn fixture() -> (PathBuf, Value) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folder = root.join("gemma3_text/model");
        let config = std::fs::read(folder.join("config.json")).expect("a config");
        let config = serde_json::from_slice(&config).expect("JSON");
        (folder, config)
    }

    #[test]
    fn both_dialects_describe_the_same_positions() {
        let (_, mut config) = fixture();
        let read = |config: &Value| {
            let config = config.as_object().expect("an object");
            Family::recognise(config).expect("understood").1
        };
        let old = read(&config);
        for key in ["rope_theta", "rope_local_base_freq", "rope_scaling"] {
            config.as_object_mut().expect("an object").remove(key);
        }
        config["rope_parameters"] = json!({
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        });
        let new = read(&config);
        assert_eq!((old.position, old.sight), (new.position, new.sight));
    }

    /// Keeps what is noted.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn note(&self, _label: &str, text: &str) {
            self.0.lock().expect("no other thread").push(text.to_owned());
        }
    }

    fn logits(folder: &Path, notes: &dyn Progress) -> Vec<f32> {
        let model = Model::open(folder, &Device::Cpu, notes).expect("a model");
        let hidden = model.decoder.forward(&Batch::new(&[[0, 5, 9, 300]]), None).expect("runs");
        let logits = model.decoder.head_logits(&hidden).expect("runs");
        logits.flatten_all().and_then(|logits| logits.to_vec1()).expect("f32")
    }

    #[test]
    fn the_text_part_of_a_larger_model_is_the_same_model() {
        let (from, mut text) = fixture();
        let expected = logits(&from, &Silent);
        // What the part states is not overridden by what it leaves out elsewhere.
        text.as_object_mut().expect("an object").remove("tie_word_embeddings");
        let whole = json!({
            "model_type": "gemma3", "text_config": text, "eos_token_id": [1, 7],
            "vision_config": {"hidden_size": 8}, "mm_tokens_per_image": 256,
        });
        let tensors = safetensors::load(from.join("model.safetensors"), &Device::Cpu);
        let tensors = tensors.expect("the fixture");
        for prefix in ["language_model.", "model.language_model."] {
            let out = tempfile::tempdir().expect("a temporary folder");
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                std::fs::copy(from.join(name), out.path().join(name)).expect("copied");
            }
            let config = serde_json::to_vec(&whole).expect("JSON");
            std::fs::write(out.path().join("config.json"), config).expect("written");
            let renamed = |(name, tensor): (&String, &Tensor)| {
                let stem =
                    if prefix.starts_with("model.") { &name["model.".len()..] } else { name };
                (format!("{prefix}{stem}"), tensor.clone())
            };
            let mut all: std::collections::HashMap<_, _> = tensors.iter().map(renamed).collect();
            let seen = Tensor::new(&[1f32], &Device::Cpu).expect("a tensor");
            all.insert("vision_tower.weight".into(), seen);
            safetensors::save(&all, out.path().join("model.safetensors")).expect("written");
            let notes = Notes::default();
            assert_eq!(logits(out.path(), &notes), expected, "{prefix}");
            let notes = notes.0.into_inner().expect("no other thread");
            assert!(notes[0].contains("the text part of a gemma3 model"), "{notes:?}");
            let model = Model::open(out.path(), &Device::Cpu, &Silent).expect("a model");
            assert_eq!(model.stop_tokens, [1, 7]);
            let name = model.down_projection_name(1).to_owned();
            let module = model.linear_module(&name).expect("a linear map");
            assert_eq!(module, "model.language_model.layers.1.mlp.down_proj");
        }
    }
}
