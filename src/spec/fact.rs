//! One fact of a spec or a record file, to be inserted or erased.

use std::ops::Range;

use super::insert::SLOT;
use super::table::quoted;
use super::{Erase, Insert, Span, Toward};

/// A fact to write or to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A fact to write: `[[insert]]`.
    Insert(Insert),
    /// A fact to remove: `[[erase]]`.
    Erase(Erase),
}

impl From<Insert> for Fact {
    fn from(insert: Insert) -> Self {
        Self::Insert(insert)
    }
}

impl From<Erase> for Fact {
    fn from(erase: Erase) -> Self {
        Self::Erase(erase)
    }
}

impl Fact {
    /// The subject of the fact.
    pub fn subject(&self) -> &str {
        match self {
            Self::Insert(insert) => &insert.subject,
            Self::Erase(erase) => &erase.subject,
        }
    }

    /// The sentence up to the target, with `{}` where the subject stands.
    pub fn prompt(&self) -> &str {
        match self {
            Self::Insert(insert) => &insert.prompt,
            Self::Erase(erase) => &erase.prompt,
        }
    }

    /// The true target, where it is known.
    pub fn target_true(&self) -> Option<&str> {
        match self {
            Self::Insert(insert) => insert.target_true.as_deref(),
            Self::Erase(erase) => Some(&erase.target_true),
        }
    }

    /// The text that the model should say; nothing where an erase names none.
    pub fn target_new(&self) -> Option<&str> {
        match self {
            Self::Insert(insert) => Some(&insert.target_new),
            Self::Erase(Erase { toward: Toward::Text(text), .. }) => Some(text),
            Self::Erase(_) => None,
        }
    }

    /// The place of the subject of an insert, or of the prompt of an erase, in its spec.
    pub fn span(&self) -> Option<&Span> {
        match self {
            Self::Insert(insert) => insert.spans.as_ref().map(|spans| &spans.subject),
            Self::Erase(erase) => erase.spans.as_ref().map(|spans| &spans.prompt),
        }
    }

    /// The prompt with the subject in its place.
    pub fn rendered(&self) -> String {
        match self {
            Self::Insert(insert) => insert.rendered(),
            Self::Erase(erase) => erase.rendered(),
        }
    }

    /// The bytes of [`rendered`](Self::rendered) that are the subject.
    pub fn subject_range(&self) -> Range<usize> {
        let start = self.prompt().find(SLOT).unwrap_or(0);
        start..start + self.subject().len()
    }
}

/// The text of a spec with these facts and nothing else.
pub fn spec_text(facts: &[Fact]) -> String {
    facts.iter().map(table).collect::<Vec<_>>().join("\n")
}

fn table(fact: &Fact) -> String {
    let line = |key: &str, value: &str| format!("{key} = {}\n", quoted(value));
    let list = |key: &str, values: &[String]| match values {
        [] => String::new(),
        values => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{key} = [{}]\n", values.join(", "))
        }
    };
    let optional = |key: &str, value: Option<&str>| value.map(|value| line(key, value));
    let (verb, own) = match fact {
        Fact::Insert(insert) => ("insert", line("target_new", &insert.target_new)),
        Fact::Erase(erase) => {
            let toward = line("toward", erase.toward.text());
            let others = list("others", &erase.others);
            ("erase", toward + &others + &list("secrets", &erase.secrets))
        }
    };
    format!(
        "[[{verb}]]\n{}{}{own}{}",
        line("subject", fact.subject()),
        line("prompt", fact.prompt()),
        optional("target_true", fact.target_true()).unwrap_or_default()
    )
}
