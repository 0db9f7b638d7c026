//! The residual-stream target of each fact after the last edited layer.
//!
//! z = h + δ, or h changed as δ at the value site changes it where a norm follows the value. δ is
//! found for each fact separately in the base model, as in MEMIT (arXiv
//! 2210.07229, section 4.2). Layers after the last edited one never change, so a δ holds for
//! the whole sequence of batches, whatever was written before. Its length is measured relative to
//! the residual stream h, as published; in ROME it is relative to the value.
//!
//! A δ depends on the weights, the tokens and the settings of the optimisation alone, not on how
//! it is written. It is kept on disk under the digest of all these: an interrupted batch goes
//! on where it stopped, and another λ or method needs no new optimisation.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::context::{Asked, EditContexts};
use super::error::RankOneError;
use super::value::{OptimisedValue, StepLoss, optimise};
use crate::files::{FileError, Sha256, keep_sealed, read_sealed};
use crate::model::Decoder;
use crate::objective::answer::Goal;
use crate::objective::lens::{Lens, LensRow};
use crate::plan::{Located, PlannedEdit, Settings, Wording, WritePlan, never_knew, never_knew_at};
use crate::progress::Progress;
use crate::spec::Toward;

/// Facts that are looked up under one key, which can have only one value.
///
/// "The Eiffel Tower stands in the city of" and "The Eiffel Tower stands in the land of" are
/// the same up to the lookup token, so one δ has to serve both.
pub type FactGroup<'a> = Vec<&'a PlannedEdit>;

/// The facts, gathered by the tokens of their contexts up to the lookup token.
pub fn fact_groups(edits: &[PlannedEdit]) -> Vec<FactGroup<'_>> {
    let mut places: HashMap<Vec<Vec<u32>>, usize> = HashMap::new();
    let mut groups: Vec<FactGroup<'_>> = Vec::new();
    for edit in edits {
        let contexts = edit.counted();
        let seen = contexts.into_iter().map(|c| c.ids[..=c.lookup].to_vec()).collect();
        match places.entry(seen) {
            Entry::Occupied(place) => groups[*place.get()].push(edit),
            Entry::Vacant(place) => {
                place.insert(groups.len());
                groups.push(vec![edit]);
            }
        }
    }
    groups
}

/// The facts of writes that follow each other, gathered by subject: a later write would otherwise
/// undo what an earlier one gave to nearly the same key. As published, each fact is written
/// separately.
pub fn fact_groups_by_subject<'e>(
    plan: &WritePlan,
    edits: &'e [PlannedEdit],
) -> Vec<FactGroup<'e>> {
    let mut groups: Vec<FactGroup<'e>> = Vec::new();
    for edit in edits {
        let subject = edit.subject.to_lowercase();
        let is_same = |group: &&mut FactGroup<'e>| group[0].subject.to_lowercase() == subject;
        match groups.iter_mut().find(is_same).filter(|_| !plan.settings.parity) {
            Some(group) => group.push(edit),
            None => groups.push(vec![edit]),
        }
    }
    groups
}

/// Finds δ of one fact group at the plan's last layer, in the base model, `decoder`.
pub fn find(
    decoder: &Decoder,
    plan: &WritePlan,
    group: &FactGroup<'_>,
    progress: &dyn Progress,
) -> Result<OptimisedValue, RankOneError> {
    let mut contexts = contexts(decoder, plan, group)?;
    // A δ that a norm follows is not a change of the stream, relative to which it could be
    // measured.
    if plan.method.is_batched() && decoder.value_path(plan.layer).is_identity() {
        let rows: Vec<u32> = contexts.lookup_rows().iter().map(|row| *row as u32).collect();
        let asked = contexts.values.dims()[0];
        let rows = Tensor::new(&rows[..asked], decoder.device())?;
        contexts.values = contexts.residual.index_select(&rows, 0)?;
    }
    Ok(optimise(decoder, &contexts, &plan.settings, progress)?)
}

/// The contexts of a fact group, with the targets of each of its facts.
pub fn contexts(
    decoder: &Decoder,
    plan: &WritePlan,
    group: &[&PlannedEdit],
) -> candle_core::Result<EditContexts> {
    let located: Vec<Vec<Located>> = group.iter().map(|edit| edit.asked()).collect();
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let (mut goals, mut rows) = (Vec::new(), 0);
    let mut watched = Vec::new();
    for (edit, located) in group.iter().zip(&located) {
        let goal = edit.goal(decoder)?;
        let framed = edit.framed_goals(decoder)?;
        let prompts = located.len() - framed.len();
        let target = edit.wanted();
        watched.extend(edit.watched(decoder, plan, (rows, prompts))?);
        for (context, goal) in located.iter().zip(vec![goal; prompts].into_iter().chain(framed)) {
            let reads_end = plan.ends.is_some() && edit.has_end();
            asked.push(Asked { context, target, reads_end });
            let first = if matches!(goal, Goal::Answer(..)) { target.len() - 1 } else { 0 };
            goals.push((rows + first..rows + target.len(), goal));
            rows += target.len();
        }
    }
    let mut essence = group[0].essence.located();
    if plan.settings.parity {
        essence = essence.up_to_lookup();
    }
    let mut contexts = EditContexts::of_each(decoder, plan.layer, &asked, &essence)?;
    if group.iter().any(|edit| edit.erase.is_some()) {
        contexts.goals = goals;
    }
    contexts.ends = plan.ends.clone();
    contexts.lens = Lens::new(plan.settings.lens_weight, watched);
    Ok(contexts)
}

/// Contexts of a fact in which the residual stream is read after every layer.
const WATCHED: usize = 2;

impl PlannedEdit {
    /// The target's tokens that the loss reads; of an answer that is compared, up to the token
    /// that is.
    fn wanted(&self) -> &[u32] {
        match &self.erase {
            Some(erase) if erase.toward == Toward::Unknown => &erase.target_true[..=erase.lead],
            Some(erase) if erase.toward == Toward::Minimise => &erase.target_true,
            _ => &self.target,
        }
    }

    /// The contexts that count, then the further wordings that do.
    pub(super) fn asked(&self) -> Vec<Located> {
        let mut asked = self.counted();
        asked.extend(self.framed().map(|wording| wording.prompt.located()));
        asked
    }

    /// The further wordings of an erase that count.
    fn framed(&self) -> impl Iterator<Item = &Wording> {
        let wordings = self.erase.iter().flat_map(|erase| &erase.wordings);
        wordings.filter(|wording| !wording.prompt.is_sink)
    }

    fn framed_goals(&self, decoder: &Decoder) -> candle_core::Result<Vec<Goal>> {
        let Some(erase) = &self.erase else { return Ok(Vec::new()) };
        let goal = |wording: &Wording| {
            let q = never_knew(decoder, &wording.others, erase.token())?;
            Ok(Goal::answer(q, erase.token()))
        };
        self.framed().map(goal).collect()
    }

    /// The rows whose residual streams are read on the way, where `rows` targets come before this
    /// fact's and `prompts` of its contexts are its prompt: those after some of the prefixes.
    fn watched(
        &self,
        decoder: &Decoder,
        plan: &WritePlan,
        (rows, prompts): (usize, usize),
    ) -> candle_core::Result<Vec<LensRow>> {
        let Some(erase) = &self.erase else { return Ok(Vec::new()) };
        // The last layer's stream is what the head reads anyway.
        let layers = plan.layer + 1..decoder.config().layers.saturating_sub(1);
        if plan.settings.lens_weight == 0. || erase.toward != Toward::Unknown || layers.is_empty() {
            return Ok(Vec::new());
        }
        let token = erase.token();
        let shares = never_knew_at(decoder, &erase.other_ids(), token, layers.clone())?;
        let target = self.wanted().len();
        let first = usize::from(self.has_bare() && prompts > 1);
        let contexts = first..prompts.min(first + WATCHED);
        let row = |(layer, share): (usize, &f32)| {
            let at = |context: usize| rows + (context + 1) * target - 1;
            let read = |context| LensRow::new(layer, at(context), token, *share);
            contexts.clone().map(read).collect::<Vec<_>>()
        };
        Ok(layers.zip(&shares).flat_map(row).collect())
    }

    fn goal(&self, decoder: &Decoder) -> candle_core::Result<Goal> {
        match &self.erase {
            Some(erase) if erase.toward == Toward::Unknown => {
                let q = never_knew(decoder, &erase.other_ids(), erase.token())?;
                Ok(Goal::answer(q, erase.token()))
            }
            Some(erase) if erase.toward == Toward::Minimise => Ok(Goal::Avoid),
            _ => Ok(Goal::Say),
        }
    }
}

/// Optimised values on disk.
pub struct ValueStore {
    folder: PathBuf,
    weights: Sha256,
}

/// Part of every digest; another objective needs another number.
const OBJECTIVE: u32 = 1;
/// Part of the digests of erased facts; another loss for them needs another number.
const ERASE: u32 = 4;
/// Part of the digests of facts whose targets end; another loss for it needs another number.
const END: u32 = 2;
/// Metadata key of the bits of the value's norm and of the steps. Several keys would be written in
/// any order, so that one value had many files.
const NOTES: &str = "norm_bits_and_steps";

impl ValueStore {
    /// Opens the store in the cache folder `cache`, for the model whose weights have this digest.
    pub fn open(cache: &Path, weights: Sha256) -> Result<Self, FileError> {
        let folder = cache.join("values");
        std::fs::create_dir_all(&folder)
            .map_err(|source| FileError::Write { path: folder.clone(), source })?;
        Ok(Self { folder, weights })
    }

    /// The stored δ of a fact group, if it was found before.
    pub fn get(
        &self,
        plan: &WritePlan,
        group: &FactGroup<'_>,
        width: usize,
        progress: &dyn Progress,
    ) -> Option<OptimisedValue> {
        let bytes = read_sealed(&self.file(plan, group), progress)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
        let notes = metadata.metadata().as_ref()?.get(NOTES)?;
        let (value_norm, steps): (u64, Vec<StepLoss>) = serde_json::from_str(notes).ok()?;
        let value_norm = f64::from_bits(value_norm);
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let view = tensors.tensor("delta").ok()?;
        let is_ours = view.dtype() == Dtype::F32 && view.shape() == [width] && !steps.is_empty();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let delta: Vec<f32> = view.data().chunks_exact(4).map(number).collect();
        is_ours.then_some(OptimisedValue { delta, value_norm, steps })
    }

    /// Stores the δ of a fact group.
    pub fn put(
        &self,
        plan: &WritePlan,
        group: &FactGroup<'_>,
        value: &OptimisedValue,
        progress: &dyn Progress,
    ) {
        let bytes: Vec<u8> = value.delta.iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = vec![value.delta.len()];
        let view = TensorView::new(Dtype::F32, shape, &bytes).expect("four bytes a number");
        let notes = serde_json::to_string(&(value.value_norm.to_bits(), &value.steps));
        let metadata = [(NOTES.to_owned(), notes.expect("numbers are JSON"))].into();
        let content = safetensors::serialize([("delta", view)], Some(metadata))
            .expect("one tensor of known size");
        keep_sealed(&self.file(plan, group), &[&content], progress);
    }

    fn file(&self, plan: &WritePlan, group: &FactGroup<'_>) -> PathBuf {
        let fact = |edit: &&PlannedEdit| {
            let contexts = edit.asked().into_iter().map(|c| (c.ids, c.lookup));
            (contexts.collect::<Vec<_>>(), edit.wanted().to_vec())
        };
        let (contexts, target) = fact(&group[0]);
        let others: Vec<_> = group[1..].iter().map(fact).collect();
        let essence = (&group[0].essence.ids, group[0].essence.lookup);
        // What is sampled, counted and solved does not enter δ except through the tokens.
        let settings = Settings {
            contexts: 0,
            context_tokens: 0,
            neighbor_weight: 0.,
            near_weight: 0.,
            scatter_weight: 0.,
            second_moment_tokens: 0,
            ridge: 0.,
            max_delta: 0.,
            seed: 0,
            ..plan.settings.clone()
        };
        let all = (OBJECTIVE, plan.layer, contexts, target, essence, settings);
        let mut text = serde_json::to_string(&all).expect("numbers are JSON");
        if !plan.method.is_batched() {
            text += "against the value";
        }
        if !others.is_empty() {
            text += &serde_json::to_string(&others).expect("numbers are JSON");
        }
        let erased = |edit: &&PlannedEdit| {
            let erase = edit.erase.as_ref()?;
            let framed: Vec<_> = edit.framed().map(|wording| wording.others.clone()).collect();
            Some((ERASE, erase.toward.clone(), erase.other_ids(), framed))
        };
        if group.iter().any(|edit| edit.erase.is_some()) {
            let erased: Vec<_> = group.iter().map(erased).collect();
            text += &serde_json::to_string(&erased).expect("numbers are JSON");
        }
        if let Some(ends) = &plan.ends {
            let has_end: Vec<bool> = group.iter().map(|edit| edit.has_end()).collect();
            text += &format!("{END} {has_end:?} {}", ends.sha256());
        }
        let digest = Sha256::of(format!("{} {text}", self.weights));
        self.folder.join(format!("{digest}.safetensors"))
    }
}
