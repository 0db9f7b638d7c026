//! The tokens of a prompt by their place: in the subject, right after it, further, last.

use std::ops::Range;

use serde::Serialize;

use crate::model::{Tokenizer, TokenizerError};
use crate::spec::Fact;

/// The place of a token in its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionClass {
    /// The first token of the subject, where it has several.
    FirstSubject,
    /// Between the first and the last token of the subject.
    MiddleSubject,
    /// The last token of the subject.
    LastSubject,
    /// Right after the subject.
    Next,
    /// Between the one right after the subject and the last.
    Further,
    /// The last token of the prompt, after which the answer is read.
    Last,
}

impl PositionClass {
    /// All of them, in the order of a prompt.
    pub const ALL: [Self; 6] = [
        Self::FirstSubject,
        Self::MiddleSubject,
        Self::LastSubject,
        Self::Next,
        Self::Further,
        Self::Last,
    ];

    /// The name in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstSubject => "first subject token",
            Self::MiddleSubject => "middle of the subject",
            Self::LastSubject => "last subject token",
            Self::Next => "next token",
            Self::Further => "further tokens",
            Self::Last => "last token",
        }
    }

    fn of(position: usize, subject: &Range<usize>, tokens: usize) -> Self {
        if position + 1 == subject.end {
            Self::LastSubject
        } else if position == subject.start {
            Self::FirstSubject
        } else if position < subject.end {
            Self::MiddleSubject
        } else if position + 1 == tokens {
            Self::Last
        } else if position == subject.end {
            Self::Next
        } else {
            Self::Further
        }
    }
}

/// A token whose states are restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TracedToken {
    /// Its index in the prompt.
    pub position: usize,
    /// Its text.
    pub text: String,
    /// Its place.
    pub class: PositionClass,
}

/// A prompt as the model reads it, and the tokens of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubjectTokens {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
    pub(super) subject: Range<usize>,
    pub(super) is_erased: bool,
}

impl SubjectTokens {
    pub(super) fn of(tokenizer: &Tokenizer, fact: &Fact) -> Result<Self, TokenizerError> {
        let text = fact.rendered();
        let bytes = fact.subject_range();
        let encoded = tokenizer.encode(&text)?;
        let missing = || TokenizerError::NoLookupToken {
            prompt: text.clone(),
            subject: fact.subject().into(),
        };
        let last = Tokenizer::lookup_token(&encoded, bytes.end).ok_or_else(missing)?;
        let is_inside = |(_, end): &(usize, usize)| *end > bytes.start;
        let first = encoded.offsets.iter().position(is_inside).unwrap_or(last).min(last);
        let is_erased = matches!(fact, Fact::Erase(_));
        Ok(Self { text, ids: encoded.ids, subject: first..last + 1, is_erased })
    }

    /// The tokens from the subject on; or, of each class, the one in its middle.
    pub(super) fn traced(&self, tokenizer: &Tokenizer, is_each: bool) -> Vec<TracedToken> {
        let tokens = self.ids.len();
        let token = |position: usize| TracedToken {
            position,
            text: tokenizer.piece(self.ids[position]),
            class: PositionClass::of(position, &self.subject, tokens),
        };
        let all: Vec<TracedToken> = (self.subject.start..tokens).map(token).collect();
        if is_each {
            return all;
        }
        let middle = PositionClass::ALL.into_iter().filter_map(|class| {
            let own: Vec<&TracedToken> = all.iter().filter(|token| token.class == class).collect();
            own.get(own.len() / 2).map(|token| (*token).clone())
        });
        middle.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_class_by_their_place() {
        use PositionClass::*;
        let classes = |subject: Range<usize>, tokens: usize| {
            let of = |position| PositionClass::of(position, &subject, tokens);
            (subject.start..tokens).map(of).collect::<Vec<_>>()
        };
        let long = [FirstSubject, MiddleSubject, MiddleSubject, LastSubject, Next, Further, Last];
        assert_eq!(classes(1..5, 8), long);
        assert_eq!(classes(0..1, 3), [LastSubject, Next, Last]);
        assert_eq!(classes(2..4, 5), [FirstSubject, LastSubject, Last]);
        assert_eq!(classes(2..4, 4), [FirstSubject, LastSubject]);
    }
}
