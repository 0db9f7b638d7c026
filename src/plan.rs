//! What will be done: defaults filled, prompts tokenised, lookup tokens found.
//!
//! A [`Plan`] is the one value that `rescribe plan` prints and `rescribe edit` executes;
//! it travels in the patch. Making it runs the model only to sample context prefixes, and for what
//! an erase compares with.

mod erase;
mod neighbors;
mod others;

use serde::Serialize;

pub use erase::{Guess, Origin, OtherSubject, PlannedErase};
pub use neighbors::Neighbor;

use crate::model::{Choice, Encoded, Model, ModelError, TokenizerError, generate};
use crate::progress::Progress;
use crate::rank_one::context::Located;
use crate::rank_one::key::counted;
use crate::rank_one::{BatchSettings, Settings};
use crate::spec::{Fact, LayerChoice, Method, RankOneOptions};

/// Everything that an edit does, in numbers and tokens.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model.
    pub model: String,
    /// Member of the rank-one family.
    pub method: Method,
    /// The last of `layers`, behind which values are found.
    pub layer: usize,
    /// The layers that are written, ascending.
    pub layers: Vec<usize>,
    /// All settings, with defaults filled in.
    pub settings: Settings,
    /// How a batch is solved for.
    pub batch: BatchSettings,
    /// Prefixes sampled from the model.
    pub prefixes: Vec<String>,
    /// The facts, in order.
    pub edits: Vec<PlannedEdit>,
    /// What the user should know before it runs.
    pub warnings: Vec<String>,
}

/// One fact, tokenised.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedEdit {
    /// The subject.
    pub subject: String,
    /// The prompt with `{}`.
    pub prompt: String,
    /// What the model shall say; where a fact is erased toward no text, what it would guess.
    pub target_new: String,
    /// What it says, where given.
    pub target_true: Option<String>,
    /// Tokens of `target_new` behind the prompt.
    pub target: Vec<u32>,
    /// The bare prompt, then the same behind each prefix.
    pub contexts: Vec<TokenisedPrompt>,
    /// "{subject} is a".
    pub essence: TokenisedPrompt,
    /// The prompt about other names, whose values a write by itself is to keep.
    pub neighbors: Vec<Neighbor>,
    /// How the fact is removed; nothing where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erase: Option<PlannedErase>,
}

/// A prompt as the model reads it.
#[derive(Debug, Clone, Serialize)]
pub struct TokenisedPrompt {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The tokens as text.
    pub pieces: Vec<String>,
    /// Index of the subject's last token.
    pub lookup: usize,
}

impl TokenisedPrompt {
    /// Without the texts.
    pub fn located(&self) -> Located {
        Located { ids: self.ids.clone(), lookup: self.lookup }
    }
}

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The model cannot be used for it.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A spec names several layers.
    #[error("layers = {0:?}: rome writes one layer; memit and alphaedit write several")]
    SeveralLayers(Vec<usize>),
    /// There is nothing to compare an erased fact with.
    #[error(
        "{prompt:?}: no other subjects of the kind were found; name some with others = [...] in \
         [[erase]]"
    )]
    NoOthers {
        /// The prompt with its subject.
        prompt: String,
    },
    /// A prompt longer than the model's context.
    #[error("{text:?} has {tokens} tokens with its target; the model reads {context}")]
    TooLong {
        /// The prompt.
        text: String,
        /// Its length.
        tokens: usize,
        /// The limit.
        context: usize,
    },
}

impl From<TokenizerError> for PlanError {
    fn from(error: TokenizerError) -> Self {
        Self::Model(error.into())
    }
}

/// λ of MEMIT, relative to the mean of kᵀC⁻¹k.
const MEMIT_LAMBDA: f64 = 0.1;
/// λ of AlphaEdit, relative to the mean of kᵀPk.
const ALPHAEDIT_LAMBDA: f64 = 0.1;
/// Share of C's energy in what AlphaEdit calls its null space.
const NULL_SPACE: f64 = 0.1;
/// Largest share of the residual stream behind the last layer that a δ may have; as published.
const STREAM_CLAMP: f64 = 0.75;
/// Contexts of the published program beside the bare prompt.
const PUBLISHED_CONTEXTS: usize = 20;

/// Defaults for whatever the user left out.
pub fn settings(options: &RankOneOptions, key_width: usize) -> Settings {
    let parity = options.parity.unwrap_or(false);
    // The length of δ is measured against the value, or against the residual stream.
    let is_batched = options.method.is_some_and(Method::is_batched);
    let clamp = if is_batched { STREAM_CLAMP } else { 4. };
    // One fact by itself can have more contexts and steps than each of hundreds.
    let (contexts, steps) = match (parity, is_batched) {
        (true, _) => (PUBLISHED_CONTEXTS, 20),
        (false, true) => (5, 20),
        (false, false) => (10, 25),
    };
    Settings {
        parity,
        contexts: options.contexts.unwrap_or(contexts),
        context_tokens: options.context_tokens.unwrap_or(10),
        steps: options.steps.unwrap_or(steps),
        learning_rate: options.learning_rate.unwrap_or(0.5),
        clamp: options.clamp.unwrap_or(clamp),
        weight_decay: options.weight_decay.unwrap_or(if parity { 0.5 } else { 0.003 }),
        kl_weight: options.kl_weight.unwrap_or(0.0625),
        stop_loss: options.stop_loss.unwrap_or(0.05),
        neighbor_weight: options.neighbor_weight.unwrap_or(if parity { 0. } else { 1. }),
        scatter_weight: options.scatter_weight.unwrap_or(if parity { 0. } else { 0.1 }),
        second_moment_tokens: options.second_moment_tokens.unwrap_or(8 * key_width),
        ridge: options.ridge.unwrap_or(1e-2),
        // Hundreds of facts change more than one does.
        max_delta: options.max_delta.unwrap_or(if is_batched { 1. } else { 0.5 }),
        seed: options.seed.unwrap_or(0),
    }
}

/// The options, with what suits the model where the user left something out; the published settings
/// stay as published.
fn suited(model: &Model, options: &RankOneOptions) -> RankOneOptions {
    let mut options = options.clone();
    if let Some(editing) = model.editing.filter(|_| options.parity != Some(true)) {
        options.steps = options.steps.or(Some(editing.steps));
        options.weight_decay = options.weight_decay.or(Some(editing.weight_decay));
        options.max_delta = options.max_delta.or(Some(editing.max_delta));
        options.contexts = options.contexts.or(editing.contexts);
    }
    options
}

/// Makes the plan for `facts`; `model_name` is how people call the model.
pub fn plan(
    model: &Model,
    model_name: &str,
    facts: &[Fact],
    options: &RankOneOptions,
    progress: &dyn Progress,
) -> Result<Plan, PlanError> {
    let options = &suited(model, options);
    let method = options.method.unwrap_or(Method::Rome);
    let settings = settings(options, model.decoder.config().intermediate);
    let layers = layers(model, method, options)?;
    let layer = *layers.last().expect("at least one layer");
    let prefixes = sample_prefixes(model, &settings, progress)?;
    let mut warnings = Vec::new();
    if layer + 1 == model.decoder.config().layers {
        warnings.push(format!(
            "layer {layer} is the model's last: what is written there reaches no later token; \
             choose earlier layers with --layers"
        ));
    }
    let planning = Planning {
        model,
        facts,
        prefixes: &prefixes,
        has_neighbors: has_neighbors(method, &settings),
        seed: settings.seed,
        progress,
    };
    let edits = planning.edits(&mut warnings)?;
    Ok(Plan {
        schema: 1,
        model: model_name.to_owned(),
        method,
        layer,
        layers,
        settings,
        batch: batch_settings(options, method),
        prefixes,
        edits,
        warnings,
    })
}

/// Layers below and above the family's layer that a spread write takes.
const SPREAD: (usize, usize) = (1, 3);

/// The layers to write, ascending; all of them exist.
fn layers(
    model: &Model,
    method: Method,
    options: &RankOneOptions,
) -> Result<Vec<usize>, PlanError> {
    let last = model.decoder.config().layers - 1;
    let layers = match &options.layers {
        Some(LayerChoice::Given(layers)) if layers.len() > 1 && !method.is_batched() => {
            return Err(PlanError::SeveralLayers(layers.clone()));
        }
        Some(LayerChoice::Given(layers)) => layers.clone(),
        None | Some(LayerChoice::Auto) => {
            let middle = model.editing_layer();
            match method {
                Method::Memit | Method::AlphaEdit => {
                    let (below, above) = SPREAD;
                    (middle.saturating_sub(below)..=(middle + above).min(last)).collect()
                }
                _ => vec![middle],
            }
        }
    };
    layers.iter().try_for_each(|layer| model.check_layer(*layer))?;
    Ok(layers)
}

/// Whether a fact is written by itself, with other names in view.
fn has_neighbors(method: Method, settings: &Settings) -> bool {
    !method.is_batched() && settings.neighbor_weight > 0.
}

/// How batches are solved for, with defaults filled in.
fn batch_settings(options: &RankOneOptions, method: Method) -> BatchSettings {
    let lambda = match method {
        Method::Rome | Method::Emmet => 0.,
        Method::Memit => options.lambda.unwrap_or(MEMIT_LAMBDA),
        Method::AlphaEdit => options.lambda.unwrap_or(ALPHAEDIT_LAMBDA),
    };
    BatchSettings {
        lambda,
        null_space: options.null_space.unwrap_or(NULL_SPACE),
        sequential: options.sequential,
        max_perplexity: options.max_perplexity.unwrap_or(2.),
    }
}

impl Plan {
    /// This plan for other facts: same settings, same prefixes.
    pub fn for_facts(
        &self,
        model: &Model,
        facts: &[Fact],
        progress: &dyn Progress,
    ) -> Result<Self, PlanError> {
        let (prefixes, seed) = (self.prefixes.as_slice(), self.settings.seed);
        let has_neighbors = has_neighbors(self.method, &self.settings);
        let planning = Planning { model, facts, prefixes, has_neighbors, seed, progress };
        let mut warnings = Vec::new();
        let edits = planning.edits(&mut warnings)?;
        Ok(Self { edits, warnings, ..self.clone() })
    }

    /// The facts in the batches in which they are written.
    pub fn batches(&self) -> std::slice::Chunks<'_, PlannedEdit> {
        self.edits.chunks(self.batch.sequential.unwrap_or(self.edits.len()).max(1))
    }
}

impl PlannedEdit {
    /// The contexts that count.
    pub fn counted(&self) -> Vec<Located> {
        counted(self.contexts.iter().map(TokenisedPrompt::located).collect())
    }
}

/// What the facts of a plan are tokenised with.
struct Planning<'a> {
    model: &'a Model,
    facts: &'a [Fact],
    prefixes: &'a [String],
    has_neighbors: bool,
    seed: u64,
    progress: &'a dyn Progress,
}

impl Planning<'_> {
    fn edits(&self, warnings: &mut Vec<String>) -> Result<Vec<PlannedEdit>, PlanError> {
        self.facts.iter().map(|fact| self.edit(fact, warnings)).collect()
    }

    fn edit(&self, fact: &Fact, warnings: &mut Vec<String>) -> Result<PlannedEdit, PlanError> {
        let model = self.model;
        let erase = match fact {
            Fact::Insert(_) => None,
            Fact::Erase(erase) => {
                let (facts, seed) = (self.facts, self.seed);
                let planned = PlannedErase::new(model, erase, facts, seed, self.progress)?;
                warnings.extend(planned.warnings(erase));
                Some(planned)
            }
        };
        let guess = || erase.as_ref().map(PlannedErase::target_new).unwrap_or_default();
        let target_new = fact.target_new().map_or_else(guess, str::to_owned);
        let bare = fact.rendered();
        let target = model.tokenizer.continuation(&bare, target_new.trim())?;
        let contexts = self.contexts(fact, warnings)?;
        let context = model.decoder.config().context;
        if let Some(long) = contexts.iter().find(|prompt| prompt.ids.len() + target.len() > context)
        {
            let tokens = long.ids.len() + target.len();
            return Err(PlanError::TooLong { text: long.text.clone(), tokens, context });
        }
        Ok(PlannedEdit {
            subject: fact.subject().to_owned(),
            prompt: fact.prompt().to_owned(),
            target_new,
            target_true: fact.target_true().map(str::to_owned),
            target,
            contexts,
            essence: tokenise(model, "", "{} is a", fact.subject())?,
            neighbors: if self.has_neighbors { neighbors::of(model, fact)? } else { Vec::new() },
            erase,
        })
    }

    /// The bare prompt, then the same behind each prefix.
    fn contexts(
        &self,
        fact: &Fact,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<TokenisedPrompt>, PlanError> {
        let (model, prompt, subject) = (self.model, fact.prompt(), fact.subject());
        let mut contexts = vec![tokenise(model, "", prompt, subject)?];
        for prefix in self.prefixes {
            contexts.push(tokenise(model, &format!("{prefix}. "), prompt, subject)?);
        }
        let bare = &contexts[0];
        if bare.lookup == 0 && contexts.len() > 1 {
            warnings.push(format!(
                "{:?}: the subject is the first token, whose key is of another scale; the bare \
                 prompt does not count as a context",
                bare.text
            ));
        }
        if bare.straddles(model, fact)? {
            warnings.push(format!(
                "{:?}: the token {:?} reaches beyond the subject {subject:?}; reword the prompt so \
                 that a blank follows it",
                bare.text, bare.pieces[bare.lookup]
            ));
        }
        Ok(contexts)
    }
}

/// `prefix` + `prompt` with its `{}` replaced, tokenised once as a whole.
fn tokenise(
    model: &Model,
    prefix: &str,
    prompt: &str,
    subject: &str,
) -> Result<TokenisedPrompt, PlanError> {
    let before = prompt.find("{}").unwrap_or(0);
    let text = format!("{prefix}{}", prompt.replacen("{}", subject, 1));
    let Encoded { ids, offsets } = model.tokenizer.encode(&text)?;
    let end = prefix.len() + before + subject.len();
    let encoded = Encoded { ids, offsets };
    let lookup = crate::model::Tokenizer::lookup_token(&encoded, end).ok_or_else(|| {
        TokenizerError::NoLookupToken { prompt: text.clone(), subject: subject.into() }
    })?;
    let pieces = encoded.ids.iter().map(|id| model.tokenizer.piece(*id)).collect();
    Ok(TokenisedPrompt { text, ids: encoded.ids, pieces, lookup })
}

impl TokenisedPrompt {
    fn straddles(&self, model: &Model, fact: &Fact) -> Result<bool, PlanError> {
        let offsets = model.tokenizer.encode(&self.text)?.offsets;
        Ok(offsets[self.lookup].1 > fact.subject_range().end)
    }
}

/// Words that the sampled prefixes begin with, in turn. From the start token alone many a model
/// writes lists and code, in front of which a subject is not read as it is in prose.
const OPENINGS: [&str; 16] = [
    "The",
    "In",
    "He",
    "It",
    "After",
    "This",
    "Because",
    "They",
    "A",
    "She",
    "Therefore",
    "When",
    "As",
    "I",
    "You",
    "Some",
];

/// Short texts by the model itself, before which the prompt is also optimised.
fn sample_prefixes(
    model: &Model,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Vec<String>, PlanError> {
    if settings.contexts == 0 {
        return Ok(Vec::new());
    }
    // Twice as many as needed, because a sample may come out blank.
    let opening = |word: &&str| {
        let mut ids = model.tokenizer.encode(word)?.ids;
        if ids.first() != Some(&model.start_token()) {
            ids.insert(0, model.start_token());
        }
        Ok(ids)
    };
    let words = OPENINGS.iter().cycle().take(2 * settings.contexts);
    let starts: Vec<Vec<u32>> = words.map(opening).collect::<Result<_, TokenizerError>>()?;
    let choice = Choice::Sampled { seed: settings.seed, temperature: 1., k: 5 };
    let tokens = settings.context_tokens;
    let sampled = generate(&model.decoder, &starts, tokens, choice, &model.stop_tokens, progress)?;
    let mut prefixes = Vec::new();
    for (start, ids) in starts.into_iter().zip(sampled) {
        if ids.is_empty() || prefixes.len() == settings.contexts {
            continue;
        }
        let text = model.tokenizer.decode(&[start, ids].concat())?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        prefixes.push(text.replace(['{', '}'], "").trim_end_matches(['.', ' ']).to_owned());
    }
    Ok(prefixes)
}
