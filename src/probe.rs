//! Measures a model with prompts: its answers, and what changed.
//!
//! efficacy: share of rewrite prompts with NLL(new) < NLL(true); paraphrase score: that share on
//! paraphrases; neighborhood score: NLL(true) < NLL(new) on prompts that the edit should leave
//! alone; score: harmonic mean of the three (ROME, arXiv 2202.05262, section 3.4). A tie is a
//! failure, and NLL is the mean over the target's tokens. Erased answers are sought in five
//! ways ([`Leak`]).

mod background;
mod completion;
mod damage;
mod drift;
mod fluency;
mod held;
mod leak;
mod likelihood;
mod next_token;
mod recital;
mod said;
mod scores;
mod secrets;
mod tofu;

pub use crate::math::Interval;
pub(crate) use background::OtherKey;
pub use background::{
    Background, BackgroundFact, BackgroundKind, BackgroundQuestions, BackgroundSize, BaseAnswers,
    MarginShift, Moved,
};
pub use completion::{Completion, completions};
pub use damage::{BaseText, Damage, GeneralUse, WorstText, damage, general_text};
pub use drift::{Drift, drift, text_tokens};
pub use fluency::{fluency, n_gram_entropy};
pub use held::HELD_TEXTS;
pub use leak::{
    Channel, ErasedFact, FOUND, Leak, LeakQuestion, PromptLeak, Seen, Sides, Strongest,
};
pub use likelihood::{Query, TargetScore, likelihoods, probability_text};
pub use next_token::{NextToken, lens_tokens, next_tokens};
pub(crate) use recital::recited_share;
pub use recital::{PassageRecital, Recital, RecitedRun, recital};
pub use said::{SAID_TOKENS, Said, SaidQuestions, SaidShares, said};
pub use scores::{Measured, ProbeScores, PromptKind, PromptScore, Questions, measure};
pub use secrets::{
    SecretAttack, SecretAttackKind, SecretLeak, SecretOrigin, SecretQuestion, SecretSeen,
};
pub use tofu::{TofuMeasures, TofuSummary, evaluate, forget_quality, rouge_l_recall, truth_ratio};
