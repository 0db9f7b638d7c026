//! A model folder -> a GGUF file in the making, in the form that llama.cpp reads.

use super::draft::{Content, Draft, Drafted};
use super::error::DraftError;
use super::families;
use super::family::{GgufFamily, ROPE_FACTORS, Stored, at_layer};
use super::header::GgufHeader;
use super::keys::Keys;
use super::order::{Order, Ordered};
use super::sizes::Sizes;
use super::tensor_type::{EditedAs, GgufType, TensorType};
use super::tokens::{FolderTokens, object};
use super::vocabulary::Vocabulary;
use crate::model::config::{DecoderConfig, Norm, Position};
use crate::model::weights::element::Element;
use crate::model::{Model, Role, Slot};
use crate::ops::Rotation;

/// The version of the format that is written.
pub(super) const VERSION: u32 = 3;
pub(super) const ALIGNMENT: u64 = 32;
/// The version of the layouts of quantised blocks.
const BLOCKS: u32 = 2;
/// llama.cpp knows the blank before a text for SentencePiece alone.
const NO_BLANK: &str = "the tokenizer puts a blank before a text, and llama.cpp does not: begin \
                        prompts with one there";
/// Factors of frequencies that differ by less are equal: they were computed in single precision.
const SAME: f64 = 1e-5;

/// How the matrices of a folder are stored in a GGUF file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Types<'a> {
    /// All matrices; as the folder stores each where nothing is said.
    pub(crate) matrices: Option<GgufType>,
    /// The edited ones.
    pub(crate) edited_as: EditedAs,
    /// Names of the tensors that are edited.
    pub(crate) edited: &'a [&'a str],
}

impl<'m> Draft<'m> {
    /// The file that holds a model; `name` is what it is called there.
    ///
    /// # Errors
    ///
    /// Names what the form has no place for.
    pub(crate) fn of_model(
        model: &'m Model,
        name: &str,
        types: Types<'_>,
    ) -> Result<Self, DraftError> {
        let config = model.decoder.config();
        let family = families::of_model(config)?;
        let sizes = sizes(config);
        let mut tensors = tensors(model, family, &sizes, types)?;
        let tokens = FolderTokens::read(&model.folder)?;
        let mut keys = Keys::default();
        put_general(&mut keys, family, name, &tensors);
        let scaling = put_config(&mut keys, family, model, &sizes)?;
        tensors.extend(scaling);
        tokens.put(&mut keys, sizes.vocabulary)?;
        let draft = Draft {
            version: VERSION,
            keys: keys.bytes().to_vec().into(),
            key_count: keys.count(),
            alignment: ALIGNMENT,
            tensors,
            warning: tokens.lacks_prefix().then_some(NO_BLANK),
        };
        check(&draft, family, &tokens, sizes.vocabulary)?;
        Ok(draft)
    }
}

/// Reads the header again, as an import would, and compares the tokenizer with the folder's.
fn check(
    draft: &Draft<'_>,
    family: &GgufFamily,
    tokens: &FolderTokens,
    rows: usize,
) -> Result<(), DraftError> {
    let unread = |fault: super::GgufFault| DraftError::Unread(fault.to_string());
    let bytes = Draft { tensors: Vec::new(), keys: draft.keys.as_ref().into(), ..*draft }.header();
    let header = GgufHeader::parse(&bytes).map_err(unread)?;
    family.refuse_unknown_keys(&header.metadata).map_err(unread)?;
    let vocabulary = Vocabulary::read(&header.metadata, family, rows).map_err(unread)?;
    tokens.check(&vocabulary)
}

fn sizes(config: &DecoderConfig) -> Sizes {
    Sizes {
        layers: config.layers,
        context: config.context,
        hidden: config.hidden,
        intermediate: config.intermediate,
        heads: config.attention.heads,
        key_heads: config.attention.kv_heads,
        head: config.attention.head_dim,
        vocabulary: config.vocabulary,
    }
}

/// Every tensor of the model, in the order of the family's table, layer by layer.
fn tensors<'m>(
    model: &'m Model,
    family: &GgufFamily,
    sizes: &Sizes,
    types: Types<'_>,
) -> Result<Vec<Drafted<'m>>, DraftError> {
    let parameters = model.decoder.parameters();
    let mut unused: Vec<&str> = parameters.iter().map(|slot| slot.name.as_str()).collect();
    let mut drafted = Vec::new();
    for (stored, part, layer) in family.parts(sizes.layers) {
        let Some(role) = stored.role else { continue };
        let layer_of = stored.stem.contains("{}").then_some(layer);
        let Some(slot) = parameters.of(role, layer_of).find(|it| it.is_bias == (part == "bias"))
        else {
            if role == Role::Head {
                continue;
            }
            return Err(DraftError::NoTensor(at_layer(stored.stem, layer)));
        };
        unused.retain(|name| *name != slot.name);
        let name = format!("{}.{part}", at_layer(stored.stem, layer));
        drafted.push(tensor(model, stored, slot, name, (sizes, types))?);
    }
    match unused.first() {
        None => Ok(drafted),
        Some(tensor) => Err(DraftError::NoPlace {
            what: format!("tensor {tensor:?}"),
            architecture: family.architecture,
        }),
    }
}

fn tensor<'m>(
    model: &'m Model,
    stored: &Stored,
    slot: &Slot,
    name: String,
    (sizes, types): (&Sizes, Types<'_>),
) -> Result<Drafted<'m>, DraftError> {
    let order = if slot.is_bias { Order::Same } else { stored.order };
    let mut shape = slot.stored_shape();
    if order == Order::Transposed {
        shape.reverse();
    }
    let columns = *shape.last().expect("no tensor is without axes");
    let own = TensorType::of(model.weights.element(&slot.name)?);
    let is_edited = types.edited.contains(&slot.name.as_str());
    let kind = match slot.is_matrix() && slot.role != Role::Positions {
        // llama.cpp computes with these in single precision.
        false => TensorType::of(Element::F32),
        true => {
            let usual = types.matrices.map_or(own, GgufType::stored);
            let kind = if is_edited { usual.edited(types.edited_as) } else { usual };
            kind.fitting(columns)
        }
    };
    let is_kept = !is_edited && kind == own && order == Order::Same;
    let content = match is_kept {
        true => Content::Bytes(model.weights.bytes(&slot.name)?.into()),
        false => Content::Numbers(slot.name.clone(), Ordered { order, columns, head: sizes.head }),
    };
    Ok(Drafted { name, shape, kind, content })
}

fn put_general(keys: &mut Keys, family: &GgufFamily, name: &str, tensors: &[Drafted<'_>]) {
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

/// Puts what `config.json` says; gives the tensor that states how positions are scaled, if the
/// architecture takes one.
fn put_config<'m>(
    keys: &mut Keys,
    family: &GgufFamily,
    model: &Model,
    sizes: &Sizes,
) -> Result<Option<Drafted<'m>>, DraftError> {
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
    if config.sight.iter().any(|sight| sight.window.is_some_and(|window| window < sizes.context)) {
        let what = "a window of attention shorter than the context".to_owned();
        return Err(DraftError::NoPlace { what, architecture: family.architecture });
    }
    let Position::Rotary(rotations) = &config.position else { return Ok(None) };
    for (name, size) in [
        ("attention.head_count_kv", sizes.key_heads),
        ("attention.key_length", sizes.head),
        ("attention.value_length", sizes.head),
        ("rope.dimension_count", sizes.head),
        ("vocab_size", sizes.vocabulary),
    ] {
        keys.unsigned(&family.key(name), size as u32);
    }
    put_rotation(keys, family, model, rotations)
}

/// Puts the base of the frequencies, and how they are scaled.
fn put_rotation<'m>(
    keys: &mut Keys,
    family: &GgufFamily,
    model: &Model,
    rotations: &[Rotation],
) -> Result<Option<Drafted<'m>>, DraftError> {
    let refused = |what: &str| {
        let what = what.to_owned();
        Err(DraftError::NoPlace { what, architecture: family.architecture })
    };
    let [rotation] = rotations else { return refused("positions encoded in several ways") };
    let scaling = "this scaling of rotary positions";
    if rotation.beyond.is_some() || rotation.magnitude != 1. {
        return refused(scaling);
    }
    let theta = theta(model);
    keys.real(&family.key("rope.freq_base"), theta as f32);
    let pairs = rotation.inverse_frequencies.len();
    if 2 * pairs != rotation.head_dim {
        return refused("heads of which a part rotates");
    }
    let plain = |pair: usize| theta.powf(-(pair as f64) / pairs as f64);
    let factors: Vec<f64> = (0..pairs)
        .map(|pair| plain(pair) / f64::from(rotation.inverse_frequencies[pair]))
        .collect();
    let are_all = |factor: f64| factors.iter().all(|it| (it / factor - 1.).abs() < SAME);
    if are_all(1.) {
        return Ok(None);
    }
    if are_all(factors[0]) {
        keys.text(&family.key("rope.scaling.type"), "linear");
        keys.real(&family.key("rope.scaling.factor"), factors[0] as f32);
        return Ok(None);
    }
    if family.parts(1).all(|(stored, ..)| format!("{}.weight", stored.stem) != ROPE_FACTORS) {
        return refused(scaling);
    }
    let bytes = factors.iter().flat_map(|factor| (*factor as f32).to_le_bytes());
    Ok(Some(Drafted {
        name: ROPE_FACTORS.to_owned(),
        shape: vec![pairs],
        kind: TensorType::of(Element::F32),
        content: Content::Bytes(bytes.collect::<Vec<u8>>().into()),
    }))
}

/// The base of the rotary frequencies, in either dialect of `config.json`.
fn theta(model: &Model) -> f64 {
    let config = object(&model.folder.join("config.json"));
    let own = config.get("rope_theta").or_else(|| config.get("rope_parameters")?.get("rope_theta"));
    own.and_then(serde_json::Value::as_f64).unwrap_or(10_000.)
}
