//! Training steps of a small llama with random weights: 128 wide, 6 layers, 2,000 tokens.

mod random_llama;

use candle_core::Device;
use divan::{Bencher, counter::ItemsCount};
use rescribe::gradient::{Example, TokenLoss, Trainer, TrainerSettings};
use rescribe::model::Random;
use rescribe::model::{Model, TrainRule};
use rescribe::progress::Silent;

use random_llama::Shape;

const SHAPE: Shape = Shape {
    hidden: 128,
    intermediate: 384,
    layers: 6,
    heads: 4,
    kv_heads: 4,
    vocabulary: 2000,
    context: 256,
};

fn main() {
    divan::main();
}

/// Tokens a second; the argument is the number of sequences of 128 tokens in a step.
#[divan::bench(args = [8, 16, 32], sample_count = 10)]
fn step(bencher: Bencher, sequences: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    random_llama::write(folder.path(), &SHAPE);
    let model = Model::open(folder.path(), &Device::Cpu, &Silent).expect("a model");
    let trainable = model.trainable(&TrainRule::default()).expect("trainable");
    let mut trainer = Trainer::new(trainable, TrainerSettings::default());
    let mut random = Random::new(2);
    let mut example = || Example {
        ids: (0..129).map(|_| random.below(2000) as u32).collect(),
        first_target: 1,
        loss: TokenLoss::Mean,
        scale: 1. / sequences as f32,
    };
    let examples: Vec<Example> = (0..sequences).map(|_| example()).collect();
    let pool = rayon::ThreadPoolBuilder::new().build().expect("a pool");
    bencher
        .counter(ItemsCount::new(sequences * 128))
        .bench_local(|| pool.install(|| trainer.step(&examples, &Silent).expect("a step")));
}
