//! A model folder -> a GGUF file in the making, in the form that llama.cpp reads.

use super::convert::row_length;
use super::draft::{Content, Draft, Drafted};
use super::error::{DraftError, GgufFault};
use super::families;
use super::family::{
    Described, GgufFamily, Kind, LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS, Stored, at_layer,
};
use super::header::GgufHeader;
use super::keys::Keys;
use super::order::{Order, Ordered};
use super::sizes::Sizes;
use super::tensor_type::{EditedAs, GgufType, TensorType};
use super::tokens::{FolderTokens, object};
use super::vocabulary::Vocabulary;
use crate::model::config::{DecoderConfig, Norm, Position};
use crate::model::family::Family;
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
        let mut draft = Draft {
            version: VERSION,
            keys: keys.bytes().to_vec().into(),
            key_count: keys.count(),
            alignment: ALIGNMENT,
            tensors,
            warnings: Vec::new(),
        };
        draft.warnings.extend(check(&draft, family, &tokens, model)?);
        draft.warnings.extend(tokens.lacks_prefix().then(|| NO_BLANK.to_owned()));
        Ok(draft)
    }
}

/// Reads the keys again, as an import would, and compares what they say with the model: what the
/// form cannot say, or llama.cpp takes for granted, is found here. Tells what is left out and
/// changes short texts in nothing.
fn check(
    draft: &Draft<'_>,
    family: &'static GgufFamily,
    tokens: &FolderTokens,
    model: &Model,
) -> Result<Option<String>, DraftError> {
    let unread = |fault: GgufFault| DraftError::Unread(fault.to_string());
    let (config, is_factors) = (model.decoder.config(), |it: &&Drafted<'_>| {
        [ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS].contains(&it.name.as_str())
    });
    let factors = draft.tensors.iter().filter(is_factors).cloned().collect();
    let keys = draft.keys.as_ref().into();
    let bytes = Draft { tensors: factors, keys, warnings: Vec::new(), ..*draft }.bytes();
    let header = GgufHeader::parse(&bytes).map_err(unread)?;
    family.refuse_unknown_keys(&header.metadata).map_err(unread)?;
    let vocabulary = Vocabulary::read(&header.metadata, family, config.vocabulary);
    tokens.check(&vocabulary.map_err(unread)?)?;
    let described = Described {
        family,
        sizes: &sizes(config),
        is_tied: config.is_tied,
        has_biases: config.biases.query_key_value,
    };
    let read = family.config_of(&header, &described).map_err(unread)?;
    let (_, read) =
        Family::recognise(&read).map_err(|error| DraftError::Unread(error.to_string()))?;
    let no_place = |what| DraftError::NoPlace { what, architecture: family.architecture };
    let differences = config.differences(&read);
    match differences.as_slice() {
        [] => Ok(None),
        [only] if only == "sight" => {
            let mut both = config.sight.iter().zip(&read.sight);
            let window = config.sight.iter().filter_map(|sight| sight.window).min();
            let window = window.filter(|_| both.all(|(a, b)| a.rotation == b.rotation));
            let window =
                window.ok_or_else(|| no_place("what attention sees in some layers".to_owned()))?;
            Ok(Some(format!(
                "attention sees {window} tokens back in some layers, and another number in \
                 llama.cpp: only texts of up to {window} tokens are read alike"
            )))
        }
        all => Err(no_place(format!("what this model has for {}", all.join(", ")))),
    }
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
        rotated: match &config.position {
            Position::Rotary(all) => 2 * all[0].inverse_frequencies.len(),
            Position::Learned => config.attention.head_dim,
        },
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
            if role == Role::Head || part == "bias" && !stored.has_bias {
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
    let order = stored.order_of(slot.is_bias);
    let mut shape = slot.stored_shape();
    if order == Order::Transposed {
        shape.reverse();
    }
    let columns = row_length(&shape);
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

/// Puts the keys that have another name in `config.json`.
fn put_paired(keys: &mut Keys, family: &GgufFamily, model: &Model) {
    let config = object(&model.folder.join("config.json"));
    for pair in family.paired {
        let Some(value) = config.get(pair.config) else { continue };
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
fn put_config<'m>(
    keys: &mut Keys,
    family: &GgufFamily,
    model: &Model,
    sizes: &Sizes,
) -> Result<Vec<Drafted<'m>>, DraftError> {
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
    put_paired(keys, family, model);
    let Position::Rotary(rotations) = &config.position else { return Ok(Vec::new()) };
    for (name, size) in [
        ("attention.head_count_kv", sizes.key_heads),
        ("attention.key_length", sizes.head),
        ("attention.value_length", sizes.head),
        ("rope.dimension_count", sizes.rotated),
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
) -> Result<Vec<Drafted<'m>>, DraftError> {
    // Where there is a second one, it is for layers with a window, and has a key of its own.
    let Some(rotation) = rotations.first() else { return Ok(Vec::new()) };
    let config = object(&model.folder.join("config.json"));
    let parameters = config.get("rope_parameters").and_then(|all| all.get(FULL).or(Some(all)));
    let scaling = config.get("rope_scaling").filter(|it| !it.is_null()).or(parameters);
    let named = |name: &str| config.get(name).or_else(|| parameters?.get(name))?.as_f64();
    let theta = named("rope_theta").or_else(|| named("rotary_emb_base")).unwrap_or(10_000.);
    keys.real(&family.key("rope.freq_base"), theta as f32);
    let kind = scaling.and_then(|it| it.get("rope_type").or_else(|| it.get("type")));
    if kind.is_some_and(|kind| kind == "yarn") {
        let number = |name: &str| scaling.and_then(|it| it.get(name)?.as_f64());
        keys.text(&family.key("rope.scaling.type"), "yarn");
        keys.real(&family.key("rope.scaling.factor"), number("factor").unwrap_or(1.) as f32);
        if let Some(original) = number("original_max_position_embeddings") {
            keys.unsigned(&family.key("rope.scaling.original_context_length"), original as u32);
        }
        return Ok(Vec::new());
    }
    let factors = |frequencies: &[f32]| -> Vec<f64> {
        let pairs = frequencies.len() as f64;
        let plain = |pair: usize| theta.powf(-(pair as f64) / pairs);
        let all = frequencies.iter().enumerate();
        all.map(|(pair, frequency)| plain(pair) / f64::from(*frequency)).collect()
    };
    let short = factors(&rotation.inverse_frequencies);
    if let Some((length, long)) = &rotation.beyond {
        keys.unsigned(&family.key("rope.scaling.original_context_length"), *length as u32);
        keys.real(&family.key("rope.scaling.attn_factor"), rotation.magnitude);
        return Ok(vec![
            factors_of(LONG_FACTORS, &factors(long)),
            factors_of(SHORT_FACTORS, &short),
        ]);
    }
    let are_all = |factor: f64| short.iter().all(|it| (it / factor - 1.).abs() < SAME);
    if are_all(1.) {
        return Ok(Vec::new());
    }
    if are_all(short[0]) {
        keys.text(&family.key("rope.scaling.type"), "linear");
        keys.real(&family.key("rope.scaling.factor"), short[0] as f32);
        return Ok(Vec::new());
    }
    Ok(vec![factors_of(ROPE_FACTORS, &short)])
}

/// The tensor of these factors.
fn factors_of<'m>(name: &str, factors: &[f64]) -> Drafted<'m> {
    let bytes = factors.iter().flat_map(|factor| (*factor as f32).to_le_bytes());
    Drafted {
        name: name.to_owned(),
        shape: vec![factors.len()],
        kind: TensorType::of(Element::F32),
        content: Content::Bytes(bytes.collect::<Vec<u8>>().into()),
    }
}

/// The layers that see everything, as `rope_parameters` calls them.
const FULL: &str = "full_attention";
