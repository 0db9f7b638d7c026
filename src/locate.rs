//! Where a model holds facts: causal tracing (ROME, arXiv 2202.05262, section 2.1).
//!
//! The base reads a prompt and gives its answer o the probability P(o). With noise on the subject's
//! embeddings, e + ε with ε ~ N(0, (3σ)²) and σ the standard deviation of the facts' subject
//! embeddings, it gives P*(o). Then one state of the clean run is put back into the run with noise,
//! at one token and one layer (of the residual stream) or a window of layers (of what the MLPs or
//! attention give): P*(o | state). The indirect effect of the state is P*(o | state) − P*(o), a mean
//! over seeded draws of the noise.
//!
//! What a restored state does not reach is not computed: the tokens before it, of which the run with
//! noise left keys and values, and the layers below it, of which it left the residual stream. What
//! remains of a long prompt or a deep model is cut to a fixed amount of work by leaving out layers,
//! then by tracing one token of each class; both are settings.
//!
//! The trace explains; it does not tell where to edit (arXiv 2301.04213), for which there is the
//! sweep of layers.

mod positions;
mod runs;
mod settings;
#[cfg(test)]
mod tests;

use candle_core::Tensor;
use serde::Serialize;

pub use positions::{PositionClass, TracedToken};
pub use settings::TraceSettings;

use crate::model::{Model, ModelError, Site, Tokenizer, TokenizerError};
use crate::progress::Progress;
use crate::spec::Fact;
use positions::SubjectTokens;
use runs::Runs;
use settings::Grid;

/// A kind of state that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TracedSite {
    /// The residual stream after one layer.
    Residual,
    /// What the MLPs of a window of layers give.
    Mlp,
    /// What the attentions of a window of layers give.
    Attention,
}

impl TracedSite {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Residual, Self::Mlp, Self::Attention];

    /// The name in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Residual => "residual stream",
            Self::Mlp => "MLP",
            Self::Attention => "attention",
        }
    }

    fn site(self) -> Site {
        match self {
            Self::Residual => Site::Residual,
            Self::Mlp => Site::Value,
            Self::Attention => Site::AttentionOutput,
        }
    }
}

/// The trace of some facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CausalTrace {
    /// Display name of the model.
    pub model: String,
    /// Number of layers of the model.
    pub depth: usize,
    /// The layers that were tried, or the centres of their windows.
    pub layers: Vec<usize>,
    /// Layers in the window of an MLP or attention.
    pub window: usize,
    /// Draws of the noise.
    pub samples: usize,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// The facts, one by one.
    pub facts: Vec<TracedFact>,
    /// Means over facts and tokens, by kind of state and class of token.
    pub classes: Vec<ClassEffects>,
}

/// The trace of one fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedFact {
    /// The prompt.
    pub prompt: String,
    /// The base's most probable next token, whose probability is traced.
    pub answer: String,
    /// Whether the fact is to be erased.
    pub is_erased: bool,
    /// P(o), of the clean run.
    pub clean: f64,
    /// P*(o), with noise, a mean over the draws.
    pub corrupted: f64,
    /// The tokens that were traced.
    pub tokens: Vec<TracedToken>,
    /// P*(o | state) of each kind of state, token and layer.
    pub restored: Vec<SiteProbabilities>,
}

/// The probabilities with one kind of state restored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteProbabilities {
    /// The kind of state.
    pub site: TracedSite,
    /// One row for each traced token, with one number for each tried layer.
    pub probabilities: Vec<Vec<f64>>,
}

/// The mean indirect effect of one kind of state at one class of tokens, layer by layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassEffects {
    /// The kind of state.
    pub site: TracedSite,
    /// The class of the tokens.
    pub class: PositionClass,
    /// Number of traced tokens of this class, over all facts.
    pub n: usize,
    /// P*(o | state) − P*(o) at each tried layer.
    pub effects: Vec<f64>,
}

impl ClassEffects {
    /// The layer of the largest effect, among the tried `layers`, and the effect.
    pub fn peak(&self, layers: &[usize]) -> Option<(usize, f64)> {
        let pairs = layers.iter().copied().zip(self.effects.iter().copied());
        pairs.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }
}

/// Why facts cannot be traced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// There is nothing to trace.
    #[error("there are no facts to trace: name some with [[insert]] or [[erase]]")]
    NoFacts,
    /// The model cannot be run, or the user stopped it.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A prompt cannot be tokenised.
    #[error("{0}")]
    Tokenizer(#[from] TokenizerError),
}

impl From<candle_core::Error> for LocateError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

/// Traces facts in `model`, whose display name is `name`.
///
/// # Errors
///
/// [`LocateError`] where there are no facts, or the model fails.
pub fn locate(
    model: &Model,
    name: &str,
    facts: &[Fact],
    settings: &TraceSettings,
    progress: &dyn Progress,
) -> Result<CausalTrace, LocateError> {
    let subjects = facts.iter().map(|fact| SubjectTokens::of(&model.tokenizer, fact));
    let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
    let longest = subjects.iter().max_by_key(|it| it.ids.len()).ok_or(LocateError::NoFacts)?;
    let grid = Grid::new(model, longest, settings);
    let noise = settings.noise * deviation(model, &subjects)?;
    progress.phase("trace", Some((subjects.len() * grid.batches()) as u64));
    let mut traced = Vec::with_capacity(subjects.len());
    for (at, subject) in subjects.iter().enumerate() {
        let done = (at * grid.batches()) as u64;
        traced.push(trace(model, subject, &grid, (settings, noise), &|batch: usize| {
            progress.check()?;
            progress.advance(done + batch as u64, &subject.text);
            Ok(())
        })?);
    }
    Ok(CausalTrace {
        model: name.to_owned(),
        depth: model.decoder.config().layers,
        classes: classes(&traced, grid.layers.len()),
        layers: grid.layers,
        window: grid.window,
        samples: settings.samples,
        noise,
        seed: settings.seed,
        facts: traced,
    })
}

/// Told of each batch before it runs.
type Tick<'a> = &'a dyn Fn(usize) -> Result<(), crate::progress::Interrupted>;

fn trace(
    model: &Model,
    subject: &SubjectTokens,
    grid: &Grid,
    (settings, noise): (&TraceSettings, f64),
    tick: Tick<'_>,
) -> Result<TracedFact, LocateError> {
    let runs = Runs::new(&model.decoder, subject, settings, noise)?;
    let tokens = subject.traced(&model.tokenizer, grid.is_each_token);
    let places: Vec<usize> = tokens.iter().map(|token| token.position).collect();
    let mut restored = Vec::new();
    let mut batch = 0;
    for site in TracedSite::ALL {
        let mut probabilities = vec![Vec::with_capacity(grid.layers.len()); places.len()];
        for layer in &grid.layers {
            tick(batch).map_err(ModelError::from)?;
            batch += 1;
            let found = runs.restored(site, grid.restored(site, *layer), &places)?;
            probabilities.iter_mut().zip(found).for_each(|(row, it)| row.push(it));
        }
        restored.push(SiteProbabilities { site, probabilities });
    }
    Ok(TracedFact {
        prompt: subject.text.clone(),
        answer: answer(&model.tokenizer, runs.answer),
        is_erased: subject.is_erased,
        clean: runs.clean,
        corrupted: runs.corrupted,
        tokens,
        restored,
    })
}

fn answer(tokenizer: &Tokenizer, token: u32) -> String {
    tokenizer.piece(token).trim().to_owned()
}

/// σ: the standard deviation of all numbers in the embeddings of the subjects' tokens.
fn deviation(model: &Model, subjects: &[SubjectTokens]) -> Result<f64, LocateError> {
    let ids = subjects.iter().flat_map(|it| &it.ids[it.subject.clone()]).copied();
    let rows: Tensor = model.decoder.token_embeddings(&ids.collect::<Vec<u32>>())?;
    let values = rows.flatten_all()?.to_vec1::<f32>()?;
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|it| f64::from(*it)).sum::<f64>() / n;
    let square = values.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum::<f64>();
    Ok((square / n).sqrt())
}

/// Means over all facts' tokens of each class.
fn classes(facts: &[TracedFact], layers: usize) -> Vec<ClassEffects> {
    let mut all = Vec::new();
    for (at, site) in TracedSite::ALL.into_iter().enumerate() {
        for class in PositionClass::ALL {
            let rows = facts.iter().flat_map(|fact| {
                let rows = fact.tokens.iter().zip(&fact.restored[at].probabilities);
                rows.filter(|(token, _)| token.class == class)
                    .map(|(_, row)| row.iter().map(|it| it - fact.corrupted).collect())
            });
            let rows: Vec<Vec<f64>> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let n = rows.len();
            let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / n as f64;
            let effects = (0..layers).map(mean).collect();
            all.push(ClassEffects { site, class, n, effects });
        }
    }
    all
}
