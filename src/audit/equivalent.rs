//! Equivalence with retrained models: two one-sided tests, measure by measure, against the references'
//! own spread.
//!
//! For passage i, d_i = x_i − mean over the references of r_i. The margin is the largest mean
//! difference between one reference and the others, times a factor of the thresholds: whoever trains
//! again gets a model that differs by so much. Nothing is "equal" because a p-value is large.

use serde::Serialize;

use super::compared::mean;
use super::limits::Limits;
use super::recall::{FormRecall, SetScores};
use crate::math::{Equivalence, equivalence};

/// The least margin of an NLL, nats a token: a spread of two references may be zero by chance.
const LEAST_NATS: f64 = 0.02;
/// The least margin of a share.
const LEAST_SHARE: f64 = 0.01;

/// The tests of one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EquivalenceTest {
    /// The measure, such as `NLL, verbatim`.
    pub measure: String,
    /// What the two tests gave.
    #[serde(flatten)]
    pub tested: Equivalence,
    /// Whether both hypotheses of a difference are rejected.
    pub is_equivalent: bool,
}

/// Tests every measure of every form; nothing for fewer than two references, which have no spread.
pub(super) fn equivalence_tests(recall: &[FormRecall], limits: &Limits) -> Vec<EquivalenceTest> {
    type Values = fn(&SetScores) -> &Vec<f64>;
    let measures: [(&str, Values, f64); 3] = [
        ("NLL", |it| &it.nll, LEAST_NATS),
        ("extraction", |it| &it.extraction, LEAST_SHARE),
        ("recital", |it| &it.recital, LEAST_SHARE),
    ];
    let mut tests = Vec::new();
    for form in recall.iter().filter(|form| form.references.len() > 1) {
        for (name, values, least) in measures {
            let references: Vec<&[f64]> =
                form.references.iter().map(|it| values(it).as_slice()).collect();
            let margin = (limits.equivalence_margin * spread(&references)).max(least);
            let own = differences(values(&form.forgotten), &references);
            if let Some(tested) = equivalence(&own, margin) {
                let measure = format!("{name}, {}", form.form.name());
                let is_equivalent = tested.p < limits.alpha;
                tests.push(EquivalenceTest { measure, tested, is_equivalent });
            }
        }
    }
    tests
}

/// x_i less the mean of the references, passage by passage.
fn differences(own: &[f64], references: &[&[f64]]) -> Vec<f64> {
    let of = |(at, own): (usize, &f64)| {
        let all: Vec<f64> = references.iter().filter_map(|it| it.get(at).copied()).collect();
        own - mean(&all).unwrap_or(f64::NAN)
    };
    own.iter().enumerate().map(of).collect()
}

/// The largest mean difference between one reference and the mean of the others.
fn spread(references: &[&[f64]]) -> f64 {
    let one = |at: usize| {
        let others = references.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<&[f64]> = others.map(|(_, values)| *values).collect();
        mean(&differences(references[at], &others)).unwrap_or(0.).abs()
    };
    (0..references.len()).map(one).fold(0., f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::forms::Form;
    use super::*;

    fn scores(nll: &[f64]) -> SetScores {
        let shares = vec![0.1; nll.len()];
        SetScores { nll: nll.to_vec(), extraction: shares.clone(), recital: shares }
    }

    fn tested(own: &[f64]) -> bool {
        let references = [[3.0, 3.2, 2.8, 3.1], [3.2, 3.3, 3.1, 3.2], [3.1, 3.1, 3.0, 3.2]];
        let form = FormRecall {
            form: Form::Verbatim,
            forgotten: scores(own),
            holdout: SetScores::default(),
            references: references.iter().map(|nll| scores(nll)).collect(),
        };
        let tests = equivalence_tests(&[form], &Limits::default());
        assert_eq!((tests.len(), tests[0].measure.as_str()), (3, "NLL, verbatim"));
        tests[0].is_equivalent
    }

    #[test]
    fn the_margin_is_the_spread_of_the_references() {
        let (a, b) = ([3., 3.], [3.3, 3.1]);
        assert!((spread(&[&a, &b]) - 0.2).abs() < 1e-12);
        assert!((spread(&[&a, &b, &a]) - 0.2).abs() < 1e-12);
        assert!(tested(&[3.1, 3.2, 3.0, 3.2]), "as a reference");
        assert!(!tested(&[2.1, 2.2, 2.0, 2.2]), "remembered");
        assert!(!tested(&[4.1, 4.2, 4.0, 4.2]), "a hole");
        assert!(!tested(&[1.1, 5.2, 2.0, 4.2]), "too uncertain to tell");
    }

    #[test]
    fn one_reference_has_no_spread() {
        let form = FormRecall {
            form: Form::Verbatim,
            forgotten: scores(&[3., 3.]),
            holdout: SetScores::default(),
            references: vec![scores(&[3., 3.])],
        };
        assert_eq!(equivalence_tests(&[form], &Limits::default()), []);
    }
}
