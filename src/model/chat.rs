//! The chat template of a model folder: the text around a prompt that makes it a user's message.
//!
//! Templates are Jinja as Hugging Face renders it: blocks trimmed, with `raise_exception`, `tojson`
//! and Python's string methods. `strftime_now` tells one fixed date, so that a prompt has the same
//! tokens, and so the same keys, on every day.

mod jinja;

use std::io;
use std::path::{Path, PathBuf};

use minijinja::{Error, ErrorKind, context};
use serde::Serialize;
use serde_json::{Map, Value};

use jinja::{Bounded, environment, in_time, without_tags};

use super::token_ids;
use crate::files::{mistaken, read_regular};

/// A chat template that is absent or cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The folder has no template.
    #[error(
        "the model has no chat template: neither chat_template in tokenizer_config.json nor \
         chat_template.jinja is in {}; without --chat and template = \"chat\", prompts are completed as \
         they stand",
        folder.display()
    )]
    Absent {
        /// The model's folder.
        folder: PathBuf,
    },
    /// A file that may hold the template cannot be read.
    #[error("{}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What it is, or what is wrong with it.
        reason: String,
    },
    /// The template is malformed, or refuses the prompt.
    #[error("the chat template in {} fails: {reason}", file.display())]
    Render {
        /// The file that holds the template.
        file: PathBuf,
        /// What the template or its renderer says.
        reason: String,
    },
}

/// The chat template of a folder, and the special tokens that it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    text: String,
    file: PathBuf,
    tokens: Map<String, Value>,
    stops: Vec<u32>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who says it.
    pub role: Speaker,
    /// The text.
    pub content: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Message {
    /// A message of this text.
    pub fn new(role: Speaker, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Far more than the templates and lists of tokens of any model have.
const LARGEST: u64 = 64 << 20;
/// The file that holds nothing but a template.
const TEXT: &str = "chat_template.jinja";
/// Files that may hold a template; the first one found counts.
const FILES: [&str; 3] = [TEXT, "chat_template.json", "tokenizer_config.json"];

impl ChatTemplate {
    /// Reads the template of a model folder.
    ///
    /// # Errors
    ///
    /// [`ChatError::Absent`] where there is none, [`ChatError::Unreadable`] where a file that may hold
    /// it is damaged.
    pub fn open(folder: &Path) -> Result<Self, ChatError> {
        let tokens = special_tokens(&object(&folder.join("tokenizer_config.json"))?);
        let stops = token_ids(&object(&folder.join("generation_config.json"))?, "eos_token_id");
        let found =
            |text: String, name: &str| Self { text, file: folder.join(name), tokens, stops };
        for name in FILES {
            if let Some(text) = template_of(folder, name)? {
                return Ok(found(text, name));
            }
        }
        Err(ChatError::Absent { folder: folder.to_owned() })
    }

    /// The file whose template counts, and the first other one that holds another template.
    pub(super) fn contradiction(folder: &Path) -> Option<(&'static str, &'static str)> {
        // A file that cannot be read is told where its template is used.
        let read = |name| Some((name, template_of(folder, name).ok()??));
        let mut all = FILES.into_iter().filter_map(read);
        let (first, used) = all.next()?;
        let (other, _) = all.find(|(_, text)| text.trim_end() != used.trim_end())?;
        Some((first, other))
    }

    /// The template itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tokens that end an answer, beyond those that end a text.
    pub fn stops(&self) -> &[u32] {
        &self.stops
    }

    /// The messages of a conversation that a user began and ends, up to where the model answers.
    ///
    /// # Errors
    ///
    /// As for [`render`](Self::render), of which this is the form with several messages.
    pub fn render_turns(&self, turns: &[Message]) -> Result<String, ChatError> {
        let text = self.of_turns(turns)?;
        match turns.last().is_some_and(|last| text.contains(last.content.trim())) {
            true => Ok(text),
            false => Err(self.fails("it does not write the prompt".into())),
        }
    }

    /// The prompt as the message of a user, up to where the model answers.
    ///
    /// # Errors
    ///
    /// [`ChatError::Render`] where the template is malformed, refuses the prompt, leaves it out or
    /// writes without end.
    pub fn render(&self, prompt: &str) -> Result<String, ChatError> {
        self.render_turns(&[Message::new(Speaker::User, prompt)])
    }

    /// What the template makes of a prompt, even where it leaves the prompt out.
    fn of_any(&self, prompt: &str) -> Result<String, ChatError> {
        self.of_turns(&[Message::new(Speaker::User, prompt)])
    }

    fn of_turns(&self, turns: &[Message]) -> Result<String, ChatError> {
        self.rendered(turns).map_err(|error| {
            let detail = error.detail().map(str::to_owned);
            self.fails(match error.kind() {
                ErrorKind::OutOfFuel => {
                    "it takes more steps or time than any template needs".into()
                }
                ErrorKind::WriteFailure => "it writes more than a prompt can be".into(),
                _ => detail.unwrap_or_else(|| error.to_string()),
            })
        })
    }

    fn fails(&self, reason: String) -> ChatError {
        ChatError::Render { file: self.file.clone(), reason }
    }

    /// [`render`](Self::render), for a prompt with a `slot` that has to stand in the text once.
    pub fn render_once(&self, prompt: &str, slot: &str) -> Result<String, ChatError> {
        let text = self.of_any(prompt)?;
        match text.matches(slot).count() {
            1 => Ok(text),
            n => Err(self
                .fails(format!("it writes {slot:?} of the prompt {n} times, where one is needed"))),
        }
    }

    /// What stands before a message.
    pub fn lead(&self) -> Result<String, ChatError> {
        const SLOT: &str = "\u{e000}";
        let mut text = self.of_any(SLOT)?;
        text.truncate(text.find(SLOT).unwrap_or(0));
        Ok(text)
    }

    fn rendered(&self, turns: &[Message]) -> Result<String, Error> {
        // Marks what a trainer learns from, which is nothing to a prompt.
        let text = without_tags(&self.text, &["generation", "endgeneration"]);
        let tokens = minijinja::Value::from_serialize(&self.tokens);
        let context = context! { messages => turns, add_generation_prompt => true, ..tokens };
        in_time(move || {
            let environment = environment();
            let template = environment.template_from_str(&text)?;
            let mut out = Bounded(Vec::new());
            template.render_captured_to(context, &mut out)?;
            // Nothing but texts was written.
            Ok(String::from_utf8_lossy(&out.0).into_owned())
        })
    }
}

/// The contents of a file; nothing where it is absent.
fn contents(file: &Path) -> Result<Option<Vec<u8>>, ChatError> {
    match read_regular(file, LARGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(file, error.to_string())),
    }
}

fn unreadable(file: &Path, reason: String) -> ChatError {
    ChatError::Unreadable { file: file.to_owned(), reason }
}

/// The template that a file of the folder holds.
fn template_of(folder: &Path, name: &str) -> Result<Option<String>, ChatError> {
    match name {
        TEXT => template_text(&folder.join(name)),
        _ => Ok(template_in(&object(&folder.join(name))?)),
    }
}

/// The template in a file of its own.
fn template_text(file: &Path) -> Result<Option<String>, ChatError> {
    let Some(bytes) = contents(file)? else { return Ok(None) };
    if let Some(what) = mistaken(&bytes) {
        return Err(unreadable(file, what.to_owned()));
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| unreadable(file, "it is not UTF-8 text".into()))
}

/// A file that holds a JSON object; an empty one where it is absent.
fn object(file: &Path) -> Result<Map<String, Value>, ChatError> {
    let Some(bytes) = contents(file)? else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes).map_err(|error| {
        unreadable(file, mistaken(&bytes).map_or_else(|| error.to_string(), str::to_owned))
    })
}

/// `chat_template`, which is a text, or several with names, of which one is the default.
fn template_in(config: &Map<String, Value>) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match config.get("chat_template")? {
        Value::Array(several) => {
            let is_default = |entry: &&Value| entry["name"] == "default";
            let chosen = several.iter().find(is_default).or(several.first())?;
            text(&chosen["template"])
        }
        one => text(one),
    }
}

/// `bos_token` and its like, each a text or an object with `content`.
fn special_tokens(config: &Map<String, Value>) -> Map<String, Value> {
    let token = |(name, value): (&String, &Value)| {
        let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
        name.ends_with("_token").then(|| (name.clone(), Value::from(text)))
    };
    config.iter().filter_map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: Value, prompt: &str) -> Result<String, ChatError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = serde_json::json!({
            "chat_template": template, "bos_token": {"content": "<s>"}, "eos_token": "</s>",
        });
        let file = folder.path().join("tokenizer_config.json");
        std::fs::write(file, config.to_string()).expect("written");
        ChatTemplate::open(folder.path())?.render(prompt)
    }

    #[test]
    fn a_conversation_holds_the_earlier_turns() {
        let chat = ChatTemplate {
            text: "{% for m in messages %}[{{ m.role }}] {{ m['content'] }}\n{% endfor %}>".into(),
            file: "chat_template.jinja".into(),
            tokens: Map::new(),
            stops: Vec::new(),
        };
        let turns = [
            Message::new(Speaker::User, "Who?"),
            Message::new(Speaker::Assistant, "Ada."),
            Message::new(Speaker::User, "Where?"),
        ];
        let text = chat.render_turns(&turns).expect("rendered");
        assert_eq!(text, "[user] Who?\n[assistant] Ada.\n[user] Where?\n>");
        assert!(chat.render_turns(&[]).is_err(), "nothing to answer");
    }

    /// The forms of templates in the wild, each with what Hugging Face's renderer makes of it.
    #[test]
    fn templates_of_every_form_are_rendered() {
        let chatml = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
                      message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let mistral = "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != \
                       (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}\
                       {% endif %}{{ '[INST] ' + m['content'].strip() + ' [/INST]' }}{% endfor %}";
        let blocks = "{%- set date = strftime_now(\"%d %b %Y\") %}\n{{- bos_token }}\n\
                      {%- for m in messages %}\n    {%- if m.content is string %}\n        \
                      {{- m.content }}|{{ m | tojson }}\n    {%- endif %}\n{%- endfor %}\n{{ date }}";
        let generation = "{% for m in messages %}{% generation %}{{ m.content }}\
                          {% endgeneration %}{% endfor %}";
        let turns = "{%- set ns = namespace(last=-1) -%}{%- for m in messages[::-1] -%}\
                     {%- if m.role == 'user' and not m.content.startswith('<tool') -%}\
                     {%- set ns.last = loop.index0 -%}{%- break -%}{%- endif -%}{%- endfor -%}\
                     {{ ns.last }}{{ messages[-1].content.split('</think>')[-1].lstrip('\n') }}\
                     {% if tools is defined and tools %}T{% endif %}\
                     {{ bos_token + messages[0]['content'] | trim }}";
        let named = serde_json::json!([
            {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ eos_token }}{{ messages[0].content }}"},
        ]);
        let rows = [
            (
                chatml.into(),
                "Hi {}?",
                "<|im_start|>user\nHi {}?<|im_end|>\n<|im_start|>assistant\n",
            ),
            (mistral.into(), " Hi ", "<s>[INST] Hi [/INST]"),
            (blocks.into(), "a<b", "<s>a<b|{\"role\": \"user\", \"content\": \"a<b\"}26 Jul 2024"),
            (generation.into(), "Hi", "Hi"),
            (turns.into(), "Hi ", "0Hi <s>Hi"),
            (named, "Hi", "</s>Hi"),
        ];
        for (template, prompt, expected) in rows {
            let shown = rendered(template, prompt).expect("rendered");
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn two_templates_that_differ_are_named_and_the_first_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
            ChatTemplate::contradiction(folder.path())
        };
        let config = r#"{"chat_template": "A{{ messages[0].content }}"}"#;
        assert_eq!(write("tokenizer_config.json", config), None);
        assert_eq!(write(TEXT, "A{{ messages[0].content }}\n"), None, "an end of line is none");
        assert_eq!(write("chat_template.json", "{}"), None, "a file without a template");
        let found = write(TEXT, "B{{ messages[0].content }}");
        assert_eq!(found, Some((TEXT, "tokenizer_config.json")));
        let chat = ChatTemplate::open(folder.path()).expect("a template");
        assert_eq!(chat.render("Hi").expect("rendered"), "BHi");
    }

    #[test]
    fn the_text_before_a_message_is_known_and_a_slot_stands_once() {
        let chat = |text: &str| ChatTemplate {
            text: text.into(),
            file: "chat_template.jinja".into(),
            tokens: Map::new(),
            stops: Vec::new(),
        };
        let plain = chat("[INST] {{ messages[0].content }} [/INST]");
        assert_eq!(plain.lead().expect("rendered"), "[INST] ");
        assert_eq!(
            plain.render_once("Is {} old?", "{}").expect("once"),
            "[INST] Is {} old? [/INST]"
        );
        for (text, count) in
            [("no message", "0 times"), ("{} {{ messages[0].content }}", "2 times")]
        {
            let error =
                chat(text).render_once("Is {} old?", "{}").expect_err("refused").to_string();
            assert!(error.contains(count), "{error}");
        }
    }

    #[test]
    fn a_template_without_end_or_without_the_prompt_is_refused() {
        let nested =
            "{% for i in range(9999) %}{% for j in range(9999) %}X{% endfor %}{% endfor %}";
        let rows = [
            (nested.replace('X', ""), "more steps"),
            (nested.replace('X', &"long".repeat(1000)), "writes more"),
            ("plain".into(), "does not write the prompt"),
            (String::new(), "does not write the prompt"),
            ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}".into(), "recursion"),
        ];
        for (template, reason) in rows {
            let error = rendered(template.into(), " Hi ").expect_err("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
        let trimmed = "[{{ messages[0].content | trim }}]";
        assert_eq!(rendered(trimmed.into(), " Hi ").expect("rendered"), "[Hi]");
    }

    #[test]
    fn what_a_template_refuses_and_an_absent_one_are_named() {
        let refusing = "{{ raise_exception('only tools') }}".into();
        let error = rendered(refusing, "Hi").expect_err("refused").to_string();
        assert!(error.contains("tokenizer_config.json fails: only tools"), "{error}");
        let error = rendered(Value::Null, "Hi").expect_err("absent").to_string();
        assert!(error.contains("has no chat template"), "{error}");
    }
}
