//! `config.json` -> the keys of a GGUF file, and the tensors that state how positions are scaled.

use serde_json::Value;

use super::draft::{Content, Drafted};
use super::family::{GgufFamily, Kind, LONG_FACTORS, Object, ROPE_FACTORS, SHORT_FACTORS};
use super::keys::Keys;
use super::sizes::Sizes;
use super::tensor_type::TensorType;
use super::tokens::object;
use crate::model::Model;
use crate::model::config::{Norm, Position};
use crate::model::family::Family;
use crate::model::weights::element::Element;
use crate::ops::Rotation;

/// The version of the layouts of quantised blocks.
const BLOCKS: u32 = 2;
/// Factors of frequencies that differ by less are equal: they were computed in single precision.
const SAME: f64 = 1e-5;
/// The layers that see everything, as `rope_parameters` calls them.
const FULL: &str = "full_attention";

/// Puts what every file has, whatever its architecture.
pub(super) fn put_general(
    keys: &mut Keys,
    family: &GgufFamily,
    name: &str,
    tensors: &[Drafted<'_>],
) {
    keys.text("general.architecture", family.architecture);
    keys.text("general.type", "model");
    keys.text("general.name", name);
    keys.unsigned("general.quantization_version", BLOCKS);
    let matrices = tensors.iter().filter(|tensor| tensor.shape.len() > 1);
    let mut counted: Vec<(TensorType, usize)> = Vec::new();
    for tensor in matrices {
        match counted.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
            Some((_, count)) => *count += 1,
            None => counted.push((tensor.kind, 1)),
        }
    }
    let most = counted.into_iter().max_by_key(|(_, count)| *count).map(|(kind, _)| kind);
    if let Some(number) = most.and_then(TensorType::of_file) {
        keys.unsigned("general.file_type", number);
    }
}

/// Puts the keys that have another name in `config.json`.
fn put_paired(keys: &mut Keys, family: &GgufFamily, stated: &Object) {
    for pair in family.paired {
        let Some(value) = stated.get(pair.config) else { continue };
        let key = family.key(pair.key);
        match pair.kind {
            Kind::Real => value.as_f64().into_iter().for_each(|it| keys.real(&key, it as f32)),
            Kind::Size => value.as_u64().into_iter().for_each(|it| keys.unsigned(&key, it as u32)),
            Kind::Flag => value.as_bool().into_iter().for_each(|it| keys.boolean(&key, it)),
        }
    }
}

/// Puts what `config.json` says; gives the tensors that state how positions are scaled, if the
/// architecture takes them.
pub(super) fn put_config<'m>(
    keys: &mut Keys,
    family: &GgufFamily,
    model: &Model,
    sizes: &Sizes,
) -> Vec<Drafted<'m>> {
    let config = model.decoder.config();
    for (name, size) in [
        ("block_count", sizes.layers),
        ("context_length", sizes.context),
        ("embedding_length", sizes.hidden),
        ("feed_forward_length", sizes.intermediate),
        ("attention.head_count", sizes.heads),
    ] {
        keys.unsigned(&family.key(name), size as u32);
    }
    let epsilon = match config.norm {
        Norm::Layer(epsilon) => ("attention.layer_norm_epsilon", epsilon),
        Norm::Rms(epsilon) | Norm::RmsFromOne(epsilon) => {
            ("attention.layer_norm_rms_epsilon", epsilon)
        }
    };
    keys.real(&family.key(epsilon.0), epsilon.1 as f32);
    let stated = stated(model);
    put_paired(keys, family, &stated);
    let Position::Rotary(rotations) = &config.position else { return Vec::new() };
    for (name, size) in [
        ("attention.head_count_kv", sizes.key_heads),
        ("attention.key_length", sizes.head),
        ("attention.value_length", sizes.head),
        ("rope.dimension_count", sizes.rotated),
        ("vocab_size", sizes.vocabulary),
    ] {
        keys.unsigned(&family.key(name), size as u32);
    }
    put_rotation(keys, family, &stated, rotations)
}

/// What `config.json` says, of the text part where the model has others.
fn stated(model: &Model) -> Object {
    let whole = object(&model.folder.join("config.json"));
    Family::text_part(&whole).map_or(whole, |(_, text)| text)
}

/// Puts the base of the frequencies, and how they are scaled.
fn put_rotation<'m>(
    keys: &mut Keys,
    family: &GgufFamily,
    stated: &Object,
    rotations: &[Rotation],
) -> Vec<Drafted<'m>> {
    // Where there is a second one, it is for layers with a window, and has a key of its own.
    let Some(rotation) = rotations.first() else { return Vec::new() };
    let parameters = stated.get("rope_parameters").and_then(|all| all.get(FULL).or(Some(all)));
    let scaling = stated.get("rope_scaling").filter(|it| !it.is_null()).or(parameters);
    let named = |name: &str| stated.get(name).or_else(|| parameters?.get(name))?.as_f64();
    let theta = named("rope_theta").or_else(|| named("rotary_emb_base")).unwrap_or(10_000.);
    keys.real(&family.key("rope.freq_base"), theta as f32);
    let kind = scaling.and_then(|it| it.get("rope_type").or_else(|| it.get("type")));
    if let Some(scaling) = scaling.filter(|_| kind.is_some_and(|kind| kind == "yarn")) {
        put_yarn(keys, family, scaling);
        return Vec::new();
    }
    let short = factors(theta, &rotation.inverse_frequencies);
    if let Some((length, long)) = &rotation.beyond {
        keys.unsigned(&family.key("rope.scaling.original_context_length"), *length as u32);
        keys.real(&family.key("rope.scaling.attn_factor"), rotation.magnitude);
        let long = factors(theta, long);
        return vec![tensor_of(LONG_FACTORS, &long), tensor_of(SHORT_FACTORS, &short)];
    }
    let are_all = |factor: f64| short.iter().all(|it| (it / factor - 1.).abs() < SAME);
    if are_all(1.) {
        return Vec::new();
    }
    if are_all(short[0]) {
        keys.text(&family.key("rope.scaling.type"), "linear");
        keys.real(&family.key("rope.scaling.factor"), short[0] as f32);
        return Vec::new();
    }
    vec![tensor_of(ROPE_FACTORS, &short)]
}

fn put_yarn(keys: &mut Keys, family: &GgufFamily, scaling: &Value) {
    let number = |name: &str| scaling.get(name).and_then(Value::as_f64);
    keys.text(&family.key("rope.scaling.type"), "yarn");
    keys.real(&family.key("rope.scaling.factor"), number("factor").unwrap_or(1.) as f32);
    if let Some(original) = number("original_max_position_embeddings") {
        keys.unsigned(&family.key("rope.scaling.original_context_length"), original as u32);
    }
}

/// By how much each frequency is slower than the plain one, θ^(−i/pairs).
fn factors(theta: f64, inverse_frequencies: &[f32]) -> Vec<f64> {
    let pairs = inverse_frequencies.len() as f64;
    let plain = |pair: usize| theta.powf(-(pair as f64) / pairs);
    let all = inverse_frequencies.iter().enumerate();
    all.map(|(pair, frequency)| plain(pair) / f64::from(*frequency)).collect()
}

/// The tensor of these factors.
fn tensor_of<'m>(name: &str, factors: &[f64]) -> Drafted<'m> {
    let bytes = factors.iter().flat_map(|factor| (*factor as f32).to_le_bytes());
    Drafted {
        name: name.to_owned(),
        shape: vec![factors.len()],
        kind: TensorType::of(Element::F32),
        content: Content::Bytes(bytes.collect::<Vec<u8>>().into()),
    }
}
