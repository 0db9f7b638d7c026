//! General text: what a training holds where it is and keeps its budget on, and what damage is measured on.

use super::RunError;
use super::tools::Tools;
use super::train_plan::TrainPlan;
use crate::gradient::{self, Example, GeneralText, OwnWords, Subjects};
use crate::model::{Decoder, Model, ModelError};
use crate::objective::TokenLoss;
use crate::probe::{GeneralUse, general_text};
use crate::progress::Inner;
use crate::spec::{Passage, PassageSource, PassageVerb};

/// Sequences that steps draw from, at most: as many as most trainings draw. A step overshoots on the few
/// that it draws, and holding them again does harm: with 256 for 640 draws, SmolLM2 recited 91 % of 32
/// paragraphs at twice the drift at which it recites all of them.
const TRAINED: usize = 2048;
/// Sequences on which the budget is kept.
pub(super) const CHECKED: usize = 16;
/// Tokens of a sequence.
pub(super) const TOKENS: usize = 128;

/// Tokens of general text on which a run measures damage.
pub(crate) const GENERAL_TOKENS: usize = 2_000;

/// What some trainings forget.
pub(crate) struct Forgotten<'p> {
    passages: Vec<Example>,
    /// Whom or what they are about.
    subjects: Vec<&'p Subjects>,
}

impl<'p> Forgotten<'p> {
    pub(crate) fn by(plans: impl Iterator<Item = &'p TrainPlan>) -> Self {
        let (mut passages, mut subjects) = (Vec::new(), Vec::new());
        for plan in plans.filter(|it| it.settings.verb == PassageVerb::Forget) {
            passages.extend(plan.sets.passages.iter().cloned());
            subjects.push(&plan.subjects);
        }
        Self { passages, subjects }
    }

    /// Takes out the sequences that say something of it. A subject that half of them name, as a language or
    /// a country may be, is no reason to leave any out.
    fn leave_out_of(&self, sequences: &mut Vec<Example>, model: &Model) -> Result<(), RunError> {
        gradient::without_runs_of(sequences, &self.passages);
        let mut others = Vec::with_capacity(sequences.len());
        for sequence in sequences.iter() {
            let text = model.tokenizer.decode(&sequence.ids).map_err(ModelError::from)?;
            if !self.subjects.iter().any(|subjects| subjects.are_forgotten_in(&text)) {
                others.push(sequence.clone());
            }
        }
        if 2 * others.len() > sequences.len() {
            *sequences = others;
        }
        Ok(())
    }
}

/// Samples of the base on which damage is reported, without those that say something of `forgotten`: to
/// say it no longer is no damage. All of them, where nothing would be left.
pub(crate) fn reported(
    model: &Model,
    seed: u64,
    forgotten: &Forgotten<'_>,
    tools: &Tools<'_>,
) -> Result<Vec<Vec<u32>>, RunError> {
    let Tools { cache, progress, .. } = tools;
    let draw = |kind| general_text(model, cache, kind, seed, GENERAL_TOKENS / 2, *progress);
    let (bare, prose) = (draw(GeneralUse::Reported)?, draw(GeneralUse::ReportedProse)?);
    let general = mixed(prose, bare);
    let mut sequences: Vec<Example> = general.iter().cloned().map(example).collect();
    forgotten.leave_out_of(&mut sequences, model)?;
    Ok(match sequences.is_empty() {
        true => general,
        false => sequences.into_iter().map(|it| it.ids).collect(),
    })
}

/// Fills the general text of a plan, the user's or samples of the base, and what `start` says of the
/// subjects of its passages in its own words.
pub(super) fn ready(
    model: &Model,
    start: &Decoder,
    plan: &mut TrainPlan,
    tools: &Tools<'_>,
) -> Result<(), RunError> {
    let mut sequences = sequences_of(model, plan, tools)?;
    if plan.settings.own_words {
        plan.sets.own = in_own_words(model, start, plan, &sequences, tools)?;
    }
    let settings = &plan.settings;
    if settings.noise > 0. {
        let others = [plan.sets.retain.as_slice(), &plan.sets.holdout];
        let drawn = sequences.len();
        gradient::without_mentions(&mut sequences, &plan.sets.passages, others);
        let kept = format!("{} of {drawn} sequences tell nothing of the passages", sequences.len());
        tools.progress.note("held text", &kept);
    } else if settings.verb == PassageVerb::Forget {
        Forgotten::by(std::iter::once(&*plan)).leave_out_of(&mut sequences, model)?;
    }
    if let 0 | 1 = sequences.len() {
        match &plan.general {
            Some(file) => {
                let (file, sequences) = (file.clone(), sequences.len());
                return Err(RunError::GeneralTooShort { file, sequences });
            }
            None => tools.progress.warn(
                "the base's own samples repeat the passages, so that no general text is held and \
                 max_drift is not kept; name a file with `general` in [gradient]",
            ),
        }
    }
    let checked = CHECKED.min(sequences.len().div_ceil(8));
    let checked = sequences.split_off(sequences.len() - checked);
    sequences.truncate(drawn(plan));
    plan.sets.general = GeneralText { trained: sequences, checked };
    Ok(())
}

/// What `start` says of the subjects of a plan's passages in its own words, as a training of the plan
/// asks it.
pub(crate) fn own_words(
    model: &Model,
    start: &Decoder,
    plan: &TrainPlan,
    tools: &Tools<'_>,
) -> Result<OwnWords, RunError> {
    in_own_words(model, start, plan, &sequences_of(model, plan, tools)?, tools)
}

fn in_own_words(
    model: &Model,
    start: &Decoder,
    plan: &TrainPlan,
    sequences: &[Example],
    tools: &Tools<'_>,
) -> Result<OwnWords, RunError> {
    let progress = tools.progress;
    let mut own = OwnWords::new(model, start, &plan.subjects, sequences, progress)?;
    if plan.subjects.holdout.is_empty() && plan.references.is_empty() {
        // Nothing says when enough of it is forgotten.
        own.passages.clear();
    }
    if own.forms > 0 {
        progress.note("own words", &own.describe());
    }
    Ok(own)
}

/// Sequences that the steps of a plan draw from, at most.
pub(super) fn drawn(plan: &TrainPlan) -> usize {
    let settings = &plan.settings;
    let drawn = settings.steps.saturating_mul(settings.general_batch as u64);
    TRAINED.min(usize::try_from(drawn).unwrap_or(TRAINED))
}

/// The user's general text, or samples of the base: those that steps draw from, and those on which the
/// budget is kept.
fn sequences_of(
    model: &Model,
    plan: &TrainPlan,
    tools: &Tools<'_>,
) -> Result<Vec<Example>, RunError> {
    match &plan.general {
        Some(file) => {
            let mut passages = PassageSource::File(file.clone()).read()?;
            bound(&mut passages);
            Ok(gradient::examples(model, &passages, TOKENS)?)
        }
        None => own_samples(model, drawn(plan) + CHECKED, tools),
    }
}

/// Bytes of the user's general text that are tokenised: many times what a training draws.
const BYTES: usize = 4 << 20;

/// Leaves the first passages, up to so many bytes.
fn bound(passages: &mut Vec<Passage>) {
    let mut left = BYTES;
    passages.retain_mut(|passage| {
        if passage.text.len() > left {
            let end = (0..=left).rev().find(|at| passage.text.is_char_boundary(*at));
            passage.text.truncate(end.unwrap_or(0));
        }
        left -= passage.text.len();
        !passage.text.is_empty()
    });
}

/// At least so many samples of the base, in groups that are drawn once and kept for later trainings.
///
/// One in two is prose: on prose of others' writing, samples from nothing alone hold a model less well.
fn own_samples(
    model: &Model,
    sequences: usize,
    tools: &Tools<'_>,
) -> Result<Vec<Example>, RunError> {
    /// Sequences of a group of either kind.
    const GROUP: usize = 32;
    let mut samples = Vec::new();
    // The seed of a training is no reason to draw other text.
    let groups = sequences.div_ceil(2 * GROUP) as u64;
    let Tools { cache, progress, .. } = tools;
    progress.phase("held text", Some(2 * groups));
    for group in 0..groups {
        let draw = |kind, done| {
            progress.advance(2 * group + done, "sampling");
            general_text(model, cache, kind, group, GROUP * TOKENS, &Inner(*progress))
        };
        let (prose, bare) = (draw(GeneralUse::HeldProse, 0)?, draw(GeneralUse::Held, 1)?);
        samples.extend(mixed(prose, bare));
    }
    Ok(samples.into_iter().map(example).collect())
}

/// Samples that begin as prose does and samples that begin anyhow, in turn. What a model writes from
/// nothing is hardly the text that it is used on.
fn mixed(prose: Vec<Vec<u32>>, bare: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    prose.into_iter().zip(bare).flat_map(|(prose, bare)| [prose, bare]).collect()
}

fn example(ids: Vec<u32>) -> Example {
    Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_name_a_forgotten_subject_are_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        let device = candle_core::Device::Cpu;
        let model = Model::open(std::path::Path::new(folder), &device, &crate::progress::Silent);
        let model = model.expect("a fixture");
        let ids = |text: &str| model.tokenizer.encode(text).expect("tokens").ids;
        let read = |text: &str| example(ids(text));
        let passages = vec![read("She lives in a house by the old harbour.")];
        let named = |name: &str| Subjects { passages: vec![name.into()], ..Subjects::default() };
        let left = |name: &str| -> Vec<Vec<u32>> {
            let subjects = named(name);
            let forgotten = Forgotten { passages: passages.clone(), subjects: vec![&subjects] };
            let mut sequences = vec![
                read("The phone of Ada Winter is red."),
                read("Otto lives in a house by the old harbour."),
                read("The river is wide here."),
                read("The wind is cold."),
            ];
            forgotten.leave_out_of(&mut sequences, &model).expect("read");
            sequences.into_iter().map(|it| it.ids).collect()
        };
        assert_eq!(left("Ada Winter"), [ids("The river is wide here."), ids("The wind is cold.")]);
        // A subject that most samples name leaves out none of them.
        assert_eq!(left("The").len(), 3);
    }

    #[test]
    fn a_file_without_end_is_cut_and_a_usual_one_stays() {
        let passage = |bytes: usize| Passage::of_text("é".repeat(bytes / 2));
        let mut long = vec![passage(6), passage(BYTES), passage(6)];
        bound(&mut long);
        let sizes: Vec<usize> = long.iter().map(|passage| passage.text.len()).collect();
        assert_eq!(sizes, [6, BYTES - 6]);
        let mut usual = vec![passage(100), passage(200)];
        bound(&mut usual);
        assert_eq!(usual, [passage(100), passage(200)]);
    }
}
