//! Plans the writing of facts: defaults filled in, prompts tokenised, lookup tokens found.
//!
//! A [`WritePlan`] is the one value that `rescribe plan` prints and `rescribe edit` executes;
//! it is kept in the patch. Making it runs the model only to sample context prefixes, and to find
//! what an erase is compared with.

mod background_subjects;
mod defaults;
mod ends;
mod erase;
mod located;
mod moment_cost;
mod names;
mod near_subjects;
mod never_knew;
mod others;
mod prefixes;
mod script;
mod settings;
mod sinks;
mod wordings;

use std::sync::Arc;

use serde::Serialize;

pub use background_subjects::{BackgroundPrompt, overlap};
pub use ends::Ends;
pub use erase::{Guess, Origin, OtherSubject, PlannedErase};
pub use located::Located;
pub use moment_cost::MomentCost;
pub use names::{NameUse, background_subjects};
pub use near_subjects::near_subjects;
pub use never_knew::{mean_answer, never_knew, never_knew_at};
pub use script::is_unspaced;
pub use settings::{BatchSettings, Settings};
pub use wordings::{WORDINGS, Wording};

use crate::model::{Encoded, Model, ModelError, TokenizerError};
use crate::progress::Progress;
use crate::spec::{Fact, Method, RankOneOptions, Toward, beginning};
use background_subjects::BackgroundPrompts;
pub use defaults::layers_around;
use defaults::{batch_settings, layers, settings, suited};

/// Everything that writing facts does, in numbers and tokens.
#[derive(Debug, Clone, Serialize)]
pub struct WritePlan {
    /// Version of this structure.
    pub schema: u32,
    /// Display name of the model.
    pub model: String,
    /// Member of the rank-one family.
    pub method: Method,
    /// The last of `layers`; values are optimised after it.
    pub layer: usize,
    /// The layers that are written, ascending.
    pub layers: Vec<usize>,
    /// All settings, with defaults filled in.
    pub settings: Settings,
    /// Settings of the solve for a batch.
    pub batch: BatchSettings,
    /// Prefixes sampled from the model.
    pub prefixes: Vec<String>,
    /// The prompts about other names, whose values a write is to keep.
    pub background: Vec<BackgroundPrompt>,
    /// The tokens that end the sentence after a target; nothing where its end is not part of the loss.
    #[serde(skip)]
    pub ends: Option<Arc<Ends>>,
    /// The facts, in order.
    pub edits: Vec<PlannedEdit>,
    /// Warnings to show before the plan is executed.
    pub warnings: Vec<String>,
}

/// One fact, tokenised.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedEdit {
    /// The subject of the fact.
    pub subject: String,
    /// The prompt with `{}`.
    pub prompt: String,
    /// The new target; of a fact erased toward no text, the most probable guess.
    pub target_new: String,
    /// The true target, where given.
    pub target_true: Option<String>,
    /// Tokens of `target_new` after the prompt.
    pub target: Vec<u32>,
    /// The bare prompt, then the prompt after each prefix.
    pub contexts: Vec<TokenisedPrompt>,
    /// The essence prompt, "{subject} is a".
    pub essence: TokenisedPrompt,
    /// Indices into the plan's background of the prompts about other names.
    pub background: Vec<usize>,
    /// Indices into the plan's background of the prompts about near subjects.
    pub near: Vec<usize>,
    /// How the fact is erased; nothing where it is inserted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erase: Option<PlannedErase>,
}

/// A prompt as the model reads it.
#[derive(Debug, Clone, Serialize)]
pub struct TokenisedPrompt {
    /// The text of the prompt.
    pub text: String,
    /// Token ids of the prompt.
    pub ids: Vec<u32>,
    /// The tokens as text.
    pub pieces: Vec<String>,
    /// Index of the subject's last token.
    pub lookup: usize,
    /// Whether the lookup token is an attention sink, as the first token is.
    pub is_sink: bool,
}

impl TokenisedPrompt {
    /// The ids and the lookup token, without the texts.
    pub fn located(&self) -> Located {
        Located { ids: self.ids.clone(), lookup: self.lookup }
    }
}

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The model cannot be used for the plan.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A spec names several layers, but its method writes one.
    #[error("layers = {0:?}: rome writes one layer; the other methods write several")]
    SeveralLayers(Vec<usize>),
    /// No other subjects were found to compare an erased fact with.
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
        /// Tokens of the prompt and its target.
        tokens: usize,
        /// The model's context, in tokens.
        context: usize,
    },
}

impl From<TokenizerError> for PlanError {
    fn from(error: TokenizerError) -> Self {
        Self::Model(error.into())
    }
}

/// Plans the writing of `facts` into one model; `model_name` is its display name.
pub fn plan(
    model: &Model,
    model_name: &str,
    facts: &[Fact],
    options: &RankOneOptions,
    progress: &dyn Progress,
) -> Result<WritePlan, PlanError> {
    planned(model, model_name, (facts, false), options, progress)
}

/// Plans the writing of `facts`, none of which serves as an example for the others.
pub fn plan_separately(
    model: &Model,
    model_name: &str,
    facts: &[Fact],
    options: &RankOneOptions,
    progress: &dyn Progress,
) -> Result<WritePlan, PlanError> {
    planned(model, model_name, (facts, true), options, progress)
}

fn planned(
    model: &Model,
    model_name: &str,
    (facts, is_separate): (&[Fact], bool),
    options: &RankOneOptions,
    progress: &dyn Progress,
) -> Result<WritePlan, PlanError> {
    let options = &suited(model, options);
    let method = options.method.unwrap_or_default();
    let layers = layers(model, method, options)?;
    let layer = *layers.last().expect("at least one layer");
    let cost = MomentCost::new(&model.decoder, layer, options.corpus.is_none());
    let is_unknown = |fact: &Fact| matches!(fact, Fact::Erase(it) if it.toward == Toward::Unknown);
    let erases = facts.iter().any(is_unknown);
    let settings = settings(options, cost.default_tokens(), erases);
    let ends = (settings.end_weight > 0.).then(|| Ends::new(model)).transpose()?;
    let prefixes = prefixes::sampled(model, &settings, progress)?;
    let mut warnings = Vec::new();
    if layer + 1 == model.decoder.config().layers {
        warnings.push(format!(
            "layer {layer} is the model's last: what is written there reaches no later token; \
             choose earlier layers with --layers"
        ));
    }
    let (prefixes_of, settings_of) = (prefixes.as_slice(), &settings);
    let planning = Planning {
        model,
        facts,
        is_separate,
        prefixes: prefixes_of,
        layer,
        settings: settings_of,
        progress,
    };
    let (edits, background) = planning.edits(&mut warnings)?;
    Ok(WritePlan {
        schema: 1,
        model: model_name.to_owned(),
        method,
        layer,
        layers,
        settings,
        batch: batch_settings(options, method),
        prefixes,
        background,
        ends: ends.map(Arc::new),
        edits,
        warnings,
    })
}

impl WritePlan {
    /// A plan for other facts with the same settings and prefixes.
    pub fn for_facts(
        &self,
        model: &Model,
        facts: &[Fact],
        progress: &dyn Progress,
    ) -> Result<Self, PlanError> {
        let (prefixes, settings) = (self.prefixes.as_slice(), &self.settings);
        let layer = self.layer;
        let is_separate = false;
        let planning = Planning { model, facts, is_separate, prefixes, layer, settings, progress };
        let mut warnings = Vec::new();
        let (edits, background) = planning.edits(&mut warnings)?;
        Ok(Self { edits, background, warnings, ..self.clone() })
    }

    /// The facts in the batches in which they are written.
    pub fn batches(&self) -> std::slice::Chunks<'_, PlannedEdit> {
        self.edits.chunks(self.batch.sequential.unwrap_or(self.edits.len()).max(1))
    }
}

impl PlannedEdit {
    /// Whether the loss can include the end of the sentence after the target: the target is a text
    /// that does not end a sentence itself.
    pub fn has_end(&self) -> bool {
        let is_said = |erase: &PlannedErase| matches!(erase.toward, Toward::Text(_));
        self.erase.as_ref().is_none_or(is_said) && ends::can_follow(&self.target_new)
    }

    /// The contexts that count: those whose lookup token is not a sink, or all if every one is.
    pub fn counted(&self) -> Vec<Located> {
        let kept: Vec<&TokenisedPrompt> = self.contexts.iter().filter(|it| !it.is_sink).collect();
        let kept = if kept.is_empty() { self.contexts.iter().collect() } else { kept };
        kept.into_iter().map(TokenisedPrompt::located).collect()
    }

    /// The warning where the bare prompt does not count.
    fn sink_warning(&self) -> Option<String> {
        let bare = &self.contexts[0];
        (bare.is_sink && self.contexts.len() > 1).then(|| {
            let place = if bare.lookup == 0 { "is the first token" } else { "ends in a token" };
            format!(
                "{:?}: the subject {place}, whose key is that of an attention sink and occurs in \
                 every text; the bare prompt does not count as a context",
                bare.text
            )
        })
    }

    /// Whether the bare prompt, which comes first, counts.
    pub fn has_bare(&self) -> bool {
        !self.contexts[0].is_sink
    }
}

/// State shared while the facts of a plan are tokenised.
struct Planning<'a> {
    model: &'a Model,
    facts: &'a [Fact],
    /// Whether facts do not serve as examples for each other.
    is_separate: bool,
    prefixes: &'a [String],
    layer: usize,
    settings: &'a Settings,
    progress: &'a dyn Progress,
}

impl Planning<'_> {
    /// The planned facts, and the background of their prompts.
    fn edits(
        &self,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<PlannedEdit>, Vec<BackgroundPrompt>), PlanError> {
        let mut background = BackgroundPrompts::default();
        let mut edits = Vec::with_capacity(self.facts.len());
        for fact in self.facts {
            let mut edit = self.edit(fact, warnings)?;
            if self.settings.neighbor_weight > 0. {
                edit.background = background.of(self.model, fact)?;
            }
            if self.settings.near_weight > 0. {
                edit.near = background.near(self.model, fact)?;
            }
            edits.push(edit);
        }
        sinks::mark(self.model, self.layer, &mut edits)?;
        warnings.extend(edits.iter().filter_map(PlannedEdit::sink_warning));
        Ok((edits, background.all))
    }

    fn edit(&self, fact: &Fact, warnings: &mut Vec<String>) -> Result<PlannedEdit, PlanError> {
        let model = self.model;
        let erase = match fact {
            Fact::Insert(_) => None,
            Fact::Erase(erase) => {
                let alone = std::slice::from_ref(fact);
                let facts = if self.is_separate { alone } else { self.facts };
                let seed = self.settings.seed;
                let mut planned = PlannedErase::new(model, erase, facts, seed, self.progress)?;
                planned.add_wordings(model, erase, self.settings.wordings)?;
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
            return Err(PlanError::TooLong { text: beginning(&long.text), tokens, context });
        }
        Ok(PlannedEdit {
            subject: fact.subject().to_owned(),
            prompt: fact.prompt().to_owned(),
            target_new,
            target_true: fact.target_true().map(str::to_owned),
            target,
            contexts,
            essence: tokenise(model, "", "{} is a", fact.subject())?,
            background: Vec::new(),
            near: Vec::new(),
            erase,
        })
    }

    /// The bare prompt, then the prompt after each prefix.
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

/// `prompt` with its `{}` replaced and `prefix` before the line that it is in, tokenised once as a
/// whole: of a chat, that line is the message.
fn tokenise(
    model: &Model,
    prefix: &str,
    prompt: &str,
    subject: &str,
) -> Result<TokenisedPrompt, PlanError> {
    let before = prompt.find("{}").unwrap_or(0);
    let (head, rest) = prompt.split_at(model.tokenizer.line_start(prompt, before));
    let text = format!("{head}{prefix}{}", rest.replacen("{}", subject, 1));
    let Encoded { ids, offsets } = model.tokenizer.encode(&text)?;
    let end = prefix.len() + before + subject.len();
    let encoded = Encoded { ids, offsets };
    let lookup = crate::model::Tokenizer::lookup_token(&encoded, end).ok_or_else(|| {
        TokenizerError::NoLookupToken { prompt: text.clone(), subject: subject.into() }
    })?;
    let pieces = encoded.ids.iter().map(|id| model.tokenizer.piece(*id)).collect();
    Ok(TokenisedPrompt { text, ids: encoded.ids, pieces, lookup, is_sink: lookup == 0 })
}

impl TokenisedPrompt {
    fn straddles(&self, model: &Model, fact: &Fact) -> Result<bool, PlanError> {
        let offsets = model.tokenizer.encode(&self.text)?.offsets;
        Ok(offsets[self.lookup].1 > fact.subject_range().end)
    }
}
