//! Cuts blanks at the edges of subjects, prompts and targets, and notes each cut; notes characters
//! that are not seen.
//!
//! A blank at an edge becomes a token of its own, where the model expects it inside the next word:
//! a measurement after "The capital of France is " would be meaningless. A character that is not
//! seen may be meant, so it stays.
//!
//! Notes go into patches: where something is to be removed, they quote no text.

use std::collections::BTreeSet;

use crate::spec::{Comparison, Fact, PromptSet, Toward, hidden_characters, without_blanks};

/// Cuts blanks and collects notes about them.
#[derive(Debug, Default)]
pub(super) struct Trimmer {
    /// A sentence for each text that was cut or has characters that are not seen.
    pub(super) notes: Vec<String>,
    /// Characters that were noted, with the word before each: the prompts of a fact repeat its
    /// subject.
    hidden: BTreeSet<(char, String)>,
    /// Whether something is to be removed.
    is_private: bool,
}

/// A fact without the blanks at the edges of its texts, for which there are no notes.
pub fn trimmed(mut fact: Fact) -> Fact {
    Trimmer::default().fact("", &mut fact);
    fact
}

impl Trimmer {
    pub(super) fn new(is_private: bool) -> Self {
        Self { is_private, ..Self::default() }
    }

    /// Cuts a text that stands at `place`.
    fn text(&mut self, place: &str, what: &str, text: &mut String) {
        let trimmed = without_blanks(text);
        if trimmed.len() < text.len() {
            let note = match self.is_private {
                true => format!("{place}: the blanks around the {what} were cut"),
                false => format!("{text:?}: the blanks around it were cut"),
            };
            // The prompts of a fact repeat its own.
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            *text = trimmed.to_owned();
        }
        self.look(place, what, text);
    }

    /// Notes characters that are not seen in a text that stands at `place`.
    fn look(&mut self, place: &str, what: &str, text: &str) {
        let mut all = hidden_characters(text);
        let Some(first) = all.next() else { return };
        let is_new = self.hidden.insert((first.character, first.word_before(text).to_owned()));
        if is_new {
            let more = match all.count() {
                0 => String::new(),
                n => format!(", and {n} more of the kind"),
            };
            // A long text is known by its beginning.
            const LONGEST: usize = 80;
            let shown: String = text.chars().take(LONGEST).collect();
            let dots = if shown.len() < text.len() { "..." } else { "" };
            let has = match self.is_private {
                true => format!("has {}", first.at_character(text)),
                false => format!("{shown:?}{dots} has {}", first.after_word(text)),
            };
            self.notes.push(format!(
                "{place}: the {what} {has}{more}; only text with the same character matches it"
            ));
        }
    }

    pub(super) fn fact(&mut self, place: &str, fact: &mut Fact) {
        match fact {
            Fact::Insert(insert) => {
                self.text(place, "subject", &mut insert.subject);
                self.text(place, "prompt", &mut insert.prompt);
                self.text(place, "new target", &mut insert.target_new);
                let old = insert.target_true.iter_mut();
                old.for_each(|text| self.text(place, "true target", text));
            }
            Fact::Erase(erase) => {
                self.text(place, "subject", &mut erase.subject);
                self.text(place, "prompt", &mut erase.prompt);
                self.text(place, "true target", &mut erase.target_true);
                if let Toward::Text(text) = &mut erase.toward {
                    self.text(place, "text of `toward`", text);
                }
                erase.others.iter_mut().for_each(|text| self.text(place, "other subject", text));
                self.secrets(place, &mut erase.secrets);
            }
        }
    }

    pub(super) fn secrets(&mut self, place: &str, secrets: &mut [String]) {
        secrets.iter_mut().for_each(|text| self.text(place, "secret", text));
    }

    pub(super) fn prompts(&mut self, place: &str, prompts: &mut PromptSet) {
        let PromptSet { rewrite, paraphrase, neighborhood, ripple, generation, .. } = prompts;
        let sets = [rewrite, paraphrase, neighborhood, ripple];
        for Comparison { prompt, target_new, target_true } in sets.into_iter().flatten() {
            self.text(place, "prompt", prompt);
            let targets = target_new.iter_mut().chain(target_true);
            targets.for_each(|text| self.text(place, "target", text));
        }
        generation.iter_mut().for_each(|text| self.text(place, "prompt", text));
        self.secrets(place, &mut prompts.secrets);
        let texts = [&prompts.forget, &prompts.retain, &prompts.holdout];
        texts.into_iter().flatten().for_each(|text| self.look(place, "text", text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_edges_are_cut_and_named() {
        let mut prompts = PromptSet {
            rewrite: vec![Comparison::of_edit("The capital of France is ")],
            paraphrase: vec![Comparison::of_edit("It is")],
            generation: vec!["\tHere".into()],
            ..PromptSet::default()
        };
        let mut trimmer = Trimmer::default();
        trimmer.prompts("p.toml", &mut prompts);
        assert_eq!(prompts.rewrite[0].prompt, "The capital of France is");
        assert_eq!(
            (prompts.paraphrase[0].prompt.as_str(), prompts.generation[0].as_str()),
            ("It is", "Here")
        );
        let expected = [
            "\"The capital of France is \": the blanks around it were cut",
            "\"\\tHere\": the blanks around it were cut",
        ];
        assert_eq!(trimmer.notes, expected);
    }

    #[test]
    fn a_character_that_is_not_seen_is_named_once_with_its_place() {
        let mut prompts = PromptSet {
            rewrite: vec![Comparison::of_edit("Vell\u{200b} is in")],
            paraphrase: vec![Comparison::of_edit("Men say that Vell\u{200b} is in")],
            forget: vec!["Be\u{301}la hid\u{ad}den".into()],
            ..PromptSet::default()
        };
        let mut trimmer = Trimmer::default();
        trimmer.prompts("p.toml", &mut prompts);
        assert_eq!(prompts.rewrite[0].prompt, "Vell\u{200b} is in");
        let expected = [
            "p.toml: the prompt \"Vell\\u{200b} is in\" has U+200B ZERO WIDTH SPACE after \
             \"Vell\"; only text with the same character matches it",
            "p.toml: the text \"Be\\u{301}la hid\\u{ad}den\" has U+0301 apart from its letter, in \
             place of 'é' after \"Be\", and 1 more of the kind; only text with the same character \
             matches it",
        ];
        assert_eq!(trimmer.notes, expected);
    }

    #[test]
    fn notes_on_what_is_removed_quote_nothing() {
        let mut secrets = ["Marie\u{200b} Curie ".to_owned()];
        let mut trimmer = Trimmer::new(true);
        trimmer.secrets("e.toml, line 4", &mut secrets);
        let expected = [
            "e.toml, line 4: the blanks around the secret were cut",
            "e.toml, line 4: the secret has U+200B ZERO WIDTH SPACE at character 6; only text \
             with the same character matches it",
        ];
        assert_eq!(trimmer.notes, expected);
    }
}
