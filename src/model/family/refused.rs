//! Models of which a part is not implemented, and which part.

use serde_json::{Map, Value};

const EXPERTS: &str = "a mixture of experts: its router and its experts are not implemented";
const HYBRID: &str =
    "a hybrid: its layers without attention (state space, linear attention) are not implemented";
const VISION: &str = "a model that also sees or hears: how its images or sounds reach the text \
                      part is not implemented";
const ENCODER: &str = "no decoder of text: only models that continue text are implemented";

/// Parts of names that say what kind of model it is, and keys that only such models have.
const KINDS: &[(&str, &[&str], &[&str])] = &[
    (
        HYBRID,
        &[
            "mamba",
            "hybrid",
            "jamba",
            "bamba",
            "zamba",
            "falcon_h1",
            "nemotron_h",
            "qwen3_next",
            "qwen3_5",
            "rwkv",
            "recurrent_gemma",
            "lfm2",
            "minimax",
            "xlstm",
            "retnet",
        ],
        &["linear_num_key_heads", "mamba_d_state", "ssm_cfg", "ssm_state_size", "state_size"],
    ),
    (
        EXPERTS,
        &["moe", "mixtral", "deepseek_v", "gpt_oss", "dbrx", "llama4", "arctic", "jetmoe", "grok"],
        &["num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size"],
    ),
    (
        VISION,
        &[
            "_vl",
            "llava",
            "mllama",
            "paligemma",
            "idefics",
            "pixtral",
            "mistral3",
            "gemma3n",
            "gemma3",
            "vision",
            "omni",
            "audio",
            "internvl",
            "clip",
            "whisper",
        ],
        &["vision_config", "audio_config"],
    ),
    (ENCODER, &["bert", "electra"], &["is_encoder_decoder"]),
];

/// What kind of model a config describes of which a part is missing here; nothing for others.
pub(super) fn missing_part(model_type: &str, config: &Map<String, Value>) -> Option<&'static str> {
    let is_known = super::Family::named(model_type).is_some();
    let is_on = |key: &&str| {
        config.get(*key).is_some_and(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(number) => number.as_f64().is_some_and(|number| number > 1.),
            _ => true,
        })
    };
    let is_of_kind = |names: &[&str], keys: &[&str]| {
        (!is_known && names.iter().any(|name| model_type.contains(name))) || keys.iter().any(is_on)
    };
    KINDS.iter().find(|(_, names, keys)| is_of_kind(names, keys)).map(|(missing, ..)| *missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::family::Family;
    use serde_json::json;

    #[test]
    fn each_kind_is_refused_by_what_is_missing() {
        let rows = [
            (json!({"model_type": "qwen3_moe"}), EXPERTS),
            (json!({"model_type": "qwen3", "num_experts": 8}), EXPERTS),
            (json!({"model_type": "qwen3_5"}), HYBRID),
            (json!({"model_type": "mamba2"}), HYBRID),
            (json!({"model_type": "qwen2_5_vl"}), VISION),
            (json!({"model_type": "llama", "vision_config": {"depth": 2}}), VISION),
            (json!({"model_type": "modernbert"}), ENCODER),
            (json!({"model_type": "t5", "is_encoder_decoder": true}), ENCODER),
        ];
        for (config, expected) in rows {
            let config = config.as_object().expect("an object");
            let error = Family::recognise(config).err().expect("refused").to_string();
            assert!(error.contains(expected), "{config:?}: {error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }

    #[test]
    fn what_is_supported_is_of_no_such_kind() {
        for model_type in Family::supported().split(", ") {
            assert_eq!(missing_part(model_type, &Map::new()), None, "{model_type}");
        }
    }
}
