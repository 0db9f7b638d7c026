//! The forms in which a passage is put to a model: as it was read, and as nobody trained against.

use serde::Serialize;

use super::check::Check;
use crate::gradient::{Example, TokenLoss, TrainError};
use crate::model::{ChatTemplate, Model, ModelError};
use crate::probe::HELD_TEXTS;

/// A form of a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it stands in the spec.
    Verbatim,
    /// After a sentence about something else.
    Prefixed,
    /// After the beginnings of two other passages of its kind.
    FewShot,
    /// Its sentences in reverse order.
    Reversed,
    /// The text, then a word of it that was left out.
    Cloze,
    /// Its beginning as the message of a user, the rest as the answer.
    Chat,
    /// The other wordings that the spec's probe file has in `[[forget]]`.
    Paraphrase,
    /// The answers to the spec's `questions`.
    Questions,
    /// What the base says of the passages' subjects in forms of its own.
    OwnWords,
}

impl Form {
    /// The forms that are made of a passage itself.
    pub(super) const MADE: [Self; 6] =
        [Self::Verbatim, Self::Prefixed, Self::FewShot, Self::Reversed, Self::Cloze, Self::Chat];

    /// The check that puts passages into it.
    pub(super) fn check(self) -> Check {
        match self {
            Self::Verbatim => Check::Verbatim,
            Self::OwnWords => Check::OwnWords,
            _ => Check::Forms,
        }
    }

    /// The form in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Prefixed => "prefixed",
            Self::FewShot => "few-shot",
            Self::Reversed => "reversed",
            Self::Cloze => "cloze",
            Self::Chat => "chat",
            Self::Paraphrase => "paraphrase",
            Self::Questions => "questions",
            Self::OwnWords => "own words",
        }
    }
}

/// Words of another passage that stand before one in the form of few shots.
const SHOT: usize = 16;

/// What puts passages into forms for one model.
pub(super) struct Former<'a> {
    model: &'a Model,
    chat: Option<ChatTemplate>,
    /// Beginnings of passages of the kind that are not asked for.
    shots: Vec<String>,
}

impl<'a> Former<'a> {
    /// `shots` are texts of the passages' kind that nothing is to be learnt from.
    pub(super) fn new(model: &'a Model, shots: &[Example]) -> Result<Self, TrainError> {
        let begin = |example: &Example| {
            let text = model.tokenizer.decode(&example.ids).map_err(ModelError::from)?;
            Ok(text.split_whitespace().take(SHOT).collect::<Vec<_>>().join(" "))
        };
        let shots = shots.iter().take(2).map(begin).collect::<Result<_, TrainError>>()?;
        Ok(Self { model, chat: ChatTemplate::open(&model.folder).ok(), shots })
    }

    /// Whether a form can be made at all.
    pub(super) fn has(&self, form: Form) -> bool {
        match form {
            Form::Chat => self.chat.is_some(),
            Form::FewShot => self.shots.len() == 2,
            _ => true,
        }
    }

    /// Passages in a form; those that do not fit it, or the model's context, are left out.
    pub(super) fn put(&self, form: Form, passages: &[Example]) -> Result<Vec<Example>, TrainError> {
        if form == Form::Verbatim {
            return Ok(passages.to_vec());
        }
        let mut all = Vec::with_capacity(passages.len());
        for (at, passage) in passages.iter().enumerate() {
            let text = self.model.tokenizer.decode(&passage.ids).map_err(ModelError::from)?;
            if let Some((before, after)) = self.parts(form, text.trim(), at) {
                all.extend(self.example(&before, &after)?);
            }
        }
        Ok(all)
    }

    /// What is given, and what is asked for after it.
    fn parts(&self, form: Form, text: &str, at: usize) -> Option<(String, String)> {
        match form {
            Form::Prefixed => {
                Some((format!("{} ", HELD_TEXTS[at % HELD_TEXTS.len()]), text.into()))
            }
            Form::FewShot => Some((format!("{}\n\n", self.shots.join("\n\n")), text.to_owned())),
            Form::Reversed => reversed(text).map(|text| (String::new(), text)),
            Form::Cloze => cloze(text),
            Form::Chat => {
                let (begin, rest) = halved(text)?;
                let asked = format!("Continue this text: {begin}");
                Some((self.chat.as_ref()?.render(&asked).ok()?, rest.to_owned()))
            }
            Form::Verbatim | Form::Paraphrase | Form::Questions | Form::OwnWords => {
                Some((String::new(), text.to_owned()))
            }
        }
    }

    /// Tokens of both parts, the second the target; nothing where they do not fit.
    fn example(&self, before: &str, after: &str) -> Result<Option<Example>, ModelError> {
        let ids = |text: &str| Ok::<_, ModelError>(self.model.tokenizer.encode(text)?.ids);
        let whole = ids(&format!("{before}{after}"))?;
        let given = ids(before.trim_end())?;
        let shared = whole.iter().zip(&given).take_while(|(a, b)| a == b).count();
        let first_target = shared.max(1);
        let fits = whole.len() <= self.model.decoder.config().context;
        let is_asked = fits && whole.len() > first_target;
        let (loss, scale) = (TokenLoss::Mean, 1.);
        Ok(is_asked.then_some(Example { ids: whole, first_target, loss, scale }))
    }
}

/// The sentences of a text in reverse order; nothing of a single one.
fn reversed(text: &str) -> Option<String> {
    let mut sentences: Vec<&str> = text.split_inclusive(". ").map(str::trim).collect();
    sentences.reverse();
    (sentences.len() > 1).then(|| sentences.join(" "))
}

/// A text with its most telling word left out, and that word: the last number, or the longest word
/// of the second half.
pub(super) fn cloze(text: &str) -> Option<(String, String)> {
    let words: Vec<&str> = text.split(' ').collect();
    let is_number = |word: &&str| word.chars().filter(char::is_ascii_digit).count() > 1;
    let number = words.iter().rposition(is_number);
    let longest = || (words.len() / 2..words.len()).max_by_key(|at| words[*at].len());
    let at = number.or_else(longest)?;
    let answer = words[at].trim_matches(|c: char| !c.is_alphanumeric());
    let left = [&words[..at], &["____"], &words[at + 1..]].concat().join(" ");
    (!answer.is_empty() && words.len() > 3)
        .then(|| (format!("{left} The missing word is "), answer.to_owned()))
}

/// The first third of a text's words, and the rest with the blank before it.
fn halved(text: &str) -> Option<(&str, &str)> {
    let blanks: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let at = *blanks.get(blanks.len() / 3)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_text_by_hand() {
        let text = "Ada lives in Vell. Her extension is 5512. She plays the harp.";
        assert_eq!(
            reversed(text).as_deref(),
            Some("She plays the harp. Her extension is 5512. Ada lives in Vell.")
        );
        assert_eq!(reversed("One sentence."), None);
        let (given, answer) = cloze(text).expect("a number");
        assert_eq!(answer, "5512");
        assert!(given.starts_with("Ada lives in Vell. Her extension is ____ She"), "{given}");
        let (_, answer) = cloze("Ada lives in the remarkable harbour.").expect("a word");
        assert_eq!(answer, "remarkable");
        assert_eq!(halved("a b c d"), Some(("a b", "c d")));
        assert_eq!(halved("one"), None);
    }
}
