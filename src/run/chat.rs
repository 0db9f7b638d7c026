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
        model.tokenizer.set_blank(self.form.blank.unwrap_or_default());
        let asks = |template| template == Some(Template::Chat);
        let of_cases = self.cases.iter().map(|it| it.prompts.form.template);
        let of_start = self.start.facts.iter().map(|(form, _)| form.template);
        if !of_cases.chain(of_start).chain([self.form.template]).any(asks) {
            return Ok(());
        }
        let chat = ChatTemplate::open(&model.folder)?;
        model.tokenizer.set_lead(chat.lead()?);
        let ends = chat.stops().iter().filter(|id| !model.stop_tokens.contains(id));
        let ends: Vec<u32> = ends.copied().collect();
        model.stop_tokens.extend(ends);
        if asks(self.form.template) {
            for fact in self.facts.iter_mut().chain(self.without_ripples.iter_mut().flatten()) {
                put_fact(&chat, fact)?;
            }
        }
        for (form, fact) in &mut self.start.facts {
            if asks(form.template) {
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

/// Puts a prompt whose `{}` stands for the subject.
fn put_slot(chat: &ChatTemplate, prompt: &mut String) -> Result<(), ChatError> {
    *prompt = chat.render_once(prompt, "{}")?;
    Ok(())
}

fn put_fact(chat: &ChatTemplate, fact: &mut Fact) -> Result<(), ChatError> {
    match fact {
        Fact::Insert(insert) => put_slot(chat, &mut insert.prompt),
        Fact::Erase(erase) => put_slot(chat, &mut erase.prompt),
    }
}

fn put_prompts(chat: &ChatTemplate, prompts: &mut PromptSet) -> Result<(), ChatError> {
    let PromptSet { rewrite, paraphrase, neighborhood, ripple, generation, about, .. } = prompts;
    let sets = [rewrite, paraphrase, neighborhood, ripple].into_iter().flatten();
    let compared = sets.map(|Comparison { prompt, .. }| prompt);
    let about = about.iter_mut().map(|about| &mut about.prompt);
    compared.chain(generation).chain(about).try_for_each(|prompt| put(chat, prompt))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::Form;
    use crate::verdict::Thresholds;

    #[test]
    fn a_chat_is_rendered_and_ends_where_its_folder_says() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for entry in fs::read_dir(fixture).expect("the fixture") {
            let entry = entry.expect("a file");
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
        let write = |name, text| fs::write(folder.path().join(name), text).expect("written");
        write("chat_template.jinja", "[INST] {{ messages[0].content }} [/INST]");
        write("generation_config.json", r#"{"eos_token_id": [1, 7]}"#);
        let mut model = Model::open(folder.path(), &Device::Cpu, &Silent).expect("the copy");
        let form = Form { template: Some(Template::Chat), blank: None };
        let rewrite = vec![Comparison::of_edit("Where is it?")];
        let prompts = PromptSet { form, rewrite, ..PromptSet::default() };
        let mut job = Job::of_prompts("p.toml", prompts, Thresholds::default());
        job.put_to(&mut model).expect("rendered");
        assert_eq!(job.cases[0].prompts.rewrite[0].prompt, "[INST] Where is it? [/INST]");
        let ends = |id| model.stop_tokens.iter().filter(|stop| **stop == id).count();
        assert_eq!((ends(1), ends(7)), (1, 1), "{:?}", model.stop_tokens);
    }
}
