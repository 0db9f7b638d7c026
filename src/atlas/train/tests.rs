use super::*;
use crate::progress::{Interrupted, Silent};

/// Small enough for a test: one layer, 16 wide.
pub(in crate::atlas) fn tiny() -> TrainingRecipe {
    TrainingRecipe {
        vocabulary: 320,
        layers: 1,
        hidden: 16,
        intermediate: 32,
        heads: 2,
        kv_heads: 1,
        epochs: 1,
        batch: 256,
        warm_up: 2,
        ..TrainingRecipe::default()
    }
}

fn tokenizer(recipe: &TrainingRecipe) -> Vec<u8> {
    let texts = ["The capital of France is Paris.", "The sea was calm and the wind was warm."];
    tokenizer::train(&texts, recipe.vocabulary).expect("a tokenizer")
}

/// Twelve steps of three sequences.
fn some_steps() -> Vec<Vec<Vec<u32>>> {
    let sequence = |n: u32| (0..12).map(|i| (n * 7 + i * 13) % 250).collect::<Vec<u32>>();
    (0..12).map(|step| (0..3).map(|n| sequence(step * 3 + n)).collect()).collect()
}

/// Stops before a step.
struct StopsAt(u64, std::sync::atomic::AtomicU64);

impl Progress for StopsAt {
    fn advance(&self, done: u64, _note: &str) {
        self.1.store(done, std::sync::atomic::Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Interrupted> {
        let done = self.1.load(std::sync::atomic::Ordering::Relaxed);
        if done >= self.0 { Err(Interrupted) } else { Ok(()) }
    }
}

fn bits(trainer: &Trainer<'_>) -> Vec<u32> {
    let named = folder::trained(&trainer.tensors().expect("tensors")).expect("numbers");
    named.into_values().flat_map(|(_, values)| values).map(f32::to_bits).collect()
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_bits() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let saved = Checkpointing { file: room.path().join("training"), every: 5 };
    let recipe = tiny();
    let mut training =
        Training { seed: 1, without: &Without::Nothing, recipe: &recipe, checkpoint: None };
    let model = training.first(&tokenizer(&recipe), &Silent).expect("a model");
    let steps = some_steps();
    let (whole, loss) = training.steps(&model, &steps, &Silent).expect("trained");
    assert!(loss.is_finite() && whole.steps() == 12);

    training.checkpoint = Some(&saved);
    let stopped = training.steps(&model, &steps, &StopsAt(7, 0.into())).err();
    assert!(matches!(stopped, Some(TrainingError::Train(TrainError::Interrupted(_)))));
    let (resumed, again) = training.steps(&model, &steps, &Silent).expect("goes on");
    assert_eq!(bits(&whole), bits(&resumed));
    assert_eq!(loss, again);

    let other = Training { seed: 2, ..training };
    let refused = other.steps(&model, &steps, &Silent).err().expect("another training");
    assert!(refused.to_string().contains("another seed"), "{refused}");
}

#[test]
fn lanes_and_threads_do_not_change_a_bit() {
    let recipe = TrainingRecipe { batch: 64, ..tiny() };
    let training =
        Training { seed: 1, without: &Without::Nothing, recipe: &recipe, checkpoint: None };
    let model = training.first(&tokenizer(&recipe), &Silent).expect("a model");
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| bits(&training.steps(&model, &some_steps(), &Silent).expect("trained").0))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
}

#[test]
fn a_folder_holds_what_makes_it_again() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let recipe = TrainingRecipe { batch: 8192, ..tiny() };
    let out = room.path().join("model");
    let training =
        Training { seed: 0, without: &Without::Forget, recipe: &recipe, checkpoint: None };
    let trained = training.run(&out, Overwrite::Refuse, &Silent).expect("trained");
    assert!(trained.loss < f64::from(recipe.vocabulary as u32).ln(), "better than chance");
    let model = Model::open(&out, &Device::Cpu, &Silent).expect("a model");
    assert_eq!(model.weights.dtype("model.norm.weight").expect("a norm"), safetensors::Dtype::F16);
    assert_eq!(model.editing, Some(EDITING));
    assert_eq!(model.stop_tokens, [model.start_token()]);
    let notes = std::fs::read(out.join(crate::model::TRAINING)).expect("notes");
    let notes: Value = serde_json::from_slice(&notes).expect("JSON");
    assert_eq!((&notes["seed"], &notes["without"]), (&json!(0), &json!("forget")));
    assert_eq!(notes["recipe"], json!(recipe));
    let again = training.run(&out, Overwrite::Refuse, &Silent).expect_err("it exists");
    assert!(again.to_string().contains("already exists"), "{again}");
}
