//! Free answers: greedy decoding from a prompt, and whether it gives the target.
//!
//! Published scores force the target's tokens and compare probabilities; decoded freely to a
//! natural stop, the same edits fall from 97 to 38 % (arXiv 2502.11177). So each prompt is
//! completed by the most probable tokens up to a stop token, a newline or a limit, and
//!
//! said: the normalised completion begins with the normalised target, as whole words;
//! contained: the target occurs somewhere in it;
//! runs on: said, but the sentence goes on after the target, or the target is repeated;
//! P(target | prompt) = Π P(tokenᵢ | prompt, token₁ … tokenᵢ₋₁), for which no true target is
//! needed.

mod text;

use serde::{Deserialize, Serialize};

use super::likelihood::{Query, likelihoods};
use super::scores::PromptKind;
use crate::math::{Interval, mean_interval, share_interval};
use crate::model::{Choice, Decoder, Model, ModelError, Tokenizer, TokenizerError, generate_while};
use crate::progress::Progress;

/// Tokens that are decoded after a prompt, as in arXiv 2502.11177.
pub const SAID_TOKENS: usize = 32;
/// Prompts that are decoded together.
const TOGETHER: usize = 64;
/// Tokens that a completion may need beyond those of its target to show whether it runs on.
const MARGIN: usize = 12;

/// Prompts, each with the target that should follow.
#[derive(Debug, Clone, Default)]
pub struct SaidQuestions {
    questions: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    kind: PromptKind,
    prompt: String,
    target: String,
    query: Query,
}

impl SaidQuestions {
    /// Tokenises prompts with their targets.
    pub fn new(
        tokenizer: &Tokenizer,
        prompts: &[(PromptKind, String, String)],
    ) -> Result<Self, TokenizerError> {
        let question = |(kind, prompt, target): &(PromptKind, String, String)| {
            let query = Query {
                prompt: tokenizer.encode(prompt)?.ids,
                targets: vec![tokenizer.continuation(prompt, target.trim())?],
            };
            Ok(Question { kind: *kind, prompt: prompt.clone(), target: target.clone(), query })
        };
        Ok(Self { questions: prompts.iter().map(question).collect::<Result<_, _>>()? })
    }

    /// The prompts of several sets, one set after the other: decoding many at once costs little
    /// more than decoding one.
    pub fn joined<'q>(sets: impl IntoIterator<Item = &'q Self>) -> Self {
        Self { questions: sets.into_iter().flat_map(|set| set.questions.clone()).collect() }
    }

    /// Number of prompts.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}

/// The model's free answer to one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The kind of the prompt.
    pub kind: PromptKind,
    /// The text of the prompt.
    pub prompt: String,
    /// The target that should follow.
    pub target: String,
    /// The completion, up to the first newline.
    pub completion: String,
    /// Whether the completion begins with the target.
    pub is_said: bool,
    /// Whether the target occurs somewhere in the completion.
    pub is_contained: bool,
    /// Whether the target is said, and the sentence goes on after it or the target is repeated.
    pub runs_on: bool,
    /// P(target | prompt), the product over its tokens.
    pub probability: f64,
    /// Mean negative log-likelihood of the target's tokens, nats.
    pub nll: f64,
}

/// Completes each prompt by at most `tokens` tokens, and scores its target.
///
/// A completion ends early at a stop token, at a newline, and where its target was said and nothing
/// that could follow would change the judgement.
pub fn said(
    model: &Model,
    decoder: &Decoder,
    questions: &SaidQuestions,
    tokens: usize,
    progress: &dyn Progress,
) -> Result<Vec<Said>, ModelError> {
    let mut all = Vec::with_capacity(questions.len());
    for group in questions.questions.chunks(TOGETHER) {
        let completions = completions(model, decoder, group, tokens, progress)?;
        let queries: Vec<Query> = group.iter().map(|question| question.query.clone()).collect();
        let scores = likelihoods(decoder, &queries)?;
        all.extend(group.iter().zip(completions).zip(scores).map(|((question, text), scores)| {
            let seen = text::sight(&text, &question.target);
            let target_tokens = question.query.targets[0].len() as f64;
            Said {
                kind: question.kind,
                prompt: question.prompt.clone(),
                target: question.target.clone(),
                completion: text,
                is_said: seen.is_said,
                is_contained: seen.is_contained,
                runs_on: seen.runs_on,
                probability: (-scores[0].nll * target_tokens).exp(),
                nll: scores[0].nll,
            }
        }));
    }
    Ok(all)
}

fn completions(
    model: &Model,
    decoder: &Decoder,
    group: &[Question],
    tokens: usize,
    progress: &dyn Progress,
) -> Result<Vec<String>, ModelError> {
    let prompts: Vec<&[u32]> = group.iter().map(|it| it.query.prompt.as_slice()).collect();
    let lengths = |length: fn(&Query) -> usize| group.iter().map(|it| length(&it.query)).max();
    let longest = lengths(|query| query.prompt.len()).unwrap_or(0);
    let target = lengths(|query| query.targets[0].len()).unwrap_or(0);
    let room = decoder.config().context.saturating_sub(longest);
    let tokens = tokens.max(target + MARGIN).min(room);
    let text = |sequence: usize, ids: &[u32]| after(&model.tokenizer, prompts[sequence], ids);
    let mut goes_on = |sequence: usize, ids: &[u32]| match text(sequence, ids) {
        Ok(text) => {
            let is_settled = || text::sight(&text, &group[sequence].target).is_settled;
            !text.contains('\n') && !is_settled()
        }
        // The error occurs again below, where it can be returned.
        Err(_) => false,
    };
    let (choice, stop) = (Choice::Greedy, model.stop_tokens.as_slice());
    let written = generate_while(decoder, &prompts, tokens, choice, stop, &mut goes_on, progress)?;
    let texts = written
        .iter()
        .enumerate()
        .map(|(sequence, ids)| Ok(text::first_line(&text(sequence, ids)?).to_owned()));
    texts.collect()
}

/// Text of the tokens `ids` after those of a prompt.
///
/// Decoded with the last token of the prompt before them, because some tokenizers drop the blank in
/// front of the first token of a text.
fn after(tokenizer: &Tokenizer, prompt: &[u32], ids: &[u32]) -> Result<String, TokenizerError> {
    let last = &prompt[prompt.len().saturating_sub(1)..];
    let (before, whole) = (tokenizer.decode(last)?, tokenizer.decode(&[last, ids].concat())?);
    match whole.strip_prefix(&before) {
        Some(text) => Ok(text.to_owned()),
        None => tokenizer.decode(ids),
    }
}

/// Shares of prompts after which the target is said, with 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SaidShares {
    /// Share of the prompts whose completion begins with the target.
    pub said: Interval,
    /// Share of the prompts whose completion holds the target.
    pub contained: Interval,
    /// Share that runs on, of the prompts whose completion says the target; nothing without any.
    pub runs_on: Option<Interval>,
    /// Mean of P(target | prompt).
    pub probability: Interval,
}

impl SaidShares {
    /// Sums up some prompts; nothing where there is none.
    pub fn of<'s>(said: impl IntoIterator<Item = &'s Said>) -> Option<Self> {
        let said: Vec<&Said> = said.into_iter().collect();
        let count = |claim: fn(&Said) -> bool| said.iter().filter(|it| claim(it)).count();
        let share = |count: usize| share_interval(count, said.len());
        let probabilities: Vec<f64> = said.iter().map(|it| it.probability).collect();
        Some(Self {
            said: share(count(|it| it.is_said))?,
            contained: share(count(|it| it.is_contained))?,
            runs_on: share_interval(count(|it| it.runs_on), count(|it| it.is_said)),
            probability: within_one(mean_interval(&probabilities)?),
        })
    }

    /// Shares for the prompts of one kind.
    pub fn of_kind(said: &[Said], kind: PromptKind) -> Option<Self> {
        Self::of(said.iter().filter(|it| it.kind == kind))
    }
}

/// The interval of a mean of numbers between 0 and 1.
fn within_one(interval: Interval) -> Interval {
    Interval { low: interval.low.max(0.), high: interval.high.min(1.), ..interval }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::generate;
    use crate::progress::Silent;

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    #[test]
    fn what_greedy_decoding_gives_is_said_and_has_the_product_of_its_probabilities() {
        let model = tiny();
        let prompt = "The quick brown";
        let ids = model.tokenizer.encode(prompt).expect("encoded").ids;
        let own = generate(&model.decoder, &[&ids], 6, Choice::Greedy, &[], &Silent);
        let own = after(&model.tokenizer, &ids, &own.expect("generated")[0]).expect("decoded");
        let first = own.split_whitespace().next().expect("a word").to_owned();
        let prompts = [first.clone(), "Zanzibar".to_owned()]
            .map(|target| (PromptKind::Rewrite, prompt.to_owned(), target));
        let questions = SaidQuestions::new(&model.tokenizer, &prompts).expect("tokenised");
        let found = said(&model, &model.decoder, &questions, 8, &Silent).expect("decoded");
        assert!(found[0].completion.trim_start().starts_with(&first), "{found:?}");
        assert!(!found[1].is_said && !found[1].is_contained && !found[1].runs_on, "{found:?}");
        for (said, question) in found.iter().zip(&questions.questions) {
            let tokens = question.query.targets[0].len() as f64;
            assert!((said.probability.ln() + said.nll * tokens).abs() < 1e-9);
        }
    }

    #[test]
    fn shares_count_prompts_and_run_on_counts_those_that_say_it() {
        let one = |is_said, runs_on, probability| Said {
            kind: PromptKind::Rewrite,
            prompt: String::new(),
            target: String::new(),
            completion: String::new(),
            is_said,
            is_contained: is_said,
            runs_on,
            probability,
            nll: 0.,
        };
        let all = [one(true, true, 0.9), one(true, false, 0.7), one(false, false, 0.2)];
        let shares = SaidShares::of(&all).expect("three prompts");
        assert!((shares.said.mean - 2. / 3.).abs() < 1e-12 && shares.said.n == 3);
        assert_eq!(shares.runs_on.map(|it| (it.mean, it.n)), Some((0.5, 2)));
        assert!((shares.probability.mean - 0.6).abs() < 1e-12);
        assert!(SaidShares::of_kind(&all, PromptKind::Paraphrase).is_none());
    }
}
