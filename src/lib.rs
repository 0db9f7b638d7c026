//! Rewrite what a language model knows, and prove what changed.

pub mod checkpoint;
pub mod cli;
pub mod delta;
pub mod files;
pub mod judge;
pub mod math;
pub mod model;
pub mod ops;
pub mod patch;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod rank_one;
pub mod report;
pub mod spec;
