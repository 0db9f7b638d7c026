//! One fact to write, `[[insert]]`, and the checks that need no model.

use serde::{Deserialize, Serialize};

use super::Span;
use super::error::Problem;
use super::hidden::alike;
use super::table::{Fields, Problems, Text, quoted};

/// The place of the subject in a prompt.
pub(crate) const SLOT: &str = "{}";

/// One fact to write: after the edit, `prompt` about `subject` is completed by `target_new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insert {
    /// The subject of the fact; not empty.
    pub subject: String,
    /// The sentence up to the target, with exactly one `{}` where the subject stands.
    pub prompt: String,
    /// The new completion, without a leading space; not empty.
    pub target_new: String,
    /// The true target, without a leading space; not needed for the edit itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_true: Option<String>,
    /// Whether the prompt file's ripple facts about this subject are written too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_ripples: bool,
    /// Places in the spec file; `None` for records and values made by code.
    #[serde(skip)]
    pub spans: Option<InsertSpans>,
}

/// Spans of an [`Insert`] in its spec file, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertSpans {
    /// Span of the value of `subject`.
    pub subject: Span,
    /// Span of the value of `prompt`.
    pub prompt: Span,
    /// Span of the value of `target_new`.
    pub target_new: Span,
}

impl Insert {
    /// The prompt with the subject in its place.
    pub fn rendered(&self) -> String {
        self.prompt.replacen(SLOT, &self.subject, 1)
    }

    /// Reads one `[[insert]]` table; nothing where a key is missing.
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let subject = fields.required_text("subject", "\"The Eiffel Tower\"");
        let prompt = fields.required_text("prompt", "\"{} is located in the city of\"");
        let target_new = fields.required_text("target_new", "\"Rome\"");
        let target_true = fields.text("target_true");
        let with_ripples = fields.flag("with_ripples").unwrap_or(false);
        let problems = fields.finish();
        for text in [&subject, &prompt, &target_new, &target_true].into_iter().flatten() {
            check_text(text, problems);
        }
        if let (Some(new), Some(old)) = (&target_new, &target_true) {
            check_targets_differ(new, old, problems);
        }
        let (subject, prompt, target_new) = (subject?, prompt?, target_new?);
        check_slot(&prompt, &subject, problems);
        Some(Self {
            spans: Some(InsertSpans {
                subject: subject.span,
                prompt: prompt.span,
                target_new: target_new.span,
            }),
            subject: subject.value,
            prompt: prompt.value,
            target_new: target_new.value,
            target_true: target_true.map(|text| text.value),
            with_ripples,
        })
    }
}

/// Prompts may have several lines, subjects and targets have one; a run cuts the blanks around them.
pub(super) fn check_text(text: &Text, problems: &Problems) {
    let Text { key, value, span } = text;
    let trimmed = value.trim();
    if trimmed.is_empty() {
        problems.push(Problem::new(format!("`{key}` is empty")).label(span, "no text here"));
    } else if *key != "prompt" && trimmed.contains(['\n', '\r']) {
        let problem = Problem::new(format!("`{key}` has more than one line"));
        problems.push(problem.label(span, "expected a single line"));
    }
}

fn check_targets_differ(new: &Text, old: &Text, problems: &Problems) {
    if new.value.trim() == old.value.trim() && !new.value.trim().is_empty() {
        let problem =
            Problem::new("`target_new` is the same as `target_true`: nothing would change")
                .label(&new.span, "the completion to write")
                .label(&old.span, "the current completion");
        problems.push(problem);
    }
}

pub(super) fn check_slot(prompt: &Text, subject: &Text, problems: &Problems) {
    let name = subject.value.trim();
    match prompt.value.matches(SLOT).count() {
        1 => {}
        0 if prompt.value.trim().is_empty() => {}
        0 if !name.is_empty() && prompt.value.contains(name) => problems.push(
            Problem::new("the prompt names its subject instead of leaving `{}` for it")
                .label(&prompt.span, "no `{}` here")
                .label(&subject.span, "the subject")
                .help(format!("prompt = {}", quoted(&prompt.value.replacen(name, SLOT, 1)))),
        ),
        0 => {
            let help = match alike(&prompt.value, name) {
                Some(it) => format!("prompt = {}", quoted(&prompt.value.replacen(it, SLOT, 1))),
                None => "for example: prompt = \"{} is located in the city of\"".into(),
            };
            problems.push(
                Problem::new("the prompt has no `{}` where its subject stands")
                    .label(&prompt.span, "no `{}` here")
                    .help(help),
            );
        }
        count => {
            // A suggestion is for a line that somebody wrote.
            const LONGEST: usize = 500;
            let help = match prompt.value.len() + count * name.len() {
                0..LONGEST => format!("prompt = {}", quoted(&with_one_slot(&prompt.value, name))),
                _ => "leave `{}` where the subject stands, and write its text at the others".into(),
            };
            problems.push(
                Problem::new(format!("the prompt has `{{}}` {count} times, expected once"))
                    .label(&prompt.span, "which one is the subject?")
                    .help(help),
            );
        }
    }
}

/// Only the first `{}` stays; the others become the subject's text.
fn with_one_slot(prompt: &str, subject: &str) -> String {
    let mut parts = prompt.splitn(2, SLOT);
    let (before, after) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    format!("{before}{SLOT}{}", after.replace(SLOT, subject))
}
