//! A sequence with its targets, and how sequences are put into batches.

use crate::objective::TokenLoss;

/// One sequence and what is asked of it.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Index of the first token that is a target, at least 1; those before it are only read.
    pub first_target: usize,
    /// The loss of its targets.
    pub loss: TokenLoss,
    /// Weight of that loss in the sum; 1/n for the mean of n sequences.
    pub scale: f32,
}

impl Example {
    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.ids.len().saturating_sub(self.first_target)
    }

    /// Tokens that are fed: the last one is only a target.
    pub(super) fn fed(&self) -> &[u32] {
        &self.ids[..self.ids.len() - 1]
    }

    pub(super) fn check(&self) -> candle_core::Result<()> {
        if self.first_target == 0 || self.targets() == 0 {
            candle_core::bail!(
                "a sequence of {} tokens has no target from token {} on",
                self.ids.len(),
                self.first_target
            );
        }
        match &self.loss {
            TokenLoss::Weights(each) | TokenLoss::AboveEach(each)
                if each.len() != self.targets() =>
            {
                candle_core::bail!("{} numbers for {} targets", each.len(), self.targets())
            }
            TokenLoss::Divergence(reference) | TokenLoss::JensenShannon(reference)
                if reference.targets() != self.targets() =>
            {
                candle_core::bail!(
                    "a reference of {} targets for {}",
                    reference.targets(),
                    self.targets()
                )
            }
            _ => Ok(()),
        }
    }
}

/// Splits into runs of at most `rows` rows each, or of a single item that has more.
pub(super) fn runs<T>(items: &[T], rows: usize, rows_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = |item: &&T| {
            sum += rows_of(item);
            sum <= rows
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (run, later) = rest.split_at(count);
        runs.push(run);
        rest = later;
    }
    runs
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs_hold_as_many_as_fit() {
        let runs = super::runs(&[3, 3, 9, 1, 1, 1], 6, |n| *n);
        assert_eq!(runs, [&[3, 3][..], &[9], &[1, 1, 1]]);
    }
}
