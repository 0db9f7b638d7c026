//! The price of what facts changed, as predicted from statistics, beside the drift that was
//! measured.
//!
//! The text on which drift is measured is never the text that the statistics were collected from.

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::delta::WeightDelta;
use crate::math::{correlation, quantile};
use crate::rank_one::Prices;

/// The predicted price of a change of weights, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The drift to second order, ½ tr(S ΔW C ΔWᵀ), in nats a token.
    pub predicted: f64,
    /// The size ‖ΔW‖², which a prediction has to beat.
    pub squared_norm: f64,
}

impl Price {
    /// The price of a change; nothing where a changed tensor has no statistics.
    pub(super) fn of(prices: &Prices, delta: &WeightDelta) -> Result<Option<Self>, RunError> {
        let Some(predicted) = prices.of(delta)? else { return Ok(None) };
        let mut squared_norm = 0.;
        for change in delta.changes.values() {
            squared_norm += change.norm()?.powi(2);
        }
        Ok(Some(Self { predicted, squared_norm }))
    }

    /// The mean over several changes.
    pub(super) fn mean(prices: &[Self]) -> Option<Self> {
        let n = prices.len() as f64;
        let mean = |part: fn(&Self) -> f64| prices.iter().map(part).sum::<f64>() / n;
        let mean =
            Self { predicted: mean(|it| it.predicted), squared_norm: mean(|it| it.squared_norm) };
        (n > 0.).then_some(mean)
    }
}

/// How well the predicted prices of several models and their measured drifts agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PriceAgreement {
    /// Number of models.
    pub n: usize,
    /// Correlation of the logarithms of the predicted price and of the measured drift.
    pub correlation: f64,
    /// The same with ‖ΔW‖² in place of the price.
    pub norm_correlation: f64,
    /// Measured drift over predicted price: the lower quartile, the median and the upper quartile.
    pub ratio: [f64; 3],
}

/// Fewest models of which a correlation says something.
const FEWEST: usize = 10;

impl PriceAgreement {
    /// The agreement of prices and drifts; nothing where there are few, or one does not vary.
    pub(super) fn of(models: &[(Price, f64)]) -> Option<Self> {
        let is_positive = |(price, drift): &&(Price, f64)| {
            price.predicted > 0. && price.squared_norm > 0. && *drift > 0.
        };
        let models: Vec<(Price, f64)> = models.iter().filter(is_positive).copied().collect();
        let with = |x: fn(&Price) -> f64| {
            let pairs = models.iter().map(|(price, drift)| (x(price).ln(), drift.ln()));
            correlation(&pairs.collect::<Vec<_>>())
        };
        let mut ratios: Vec<f64> =
            models.iter().map(|(price, drift)| drift / price.predicted).collect();
        ratios.sort_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|share| quantile(&ratios, share));
        let found = Self {
            n: models.len(),
            correlation: with(|it| it.predicted)?,
            norm_correlation: with(|it| it.squared_norm)?,
            ratio: [low?, median?, high?],
        };
        (models.len() >= FEWEST).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_is_right_up_to_a_factor_correlates_fully() {
        let model = |at: u32| {
            let predicted = 0.001 * f64::from(at);
            let price = Price { predicted, squared_norm: f64::from(1 + at % 3) };
            (price, 2. * predicted)
        };
        let all: Vec<_> = (1..=12).map(model).collect();
        let found = PriceAgreement::of(&all).expect("twelve models");
        assert!((found.correlation - 1.).abs() < 1e-12, "{found:?}");
        assert!(found.norm_correlation < 0.5, "{found:?}");
        assert!(found.ratio.iter().all(|ratio| (ratio - 2.).abs() < 1e-12), "{found:?}");
        assert_eq!(PriceAgreement::of(&all[..9]), None, "nine are too few");
        // A model that was not changed has no logarithm.
        let none = Price { predicted: 0., squared_norm: 0. };
        let more = [all.as_slice(), &[(none, 0.)]].concat();
        assert_eq!(PriceAgreement::of(&more), Some(found));
    }
}
