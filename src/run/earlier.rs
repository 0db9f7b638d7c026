//! Whether the facts of the patches that a run starts from still hold after it.

use serde::Serialize;

use super::RunError;
use super::start::Start;
use crate::math::{Interval, share_interval};
use crate::model::{Decoder, Model, ModelError};
use crate::probe::{PromptKind, SAID_TOKENS, SaidQuestions, said};
use crate::progress::Progress;
use crate::spec::Fact;

/// How many of the earlier facts hold: inserts are said, erased answers are not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EarlierFacts {
    /// Share that held before the run.
    pub before: Interval,
    /// Share that holds after it.
    pub after: Interval,
    /// Number of those that held and no longer do.
    pub lost: usize,
}

/// Asks for the facts that a run starts from; nothing where none is known.
pub(super) fn measure(
    model: &Model,
    start: &Start,
    decoders: [&Decoder; 2],
    progress: &dyn Progress,
) -> Result<Option<EarlierFacts>, RunError> {
    if start.facts.is_empty() {
        return Ok(None);
    }
    progress.phase("earlier facts", None);
    let question = |fact: &Fact| {
        let target = match fact {
            Fact::Insert(insert) => insert.target_new.clone(),
            Fact::Erase(erase) => erase.target_true.clone(),
        };
        (PromptKind::Rewrite, fact.rendered(), target)
    };
    let facts: Vec<_> = start.facts.iter().map(|(_, fact)| question(fact)).collect();
    let questions = SaidQuestions::new(&model.tokenizer, &facts).map_err(ModelError::from)?;
    let holds = |decoder: &Decoder| -> Result<Vec<bool>, RunError> {
        let said = said(model, decoder, &questions, SAID_TOKENS, progress)?;
        let holds = said.iter().zip(&start.facts);
        Ok(holds.map(|(it, (_, fact))| it.is_said == matches!(fact, Fact::Insert(_))).collect())
    };
    let (before, after) = (holds(decoders[0])?, holds(decoders[1])?);
    let share = |held: &[bool]| share_interval(held.iter().filter(|it| **it).count(), held.len());
    let lost = before.iter().zip(&after).filter(|(before, after)| **before && !**after).count();
    let shares = share(&before).zip(share(&after));
    Ok(shares.map(|(before, after)| EarlierFacts { before, after, lost }))
}
