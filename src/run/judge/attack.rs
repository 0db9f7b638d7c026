//! Forgotten passages under attack: whether half of them, learnt again, brings the other half back.

use super::reason;
use crate::run::attack::{Compared, Relearning};
use crate::verdict::Reason;

/// A curve of relearning beside its threshold.
pub(super) struct Relearnt<'a> {
    curve: &'a Relearning,
    limit: f64,
}

impl<'a> Relearnt<'a> {
    pub(super) fn new(curve: &'a Relearning, limit: f64) -> Self {
        Self { curve, limit }
    }

    /// Whether the half that is not shown becomes as probable as if it had been seen.
    pub(super) fn is_back(&self) -> bool {
        // A share that is NaN holds nothing back.
        self.curve.least().is_some_and(|(_, share)| share < self.limit || share.is_nan())
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        let (_, share) = self.curve.least()?;
        Some(reason("relearn share", share, self.limit, self.sentence()))
    }

    /// One sentence, true of every step.
    pub(super) fn sentence(&self) -> String {
        let points = &self.curve.points;
        let Some((at, share)) = self.curve.least() else { return self.alone() };
        let (before, now) = (points[0].watched, points[at].watched);
        let never_saw = self.curve.never_saw(at).map_or(f64::NAN, |[mean, ..]| mean);
        let (after, whose) = (points[at].step, self.whose());
        if !self.is_back() {
            return format!(
                "Relearning half of the passages does not bring back the other half: at least \
                 {:.0} % of the NLL of {whose} at every step.",
                (100. * share).floor()
            );
        }
        match now < before {
            true => format!(
                "Relearning half of the passages brings the other half back: NLL {now:.2} after \
                 {after} steps ({before:.2} before), {never_saw:.2} for {whose}."
            ),
            false => format!(
                "Relearning half of the passages leaves the other half more probable than {whose}: \
                 NLL {now:.2} after {after} steps, {never_saw:.2} for the latter."
            ),
        }
    }

    /// What the other half is compared with.
    fn whose(&self) -> &'static str {
        match self.curve.compared {
            Compared::References => "models that never saw them",
            Compared::Holdout | Compared::Nothing => "hold-out passages treated alike",
        }
    }

    /// Without anything to compare with.
    fn alone(&self) -> String {
        let points = &self.curve.points;
        let Some((first, rest)) = points.split_first() else { return String::new() };
        let Some(least) = rest.iter().min_by(|a, b| a.watched.total_cmp(&b.watched)) else {
            return String::new();
        };
        format!(
            "Relearning half of the passages takes the NLL of the other half from {:.2} to {:.2} \
             after {} steps; a `reference` or a `holdout` of 4 passages would say what that means.",
            first.watched, least.watched, least.step
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::attack::{RelearnCurve, RelearnPoint};

    /// NLL of the watched half of several models, by step.
    type Curves = &'static [&'static [f64]];

    fn points(watched: &[f64]) -> Vec<RelearnPoint> {
        let point = |(at, nll): (usize, &f64)| RelearnPoint {
            step: 5 * at as u64,
            learnt: 0.1,
            watched: *nll,
            by_heart: 0.,
        };
        watched.iter().enumerate().map(point).collect()
    }

    fn curve(own: &[f64], others: Curves, compared: Compared) -> Relearning {
        let other = |nll: &&[f64]| RelearnCurve { name: "other".into(), points: points(nll) };
        Relearning {
            learnt: 20,
            watched: 20,
            rate: 1e-3,
            batch: 4,
            seed: 0,
            points: points(own),
            compared,
            others: others.iter().map(other).collect(),
        }
    }

    #[test]
    fn the_sentence_is_true_of_the_curve() {
        let (references, holdout) = (Compared::References, Compared::Holdout);
        let never: Curves = &[&[1.6, 1.4, 2.], &[1.6, 1.5, 2.2]];
        let rows: [(&[f64], Curves, Compared, bool, &str); 5] = [
            (
                &[1.57, 0.49, 1.22],
                never,
                references,
                true,
                "brings the other half back: NLL 0.49 after 5 steps (1.57 before), 1.45 for models \
                 that never saw them.",
            ),
            (
                &[1.57, 1.4, 2.],
                never,
                references,
                false,
                "does not bring back the other half: at least 95 % of the NLL of models that never \
                 saw them at every step.",
            ),
            (
                &[1.57, 1.4, 1.6],
                never,
                references,
                true,
                "leaves the other half more probable than models that never saw them: NLL 1.60 \
                 after 10 steps, 2.10 for the latter.",
            ),
            (&[1.5, 0.5, 0.6], &[&[1.6, 1.5, 2.]], holdout, true, "2.00 for hold-out passages"),
            (
                &[1.5, 0.5, 0.6],
                &[],
                Compared::Nothing,
                false,
                "from 1.50 to 0.50 after 5 steps; a `reference`",
            ),
        ];
        for (own, others, compared, is_back, says) in rows {
            let curve = curve(own, others, compared);
            let found = Relearnt::new(&curve, 0.9);
            assert_eq!(found.is_back(), is_back, "{own:?}");
            assert!(found.sentence().contains(says), "{}", found.sentence());
            assert_eq!(found.reason().is_some(), !others.is_empty());
        }
    }

    #[test]
    fn the_model_as_it_is_does_not_count_and_nan_holds_nothing_back() {
        let low_start = curve(&[0.1, 1.5, 1.5], &[&[1.5, 1.5, 1.5]], Compared::References);
        assert!(!Relearnt::new(&low_start, 0.9).is_back());
        let broken = curve(&[1.5, f64::NAN, f64::NAN], &[&[1.5; 3]], Compared::References);
        assert!(Relearnt::new(&broken, 0.9).is_back());
    }
}
