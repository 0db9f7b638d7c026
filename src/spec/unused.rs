//! The tables and keys of a spec that applying it would not use.

use super::settings::{Options, Unused, Uses};
use super::{
    EditSpec, ForgetMethod, GradientOptions, PassageOperation, PassageVerb, RankOneOptions,
};

impl EditSpec {
    /// Whether the spec inserts or erases facts.
    pub fn has_facts(&self) -> bool {
        !self.inserts.is_empty() || !self.erases.is_empty()
    }

    /// Tables and keys of the spec that applying it would not use.
    pub fn unused(&self) -> Vec<Unused> {
        self.unused_by(&[self.forget_method()])
    }

    /// The method by which the spec forgets passages.
    pub fn forget_method(&self) -> ForgetMethod {
        let has_goal = |it: &PassageOperation| it.holdout.is_some() || !it.references.is_empty();
        self.gradient.forget_method(self.passages.iter().any(has_goal))
    }

    /// Tables and keys of the spec that forgetting by each of `methods` in turn would not use.
    pub fn unused_by(&self, methods: &[ForgetMethod]) -> Vec<Unused> {
        let method = self.rank_one.method.unwrap_or_default();
        let facts = Uses::of_facts(method, !self.erases.is_empty());
        let has = |verb| self.passages.iter().any(|operation| operation.verb == verb);
        let forgets = has(PassageVerb::Forget);
        let passages = Uses {
            methods: methods.iter().filter(|_| forgets).map(|method| method.name()).collect(),
            learns: has(PassageVerb::Learn),
            retains: self.passages.iter().any(|operation| operation.retain.is_some()),
            erases: false,
        };
        let facts = match self.has_facts() {
            true => facts.unused(&self.rank_one),
            false => self.whole::<RankOneOptions>(&self.rank_one, NO_FACTS),
        };
        let passages = match self.passages.is_empty() {
            false => passages.unused(&self.gradient),
            true => self.whole::<GradientOptions>(&self.gradient, NO_PASSAGES),
        };
        [facts, passages].concat()
    }

    /// The whole table of a group, if the spec has it.
    fn whole<O: Options>(&self, options: &O, reason: &str) -> Vec<Unused> {
        let table = O::GROUP.table;
        let is_written = *options != O::default() || self.source.place_of(table, None).is_some();
        let unused = Unused { table, key: None, reason: reason.into() };
        is_written.then_some(unused).into_iter().collect()
    }
}

/// Why a spec of passages does not use the settings of facts.
pub const NO_FACTS: &str = "is not used: the spec has no [[insert]] and no [[erase]]";
/// Why a spec of facts does not use the settings of passages.
pub const NO_PASSAGES: &str = "is not used: the spec has no [[learn]] and no [[forget]]";
