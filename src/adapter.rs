//! Low-rank patches as a LoRA adapter on top of the base: PEFT's, which transformers and vLLM load,
//! or a GGUF file for llama.cpp.
//!
//! PEFT adds (α/r) B A to a linear map's [out, in] weight, with A [r, in] and B [out, r]. For a
//! tensor stored so, ΔT = left · right is B = left, A = right; where it is stored [in, out]
//! (GPT-2's `Conv1D`), ΔTᵀ = rightᵀ · leftᵀ is B = rightᵀ, A = leftᵀ under `fan_in_fan_out`.
//! α = r everywhere, so that the adapter is the patch, not an approximation of it. LoRA: arXiv
//! 2106.09685.
//!
//! Every module has the rank of the largest, its factors filled up with zeros. PEFT could be told
//! ranks of their own (`rank_pattern`, `alpha_pattern`), but llama.cpp divides one α by each
//! module's own rank, and vLLM reads neither pattern: both would scale such an adapter wrongly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use safetensors::Dtype;
use serde::Serialize;
use serde_json::json;

use crate::checkpoint::transfer::put_file;
use crate::checkpoint::{
    self, ADAPTER, CardKind, CheckpointError, EXPORT, GgufOptions, MODEL, MODELFILE, RECIPES,
    folder,
};
use crate::delta::Change;
use crate::files::{Building, FileError, Overwrite, check_target, resolved};
use crate::gguf::{self, Draft, DraftError};
use crate::model::Model;
use crate::model::weights::element::Element;
use crate::model::weights::header::Header;
use crate::ops::WeightLayout;
use crate::patch::{self, Patch, PatchError};
use crate::progress::Progress;
use crate::spec::plain;

/// The weights of an adapter, as PEFT names the file.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// The configuration of an adapter, as PEFT names the file.
pub const CONFIG: &str = "adapter_config.json";

/// Summary of an adapter that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterSummary {
    /// The folder.
    pub out: PathBuf,
    /// The largest rank, which is the adapter's `r`.
    pub rank: usize,
    /// One entry a changed module, sorted by name.
    pub modules: Vec<AdapterModule>,
}

/// One linear map that an adapter changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterModule {
    /// Path of the linear map in the Hugging Face model.
    pub module: String,
    /// The rank of its change, at most the adapter's `r`.
    pub rank: usize,
    /// The Frobenius norm of its change, ‖ΔW‖.
    pub norm: f64,
}

/// Why an adapter could not be written. No file is left in its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// There is nothing to write.
    #[error("an adapter needs a patch: without one it would change nothing")]
    NoPatch,
    /// A change has no low-rank factors.
    #[error(
        "tensor {tensor:?} has a dense change, from patch {patch}; an adapter holds low-rank \
         changes only"
    )]
    Dense {
        /// The tensor.
        tensor: String,
        /// Digest of the patch.
        patch: String,
    },
    /// A tensor that LoRA cannot change.
    #[error(
        "tensor {tensor:?} is not a linear map of a layer, which is all that an adapter can change"
    )]
    NotLinear {
        /// The tensor.
        tensor: String,
    },
    /// The patches do not fit the base, or each other.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The folder is in the way, or the user stopped it.
    #[error(transparent)]
    Folder(#[from] CheckpointError),
    /// The changes have no form as a GGUF adapter.
    #[error("{0}")]
    Draft(#[from] DraftError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Arithmetic on the factors failed.
    #[error("cannot compute the factors of the adapter")]
    Compute(#[from] candle_core::Error),
}

/// Writes the sum of `patches` as an adapter to the folder `out`.
///
/// `base` goes into the adapter as the model to load it on: a Hub id or a path.
pub fn export(
    model: &Model,
    base: &str,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    progress: &dyn Progress,
) -> Result<AdapterSummary, AdapterError> {
    let out = folder::destination(&model.folder, out, overwrite)?;
    let factors = factors(model, patches, progress)?;
    let summary = AdapterSummary::of(&out, &factors);

    let temporary = Building::beside(&out)?;
    let place = |name: &str| temporary.path().join(name);
    put_file(&place(WEIGHTS), &safetensors(&named(&factors))?)?;
    let config = config(&summary, base, model.layout());
    put_file(&place(CONFIG), format!("{config:#}\n").as_bytes())?;
    put_file(&place(checkpoint::CARD), card(&model.folder, base, &summary).as_bytes())?;
    checkpoint::record::write(temporary.path(), recipes(patches, &summary), progress)?;
    progress.check().map_err(CheckpointError::from)?;
    temporary.publish(&out, overwrite)?;
    Ok(summary)
}

/// Writes the sum of `patches` as a GGUF adapter to the file `out`, for llama.cpp and what is built
/// on it; `name` is what it is called there.
pub fn export_gguf(
    model: &Model,
    name: &str,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    progress: &dyn Progress,
) -> Result<AdapterSummary, AdapterError> {
    checkpoint::check_gguf_target(out, overwrite, &[&model.folder])?;
    let factors = factors(model, patches, progress)?;
    let summary = AdapterSummary::of(out, &factors);
    let draft = draft(model, name, &factors)?;
    checkpoint::write_adapter(out, overwrite, &draft, progress)?;
    checkpoint::record::write_beside(out, recipes(patches, &summary))?;
    Ok(summary)
}

/// Writes a folder for `ollama create`: the unedited model, the sum of `patches` as a GGUF adapter,
/// and a Modelfile that puts the one on the other.
///
/// The model may be quantised; the adapter's numbers are not.
pub fn export_ollama(
    model: &Model,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    options: &GgufOptions<'_>,
    progress: &dyn Progress,
) -> Result<AdapterSummary, AdapterError> {
    check_target(out, overwrite, &EXPORT, &options.uses(model))?;
    let out = resolved(out);
    let factors = factors(model, patches, progress)?;
    let summary = AdapterSummary::of(&out, &factors);
    let draft = draft(model, options.name, &factors)?;
    let temporary = Building::beside(&out)?;
    let place = |name: &str| temporary.path().join(name);
    checkpoint::write_model(model, &[], &place(MODEL), Overwrite::Refuse, options, progress)?;
    checkpoint::write_adapter(&place(ADAPTER), Overwrite::Refuse, &draft, progress)?;
    let lines = format!("FROM ./{MODEL}\nADAPTER ./{ADAPTER}\n");
    put_file(&place(MODELFILE), lines.as_bytes())?;
    checkpoint::record::write(temporary.path(), recipes(patches, &summary), progress)?;
    temporary.publish(&out, overwrite)?;
    Ok(summary)
}

/// The GGUF file of these factors in the making.
fn draft(model: &Model, name: &str, factors: &[Factors]) -> Result<Draft<'static>, DraftError> {
    gguf::adapter(model, name, factors.iter().map(|it| (it.tensor.as_str(), &it.a, &it.b)))
}

impl AdapterSummary {
    fn of(out: &Path, factors: &[Factors]) -> Self {
        let modules = factors.iter().map(|it| it.module.clone()).collect();
        Self { out: out.to_owned(), rank: rank(factors), modules }
    }
}

/// What is needed to make the adapter again.
fn recipes(patches: &[Patch], summary: &AdapterSummary) -> serde_json::Value {
    let patches: Vec<_> = sorted(patches)
        .into_iter()
        .map(|(digest, patch)| json!({ "sha256": digest, "recipe": patch.recipe }))
        .collect();
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "patches": patches,
        "modules": summary.modules,
    })
}

/// Sorts patches into the order in which they are summed.
fn sorted(patches: &[Patch]) -> Vec<(String, &Patch)> {
    let mut sorted: Vec<_> = patches.iter().map(|p| (p.sha256().to_string(), p)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

type Named = BTreeMap<String, Tensor>;

/// The change B A of one tensor, a matrix [out, in].
struct Factors {
    tensor: String,
    module: AdapterModule,
    a: Tensor,
    b: Tensor,
}

/// A and B of every tensor that the patches change, filled up to one rank, sorted by module; the
/// patches are checked against the base first.
fn factors(
    model: &Model,
    patches: &[Patch],
    progress: &dyn Progress,
) -> Result<Vec<Factors>, AdapterError> {
    if patches.is_empty() {
        return Err(AdapterError::NoPatch);
    }
    checkpoint::check_patches(&model.folder, &model.weights, patches, progress)?;
    let delta = patch::compose(patches)?;
    let mut factors = Vec::new();
    for (tensor, change) in &delta.changes {
        let Change::LowRank { left, right } = change else {
            return Err(dense(tensor, patches));
        };
        let module = model
            .linear_module(tensor)
            .ok_or_else(|| AdapterError::NotLinear { tensor: tensor.clone() })?;
        let (a, b) = match model.layout() {
            WeightLayout::OutIn => (right.clone(), left.clone()),
            WeightLayout::InOut => (left.t()?, right.t()?),
        };
        let module = AdapterModule { module, rank: a.dims()[0], norm: change.norm()? };
        factors.push(Factors { tensor: tensor.clone(), module, a, b });
    }
    let rank = rank(&factors);
    for Factors { module, a, b, .. } in &mut factors {
        *a = a.pad_with_zeros(0, 0, rank - module.rank)?.contiguous()?;
        *b = b.pad_with_zeros(1, 0, rank - module.rank)?.contiguous()?;
    }
    factors.sort_by(|a, b| a.module.module.cmp(&b.module.module));
    Ok(factors)
}

/// The largest rank.
fn rank(factors: &[Factors]) -> usize {
    factors.iter().map(|it| it.module.rank).max().unwrap_or(0)
}

/// The factors under PEFT's names.
fn named(factors: &[Factors]) -> Named {
    let pair = |it: &Factors| {
        let name = |part| format!("base_model.model.{}.{part}.weight", it.module.module);
        [(name("lora_A"), it.a.clone()), (name("lora_B"), it.b.clone())]
    };
    factors.iter().flat_map(pair).collect()
}

/// The error that names the patch with a dense change.
fn dense(tensor: &str, patches: &[Patch]) -> AdapterError {
    let is_dense =
        |patch: &&Patch| matches!(patch.delta.changes.get(tensor), Some(Change::Dense(_)));
    let patch = patches.iter().find(is_dense).map(|patch| patch.sha256().to_string());
    AdapterError::Dense { tensor: tensor.to_owned(), patch: patch.unwrap_or_default() }
}

fn config(summary: &AdapterSummary, base: &str, layout: WeightLayout) -> serde_json::Value {
    let targets: Vec<&str> = summary.modules.iter().map(|module| module.module.as_str()).collect();
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": summary.rank,
        "lora_alpha": summary.rank,
        "target_modules": targets,
        "fan_in_fan_out": layout == WeightLayout::InOut,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": false,
        "use_dora": false,
        "init_lora_weights": true,
        "inference_mode": true,
        "modules_to_save": null,
    })
}

fn card(folder: &Path, base: &str, summary: &AdapterSummary) -> String {
    let mut text = checkpoint::front_matter(folder, base, CardKind::Adapter);
    text += &format!("\nTo be loaded on {}.\n\n", code(base));
    text += "# An edit as a LoRA adapter\n\nThis adapter is the sum of the patches in ";
    text += &format!(
        "`{RECIPES}`, exactly: lora_alpha equals r, and so does the rank of every module's factors.\n\n"
    );
    text += "| module | rank | change, \\|ΔW\\| |\n|---|---|---|\n";
    for AdapterModule { module, rank, norm } in &summary.modules {
        text += &format!("| `{module}` | {rank} | {norm:.4} |\n");
    }
    text
}

/// A name as code, whatever it holds.
fn code(name: &str) -> String {
    format!("`{}`", plain(name).replace('`', "'"))
}

/// The contents of a safetensors file with these f32 tensors.
fn safetensors(tensors: &Named) -> candle_core::Result<Vec<u8>> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let listed = tensors.iter().map(|(name, tensor)| {
        (name.as_str(), Dtype::F32, tensor.dims(), tensor.elem_count() * Element::F32.size())
    });
    let mut file = Header::write(&metadata, listed);
    for tensor in tensors.values() {
        Element::F32.round_into(&tensor.flatten_all()?.to_vec1()?, &mut file);
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
