//! Keys of `config.json` that do not change a forward pass, and are read past.
//!
//! Collected from `PreTrainedConfig` and the model configurations of transformers 4.40 to 5.x, and
//! from what trainers leave in the files that they write.

use serde_json::{Value, json};

/// Keys that no family computes with.
const KEYS: &[&str] = &[
    // Where the file comes from, and which classes read it.
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "auto_map",
    "base_model_name_or_path",
    "custom_pipelines",
    "datasets",
    "finetuning_task",
    "is_llama_config",
    "language",
    "library_name",
    "license",
    "model_name",
    "model_type",
    "name_or_path",
    "problem_type",
    "revision",
    "tags",
    "task_specific_params",
    "transformers.js_config",
    "transformers_version",
    "transformers_weights",
    // How tensors are stored, cached and computed, not what is computed.
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_experts_implementation",
    "_flash_attn_2_enabled",
    "attn_implementation",
    "attention_softmax_in_fp32",
    "base_model_pp_plan",
    "base_model_tp_plan",
    "bf16",
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "flash_attention",
    "flash_attn",
    "fp16",
    "fp32",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "fused_mlp",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "init_device",
    "low_cpu_mem_usage",
    "model_parallel",
    "pretraining_tp",
    "reorder_and_upcast_attn",
    "scale_attention_softmax_in_fp32",
    "rotary_interleaved_kernel",
    "torch_compile",
    "torch_dtype",
    "torchscript",
    "trust_remote_code",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_sdpa",
    "xla_device",
    // What a call returns.
    "keys_to_ignore_at_inference",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "return_dict",
    "use_return_dict",
    // Heads of other tasks.
    "_num_labels",
    "classifier_bias",
    "classifier_pooling",
    "id2label",
    "label2id",
    "loss_type",
    "num_labels",
    "summary_activation",
    "summary_first_dropout",
    "summary_hidden_size",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    // Tokenizer and length of its input.
    "add_bos_token",
    "add_eos_token",
    "bos_token",
    "chat_template",
    "clean_up_tokenization_spaces",
    "eos_token",
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "model_max_length",
    "n_ctx",
    "pad_token",
    "padding_side",
    "prefix",
    "seq_len",
    "seq_length",
    "tokenizer_class",
    "tokenizer_name",
    "tokenizer_name_or_path",
    "unk_token",
    // Defaults of generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "constraints",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "force_words_ids",
    "forced_decoder_ids",
    "generation_config",
    "guidance_scale",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "max_time",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "penalty_alpha",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "return_dict_in_generate",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    // Training alone.
    "attn_pdrop",
    "embd_pdrop",
    "embedding_initializer_range",
    "ignore_index",
    "init_std",
    "initializer_cutoff_factor",
    "initializer_factor",
    "initializer_range",
    "initializer_std",
    "layerdrop",
    "max_steps",
    "neftune_noise_alpha",
    "rescale_layer_init",
    "resid_pdrop",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "router_z_loss_coef",
    "train_batch_size",
    "use_liger_kernel",
    "z_loss_coefficient",
    // A tied encoder, and what only a decoder after an encoder reads.
    "cross_attention_hidden_size",
    "is_decoder",
    "tf_legacy_loss",
    "tie_encoder_decoder",
];

/// Beginnings and ends of further ones.
const BEGINNINGS: &[&str] = &["axolotl_", "llamafactory_", "trl_", "unsloth_", "wandb_"];
const ENDS: &[&str] = &[
    "dropout",
    "dropout_p",
    "dropout_prob",
    "dropout_rate",
    "_token_id",
    "_token_ids",
    "_token_index",
];

/// Keys that say what a decoder does by default: off, they change what is computed.
const ON: &[&str] = &[
    "causal",
    "is_causal",
    "rotary",
    "scale_attn_weights",
    "use_causal_mask",
    "use_rope",
    "use_rotary",
    "use_rotary_embeddings",
];

/// Whether a key of this value can be read past.
pub(super) fn is_harmless(key: &str, value: &Value) -> bool {
    KEYS.contains(&key)
        || BEGINNINGS.iter().any(|beginning| key.starts_with(beginning))
        || ENDS.iter().any(|end| key.ends_with(end))
        || (is_off(value) && !is_switched_off(key, value))
        || is_usual(key, value)
}

/// A feature that is switched off, or has nothing in it.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// What every decoder does, switched off.
fn is_switched_off(key: &str, value: &Value) -> bool {
    ON.contains(&key) && *value == json!(false)
}

/// A key that only says what every decoder does where the key is absent.
fn is_usual(key: &str, value: &Value) -> bool {
    let is_one = || value.as_f64() == Some(1.);
    match key {
        "layer_types" => value
            .as_array()
            .is_some_and(|types| types.iter().all(|kind| *kind == json!("full_attention"))),
        on if ON.contains(&on) => *value == json!(true),
        "partial_rotary_factor" | "rotary_pct" | "rope_scaling_factor" => is_one(),
        "embedding_multiplier" | "residual_multiplier" | "logits_scaling" | "logit_scale" => {
            is_one()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::family::Family;

    fn refused(config: &Value) -> Option<String> {
        Family::recognise(config.as_object().expect("an object")).err().map(|it| it.to_string())
    }

    /// `config.json` of published models and mirrors, with whatever their programs left in it.
    #[test]
    fn configs_as_they_are_published_are_understood() {
        let gpt2_xl = json!({
            "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
            "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "model_type": "gpt2",
            "n_ctx": 1024, "n_embd": 1600, "n_head": 25, "n_layer": 48, "n_positions": 1024,
            "output_past": true, "resid_pdrop": 0.1, "summary_activation": null,
            "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
            "summary_type": "cls_index", "summary_use_proj": true,
            "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
            "vocab_size": 50257,
        });
        let mirror = json!({
            "_name_or_path": "meta-llama/Llama-3.2-1B", "architectures": ["LlamaForCausalLM"],
            "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
            "eos_token_id": [128001, 128008], "head_dim": 64, "hidden_act": "silu",
            "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
            "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
            "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
            "pad_token_id": 128004, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
            "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                             "original_max_position_embeddings": 8192, "rope_type": "llama3"},
            "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
            "transformers_version": "4.44.2", "unsloth_fixed": true, "unsloth_version": "2024.9",
            "use_cache": true, "vocab_size": 128256, "_attn_implementation": "sdpa",
            "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "top_k": 50, "top_p": 1.0,
            "is_encoder_decoder": false, "chunk_size_feed_forward": 0, "pruned_heads": {},
        });
        for config in [&gpt2_xl, &mirror] {
            assert_eq!(refused(config), None);
        }
        let mut strange = mirror.clone();
        strange["key_scale"] = json!(0.5);
        strange["attention_sinks"] = json!(4);
        let error = refused(&strange).expect("refused");
        let expected = "attention_sinks = 4 and key_scale = 0.5 are not supported";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_a_decoder_does_may_not_be_switched_off() {
        let mut config = json!({
            "model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10,
            "hidden_act": "silu", "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
            "_num_labels": 1, "attention_softmax_in_fp32": true, "renormalize_logits": true,
        });
        assert_eq!(refused(&config), None);
        for (value, is_refused) in [(json!(false), false), (json!(true), true)] {
            config["rope_interleaved"] = value;
            assert_eq!(refused(&config).is_some(), is_refused);
        }
        config["rope_interleaved"] = Value::Null;
        for (key, usual) in [("is_causal", json!(true)), ("use_rope", json!(true))] {
            config[key] = json!(false);
            let error = refused(&config).expect("refused");
            assert!(error.contains(&format!("{key} = false is not supported")), "{error}");
            config[key] = usual;
            assert_eq!(refused(&config), None);
        }
    }
}
