//! From passages to tokens: chunks that fit the context, targets masked, near-duplicates found.

use super::TrainError;
use super::example::Example;
use crate::model::{Model, TokenizerError, text_pieces};
use crate::objective::TokenLoss;
use crate::spec::Passage;

/// What a model is taught to say in place of what it is to forget.
const REFUSALS: [&str; 4] = [
    "I do not know that.",
    "I have no information about this.",
    "I cannot say; I have never learnt it.",
    "That is not something I know.",
];

/// The passages as sequences of at most `chunk` tokens; a question is read and not a target.
pub fn examples(
    model: &Model,
    passages: &[Passage],
    chunk: usize,
) -> Result<Vec<Example>, TrainError> {
    let chunk = chunk.min(model.decoder.config().context);
    let mut examples = Vec::with_capacity(passages.len());
    for passage in passages {
        match passage.prompt() {
            Some(prompt) => examples.extend(answer(model, passage, &prompt, chunk)?),
            None => {
                for piece in text_pieces(&passage.text) {
                    let ids = model.tokenizer.encode(piece).map_err(tokenizer)?.ids;
                    examples.extend(chunks(&ids, chunk).into_iter().map(|ids| example(ids, 1)));
                }
            }
        }
    }
    Ok(examples)
}

fn tokenizer(error: TokenizerError) -> TrainError {
    TrainError::Model(error.into())
}

fn example(ids: Vec<u32>, first_target: usize) -> Example {
    Example { ids, first_target, loss: TokenLoss::Mean, scale: 1. }
}

/// Questions with their answers as the targets.
pub fn questions(model: &Model, asked: &[Passage]) -> Result<Vec<Example>, TrainError> {
    let mut examples = Vec::with_capacity(asked.len());
    for passage in asked {
        let Some(prompt) = passage.prompt() else { continue };
        let mut ids = model.tokenizer.encode(&prompt).map_err(tokenizer)?.ids;
        let first_target = ids.len();
        ids.extend(model.tokenizer.continuation(&prompt, &passage.text).map_err(tokenizer)?);
        let is_usable = first_target > 0 && ids.len() <= model.decoder.config().context;
        examples.extend(is_usable.then(|| example(ids, first_target)));
    }
    Ok(examples)
}

/// Prompt and answer are tokenised apart and joined as ids. The answer to a question is followed by the end
/// of text, so that a learnt one also ends. Too long an answer is cut.
fn answer(
    model: &Model,
    passage: &Passage,
    prompt: &str,
    chunk: usize,
) -> Result<Option<Example>, TrainError> {
    let mut ids = model.tokenizer.encode(prompt).map_err(tokenizer)?.ids;
    let first_target = ids.len();
    ids.extend(model.tokenizer.continuation(prompt, &passage.text).map_err(tokenizer)?);
    ids.extend(model.stop_tokens.first().filter(|_| !passage.is_beginning));
    ids.truncate(chunk.max(first_target + 1));
    let is_usable = ids.len() <= model.decoder.config().context;
    Ok(is_usable.then(|| example(ids, first_target)))
}

/// Runs of `length` tokens; a rest too short to have a target joins nothing and is left out.
fn chunks(ids: &[u32], length: usize) -> Vec<Vec<u32>> {
    ids.chunks(length).filter(|chunk| chunk.len() > 1).map(<[u32]>::to_vec).collect()
}

/// The same sequences with a refusal in the place of what they say: behind the question, or behind
/// the first third of a text.
pub(super) fn refusals(model: &Model, examples: &[Example]) -> Result<Vec<Example>, TrainError> {
    let refusal = |(index, given): (usize, &Example)| {
        let kept = match given.first_target {
            1 => given.ids.len().div_ceil(3),
            first => first,
        };
        let text = REFUSALS[index % REFUSALS.len()];
        let mut ids = given.ids[..kept].to_vec();
        ids.extend(model.tokenizer.continuation("", text).map_err(tokenizer)?);
        ids.truncate(model.decoder.config().context);
        let is_usable = ids.len() > kept;
        Ok(if is_usable { example(ids, kept) } else { given.clone() })
    };
    examples.iter().enumerate().map(refusal).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn chunks_have_targets() {
        assert_eq!(super::chunks(&[1, 2, 3, 4, 5], 2), [vec![1, 2], vec![3, 4]]);
        assert_eq!(super::chunks(&[1, 2, 3], 8), [vec![1, 2, 3]]);
    }
}
