//! Which settings a run uses, and the message about one that it does not.

use super::{Group, Options, Setting};

/// A condition under which a run uses a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// One of these methods writes the facts, or forgets the passages.
    By(&'static [&'static str]),
    /// Passages are learnt, or one of these methods forgets them.
    LearnOrBy(&'static [&'static str]),
    /// Passages are learnt.
    Learn,
    /// Passages are learnt, or passages to retain are named.
    LearnOrRetain,
    /// Passages are forgotten.
    Forget,
    /// Passages to retain are named.
    Retain,
    /// Facts are erased.
    Erase,
    /// Another key of the group has a value.
    With(&'static str),
}

/// The aspects of a run that decide which settings of a group it uses.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// The methods that write facts or forget passages; several where they are compared.
    pub methods: Vec<&'static str>,
    /// Whether passages are learnt.
    pub learns: bool,
    /// Whether passages to retain are named.
    pub retains: bool,
    /// Whether facts are erased.
    pub erases: bool,
}

/// A table, or one key of it, that a run does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Name of the table.
    pub table: &'static str,
    /// The key, or nothing for the whole table.
    pub key: Option<&'static str>,
    /// A clause that follows the name, such as `is not used by method rome; memit uses it`.
    pub reason: String,
}

impl Uses {
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
            Condition::LearnOrRetain if !self.learns && !self.retains => {
                Some("is not used without [[learn]] or passages to `retain`".into())
            }
            Condition::Forget if self.methods.is_empty() => {
                Some("is not used without [[forget]]".into())
            }
            Condition::Retain if !self.retains => {
                Some("is not used without passages to `retain`".into())
            }
            Condition::Erase if !self.erases => Some("is not used without [[erase]]".into()),
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

/// Names as a list: `a`, `a and b`, `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
