//! The decoder and the published value optimisation, compared with what Hugging Face computes.
//!
//! `cargo test --test parity -- --nocapture` shows the largest difference of each quantity.

#[path = "parity/comparison.rs"]
mod comparison;
#[path = "parity/golden.rs"]
mod golden;
#[path = "parity/value.rs"]
mod value;

use candle_core::{Result, Tensor, Var};
use comparison::Comparison;
use golden::Fixture;
use rescribe::model::{AddToRows, Batch, Choice, Recorder, Site, Visit, Visitor, generate};
use rescribe::ops::token_nll;
use rescribe::progress::Silent;

/// One fixture of each family.
const FAMILIES: [&str; 16] = include!("fixtures/families.rs");

/// The same families in other number types and shards, with other biases and heads.
const VARIANTS: [&str; 2] = ["llama_tied_bf16_sharded", "llama_f16_bias"];

/// Quantities with their tolerances, relative to the largest entry of the golden tensor.
///
/// f32 has a unit roundoff of 6e-8, and sums of 12 to 384 products are formed in another order
/// here than in PyTorch. Each bound is five to ten times the largest difference seen, which
/// leaves room for another processor's vector width, and far below what any mistake causes.
mod tolerance {
    /// Read from a table, or from two and added once: equal up to one rounding.
    pub const EMBEDDING: (&str, f32) = ("embedding", 1e-7);
    /// Up to three layers of such sums (seen: 3.2e-6).
    pub const SITE: (&str, f32) = ("site", 2e-5);
    /// All layers, a norm and one more sum (seen: 2.8e-6).
    pub const LOGITS: (&str, f32) = ("logits", 2e-5);
    /// Backward through a layer and the head, on top of the error of forward (seen: 3.1e-6).
    pub const GRADIENT: (&str, f32) = ("gradient", 2e-5);
    /// Means of terms that each carry the error of a logit (seen: 3.9e-7).
    pub const NLL: (&str, f32) = ("nll", 3e-6);
    /// Up to 19 updates by Adam, which divides by the gradient's size: an entry whose gradient is
    /// near zero moves by as much as any other, with a far larger relative error (seen: 1.5e-5).
    pub const OPTIMISED: (&str, f32) = ("optimised value", 1e-4);
    /// The loss at such values; it is flat where they differ (seen: 2.8e-6).
    pub const STEP_LOSS: (&str, f32) = ("loss of a step", 2e-5);
}

/// Name of a site in the fixtures.
const SITES: [(Site, &str); 4] = [
    (Site::AttentionOutput, "attention_output"),
    (Site::Key, "key"),
    (Site::Value, "value"),
    (Site::Residual, "residual"),
];

fn for_each_fixture(check: impl Fn(&Fixture, &mut Comparison) -> Result<()>) -> Result<()> {
    let mut comparison = Comparison::default();
    for name in FAMILIES.iter().chain(&VARIANTS) {
        check(&Fixture::open(name), &mut comparison)?;
    }
    comparison.finish();
    Ok(())
}

/// Indices of the prompts, alone and all together: packing must change nothing.
fn packings(prompts: usize) -> Vec<Vec<usize>> {
    let alone = (0..prompts).map(|prompt| vec![prompt]);
    alone.chain([(0..prompts).collect()]).collect()
}

#[test]
fn token_ids_and_offsets() -> Result<()> {
    for_each_fixture(|fixture, comparison| {
        let (golden, tokenizer) = (&fixture.golden, &fixture.model.tokenizer);
        let prompts = golden.prompts.iter().map(|prompt| (&prompt.text, &prompt.ids));
        let awkward = golden.tokenization.iter().map(|text| (&text.text, &text.ids));
        let passage = [(&golden.passage.text, &golden.passage.ids)];
        for (text, ids) in prompts.chain(awkward).chain(passage) {
            let found = tokenizer.encode(text).expect("the text can be encoded").ids;
            comparison.equal(&format!("{} ids of {text:?}", fixture.name), &found, ids);
        }
        for prompt in &golden.prompts {
            let found = tokenizer.encode(&prompt.text).expect("the text can be encoded").offsets;
            let expected = byte_offsets(&prompt.text, &prompt.offsets);
            let name = format!("{} offsets of {:?}", fixture.name, prompt.text);
            comparison.equal(&name, &found, &expected);
        }
        Ok(())
    })
}

/// From offsets in characters to offsets in bytes.
fn byte_offsets(text: &str, offsets: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let starts: Vec<usize> = starts.collect();
    offsets.iter().map(|(from, to)| (starts[*from], starts[*to])).collect()
}

#[test]
fn embeddings_sites_and_logits() -> Result<()> {
    for_each_fixture(|fixture, comparison| {
        for chosen in packings(fixture.golden.prompts.len()) {
            compare_forward(fixture, &chosen, comparison)?;
        }
        Ok(())
    })
}

fn compare_forward(fixture: &Fixture, chosen: &[usize], into: &mut Comparison) -> Result<()> {
    let decoder = &fixture.model.decoder;
    let prompts = fixture.prompts();
    let batch = Batch::new(&chosen.iter().map(|prompt| prompts[*prompt]).collect::<Vec<_>>());
    let layers = 0..decoder.config().layers;
    let sites = layers.flat_map(|layer| SITES.map(|(site, name)| (layer, site, name)));
    let sites: Vec<_> = sites.collect();
    let mut recorder = Recorder::of(sites.iter().map(|(layer, site, _)| (*layer, *site)));
    let hidden = decoder.observe(&batch, None, &mut recorder)?.expect("the run is not stopped");

    let mut compare = |quantity, name: &str, rows: &Tensor| -> Result<()> {
        for (prompt, span) in chosen.iter().zip(&batch.spans) {
            let found = rows.narrow(0, span.rows.start, span.rows.len())?;
            let label = format!("{} prompt.{prompt}.{name}, packed {}", fixture.name, chosen.len());
            into.tensor(quantity, &label, &found, fixture.expected(*prompt, name));
        }
        Ok(())
    };
    compare(tolerance::EMBEDDING, "embedding", &decoder.embed(&batch)?)?;
    for (layer, site, name) in sites {
        let rows = recorder.take(layer, site)?;
        compare(tolerance::SITE, &format!("layer.{layer}.{name}"), &rows)?;
    }
    compare(tolerance::LOGITS, "logits", &decoder.head_logits(&hidden)?)
}

#[test]
fn mean_nll_of_texts() -> Result<()> {
    for_each_fixture(|fixture, comparison| {
        let golden = &fixture.golden;
        let passage = ("passage", &golden.passage.ids, golden.passage.mean_nll);
        let prompts =
            golden.prompts.iter().map(|prompt| (&*prompt.text, &prompt.ids, prompt.mean_nll));
        for (text, ids, expected) in prompts.chain([passage]) {
            let decoder = &fixture.model.decoder;
            let hidden = decoder.forward(&Batch::new(&[ids]), None)?;
            let rows: Vec<usize> = (0..ids.len() - 1).collect();
            let nll = token_nll(&decoder.logits(&hidden, &rows)?, &ids[1..])?.mean_all()?;
            let name = format!("{} mean nll of {text:?}", fixture.name);
            comparison.slice(tolerance::NLL, &name, &[nll.to_scalar()?], &[expected]);
        }
        Ok(())
    })
}

/// Several vectors, each added to its own row.
struct AddAll(Vec<AddToRows>);

impl Visitor for AddAll {
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit> {
        if !self.0.iter().any(|add| (add.layer, add.site) == (layer, site)) {
            return Ok(Visit::Keep);
        }
        let sum = self.0.iter().try_fold(rows.clone(), |rows, add| add.apply(&rows))?;
        Ok(Visit::Substitute(sum))
    }
}

#[test]
fn gradients_of_substituted_values() -> Result<()> {
    for_each_fixture(|fixture, comparison| {
        for chosen in packings(fixture.golden.prompts.len()) {
            compare_gradients(fixture, &chosen, comparison)?;
        }
        Ok(())
    })
}

/// The loss of each prompt depends on its own δ alone, so the gradient of their sum holds all.
fn compare_gradients(fixture: &Fixture, chosen: &[usize], into: &mut Comparison) -> Result<()> {
    let decoder = &fixture.model.decoder;
    let prompts: Vec<_> = chosen.iter().map(|prompt| &fixture.golden.prompts[*prompt]).collect();
    let batch = Batch::new(&prompts.iter().map(|prompt| &prompt.ids).collect::<Vec<_>>());
    let starts = batch.spans.iter().map(|span| span.rows.start);
    let deltas = chosen.iter().map(|prompt| Var::from_tensor(fixture.expected(*prompt, "delta")));
    let deltas = deltas.collect::<Result<Vec<_>>>()?;
    let added = prompts.iter().zip(starts).zip(&deltas).map(|((prompt, start), delta)| {
        let site = (prompt.delta_layer, Site::Value);
        AddToRows::new(site, &[start + prompt.delta_token], batch.rows(), delta)
    });
    let mut visitor = AddAll(added.collect::<Result<_>>()?);
    let hidden = decoder.observe(&batch, None, &mut visitor)?.expect("the run is not stopped");

    let read = batch.spans.iter().flat_map(|span| [span.rows.end - 3, span.rows.end - 2]);
    let logits = decoder.logits(&hidden, &read.collect::<Vec<_>>())?;
    let targets = prompts.iter().flat_map(|prompt| &prompt.ids[prompt.ids.len() - 2..]);
    let nll = token_nll(&logits, &targets.copied().collect::<Vec<_>>())?;
    let losses = nll.reshape((chosen.len(), 2))?.mean(1)?;
    let gradients = losses.sum_all()?.backward()?;
    for (at, prompt) in chosen.iter().enumerate() {
        let name = |part: &str| {
            format!("{} prompt.{prompt}.{part}, packed {}", fixture.name, chosen.len())
        };
        let loss = [losses.get(at)?.to_scalar()?];
        into.slice(tolerance::NLL, &name("delta_loss"), &loss, &[prompts[at].delta_loss]);
        let expected = |part| fixture.expected(*prompt, part);
        let found = logits.narrow(0, 2 * at, 2)?;
        into.tensor(tolerance::LOGITS, &name("delta_logits"), &found, expected("delta_logits"));
        let found = gradients.get(&deltas[at]).expect("the loss depends on δ");
        let wanted = expected("delta_gradient");
        into.tensor(tolerance::GRADIENT, &name("delta_gradient"), found, wanted);
    }
    Ok(())
}

#[test]
fn greedy_continuations() -> Result<()> {
    for_each_fixture(|fixture, comparison| {
        let (model, prompts) = (&fixture.model, fixture.prompts());
        for chosen in packings(prompts.len()) {
            let asked: Vec<_> = chosen.iter().map(|prompt| prompts[*prompt]).collect();
            let golden = &fixture.golden.prompts;
            let tokens = golden[0].continuation_ids.len();
            let stop = &model.stop_tokens;
            let found = generate(&model.decoder, &asked, tokens, Choice::Greedy, stop, &Silent)
                .expect("the prompts can be continued");
            for (prompt, ids) in chosen.iter().map(|prompt| &golden[*prompt]).zip(&found) {
                let name = |what| format!("{} {what} of {:?}", fixture.name, prompt.text);
                comparison.equal(&name("continuation"), ids, &prompt.continuation_ids);
                let text = model.tokenizer.decode(ids).expect("ids of the vocabulary");
                comparison.equal(&name("text"), &text, &prompt.continuation_text);
            }
        }
        Ok(())
    })
}
