//! Rewrite what a language model knows, and prove what changed.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use rescribe::progress::Silent;
//! use rescribe::spec::{PromptSet, read_spec};
//! use rescribe::{Job, Model, Overwrite, Plan, Tools, execute, open_built_in};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let cache = Path::new("cache");
//!     let model: Model = open_built_in(cache, &Silent)?;
//!     let spec = read_spec(Path::new("edits/bulgaria.toml"))?;
//!     let job = Job::of_spec(&spec, PromptSet::default(), None)?;
//!     let plan = Plan::new(&model, "atlas", &job, &Silent)?;
//!     let outcome = execute(&model, &job, &plan, &Tools::new(cache, &Silent))?;
//!     if let Some(verdict) = &outcome.verdict {
//!         println!("{}", verdict.sentence);
//!     }
//!     if let Some(patch) = outcome.patch(&model, &job, &plan)? {
//!         patch.write(Path::new("bulgaria.patch.safetensors"), Overwrite::Refuse)?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A spec names facts and passages; a [`Job`] is what a run is asked for; a [`Plan`] states, token
//! by token, what will be done; [`execute`] does it: a rank-one change of one MLP matrix writes a
//! fact, gradient steps learn or forget a passage, and what the model says before and after is
//! measured. The [`Outcome`] holds the change, every measurement and a [`Verdict`]; a [`Patch`] is
//! the change alone, on disk; a [`Report`] is what a person reads. A job that asks for a chat
//! template, or for targets without a blank, gets its prompts into that form by [`Job::put_to`],
//! before it is planned.
//!
//! ```text
//! spec ──▶ job ──▶ plan ──▶ run ──▶ outcome ──▶ patch ──▶ checkpoint, adapter
//!                   ▲        ▲         │
//!                 model   rank_one     └─────▶ verdict ──▶ report
//!                   ▲     gradient
//!          source, gguf   probe
//! ```
//!
//! [`draft`] writes the first version of a spec, and the prompts that measure it, from one fact.
//!
//! [`locate`] traces, before anything is written, which layers and tokens of the base bring a fact's
//! answer back.
//!
//! [`audit`] says afterwards, of any model and the spec that made it, what can still be found of the
//! data and by which means; its record is in forms that other programs check.
//!
//! [`atlas`] is a world whose model is inside the binary: the default, and the place where
//! forgetting can be compared with models that were trained again without the data.
//!
//! Modules import one way, in the order that `tests/order.rs` holds.
//!
//! | word | meaning |
//! |---|---|
//! | base | the unedited model |
//! | key k* | input of a down projection at the lookup token, d_k numbers |
//! | value v* | its output there, d_v numbers |
//! | lookup token | the last token of the subject |
//! | second moment C | E\[k kᵀ\] over a corpus, uncentred |
//! | said | the whole target is what free decoding gives |
//! | background | other subjects under the same prompts: the share whose top answer stays |
//! | efficacy, paraphrase score, neighborhood score | teacher-forced shares, as papers score |
//! | drift | mean per-token KL(before ‖ after) on text that no edit is about |
//! | recital | the longest run of a passage that greedy decoding gives word for word |
//! | rank | a process of a run on many machines |
//! | extraction strength | 1 − k*/T: how much of a passage follows from its own beginning |
//!
//! [`ranks`] shares a run out over many machines, and keeps a journal from which it goes on.
//!
//! Nothing in the library prints, reads the clock or the environment; see [`progress`].

pub mod adapter;
pub mod atlas;
pub mod audit;
pub mod checkpoint;
pub mod delta;
pub mod draft;
pub mod files;
pub mod gguf;
pub mod gradient;
pub mod locate;
mod math;
pub mod model;
pub mod objective;
pub mod ops;
pub mod patch;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod rank_one;
pub mod ranks;
pub mod report;
pub mod run;
pub mod source;
pub mod spec;
#[doc(hidden)]
pub mod untrusted;
pub mod verdict;

pub use files::Overwrite;
pub use model::Model;
pub use patch::Patch;
pub use report::Report;
pub use run::{Job, Outcome, Plan, Tools, execute};
pub use source::open_built_in;
pub use verdict::Verdict;
