//! The edits of a patch that started from other patches: one patch against the base holds them all.
//!
//! A patch that starts from others holds their changes in the same tensors as its own, and says in
//! its recipe how each was made, so that every edit can be made again, or left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Patch, Recipe};
use crate::files::Sha256;

/// An edit that a patch holds in addition to its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Digest of the patch that it came in.
    pub patch: Sha256,
    /// Version of the program that made it.
    pub version: String,
    /// The spec as resolved; with digests in place of texts where the record is redacted.
    pub spec: String,
    /// Whether the texts of what was removed are taken out.
    #[serde(default)]
    pub is_redacted: bool,
    /// The resolved plan.
    pub plan: Value,
    /// The seed that the plan was executed with.
    pub seed: u64,
    /// Measurements before and after.
    pub metrics: Value,
    /// Places among all edits of those from whose sum it started; none: from the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<usize>,
}

/// How one of a patch's edits was made.
#[derive(Debug, Clone, Copy)]
pub struct EditRecord<'r> {
    /// The spec as resolved; with digests in place of texts where the record is redacted.
    pub spec: &'r str,
    /// Whether the texts of what was removed are taken out.
    pub is_redacted: bool,
    /// The resolved plan.
    pub plan: &'r Value,
    /// Places among all edits of those from whose sum it started; none: from the base.
    pub from: &'r [usize],
}

impl Recipe {
    /// All edits of the patch, in the order in which they were made; the last is its own.
    pub fn edits(&self) -> Vec<EditRecord<'_>> {
        let Self { spec, is_redacted, plan, from, .. } = self;
        let own = EditRecord { spec, is_redacted: *is_redacted, plan, from };
        self.earlier.iter().map(EditRecord::from).chain([own]).collect()
    }

    /// Whether every edit started from earlier ones alone.
    pub(super) fn is_in_order(&self) -> bool {
        let starts = |(at, edit): (usize, &EditRecord<'_>)| edit.from.iter().all(|it| *it < at);
        self.edits().iter().enumerate().all(starts)
    }
}

impl<'r> From<&'r Earlier> for EditRecord<'r> {
    fn from(edit: &'r Earlier) -> Self {
        let Earlier { spec, is_redacted, plan, from, .. } = edit;
        Self { spec, is_redacted: *is_redacted, plan, from }
    }
}

/// What a recipe says of the patches that its edit starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// All their edits.
    pub earlier: Vec<Earlier>,
    /// The places of their own ones.
    pub from: Vec<usize>,
}

impl History {
    /// The history of an edit that starts from these patches, in the order in which
    /// [`compose`](super::compose) adds them.
    pub fn of(patches: &[Patch]) -> Self {
        let mut sorted: Vec<(Sha256, &Patch)> =
            patches.iter().map(|it| (it.sha256(), it)).collect();
        sorted.sort_by_key(|(digest, _)| *digest);
        let mut history = Self::default();
        for (digest, patch) in sorted {
            history.add(digest, &patch.recipe);
        }
        history
    }

    fn add(&mut self, patch: Sha256, recipe: &Recipe) {
        let first = self.earlier.len();
        let moved = |from: &[usize]| from.iter().map(|at| at + first).collect();
        let earlier = |it: &Earlier| Earlier { from: moved(&it.from), ..it.clone() };
        self.earlier.extend(recipe.earlier.iter().map(earlier));
        self.from.push(self.earlier.len());
        let Recipe { version, spec, is_redacted, plan, seed, metrics, from, .. } = recipe.clone();
        let from = moved(&from);
        self.earlier.push(Earlier { patch, version, spec, is_redacted, plan, seed, metrics, from });
    }
}
