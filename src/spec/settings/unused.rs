//! Which settings a run uses, and what is said about one that it does not.

use super::{Group, Options, Setting};
use crate::spec::{EditSpec, ForgetMethod, GradientOptions, Method, PassageVerb, RankOneOptions};

/// What must hold for a run to use a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// One of these methods writes the facts, or forgets the passages.
    By(&'static [&'static str]),
    /// Passages are learnt, or one of these methods forgets them.
    LearnOrBy(&'static [&'static str]),
    /// Passages are learnt.
    Learn,
    /// Passages are forgotten.
    Forget,
    /// Passages to retain are named.
    Retain,
    /// Another key of the group has a value.
    With(&'static str),
}

/// What a run does, as far as it decides which settings of a group it uses.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// The methods that write facts or forget passages; several where they are compared.
    pub methods: Vec<&'static str>,
    /// Passages are learnt.
    pub learns: bool,
    /// Passages to retain are named.
    pub retains: bool,
}

/// A table, or one key of it, that a run does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The table.
    pub table: &'static str,
    /// Nothing: the whole table.
    pub key: Option<&'static str>,
    /// A clause that follows the name, such as `is not used by method rome; memit uses it`.
    pub reason: String,
}

impl Uses {
    /// Facts written by `method`.
    pub fn of_facts(method: Method) -> Self {
        Self { methods: vec![method.name()], ..Self::default() }
    }

    /// The keys of `options` that have a value and are not used.
    pub fn unused<O: Options>(&self, options: &O) -> Vec<Unused> {
        let Group { table, settings, .. } = O::GROUP;
        let unused = |setting: &Setting| {
            options.get(setting.key)?;
            let reason = setting.conditions.iter().find_map(|it| self.unmet(*it, options))?;
            Some(Unused { table, key: Some(setting.key), reason })
        };
        settings.iter().filter_map(unused).collect()
    }

    /// Why a condition does not hold; nothing if it does.
    fn unmet<O: Options>(&self, condition: Condition, options: &O) -> Option<String> {
        let is_by = |names: &[&str]| self.methods.iter().any(|method| names.contains(method));
        match condition {
            Condition::By(names) if !is_by(names) => Some(self.not_by(names)),
            Condition::LearnOrBy(names) if !self.learns && !is_by(names) => {
                Some(self.not_by(names))
            }
            Condition::Learn if !self.learns => Some("is not used without [[learn]]".into()),
            Condition::Forget if self.methods.is_empty() => {
                Some("is not used without [[forget]]".into())
            }
            Condition::Retain if !self.retains => {
                Some("is not used without passages to `retain`".into())
            }
            Condition::With(key) if options.get(key).is_none() => {
                Some(format!("is not used without {key}"))
            }
            _ => None,
        }
    }

    fn not_by(&self, names: &[&str]) -> String {
        let by = match self.methods.as_slice() {
            [] => return "is not used without [[forget]]".into(),
            [method] => format!("method {method}"),
            methods => format!("methods {}", list(methods)),
        };
        let verb = if names.len() == 1 { "uses" } else { "use" };
        format!("is not used by {by}; {} {verb} it", list(names))
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

impl EditSpec {
    /// Whether it writes or erases facts.
    pub fn has_facts(&self) -> bool {
        !self.inserts.is_empty() || !self.erases.is_empty()
    }

    /// Tables and keys of the spec that applying it would not use.
    pub fn unused(&self) -> Vec<Unused> {
        self.unused_by(&[self.gradient.method.unwrap_or_default()])
    }

    /// Tables and keys of the spec that forgetting by each of `methods` in turn would not use.
    pub fn unused_by(&self, methods: &[ForgetMethod]) -> Vec<Unused> {
        let facts = Uses::of_facts(self.rank_one.method.unwrap_or_default());
        let has = |verb| self.passages.iter().any(|operation| operation.verb == verb);
        let forgets = has(PassageVerb::Forget);
        let passages = Uses {
            methods: methods.iter().filter(|_| forgets).map(|method| method.name()).collect(),
            learns: has(PassageVerb::Learn),
            retains: self.passages.iter().any(|operation| operation.retain.is_some()),
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
