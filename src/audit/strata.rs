//! Damage by stratum: text of the same kind that was kept, of the same kind that was never seen, and
//! general text.

use serde::Serialize;

use super::subject::Subject;
use crate::gradient::Example;
use crate::math::Interval;
use crate::model::{Decoder, Model};
use crate::probe::damage;
use crate::progress::Inner;
use crate::run::{Forgotten, RunError, reported};

/// A kind of text on which damage is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StratumKind {
    /// The base's own samples: what it says of itself.
    General,
    /// Passages that should have stayed.
    Retained,
    /// Passages of the kind that were never read.
    Holdout,
}

impl StratumKind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general text",
            Self::Retained => "retained passages",
            Self::Holdout => "hold-out",
        }
    }
}

/// Damage on one kind of text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stratum {
    /// The kind of text.
    pub kind: StratumKind,
    /// Mean KL from the base, nats a token; n counts tokens.
    pub drift: Interval,
    /// Perplexity of the base.
    pub before: f64,
    /// Perplexity of the audited model.
    pub after: f64,
    /// Drift and perplexity of each model that never saw the passages: what another training alone
    /// changes.
    pub references: Vec<[f64; 2]>,
}

impl Stratum {
    /// Perplexity as a multiple of the base's.
    pub fn factor(&self) -> f64 {
        self.after / self.before
    }

    /// The largest drift of a model that never saw the passages; 0 without one.
    pub fn reference_drift(&self) -> f64 {
        self.references.iter().map(|[drift, _]| *drift).fold(0., f64::max)
    }

    /// The largest factor of such a model; 1 without one.
    pub fn reference_factor(&self) -> f64 {
        self.references.iter().map(|[_, after]| after / self.before).fold(1., f64::max)
    }
}

/// Measures every kind of text that is at hand.
pub(super) fn strata(subject: &Subject<'_>, base: &Model) -> Result<Vec<Stratum>, RunError> {
    let progress = subject.tools.progress;
    progress.phase("damage", None);
    let ids = |set: &[Example]| set.iter().map(|it| it.ids.clone()).collect::<Vec<_>>();
    let sampled = subject.models.general.unwrap_or(base);
    let forgotten = Forgotten::by(subject.forgotten.iter());
    let general = reported(sampled, subject.seed, &forgotten, subject.tools)?;
    let kinds = [
        (StratumKind::General, general),
        (StratumKind::Retained, ids(subject.retained())),
        (StratumKind::Holdout, ids(subject.holdout())),
    ];
    let measure = |decoder: &Decoder, sequences: &[Vec<u32>]| {
        damage(&base.decoder, decoder, sequences, &base.tokenizer, &Inner(progress))
    };
    let mut all = Vec::new();
    for (kind, sequences) in &kinds {
        let found = measure(subject.models.decoder, sequences)?;
        all.extend(found.map(|found| Stratum {
            kind: *kind,
            drift: found.drift,
            before: found.perplexity_before,
            after: found.perplexity_after,
            references: Vec::new(),
        }));
    }
    for name in subject.references() {
        let reference = subject.reference(name)?;
        for stratum in &mut all {
            let own = kinds.iter().find(|(kind, _)| *kind == stratum.kind);
            let found = measure(&reference, own.map_or(&[], |(_, sequences)| sequences))?;
            stratum.references.extend(found.map(|it| [it.drift.mean, it.perplexity_after]));
        }
    }
    Ok(all)
}
