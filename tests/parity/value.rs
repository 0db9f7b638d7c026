//! The value optimisation of the published ROME program.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, Var};
use rescribe::model::{AddToRows, Batch, Decoder, Site, Tokenizer};
use rescribe::ops::token_nll;
use rescribe::plan::{Located, Settings};
use rescribe::progress::Silent;
use rescribe::rank_one::key::mean_key;
use rescribe::rank_one::{EditContexts, value};

use super::comparison::Comparison;
use super::golden::{Fixture, Rome};
use super::tolerance;

/// Those with a golden optimisation; the clamp takes hold in the second.
const FIXTURES: [&str; 2] = ["llama", "gpt2"];

fn for_each_fixture(
    check: impl Fn(&Fixture, &Rome, &HashMap<String, Tensor>, &mut Comparison) -> Result<()>,
) -> Result<()> {
    let mut comparison = Comparison::default();
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let (rome, tensors) = fixture.rome();
        check(&fixture, &rome, &tensors, &mut comparison)?;
    }
    comparison.finish();
    Ok(())
}

/// The settings of the published program, as `published_rome.py` has them.
fn published(clamp: f64, steps: usize) -> Settings {
    Settings {
        parity: true,
        contexts: 2,
        context_tokens: 10,
        steps,
        learning_rate: 0.5,
        clamp,
        weight_decay: 0.5,
        kl_weight: 0.0625,
        neighbor_weight: 0.,
        near_weight: 0.,
        wordings: 0,
        lens_weight: 0.,
        scatter_weight: 0.,
        end_weight: 0.,
        stop_loss: 0.05,
        second_moment_tokens: 0,
        ridge: 0.,
        max_delta: f64::INFINITY,
        seed: 0,
    }
}

fn located(rome: &Rome) -> Vec<Located> {
    let prompts = rome.contexts.iter().map(|context| Located {
        ids: context.ids[..context.prompt_tokens].to_vec(),
        lookup: context.lookup_token,
    });
    prompts.collect()
}

fn edit_contexts(decoder: &Decoder, rome: &Rome) -> Result<EditContexts> {
    let located = located(rome);
    let (essence, contexts) = located.split_last().expect("the last is the essence prompt");
    let essence = essence.clone().up_to_lookup();
    EditContexts::new(decoder, rome.layer, contexts, &rome.target_ids, &essence)
}

#[test]
fn tokens_of_contexts_and_target() -> Result<()> {
    for_each_fixture(|fixture, rome, _, comparison| {
        let tokenizer = &fixture.model.tokenizer;
        let name = |what: &str, text: &str| format!("{} {what} of {text:?}", fixture.name);
        for context in &rome.contexts {
            let encoded = tokenizer.encode(&context.text).expect("the text can be encoded");
            let expected = &context.ids[..context.prompt_tokens];
            comparison.equal(&name("ids", &context.text), encoded.ids.as_slice(), expected);
            let subject = &rome.subject;
            let start = context.text.find(subject).expect("it holds the subject");
            let lookup = Tokenizer::lookup_token(&encoded, start + subject.len());
            let expected = Some(context.lookup_token);
            comparison.equal(&name("lookup token", &context.text), &lookup, &expected);
        }
        let target = tokenizer.continuation(&rome.contexts[0].text, &rome.target_new);
        let target = target.expect("the target can be encoded");
        comparison.equal(&name("ids", &rome.target_new), &target, &rome.target_ids);
        Ok(())
    })
}

#[test]
fn keys_and_values_at_the_lookup_tokens() -> Result<()> {
    for_each_fixture(|fixture, rome, tensors, comparison| {
        let contexts = edit_contexts(&fixture.model.decoder, rome)?;
        let key = Tensor::new(mean_key(&contexts.keys)?, &Device::Cpu)?;
        let found = [
            ("keys", contexts.keys.clone()),
            ("key", key),
            ("values", contexts.values.clone()),
            ("v0", contexts.values.get(0)?),
        ];
        for (name, found) in found {
            let label = format!("{} {name}", fixture.name);
            comparison.tensor(tolerance::SITE, &label, &found, &tensors[name]);
        }
        Ok(())
    })
}

/// The objective by way of the whole decoder: NLL of each target token behind each context,
/// [contexts, target tokens], with δ added at every lookup token.
fn target_nll(decoder: &Decoder, rome: &Rome, delta: &Tensor) -> Result<Tensor> {
    let batch = Batch::new(&rome.contexts.iter().map(|context| &context.ids).collect::<Vec<_>>());
    let starts: Vec<usize> = batch.spans.iter().map(|span| span.rows.start).collect();
    let placed = || rome.contexts.iter().zip(&starts);
    let lookups: Vec<usize> = placed().map(|(context, at)| at + context.lookup_token).collect();
    let mut add = AddToRows::new((rome.layer, Site::Value), &lookups, batch.rows(), delta)?;
    let hidden = decoder.observe(&batch, None, &mut add)?.expect("the run is not stopped");
    let (contexts, target) = (rome.contexts.len() - 1, &rome.target_ids);
    let firsts = placed().take(contexts).map(|(context, at)| at + context.prompt_tokens - 1);
    let read: Vec<usize> = firsts.flat_map(|first| first..first + target.len()).collect();
    let logits = decoder.logits(&hidden, &read)?;
    token_nll(&logits, &target.repeat(contexts))?.reshape((contexts, target.len()))
}

/// At δ = 0 neither divergence nor decay has a gradient.
#[test]
fn first_gradient_and_nll_of_each_context() -> Result<()> {
    for_each_fixture(|fixture, rome, tensors, comparison| {
        let decoder = &fixture.model.decoder;
        let deltas = &tensors["deltas"];
        for (step, golden) in rome.steps.iter().enumerate() {
            let found = target_nll(decoder, rome, &deltas.get(step)?)?.mean(1)?.to_vec1()?;
            let label = format!("{} nll_each of step {step}", fixture.name);
            comparison.slice(tolerance::NLL, &label, &found, &golden.nll_each);
        }
        let delta = Var::from_tensor(&deltas.get(0)?)?;
        let gradients = target_nll(decoder, rome, &delta)?.mean_all()?.backward()?;
        let found = gradients.get(&delta).expect("the loss depends on δ");
        let label = format!("{} first_gradient", fixture.name);
        comparison.tensor(tolerance::GRADIENT, &label, found, &tensors["first_gradient"]);
        Ok(())
    })
}

/// With fewer steps the last δ is the one before an update of the whole optimisation.
#[test]
fn every_step_of_the_published_optimisation() -> Result<()> {
    for_each_fixture(|fixture, rome, tensors, comparison| {
        let decoder = &fixture.model.decoder;
        let contexts = edit_contexts(decoder, rome)?;
        let run = |steps| {
            let settings = published(rome.clamp, steps);
            value::optimise(decoder, &contexts, &settings, &Silent).expect("it converges")
        };
        for step in 0..rome.steps.len() {
            let found = Tensor::new(run(step + 1).delta, &Device::Cpu)?;
            let label = format!("{} δ before the update of step {step}", fixture.name);
            let expected = tensors["deltas"].get(step)?;
            comparison.tensor(tolerance::OPTIMISED, &label, &found, &expected);
        }
        let found = run(rome.steps.len());
        let delta = Tensor::new(found.delta, &Device::Cpu)?;
        let label = format!("{} final δ", fixture.name);
        comparison.tensor(tolerance::OPTIMISED, &label, &delta, &tensors["delta"]);
        comparison.equal("number of steps", &found.steps.len(), &rome.steps.len());
        let found: Vec<_> =
            found.steps.iter().map(|step| [step.loss, step.nll, step.kl, step.decay]).collect();
        let golden: Vec<_> =
            rome.steps.iter().map(|step| [step.loss, step.nll, step.kl, step.decay]).collect();
        for (part, name) in ["loss", "nll", "kl", "decay"].into_iter().enumerate() {
            let column = |steps: &[[f64; 4]]| -> Vec<f32> {
                steps.iter().map(|step| step[part] as f32).collect()
            };
            let label = format!("{} {name} of each step", fixture.name);
            comparison.slice(tolerance::STEP_LOSS, &label, &column(&found), &column(&golden));
        }
        Ok(())
    })
}
