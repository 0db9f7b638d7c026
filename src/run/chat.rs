//! Puts the prompts of a job into the form that it asks for: a chat template around each.

use super::job::Job;
use crate::model::{ChatError, ChatTemplate, Model};
use crate::spec::{Comparison, Fact, PromptSet, Template};

impl Job {
    /// Renders the prompts for `model`, and lets its tokenizer set targets off as the job says.
    ///
    /// The `{}` of a fact's prompt stays in the rendered text, where the subject is found.
    ///
    /// # Errors
    ///
    /// [`ChatError`] where a chat is asked for and the model has no template, or it refuses a prompt.
    pub fn put_to(&mut self, model: &mut Model) -> Result<(), ChatError> {
        model.tokenizer.set_blank(self.form.blank);
        let asks = |template| template == Template::Chat;
        if !asks(self.form.template) && !self.cases.iter().any(|it| asks(it.prompts.form.template))
        {
            return Ok(());
        }
        let chat = ChatTemplate::open(&model.folder)?;
        if asks(self.form.template) {
            for fact in self.facts.iter_mut().chain(self.without_ripples.iter_mut().flatten()) {
                put_fact(&chat, fact)?;
            }
        }
        for case in self.cases.iter_mut().filter(|case| asks(case.prompts.form.template)) {
            put_prompts(&chat, &mut case.prompts)?;
        }
        Ok(())
    }
}

fn put(chat: &ChatTemplate, prompt: &mut String) -> Result<(), ChatError> {
    *prompt = chat.render(prompt)?;
    Ok(())
}

fn put_fact(chat: &ChatTemplate, fact: &mut Fact) -> Result<(), ChatError> {
    match fact {
        Fact::Insert(insert) => put(chat, &mut insert.prompt),
        Fact::Erase(erase) => put(chat, &mut erase.prompt),
    }
}

fn put_prompts(chat: &ChatTemplate, prompts: &mut PromptSet) -> Result<(), ChatError> {
    let PromptSet { rewrite, paraphrase, neighborhood, ripple, generation, about, .. } = prompts;
    let sets = [rewrite, paraphrase, neighborhood, ripple].into_iter().flatten();
    let compared = sets.map(|Comparison { prompt, .. }| prompt);
    let about = about.iter_mut().map(|about| &mut about.prompt);
    compared.chain(generation).chain(about).try_for_each(|prompt| put(chat, prompt))
}
