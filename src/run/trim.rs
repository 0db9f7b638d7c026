//! Cuts blanks at the edges of subjects, prompts and targets, and notes each cut.
//!
//! A blank at an edge becomes a token of its own, where the model expects it inside the next word:
//! a measurement after "The capital of France is " would be meaningless.

use crate::spec::{Comparison, Fact, PromptSet, without_blanks};

/// Cuts blanks and collects notes about them.
#[derive(Debug, Default)]
pub(super) struct Trimmer {
    /// A sentence for each text that was cut.
    pub(super) notes: Vec<String>,
}

impl Trimmer {
    fn text(&mut self, text: &mut String) {
        let trimmed = without_blanks(text);
        if trimmed.len() < text.len() {
            self.notes.push(format!("{text:?}: the blanks around it were cut"));
            *text = trimmed.to_owned();
        }
    }

    pub(super) fn fact(&mut self, fact: &mut Fact) {
        match fact {
            Fact::Insert(insert) => {
                self.text(&mut insert.subject);
                self.text(&mut insert.prompt);
                self.text(&mut insert.target_new);
                insert.target_true.iter_mut().for_each(|text| self.text(text));
            }
            Fact::Erase(erase) => {
                self.text(&mut erase.subject);
                self.text(&mut erase.prompt);
                self.text(&mut erase.target_true);
                erase.others.iter_mut().for_each(|text| self.text(text));
            }
        }
    }

    pub(super) fn prompts(&mut self, prompts: &mut PromptSet) {
        let PromptSet { rewrite, paraphrase, neighborhood, ripple, generation, .. } = prompts;
        let sets = [rewrite, paraphrase, neighborhood, ripple];
        for Comparison { prompt, target_new, target_true } in sets.into_iter().flatten() {
            self.text(prompt);
            target_new.iter_mut().chain(target_true).for_each(|text| self.text(text));
        }
        generation.iter_mut().for_each(|text| self.text(text));
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
        trimmer.prompts(&mut prompts);
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
}
