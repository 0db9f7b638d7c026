//! What a run starts from: the base, or the base as earlier patches change it.

use serde_json::Value;

use super::RunError;
use super::trim::trimmed;
use crate::delta::{Keys, WeightDelta};
use crate::files::Sha256;
use crate::model::Model;
use crate::patch::{History, Patch, PatchError, compose, is_left_out};
use crate::rank_one::Edited;
use crate::rank_one::kept::joined;
use crate::spec::{Conflict, Fact, Form, fact_conflicts, parse_spec};

/// The sum of earlier patches, whose facts a run keeps.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Their changes.
    pub delta: WeightDelta,
    /// The keys that their facts were written under.
    pub keys: Keys,
    /// How they were made.
    pub history: History,
    /// Their facts, as far as their recipes name them, each with the form of its prompts.
    pub facts: Vec<(Form, Fact)>,
}

impl Start {
    /// The sum of patches for one base.
    pub fn of(patches: &[Patch]) -> Result<Self, PatchError> {
        let mut keys = Keys::default();
        for patch in patches {
            keys = joined(keys, &patch.keys).map_err(|error| PatchError::Compute(error.into()))?;
        }
        let history = History::of(patches);
        let open = history.earlier.iter().filter(|it| !it.is_redacted);
        let facts = open.flat_map(|it| facts_of(&it.spec, &it.plan)).collect();
        Ok(Self { delta: compose(patches)?, keys, history, facts })
    }

    /// The base as the patches change it.
    pub(super) fn edited(&self, model: &Model) -> Result<Edited, RunError> {
        let dense = self.delta.changes.iter();
        let dense = dense.map(|(name, change)| Ok((name.as_str(), change.to_dense()?)));
        let dense = dense.collect::<candle_core::Result<Vec<_>>>()?;
        let decoder = match dense.is_empty() {
            true => model.decoder.clone(),
            false => model.edited(dense)?,
        };
        Ok(Edited { delta: self.delta.clone(), keys: self.keys.clone(), decoder })
    }

    /// The digest of the weights that facts are written into.
    pub(super) fn weights(&self, base: Sha256) -> Sha256 {
        let History { earlier, from } = &self.history;
        match from.is_empty() {
            true => base,
            false => {
                let patches = from.iter().map(|at| format!("\n{}", earlier[*at].patch));
                Sha256::of(format!("{base}{}", patches.collect::<String>()))
            }
        }
    }

    /// Refuses facts that earlier patches hold already, or that contradict theirs.
    pub(super) fn check(&self, facts: &[Fact]) -> Result<(), RunError> {
        let earlier = self.facts.iter().map(|(_, fact)| fact.clone());
        let all: Vec<Fact> = earlier.chain(facts.iter().cloned()).collect();
        let held = self.facts.len();
        let of_both = |it: &&Conflict| it.first < held && it.second >= held;
        let line = |it: &Conflict| {
            let (first, second) = (&all[it.first], &all[it.second]);
            let verb = if it.is_repeated { "repeats" } else { "contradicts" };
            format!("{} {verb} {} of the patch", says(second), says(first))
        };
        let clashes = fact_conflicts(&all);
        let lines: Vec<String> = clashes.iter().filter(of_both).map(line).collect();
        if lines.is_empty() { Ok(()) } else { Err(RunError::HeldAlready { lines }) }
    }
}

/// The facts of a spec that its change holds; none of one that can no longer be read.
fn facts_of(spec: &str, plan: &Value) -> Vec<(Form, Fact)> {
    let Ok(spec) = parse_spec("the recipe", spec) else { return Vec::new() };
    let is_held = |verb: &'static str| move |at: &usize| !is_left_out(plan, verb, *at);
    let inserts = spec.inserts.into_iter().map(Fact::from);
    let erases = spec.erases.into_iter().map(Fact::from);
    let inserts = (0..).zip(inserts).filter(|(at, _)| is_held("insert")(at));
    let erases = (0..).zip(erases).filter(|(at, _)| is_held("erase")(at));
    let facts = inserts.chain(erases).map(|(_, fact)| fact);
    facts.map(|fact| (spec.form, trimmed(fact))).collect()
}

fn says(fact: &Fact) -> String {
    match fact {
        Fact::Insert(insert) => format!("{:?} -> {:?}", insert.rendered(), insert.target_new),
        Fact::Erase(erase) => format!("{:?} -> not {:?}", erase.rendered(), erase.target_true),
    }
}
