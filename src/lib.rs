//! Rewrite what a language model knows, and prove what changed.
//!
//! A spec names facts and passages; a plan says, token by token, what will be done; a rank-one change
//! of one MLP matrix writes a fact, gradient steps learn or forget a passage; probes before and after
//! say what changed; a patch holds the change alone.
//!
//! ```text
//! spec ──▶ plan ──▶ rank_one, gradient ──▶ delta ──▶ patch ──▶ checkpoint, adapter
//!            ▲          ▲                              │            │
//!          model ───────┴──────▶ probe ◀───────────────┘          judge
//!            ▲                     │
//!     ops, math                 report ──▶ cli
//! ```
//!
//! [`atlas`] is a world whose model is inside the binary: the default, and the place where forgetting
//! can be set beside models that were trained again without the data.
//!
//! Modules import one way, in the order that `tests/order.rs` holds; the one exception is that
//! `rank_one` takes the plan that it executes, whose settings it defines.
//!
//! | word | meaning |
//! |---|---|
//! | key k* | input of a down projection at the lookup token, d_k numbers |
//! | value v* | its output there, d_v numbers |
//! | lookup token | the last token of the subject |
//! | second moment C | E\[k kᵀ\] over a corpus, uncentred |
//! | efficacy, paraphrase score, neighborhood score | shares of prompts that go as wanted |
//! | extraction strength | 1 − k*/T: how much of a passage follows from its own beginning |
//! | drift | mean per-token KL(before ‖ after) on texts that no edit is about |
//!
//! Nothing in the library prints, reads the clock or the environment; see [`progress`].

pub mod adapter;
pub mod atlas;
pub mod checkpoint;
pub mod delta;
pub mod files;
pub mod gguf;
pub mod gradient;
pub mod math;
pub mod model;
pub mod objective;
pub mod ops;
pub mod patch;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod rank_one;
pub mod report;
pub mod run;
pub mod source;
pub mod spec;
pub mod verdict;
