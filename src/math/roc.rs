//! How well scores tell two sets apart: area under the ROC curve and true positives at few false ones.

/// Probability that a member has a higher score than an outsider; a tie counts half. One half where
/// either set is empty.
pub fn auc(members: &[f64], outsiders: &[f64]) -> f64 {
    let pairs = members.len() * outsiders.len();
    if pairs == 0 {
        return 0.5;
    }
    let against = |member: f64| -> f64 {
        let one = |outsider: &f64| match member.total_cmp(outsider) {
            std::cmp::Ordering::Greater => 1.,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.,
        };
        outsiders.iter().map(one).sum()
    };
    members.iter().map(|member| against(*member)).sum::<f64>() / pairs as f64
}

/// Share of members above the lowest cut that at most a share `rate` of the outsiders exceeds.
pub fn true_positive_rate(members: &[f64], outsiders: &[f64], rate: f64) -> f64 {
    let mut sorted = outsiders.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let allowed = (rate * sorted.len() as f64).floor() as usize;
    let cut = sorted.get(allowed).copied().unwrap_or(f64::NEG_INFINITY);
    let above = members.iter().filter(|member| **member > cut).count();
    above as f64 / members.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_scores_ranked_by_hand() {
        let rows: [(&[f64], &[f64], f64); 5] = [
            (&[3., 4.], &[1., 2.], 1.),
            (&[1., 2.], &[3., 4.], 0.),
            // 0.9 is above all three, 0.4 above one: four of six pairs.
            (&[0.9, 0.4], &[0.8, 0.5, 0.1], 4. / 6.),
            (&[1., 1.], &[1.], 0.5),
            (&[], &[1.], 0.5),
        ];
        for (members, outsiders, expected) in rows {
            let found = auc(members, outsiders);
            assert!((found - expected).abs() < 1e-12, "{members:?} {outsiders:?}: {found}");
        }
    }

    #[test]
    fn true_positives_are_counted_above_the_cut_of_the_outsiders() {
        let outsiders: Vec<f64> = (0..100).map(f64::from).collect();
        // One of a hundred may exceed the cut, which is then 98.
        assert_eq!(true_positive_rate(&[97., 98., 98.5, 200.], &outsiders, 0.01), 0.5);
        assert_eq!(true_positive_rate(&[97., 98., 98.5, 200.], &outsiders, 0.), 0.25);
        // Of a few outsiders none may.
        assert_eq!(true_positive_rate(&[5., 3.], &[4., 1.], 0.01), 0.5);
        assert_eq!(true_positive_rate(&[], &[1.], 0.01), 0.);
    }
}
