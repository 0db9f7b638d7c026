//! Losses of the answers to TOFU's questions, and the answers that the model gives.

use super::rouge::rouge_l_recall;
use crate::model::{Choice, Decoder, Model, ModelError, generate};
use crate::probe::{Query, likelihoods};
use crate::progress::Progress;
use crate::spec::as_question;
use crate::spec::{TofuItem, TofuScores};

/// Most tokens of question and greedy answer together, as in TOFU.
const WRITTEN: usize = 200;
/// Questions whose answers are scored together.
const SCORED: usize = 4;
/// Questions that are answered together.
const ANSWERED: usize = 32;

/// Measures each item under a decoder of `model`.
///
/// An answer ends with the end of text, as in TOFU, where the model has such a token, and is cut
/// where the context ends.
pub fn evaluate(
    model: &Model,
    decoder: &Decoder,
    items: &[TofuItem],
    progress: &dyn Progress,
) -> Result<Vec<TofuScores>, ModelError> {
    let mut scores = Vec::with_capacity(items.len());
    progress.phase("losses", Some(items.len() as u64));
    for group in items.chunks(SCORED) {
        progress.check()?;
        let queries = group.iter().map(|item| query(model, item)).collect::<Result<Vec<_>, _>>()?;
        let losses = likelihoods(decoder, &queries)?;
        for (item, losses) in group.iter().zip(losses) {
            let nll: Vec<f64> = losses.iter().map(|score| score.nll).collect();
            let (own, perturbed) = nll.split_at(nll.len() - item.perturbed.len());
            scores.push(TofuScores {
                answer: own[0],
                paraphrase: own[own.len() - 1],
                perturbed: perturbed.to_vec(),
                rouge: 0.,
            });
        }
        progress.advance(scores.len() as u64, "");
    }
    progress.phase("answers", Some(items.len() as u64));
    for (at, group) in items.chunks(ANSWERED).enumerate() {
        let answers = answers(model, decoder, group, progress)?;
        let first = at * ANSWERED;
        for (item, (scores, answer)) in group.iter().zip(scores[first..].iter_mut().zip(answers)) {
            scores.rouge = rouge_l_recall(&item.answer, &answer);
        }
        progress.advance((first + group.len()) as u64, "");
    }
    Ok(scores)
}

/// The question, followed by the answer, the answer in other words and the wrong ones.
fn query(model: &Model, item: &TofuItem) -> Result<Query, ModelError> {
    let prompt = as_question(&item.question);
    let texts = [Some(&item.answer), item.paraphrase.as_ref()];
    let ids = model.tokenizer.encode(&prompt)?.ids;
    let room = model.decoder.config().context.saturating_sub(ids.len()).max(1);
    let target = |text: &String| {
        let mut ids = model.tokenizer.continuation(&prompt, text)?;
        ids.extend(model.stop_tokens.first());
        ids.truncate(room);
        Ok(ids)
    };
    let texts = texts.into_iter().flatten().chain(&item.perturbed);
    let targets = texts.map(target).collect::<Result<_, ModelError>>()?;
    Ok(Query { prompt: ids, targets })
}

/// Greedy answers.
fn answers(
    model: &Model,
    decoder: &Decoder,
    items: &[TofuItem],
    progress: &dyn Progress,
) -> Result<Vec<String>, ModelError> {
    let prompts =
        items.iter().map(|item| Ok(model.tokenizer.encode(&as_question(&item.question))?.ids));
    let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, ModelError>>()?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let most = WRITTEN.min(decoder.config().context).saturating_sub(longest).max(1);
    let written = generate(decoder, &prompts, most, Choice::Greedy, &model.stop_tokens, progress)?;
    written.iter().map(|ids| Ok(model.tokenizer.decode(ids)?)).collect()
}
