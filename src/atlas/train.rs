//! Training of the built-in model: corpus, tokenizer, first weights, steps, folder.
//!
//! Everything is drawn from the seed, so that the same seed and machine give the same bytes, even
//! where a training was stopped and resumed from its checkpoint. Weights are f32 while they are
//! trained and rounded to f16 once, at the end.

use std::path::Path;

use candle_core::Device;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::TrainingError;
use super::batches::{Packing, steps};
use super::corpus::{Corpus, Document, Without};
use super::folder;
use super::recipe::TrainingRecipe;
use super::tokenizer;
use super::world::World;
use crate::checkpoint;
use crate::files::{Building, Overwrite, Sha256};
use crate::gradient::{Checkpointing, Example, StepReport, TokenLoss, TrainError, Trainer};
use crate::model::weights::element::Element;
use crate::model::{Editing, Model, ModelError, TrainRule};
use crate::progress::{Progress, Silent};

/// The settings with which facts are best written to the model, found by sweeps over counterfactual
/// records: subjects are resolved in the first layer, where a value far from the usual ones
/// survives.
const EDITING: Editing =
    Editing { layer: 0, steps: 150, weight_decay: 0.03, max_delta: 2., contexts: Some(4) };

/// A training of the built-in model from a seed.
pub struct Training<'a> {
    /// Seed of the first weights and of the corpus; the world is the same for all seeds.
    pub seed: u64,
    /// The people whose documents are left out.
    pub without: &'a Without,
    /// Shape, budget and rates.
    pub recipe: &'a TrainingRecipe,
    /// The checkpoint in which the state is saved, and from which the training resumes.
    pub checkpoint: Option<&'a Checkpointing>,
}

/// Summary of a training.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TrainingSummary {
    /// Number of trained values.
    pub parameters: usize,
    /// Documents read, over all epochs.
    pub documents: usize,
    /// Tokens read, over all epochs.
    pub tokens: usize,
    /// Number of steps.
    pub steps: u64,
    /// Mean NLL a token over the last epoch, nats.
    pub loss: f64,
}

impl Training<'_> {
    /// Trains the model and writes the folder `out`, whole or not at all.
    pub fn run(
        &self,
        out: &Path,
        overwrite: Overwrite,
        progress: &dyn Progress,
    ) -> Result<TrainingSummary, TrainingError> {
        let out = checkpoint::folder::free_destination(out, overwrite)?;
        let (recipe, world) = (self.recipe, World::generate(super::WORLD_SEED));
        progress.phase("tokenizer", None);
        let tokenizer = tokenizer::train(&tokenizer::texts(&world), recipe.vocabulary)?;
        let first = self.first(&tokenizer, progress)?;
        let corpus = Corpus::new(&world, self.seed, self.without);
        let documents = self.documents(&first, &corpus, progress)?;
        let packing = Packing {
            batch: recipe.batch,
            context: recipe.context,
            separator: first.start_token(),
        };
        let steps = steps(documents.into_iter(), packing);
        let (trainer, loss) = self.steps(&first, &steps, progress)?;
        let trained = TrainingSummary {
            parameters: recipe.parameters(),
            documents: steps.iter().map(Vec::len).sum(),
            tokens: steps.iter().flatten().map(Vec::len).sum(),
            steps: trainer.steps(),
            loss,
        };
        let tensors = folder::trained(&trainer.tensors()?)?;
        let temporary = Building::beside(&out)?;
        let notes = self.notes(&trained);
        let place = temporary.path();
        folder::write(place, recipe, &tokenizer, &tensors, Element::F16, Some(&notes))?;
        temporary.publish(&out, overwrite)?;
        Ok(trained)
    }

    /// The model with its first weights.
    fn first(&self, tokenizer: &[u8], progress: &dyn Progress) -> Result<Model, TrainingError> {
        let tensors = folder::initial(self.recipe, self.seed);
        let place = tempfile::tempdir().map_err(TrainingError::Temporary)?;
        folder::write(place.path(), self.recipe, tokenizer, &tensors, Element::F32, None)?;
        progress.check()?;
        // The weights stay mapped until the model is dropped; the folder may be removed earlier.
        Ok(Model::open(place.path(), &Device::Cpu, &Silent)?)
    }

    /// The tokens of every document of every epoch.
    fn documents(
        &self,
        model: &Model,
        corpus: &Corpus<'_>,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<u32>>, TrainingError> {
        let separator = model.start_token();
        let epochs: Result<Vec<Vec<Vec<u32>>>, TrainingError> = (0..self.recipe.epochs)
            .into_par_iter()
            .map(|epoch| {
                progress.check()?;
                let tokens = |document: Document| {
                    let ids = model.tokenizer.encode(&document.text).map_err(ModelError::from)?.ids;
                    Ok(ids.into_iter().filter(|id| *id != separator).collect())
                };
                corpus.epoch(epoch).into_iter().map(tokens).collect()
            })
            .collect();
        Ok(epochs?.into_iter().flatten().collect())
    }

    /// Takes all steps; returns the trainer and the mean loss of the last epoch.
    fn steps(
        &self,
        model: &Model,
        steps: &[Vec<Vec<u32>>],
        progress: &dyn Progress,
    ) -> Result<(Trainer<'static>, f64), TrainingError> {
        let total = steps.len() as u64;
        let trainable = model.trainable(&TrainRule::default())?;
        let mut trainer = Trainer::new(trainable, self.recipe.trainer(total));
        let mut course = Course::new(steps, self.recipe.epochs);
        let fingerprint = Sha256::of(json!([self.recipe, self.seed, steps]).to_string());
        if let Some(saved) = self.checkpoint.filter(|saved| saved.file.exists()) {
            let cursor = trainer.restore(&saved.file)?;
            course.resume(cursor, fingerprint, saved)?;
        }
        progress.phase("train", Some(total));
        while let Some(sequences) = steps.get(trainer.steps() as usize) {
            let report = trainer.step(&examples(sequences), progress)?;
            course.note(&report);
            progress.advance(report.step, &format!("loss {:.3}", course.recent));
            if let Some(saved) = self.checkpoint
                && (report.step == total || report.step.is_multiple_of(saved.every))
            {
                trainer.save(&saved.file, &course.cursor(fingerprint))?;
            }
        }
        let loss = course.mean();
        Ok((trainer, loss))
    }

    /// Notes on how the folder was made: all that is needed to make it again.
    fn notes(&self, trained: &TrainingSummary) -> Value {
        json!({
            "schema": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "seed": self.seed,
            "without": super::describe(self.without),
            "recipe": self.recipe,
            "trained": trained,
            "editing": EDITING,
        })
    }
}

/// Sequences of one step, each token of the same weight.
fn examples(sequences: &[Vec<u32>]) -> Vec<Example> {
    let targets: usize = sequences.iter().map(|ids| ids.len() - 1).sum();
    let example = |ids: &Vec<u32>| Example {
        ids: ids.clone(),
        first_target: 1,
        loss: TokenLoss::Mean,
        scale: (ids.len() - 1) as f32 / targets as f32,
    };
    sequences.iter().map(example).collect()
}

/// The course of the losses over the steps.
struct Course {
    /// The first step of the last epoch.
    last_epoch: u64,
    /// A running mean, for showing.
    recent: f64,
    sum: f64,
    count: u64,
}

impl Course {
    fn new(steps: &[Vec<Vec<u32>>], epochs: usize) -> Self {
        let total = steps.len();
        let last_epoch = (total - total.div_ceil(epochs.max(1)) + 1) as u64;
        Self { last_epoch, recent: 0., sum: 0., count: 0 }
    }

    fn note(&mut self, report: &StepReport) {
        let weight = if report.step == 1 { 1. } else { 0.05 };
        self.recent += weight * (report.loss - self.recent);
        if report.step >= self.last_epoch {
            self.sum += report.loss;
            self.count += 1;
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    fn cursor(&self, data: Sha256) -> Value {
        json!({ "data": data, "recent": self.recent, "sum": self.sum, "count": self.count })
    }

    fn resume(
        &mut self,
        cursor: Value,
        data: Sha256,
        saved: &Checkpointing,
    ) -> Result<(), TrainError> {
        let fail = || TrainError::State {
            file: saved.file.display().to_string(),
            reason: "it was saved with another seed, recipe or corpus".into(),
        };
        if cursor["data"] != json!(data) {
            return Err(fail());
        }
        let number = |key: &str| cursor[key].as_f64().ok_or_else(fail);
        (self.recent, self.sum) = (number("recent")?, number("sum")?);
        self.count = cursor["count"].as_u64().ok_or_else(fail)?;
        Ok(())
    }
}

/// The people whom a training leaves out, in words.
pub fn describe(without: &Without) -> String {
    match without {
        Without::Nothing => "nothing".to_owned(),
        Without::Forget => "forget".to_owned(),
        Without::People(names) => names.join(", "),
    }
}

#[cfg(test)]
pub(super) mod tests;
