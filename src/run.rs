//! Turns a plan into a change of weights, and measures its effects: the spine of the pipeline.
//!
//! A [`Job`] holds what is asked for, a [`Plan`] what will be done, [`execute`] does it, and an
//! [`Outcome`] holds the change and every measurement:
//!
//! ```text
//! for each group of facts      start from the base and earlier patches (isolated), or from what the
//!                              last group left
//!     write the group          rank_one
//!     measure its cases        probe
//! for each training            gradient
//! measure what changed         probe
//! attack what was forgotten    attack, then verdict
//! ```

mod attack;
mod bleed;
mod budget;
mod chat;
mod compare;
mod cost;
mod earlier;
mod error;
mod execute;
mod general;
mod identity;
mod job;
mod judge;
mod layer_norms;
mod layers;
mod left_out;
mod measure;
mod needs;
mod outcome;
mod plan;
mod price;
mod probe;
mod recall;
mod references;
mod ripples;
mod start;
mod sweep;
mod tools;
mod train;
mod train_plan;
mod trim;
mod write;

use serde::Serialize;

pub(crate) use attack::{Asked, ReferenceCurves, lesson, relearn, rounded};
pub use attack::{
    Attack, AttackPlan, Compared, QuantisedMemory, RelearnCurve, RelearnPlan, RelearnPoint,
    Relearning,
};
pub use bleed::Bleed;
pub use compare::{Comparison, MethodRun, compare};
pub use cost::Cost;
pub(crate) use cost::{LEAK_TOKENS, OWN_WORDS};
pub use earlier::EarlierFacts;
pub use error::RunError;
pub use execute::execute;
pub(crate) use general::{Forgotten, GENERAL_TOKENS, own_words, reported};
pub use identity::identity;
pub use job::{Case, Compatible, Input, Job, chunks, compatible};
pub(crate) use judge::NEAR;
pub use layer_norms::LayerNorm;
pub use needs::Needs;
pub(crate) use outcome::Remembered;
pub use outcome::{
    CaseMeasures, CaseOutcome, Collapse, FactOutcome, GroupOutcome, ModelChange, Outcome,
    PassageMeasures, WriteSummary,
};
pub use plan::{Plan, Step};
pub use price::{Price, PriceAgreement};
pub use probe::probe;
pub(crate) use recall::{secret_questions, secrets};
pub use start::Start;
pub use sweep::{LayerSweep, TriedLayer};
pub use tools::Tools;
pub use train::{
    Answers, OwnWordsOutcome, ReferenceOutcome, SetMemory, SetsMemory, TrainingOutcome,
};
pub use train_plan::TrainPlan;
pub use trim::trimmed;

/// Which facts share a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Each group is written into the base, as papers score single edits.
    Isolated,
    /// All facts are one group.
    #[default]
    Together,
    /// Each group is written into the model that the group before it left.
    Sequential,
}
