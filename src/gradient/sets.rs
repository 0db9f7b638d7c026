//! The sequences of one training, by what it is to do with them.

use super::example::Example;
use super::general::GeneralText;
use super::own_words::OwnWords;

/// The sequences of one training.
#[derive(Debug, Clone, Default)]
pub struct PassageSets {
    /// To be learnt or forgotten; not empty.
    pub passages: Vec<Example>,
    /// To stay.
    pub retain: Vec<Example>,
    /// Never seen; where there are any, they say when enough is forgotten.
    pub holdout: Vec<Example>,
    /// NLL of each passage, nats a token, under models that never saw it; where there are any, they
    /// say it instead of the hold-out.
    pub references: Vec<f64>,
    /// Text that no change is about, on which the model should stay as it is.
    pub general: GeneralText,
    /// What the model says of the subjects of the passages in forms of its own.
    pub own: OwnWords,
    /// Questions that only measure.
    pub questions: AskedSets,
}

/// Questions about the sets, with their answers as targets; no step is taken on them.
#[derive(Debug, Clone, Default)]
pub struct AskedSets {
    /// About what is learnt or forgotten.
    pub passages: Vec<Example>,
    /// About what is to stay.
    pub retain: Vec<Example>,
    /// About what was never seen.
    pub holdout: Vec<Example>,
}
