//! The budget of drift of facts: those that would break it are left out, and named.
//!
//! A change is priced first, and measured only where the price does not rule it out: on samples of
//! the base that no report measures drift on. What a price leaves out is much the same from change
//! to change of one run, so that the last measurement corrects the next price.

use std::cell::Cell;

use super::RunError;
use super::tools::Tools;
use crate::delta::WeightDelta;
use crate::model::{Decoder, Model};
use crate::plan::WritePlan;
use crate::probe::{BaseText, GeneralUse, general_text};
use crate::progress::{Inner, Progress};
use crate::rank_one::Prices;

/// Tokens on which the budget is kept.
const TOKENS: usize = 2048;
/// Corrected price, as a multiple of the budget, that rules a change out.
const CLEARLY: f64 = 1.5;

/// The largest drift that facts may cause.
pub(super) struct Budget<'a> {
    max_drift: f64,
    prices: Option<Prices>,
    model: &'a Model,
    text: BaseText<'a>,
    /// Measured drift over price, where it was last measured.
    ratio: Cell<Option<f64>>,
}

impl<'a> Budget<'a> {
    /// The budget of a plan, if it has one.
    pub(super) fn of(
        model: &'a Model,
        plan: &WritePlan,
        prices: Option<&Prices>,
        tools: &Tools<'_>,
    ) -> Result<Option<Self>, RunError> {
        let Some(max_drift) = plan.batch.max_drift else { return Ok(None) };
        let Tools { cache, progress, .. } = tools;
        let text = general_text(model, cache, GeneralUse::Held, 0, TOKENS, *progress)?;
        let text = BaseText::new(&model.decoder, &text, &Inner(*progress))?;
        let (prices, ratio) = (prices.cloned(), Cell::new(None));
        Ok(Some(Self { max_drift, prices, model, text, ratio }))
    }

    /// Takes prices as they are until something is measured again.
    pub(super) fn forget(&self) {
        self.ratio.set(None);
    }

    /// Why the model `edited`, with the changes `delta` of the base, is outside the budget; nothing
    /// where it is within.
    pub(super) fn objection(
        &self,
        delta: &WeightDelta,
        edited: &Decoder,
        progress: &dyn Progress,
    ) -> Result<Option<String>, RunError> {
        let price = self.prices.as_ref().map(|prices| prices.of(delta)).transpose()?.flatten();
        let expected = price.zip(self.ratio.get()).map(|(price, ratio)| price * ratio);
        if let Some(drift) = expected.filter(|drift| *drift > CLEARLY * self.max_drift) {
            return Ok(Some(self.beyond(drift)));
        }
        let (all, tokenizer) = (self.text.all(), &self.model.tokenizer);
        let damage = self.text.damage(edited, &all, tokenizer, &Inner(progress))?;
        let Some(drift) = damage.map(|damage| damage.drift.mean) else { return Ok(None) };
        self.ratio.set(price.filter(|price| *price > 0.).map(|price| drift / price));
        // A drift that is not a number is within no budget.
        let is_within = drift <= self.max_drift;
        Ok((!is_within).then(|| self.beyond(drift)))
    }

    fn beyond(&self, drift: f64) -> String {
        let limit = self.max_drift;
        format!(
            "general text would drift by {drift:.4} nats a token; a max_drift above {limit} allows it"
        )
    }
}

/// The largest number of items, of `n`, that can be kept, with what `attempt` made of so many; the
/// reason why no more can. `attempt` is given a number, and gives a reason where it is too large.
pub(super) fn most<T>(
    n: usize,
    mut attempt: impl FnMut(usize) -> Result<Result<T, String>, RunError>,
) -> Result<(usize, Option<T>, String), RunError> {
    let (mut fits, mut too_many, mut next) = (0, n + 1, n);
    let (mut best, mut reason) = (None, String::new());
    while fits + 1 < too_many {
        match attempt(next)? {
            Ok(made) => (fits, best) = (next, Some(made)),
            Err(why) => (too_many, reason) = (next, why),
        }
        next = fits.midpoint(too_many);
    }
    Ok((fits, best, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_kept_as_fit() {
        for (n, limit) in [(0, 0), (1, 0), (1, 1), (5, 0), (7, 3), (100, 99), (100, 100)] {
            let mut tries = 0;
            let attempt = |count: usize| {
                tries += 1;
                Ok(if count <= limit { Ok(count) } else { Err(format!("{count} are too many")) })
            };
            let (kept, made, why) = most(n, attempt).expect("no error");
            assert_eq!((kept, made), (limit, Some(limit).filter(|it| *it > 0)), "of {n}");
            let expected = match limit < n {
                true => format!("{} are too many", limit + 1),
                false => String::new(),
            };
            assert_eq!(why, expected, "of {n}");
            assert!(tries <= 8, "{tries} of {n}");
        }
    }
}
