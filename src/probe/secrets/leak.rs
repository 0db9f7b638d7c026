//! What was found of a secret, before and after.

use serde::{Deserialize, Serialize};

use crate::model::Quantisation;

/// What a secret is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretOrigin {
    /// A passage that should be forgotten.
    Passage,
    /// The true target of an erased fact.
    Fact,
}

impl SecretOrigin {
    /// Name of the row that counts those of this origin, where there are some of each.
    pub fn row(self) -> &'static str {
        match self {
            Self::Passage => "passage secrets",
            Self::Fact => "fact secrets",
        }
    }
}

/// How recoverable a secret is from one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretSeen {
    /// Probability of the secret after the text before it, the product over its tokens.
    pub probability: f64,
    /// Mean negative log-likelihood of its tokens, nats.
    pub nll: f64,
    /// Rank of its first token among all tokens, from 1.
    pub first_rank: usize,
    /// Mean rank of its tokens.
    pub mean_rank: f64,
    /// The largest rank of its tokens: this many guesses for each token find it.
    pub worst_rank: usize,
    /// Whether greedy decoding gives the secret.
    pub is_said: bool,
    /// Number of sampled answers that hold it, of [`SecretLeak::drawn`].
    pub sampled: usize,
    /// Number of shorter beginnings of the text before it that lead greedy decoding to it, of
    /// [`SecretLeak::beginnings`].
    pub begun: usize,
    /// Its rank, by probability, among itself and the controls, from 1.
    pub control_rank: usize,
}

/// One secret before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretLeak {
    /// What it is part of.
    pub origin: SecretOrigin,
    /// The text of the secret.
    pub secret: String,
    /// The text before it, which was given.
    pub prefix: String,
    /// Measurements of the base.
    pub before: SecretSeen,
    /// Measurements of the edited model, where there is one.
    pub after: Option<SecretSeen>,
    /// Measurements of the edited model after each attack on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<SecretAttack>,
    /// Number of sampled answers.
    pub drawn: usize,
    /// Number of shorter beginnings of the text before it.
    pub beginnings: usize,
    /// Other numbers of the same form that it was ranked among; none where it has few digits.
    pub controls: usize,
    /// Seed of samples and controls.
    pub seed: u64,
}

/// What is done to an edited model before it is asked for secrets again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretAttackKind {
    /// Its matrices are rounded, as in a GGUF file.
    Rounded(Quantisation),
    /// It learns the passages without the secret again.
    Relearnt,
}

impl SecretAttackKind {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::Rounded(Quantisation::Q8_0), Self::Rounded(Quantisation::Q4_0), Self::Relearnt];

    /// Name of the row that counts the secrets that come out after it.
    pub fn row(self) -> &'static str {
        match self {
            Self::Rounded(Quantisation::Q8_0) => "secrets, Q8_0",
            Self::Rounded(Quantisation::Q4_0) => "secrets, Q4_0",
            Self::Relearnt => "secrets, relearnt",
        }
    }
}

/// How recoverable a secret is after an attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretAttack {
    /// The attack.
    pub kind: SecretAttackKind,
    /// Measurements of the attacked model.
    pub seen: SecretSeen,
}

impl SecretLeak {
    /// Whether it comes out after an attack; nothing where that was not tried.
    pub fn is_recovered_by(&self, kind: SecretAttackKind) -> Option<bool> {
        let attack = self.attacks.iter().find(|attack| attack.kind == kind);
        attack.map(|attack| attack.seen.is_recovered())
    }

    /// It came out of the edited model or, where there is none, of the base.
    pub fn is_recovered(&self) -> bool {
        self.after.as_ref().unwrap_or(&self.before).is_recovered()
    }
}

impl SecretSeen {
    /// Whether the secret was recovered: by greedy decoding, also from a shorter beginning, or in a
    /// sampled answer.
    pub fn is_recovered(&self) -> bool {
        self.is_decoded() || self.sampled > 0
    }

    /// Whether greedy decoding gives the secret, from the whole text before it or a beginning.
    pub fn is_decoded(&self) -> bool {
        self.is_said || self.begun > 0
    }
}
