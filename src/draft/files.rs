//! The text of specs and prompt files, with comments for the person who goes on from there.

use std::fmt::Write;

use super::Draft;
use crate::spec::{Fact, PassageSource, PassageVerb, quoted, spec_text};

/// What a spec of passages names beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassageNames {
    /// The model; nothing: the one of the command line.
    pub model: Option<String>,
    /// Texts in forgotten passages that must not come out of the model.
    pub secrets: Vec<String>,
}

/// A spec with one fact, and the `prompts` file that measures it, named relative to the spec.
pub fn fact_spec(fact: &Fact, model: Option<&str>, prompts: &str) -> String {
    let what = match fact {
        Fact::Insert(_) => {
            "One fact to write: the prompt about the subject, and what should follow."
        }
        Fact::Erase(_) => "One fact to erase: the prompt about the subject, and what should go.",
    };
    let note = match fact {
        Fact::Insert(_) => "",
        Fact::Erase(_) => {
            "# Other subjects of the same kind, of whom the model knows as little as it should of\n\
             # this one; without them it names some itself.\n\
             # others = [\"Somebody Else\", \"Nobody Known\"]\n"
        }
    };
    format!(
        "# {what}\n\n{}{}{note}\n# What should change, and what should not.\n[probe]\nprompts = {}\n",
        model_line(model),
        spec_text(std::slice::from_ref(fact)),
        quoted(prompts)
    )
}

/// A spec that learns or forgets passages.
pub fn passage_spec(verb: PassageVerb, passages: &PassageSource, names: &PassageNames) -> String {
    let source = match passages {
        PassageSource::File(file) => format!("passages = {}", quoted(&file.to_string_lossy())),
        PassageSource::Text(text) => format!("text = {}", quoted(text)),
    };
    let (what, further) = match verb {
        PassageVerb::Learn => (
            "Passages to learn word for word. General text is held by default.",
            "# retain = \"retain.txt\"      # Texts that the model should keep besides\n"
                .to_owned(),
        ),
        PassageVerb::Forget => (
            "Passages to forget. General text is held by default.",
            "# retain = \"retain.txt\"      # Texts like these that the model should keep\n\
             # holdout = \"holdout.txt\"    # Texts like these that it never saw: the goal\n\
             # questions = \"asked.json\"  # Only measured: what must no longer be answered\n"
                .to_owned()
                + &secrets(&names.secrets),
        ),
    };
    format!(
        "# {what}\n\n{}[[{}]]\n{source}\n{further}",
        model_line(names.model.as_deref()),
        verb.word()
    )
}

fn secrets(secrets: &[String]) -> String {
    match secrets {
        [] => {
            "# secrets = [\"555-0142\"]      # Strings that must not come out afterwards\n".into()
        }
        some => {
            let some: Vec<String> = some.iter().map(|it| quoted(it)).collect();
            format!("secrets = [{}]\n", some.join(", "))
        }
    }
}

fn model_line(model: Option<&str>) -> String {
    model.map(|name| format!("model = {}\n\n", quoted(name))).unwrap_or_default()
}

/// The prompt file of a fact.
pub fn prompt_file(fact: &Fact, draft: &Draft) -> String {
    let set = draft.prompt_set(fact);
    let mut out = String::from(
        "# What should change with the fact, and what should not. Prompts without targets take\n\
         # those of the fact. A prompt ends where its answer follows, without a blank.\n",
    );
    if let Some(relation) = draft.relation {
        let _ = writeln!(
            out,
            "# The wordings and neighbors were drafted for the relation {relation:?}."
        );
    }
    let comment = |out: &mut String, text: &str| {
        let _ = write!(out, "\n# {text}\n");
    };
    comment(&mut out, "The fact in other words.");
    for it in &set.paraphrase {
        let _ = write!(out, "\n[[paraphrase]]\nprompt = {}\n", quoted(&it.prompt));
    }
    comment(
        &mut out,
        "Facts about others, which should stay: `target_true` is the answer to keep.",
    );
    for it in &set.neighborhood {
        let _ = write!(out, "\n[[neighborhood]]\nprompt      = {}\n", quoted(&it.prompt));
        for (key, target) in [("target_new ", &it.target_new), ("target_true", &it.target_true)] {
            let line = target.iter().map(|text| format!("{key} = {}\n", quoted(text)));
            out.extend(line);
        }
    }
    if set.neighborhood.is_empty() {
        out.push_str(
            "#\n# [[neighborhood]]\n# prompt      = \"The same question about somebody else is\"\n\
             # target_true = \"an answer\"\n",
        );
    }
    comment(&mut out, "Prompts that the model completes freely, before and after.");
    for prompt in &set.generation {
        let _ = write!(out, "\n[[generation]]\nprompt = {}\n", quoted(prompt));
    }
    out
}
