//! A model folder -> a GGUF file in the making, in the form that llama.cpp reads.

use super::convert::row_length;
use super::draft::{Content, Draft, Drafted};
use super::error::DraftError;
use super::families;
use super::family::{GgufFamily, Stored, at_layer};
use super::keys::Keys;
use super::model_keys;
use super::order::{Order, Ordered};
use super::read_back;
use super::sizes::Sizes;
use super::tensor_type::{EditedAs, GgufType, TensorType};
use super::tokens::FolderTokens;
use crate::model::weights::element::Element;
use crate::model::{Model, Role, Slot};

/// llama.cpp knows the blank before a text for SentencePiece alone.
const NO_BLANK: &str = "the tokenizer puts a blank before a text, and llama.cpp does not: begin \
                        prompts with one there";

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
        let sizes = Sizes::of(config);
        let mut tensors = tensors(model, family, &sizes, types)?;
        let tokens = FolderTokens::read(&model.folder)?;
        let mut keys = Keys::default();
        model_keys::put_general(&mut keys, family, name, &tensors);
        tensors.extend(model_keys::put_config(&mut keys, family, model, &sizes));
        tokens.put(&mut keys, sizes.vocabulary)?;
        let mut draft = Draft::new(&keys, tensors);
        draft.warnings.extend(read_back::check(&draft, family, &tokens, config)?);
        draft.warnings.extend(tokens.lacks_prefix().then(|| NO_BLANK.to_owned()));
        Ok(draft)
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
