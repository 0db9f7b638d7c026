//! How two measurements of the same things go together: correlation and quantiles.

/// Pearson's correlation of pairs; nothing where either side does not vary.
pub fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let mean = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / n;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let sum =
        |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|it| of(it.0 - x, it.1 - y)).sum::<f64>();
    let scale = (sum(&|dx, _| dx * dx) * sum(&|_, dy| dy * dy)).sqrt();
    (scale > 0.).then(|| sum(&|dx, dy| dx * dy) / scale)
}

/// The value below which a share of the sorted values lies, between neighbors by their distance;
/// nothing of no values.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_correlates_fully_and_a_constant_not_at_all() {
        let of = |pairs: &[(f64, f64)]| correlation(pairs);
        assert!((of(&[(1., 2.), (2., 4.), (4., 8.)]).expect("both vary") - 1.).abs() < 1e-12);
        assert!((of(&[(1., 3.), (2., 2.), (3., 1.)]).expect("both vary") + 1.).abs() < 1e-12);
        // By hand: deviations (-1, 0, 1) and (-1, 2, -1) have a product of zero.
        assert_eq!(of(&[(1., 0.), (2., 3.), (3., 0.)]), Some(0.));
        assert_eq!(of(&[(1., 5.), (2., 5.)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        let sorted = [1., 2., 4., 8.];
        for (share, expected) in [(0., 1.), (0.5, 3.), (0.75, 5.), (1., 8.)] {
            assert_eq!(quantile(&sorted, share), Some(expected), "share {share}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }
}
