//! What Hugging Face computed, as `tests/fixtures/README.md` describes it.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use rescribe::model::Model;
use rescribe::progress::Silent;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `golden.json`.
#[derive(Deserialize)]
pub struct Golden {
    pub prompts: Vec<Prompt>,
    pub passage: Passage,
    pub tokenization: Vec<Text>,
}

#[derive(Deserialize)]
pub struct Prompt {
    pub text: String,
    pub ids: Vec<u32>,
    /// In characters.
    pub offsets: Vec<(usize, usize)>,
    pub mean_nll: f32,
    pub delta_layer: usize,
    pub delta_token: usize,
    pub delta_loss: f32,
    pub continuation_ids: Vec<u32>,
    pub continuation_text: String,
}

#[derive(Deserialize)]
pub struct Passage {
    pub text: String,
    pub ids: Vec<u32>,
    pub mean_nll: f32,
}

#[derive(Deserialize)]
pub struct Text {
    pub text: String,
    pub ids: Vec<u32>,
}

/// `golden_rome.json`.
#[derive(Deserialize)]
pub struct Rome {
    pub subject: String,
    pub layer: usize,
    pub clamp: f64,
    pub target_new: String,
    pub target_ids: Vec<u32>,
    /// The last is the essence prompt.
    pub contexts: Vec<Context>,
    pub steps: Vec<Step>,
}

#[derive(Deserialize)]
pub struct Context {
    pub text: String,
    /// Behind the prompt all target tokens but the last.
    pub ids: Vec<u32>,
    pub prompt_tokens: usize,
    pub lookup_token: usize,
}

#[derive(Deserialize)]
pub struct Step {
    pub loss: f64,
    pub nll: f64,
    pub kl: f64,
    pub decay: f64,
    pub nll_each: Vec<f32>,
}

/// One folder of fixtures.
pub struct Fixture {
    pub name: &'static str,
    pub model: Model,
    pub golden: Golden,
    /// `golden.safetensors`.
    pub tensors: HashMap<String, Tensor>,
}

impl Fixture {
    pub fn open(name: &'static str) -> Self {
        let model = Model::open(&path(name, "model"), &Device::Cpu, &Silent);
        Self {
            name,
            model: model.expect("the fixture is a model"),
            golden: json(name, "golden.json"),
            tensors: tensors(name, "golden.safetensors"),
        }
    }

    /// The value optimisation and its tensors.
    pub fn rome(&self) -> (Rome, HashMap<String, Tensor>) {
        (json(self.name, "golden_rome.json"), tensors(self.name, "golden_rome.safetensors"))
    }

    /// `prompt.p.name` of `golden.safetensors`.
    pub fn expected(&self, prompt: usize, name: &str) -> &Tensor {
        &self.tensors[&format!("prompt.{prompt}.{name}")]
    }

    /// The token ids of the prompts.
    pub fn prompts(&self) -> Vec<&[u32]> {
        self.golden.prompts.iter().map(|prompt| prompt.ids.as_slice()).collect()
    }
}

fn path(fixture: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture).join(file)
}

fn json<T: DeserializeOwned>(fixture: &str, file: &str) -> T {
    let text = std::fs::read(path(fixture, file)).expect("the fixture is there");
    serde_json::from_slice(&text).expect("the fixture is as its README says")
}

fn tensors(fixture: &str, file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path(fixture, file), &Device::Cpu).expect("the fixture is there")
}
