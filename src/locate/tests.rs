//! Laws of the trace on the tiny models, and a computation of one run at a time.

use std::path::Path;

use candle_core::{Device, Result};

use super::*;
use crate::model::{Batch, Random, Visit, Visitor};
use crate::progress::Silent;
use crate::spec::Insert;

fn model(family: &str) -> Model {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Model::open(&root.join(family).join("model"), &Device::Cpu, &Silent).expect("the fixture")
}

fn facts() -> Vec<Fact> {
    let fact = |subject: &str, prompt: &str| {
        let (subject, prompt) = (subject.to_owned(), prompt.to_owned());
        let (target_new, target_true, spans) = ("Rome".to_owned(), None, None);
        Insert { subject, prompt, target_new, target_true, with_ripples: false, spans }.into()
    };
    vec![fact("The Eiffel Tower", "{} is in the city of"), fact("Bert", "Where is {}? In")]
}

fn traced(model: &Model, settings: &TraceSettings) -> CausalTrace {
    locate(model, "tiny", &facts(), settings, &Silent).expect("traced")
}

fn settings() -> TraceSettings {
    TraceSettings { samples: 3, noise: 12., every: Some(1), ..TraceSettings::default() }
}

/// Probabilities of two computations of the same run differ by rounding alone.
const CLOSE: f64 = 1e-5;

#[test]
fn without_noise_nothing_changes() {
    for family in ["llama", "gpt2", "gemma3_text"] {
        let found = traced(&model(family), &TraceSettings { noise: 0., ..settings() });
        for fact in &found.facts {
            assert!((fact.corrupted - fact.clean).abs() < CLOSE, "{family}");
            let all = fact.restored.iter().flat_map(|it| it.probabilities.iter().flatten());
            assert!(all.into_iter().all(|it| (it - fact.clean).abs() < CLOSE), "{family}");
        }
    }
}

#[test]
fn the_last_token_of_the_last_layer_restores_everything() {
    let found = traced(&model("llama"), &settings());
    for fact in &found.facts {
        assert!((fact.corrupted - fact.clean).abs() > 100. * CLOSE, "the noise does something");
        let residual = &fact.restored[0].probabilities;
        let last = residual.last().and_then(|row| row.last()).expect("a token and a layer");
        assert!((last - fact.clean).abs() < CLOSE, "{last} {}", fact.clean);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let model = model("llama");
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| traced(&model, &settings()))
    };
    assert_eq!(on(1), on(3));
    assert_ne!(on(1), traced(&model, &TraceSettings { seed: 1, ..settings() }), "another draw");
}

/// Restores one token of chosen sites in a run of the whole prompt.
struct One<'a> {
    site: Site,
    layers: std::ops::RangeInclusive<usize>,
    place: usize,
    clean: &'a [Vec<Vec<f32>>],
}

impl Visitor for One<'_> {
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit> {
        if site != self.site || !self.layers.contains(&layer) {
            return Ok(Visit::Keep);
        }
        let mut values = rows.to_vec2::<f32>()?;
        values[self.place].clone_from(&self.clean[layer][self.place]);
        Ok(Visit::Substitute(Tensor::new(values, rows.device())?))
    }
}

/// P*(o | state) by one run of the whole prompt for each draw, without a cache.
fn naive(
    model: &Model,
    subject: &SubjectTokens,
    (answer, noise): (u32, f64),
    site: TracedSite,
    layers: std::ops::RangeInclusive<usize>,
    place: usize,
) -> f64 {
    let (decoder, depth) = (&model.decoder, model.decoder.config().layers);
    let batch = Batch::new(&[&subject.ids]);
    let mut recorder = crate::model::Recorder::of((0..depth).map(|layer| (layer, site.site())));
    decoder.observe(&batch, None, &mut recorder).expect("a run");
    let clean: Vec<Vec<Vec<f32>>> = (0..depth)
        .map(|layer| recorder.take(layer, site.site()).expect("recorded").to_vec2().expect("rows"))
        .collect();
    let samples = settings().samples;
    let sample = |sample: usize| {
        let mut hidden = decoder.embed(&batch).expect("rows").to_vec2::<f32>().expect("numbers");
        let mut random = Random::named(0, &format!("trace {sample} {}", subject.text));
        for row in &mut hidden[subject.subject.clone()] {
            row.iter_mut().for_each(|it| *it += (noise * random.normal()) as f32);
        }
        let hidden = Tensor::new(hidden, &Device::Cpu).expect("rows");
        let mut one = One { site: site.site(), layers: layers.clone(), place, clean: &clean };
        let last = decoder.run_layers(0..depth, hidden, &batch, None, &mut one);
        let last = last.expect("a run").expect("it does not stop");
        let logits = decoder.logits(&last, &batch.last_rows()).expect("logits");
        let logits = logits.to_vec2::<f32>().expect("numbers").remove(0);
        let total: f64 = logits.iter().map(|it| f64::from(*it).exp()).sum();
        f64::from(logits[answer as usize]).exp() / total
    };
    (0..samples).map(sample).sum::<f64>() / samples as f64
}

#[test]
fn every_number_is_that_of_a_run_of_its_own() {
    for family in ["llama", "gpt2", "gemma3_text"] {
        let model = model(family);
        let subject = SubjectTokens::of(&model.tokenizer, &facts()[0]).expect("tokenised");
        let noise = 12. * deviation(&model, std::slice::from_ref(&subject)).expect("numbers");
        let runs = Runs::new(&model.decoder, &subject, &settings(), noise).expect("run");
        let places: Vec<usize> = (subject.subject.start..subject.ids.len()).collect();
        for site in TracedSite::ALL {
            for layers in [0..=0, 1..=1] {
                let found = runs.restored(site, layers.clone(), &places).expect("restored");
                for (place, found) in places.iter().zip(found) {
                    let asked = (runs.answer, noise);
                    let one = naive(&model, &subject, asked, site, layers.clone(), *place);
                    assert!((found - one).abs() < CLOSE, "{family} {site:?} {layers:?} {place}");
                }
            }
        }
    }
}

#[test]
fn classes_are_means_of_their_tokens() {
    let found = traced(&model("llama"), &settings());
    let last = PositionClass::Last;
    let class = found.classes.iter().find(|it| it.class == last).expect("each prompt ends");
    let of = |fact: &TracedFact| {
        fact.restored[0].probabilities.last().expect("a token")[0] - fact.corrupted
    };
    let mean = found.facts.iter().map(of).sum::<f64>() / 2.;
    assert!(class.n == 2 && (class.effects[0] - mean).abs() < 1e-12);
    let peak = class.peak(&found.layers).expect("a layer");
    assert!(class.effects.iter().all(|it| *it <= peak.1));
}

#[test]
fn facts_are_needed() {
    let found = locate(&model("llama"), "tiny", &[], &settings(), &Silent);
    assert!(matches!(found, Err(LocateError::NoFacts)));
}
