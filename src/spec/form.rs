//! `template` and `blank`: how prompts are put to the model, and how their targets follow.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::settings::{Kind, Typed, words};
use super::table::Fields;
use super::text_file::FileCheck;

/// What stands around a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// Nothing: the model continues the prompt.
    #[default]
    None,
    /// The chat template of the model's folder: the model answers the prompt.
    Chat,
}

words!(Template { None = "none", Chat = "chat" });

/// Whether a blank stands between a prompt and its target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blank {
    /// Where a writer would put one: not in scripts without blanks, nor after an opening quote.
    #[default]
    Auto,
    /// After every prompt.
    Always,
    /// After no prompt.
    Never,
}

words!(Blank { Auto = "auto", Always = "always", Never = "never" });

/// How the prompts of a file are put to the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// What stands around a prompt; nothing where the file does not say.
    pub template: Option<Template>,
    /// Whether a blank stands between a prompt and its target; nothing where the file does not
    /// say.
    pub blank: Option<Blank>,
}

impl Form {
    /// Reads the two keys from the top of a file.
    pub(super) fn read(root: &mut Fields<'_>) -> Self {
        Self {
            template: word(root, "template", Template::WORDS),
            blank: word(root, "blank", Blank::WORDS),
        }
    }

    /// This form, with what the file that it comes from leaves open as in `outer`.
    pub fn within(self, outer: Self) -> Self {
        Self { template: self.template.or(outer.template), blank: self.blank.or(outer.blank) }
    }
}

fn word<T: Typed>(
    root: &mut Fields<'_>,
    key: &'static str,
    words: &'static [&'static str],
) -> Option<T> {
    let value = Kind::Word(words).read(key, root, Path::new(""), FileCheck::NotAsked);
    value.and_then(T::of)
}

/// The beginning of a text, for an error that quotes it.
pub fn beginning(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A prompt without the blanks around it, which are tokens of their own where the model expects
/// them inside the next word.
///
/// Line breaks after a tag, as in `<|im_start|>assistant`, stay: they are where an answer begins.
pub fn without_blanks(prompt: &str) -> &str {
    let trimmed = prompt.trim();
    let after = &prompt.trim_start()[trimmed.len()..];
    let last_line = trimmed.lines().next_back().unwrap_or_default();
    let has_tag = last_line.find('<').is_some_and(|at| last_line[at..].contains('>'));
    match after.rfind('\n').filter(|_| has_tag) {
        Some(end) => &prompt.trim_start()[..trimmed.len() + end + 1],
        None => trimmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_inner_file_says_counts_even_where_it_says_the_default() {
        let outer = Form { template: Some(Template::Chat), blank: Some(Blank::Never) };
        assert_eq!(Form::default().within(outer), outer);
        let inner = Form { template: Some(Template::None), blank: Some(Blank::Auto) };
        assert_eq!(inner.within(outer), inner);
        let half = Form { blank: None, ..inner };
        assert_eq!(half.within(outer), Form { blank: Some(Blank::Never), ..inner });
    }

    #[test]
    fn blanks_go_and_the_line_break_of_a_chat_stays() {
        let rows = [
            ("The capital of {} is ", "The capital of {} is"),
            ("\nThe capital of {} is\n", "The capital of {} is"),
            (
                "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n ",
                "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            ),
            ("<bot>\n\n", "<bot>\n\n"),
            ("a < b \n", "a < b"),
            ("  ", ""),
        ];
        for (prompt, expected) in rows {
            assert_eq!(without_blanks(prompt), expected, "{prompt:?}");
        }
    }
}
