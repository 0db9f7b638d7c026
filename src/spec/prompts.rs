//! Prompt files: what to measure before and after an edit.

use serde::{Deserialize, Serialize};

use super::error::Problem;
use super::form::Form;
use super::hidden::alike;
use super::insert::{Insert, SLOT, check_text};
use super::secret_keys;
use super::table::{Fields, Problems, Text, quoted};

/// A prompt with the two completions whose probabilities are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The text up to the target, complete: no `{}`.
    pub prompt: String,
    /// The completion after the edit; `None`: the edit's own target.
    pub target_new: Option<String>,
    /// The completion before the edit; `None`: the edit's own target, and for a ripple none.
    pub target_true: Option<String>,
}

impl Comparison {
    /// A prompt that takes both targets from the edit.
    pub fn of_edit(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), target_new: None, target_true: None }
    }

    fn fill(&mut self, target_new: &str, target_true: Option<&str>) {
        self.target_new.get_or_insert_with(|| target_new.to_owned());
        if self.target_true.is_none() {
            self.target_true = target_true.map(str::to_owned);
        }
    }
}

/// The probes of one edit, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptSet {
    /// How the prompts are put to the model.
    pub form: Form,
    /// The edited fact itself.
    pub rewrite: Vec<Comparison>,
    /// The edited fact in other words.
    pub paraphrase: Vec<Comparison>,
    /// Facts about other subjects, which must stay.
    pub neighborhood: Vec<Comparison>,
    /// Facts that should follow from the edit; each has at least its own `target_new`.
    pub ripple: Vec<Comparison>,
    /// Prompts to complete freely.
    pub generation: Vec<String>,
    /// Passages that should be forgotten.
    pub forget: Vec<String>,
    /// Passages on which the model must not drift.
    pub retain: Vec<String>,
    /// Passages that the model has never seen.
    pub holdout: Vec<String>,
    /// Texts in the passages of `forget` that must not come out of the model.
    pub secrets: Vec<String>,
    /// What rewrite prompts are about, where they say so.
    pub about: Vec<AboutSubject>,
}

/// The subject of a rewrite prompt, so that the same can be asked about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutSubject {
    /// What the prompt is about.
    pub subject: String,
    /// The prompt with `{}` in the place of its subject.
    pub prompt: String,
}

impl PromptSet {
    /// The set with the targets of `insert` where a rewrite, paraphrase or neighborhood
    /// prompt names none, and the edit's own prompt where there is no rewrite.
    pub fn for_insert(&self, insert: &Insert) -> Self {
        let mut set = self.with_targets(&insert.target_new, insert.target_true.as_deref());
        if set.rewrite.is_empty() {
            let mut rewrite = Comparison::of_edit(insert.rendered());
            rewrite.fill(&insert.target_new, insert.target_true.as_deref());
            set.rewrite.push(rewrite);
        }
        set
    }

    /// The set with these targets where a rewrite, paraphrase or neighborhood prompt names none.
    pub fn with_targets(&self, target_new: &str, target_true: Option<&str>) -> Self {
        let mut set = self.clone();
        let Self { rewrite, paraphrase, neighborhood, .. } = &mut set;
        for comparison in rewrite.iter_mut().chain(paraphrase).chain(neighborhood) {
            comparison.fill(target_new, target_true);
        }
        set
    }

    /// The targets that stand for the edit's where a file is probed separately: those of
    /// its first rewrite prompt that names both.
    pub fn own_targets(&self) -> Option<(&str, &str)> {
        self.rewrite
            .iter()
            .find_map(|rewrite| rewrite.target_new.as_deref().zip(rewrite.target_true.as_deref()))
    }

    /// Reads a whole prompt file.
    pub(super) fn read(mut root: Fields<'_>) -> Self {
        let form = Form::read(&mut root);
        let (rewrite, about) = read_rewrites(&mut root);
        let (forget, secrets) = read_forget(&mut root);
        let set = Self {
            form,
            rewrite,
            paraphrase: read_comparisons(&mut root, "paraphrase"),
            neighborhood: read_comparisons(&mut root, "neighborhood"),
            ripple: read_comparisons(&mut root, "ripple"),
            generation: read_texts(&mut root, "generation", "prompt"),
            forget,
            retain: read_texts(&mut root, "retain", "text"),
            holdout: read_texts(&mut root, "holdout", "text"),
            secrets,
            about,
        };
        let problems = root.finish();
        if set == (Self { form, ..Self::default() }) && problems.is_empty() {
            problems.push(
                Problem::new("the file has no prompts")
                    .help("for example: [[rewrite]] with prompt, target_new and target_true"),
            );
        }
        set
    }
}

fn read_comparisons(root: &mut Fields<'_>, kind: &'static str) -> Vec<Comparison> {
    root.tables(kind).into_iter().filter_map(|fields| read_comparison(fields, kind)).collect()
}

/// `[[rewrite]]`, and the subjects that some of them name.
fn read_rewrites(root: &mut Fields<'_>) -> (Vec<Comparison>, Vec<AboutSubject>) {
    let (mut prompts, mut about) = (Vec::new(), Vec::new());
    for mut fields in root.tables("rewrite") {
        let (subject, problems) = (fields.text("subject"), fields.problems());
        let Some(rewrite) = read_comparison(fields, "rewrite") else { continue };
        about.extend(subject.and_then(|subject| about_subject(&subject, &rewrite, problems)));
        prompts.push(rewrite);
    }
    (prompts, about)
}

fn about_subject(text: &Text, rewrite: &Comparison, problems: &Problems) -> Option<AboutSubject> {
    let subject = text.value.trim();
    if subject.is_empty() || !rewrite.prompt.contains(subject) {
        let help = match alike(&rewrite.prompt, subject) {
            Some(it) => format!("subject = {}", quoted(it)),
            None => "write it exactly as it stands in `prompt`".into(),
        };
        problems.push(
            Problem::new(format!("the prompt does not name its subject {subject:?}"))
                .label(&text.span, "this subject")
                .help(help),
        );
        return None;
    }
    let prompt = rewrite.prompt.trim().replacen(subject, SLOT, 1);
    Some(AboutSubject { subject: subject.to_owned(), prompt })
}

/// `[[forget]]`: the texts, and the secrets in them.
fn read_forget(root: &mut Fields<'_>) -> (Vec<String>, Vec<String>) {
    let (mut texts, mut secrets) = (Vec::new(), Vec::new());
    for mut fields in root.tables("forget") {
        let found = secret_keys::read(&mut fields);
        let Some(text) = read_text(&mut fields, "text") else { continue };
        secret_keys::check(&found, "text", &text, fields.problems());
        fields.finish();
        texts.push(text.value);
        secrets.extend(found.into_iter().map(|secret| secret.value));
    }
    (texts, secrets)
}

fn read_comparison(mut fields: Fields<'_>, kind: &str) -> Option<Comparison> {
    let header = fields.header().clone();
    let prompt = fields.required_text("prompt", "\"The Louvre is located in the city of\"");
    let target_new = fields.text("target_new");
    let target_true = fields.text("target_true");
    let problems = fields.finish();
    for text in [&prompt, &target_new, &target_true].into_iter().flatten() {
        check_text(text, problems);
        check_no_slot(text, problems);
    }
    if kind == "ripple" && target_new.is_none() {
        problems.push(
            Problem::new("`[[ripple]]` has no `target_new`")
                .label(&header, "another fact than the edit, so its targets are its own")
                .help("for example: target_new = \"Italy\", target_true = \"France\""),
        );
    }
    if let (Some(new), Some(old)) = (&target_new, &target_true)
        && new.value == old.value
    {
        problems.push(
            Problem::new("`target_new` is the same as `target_true`: there is nothing to compare")
                .label(&new.span, "this")
                .label(&old.span, "and this"),
        );
    }
    Some(Comparison {
        prompt: prompt?.value,
        target_new: target_new.map(|text| text.value),
        target_true: target_true.map(|text| text.value),
    })
}

/// Refuses `{}` in a prompt file, which has no subject that could replace it.
fn check_no_slot(text: &super::table::Text, problems: &Problems) {
    if text.value.contains(SLOT) {
        problems.push(
            Problem::new(format!("`{}` has `{{}}`, but a prompt file has no subject", text.key))
                .label(&text.span, "write the name out"),
        );
    }
}

fn read_texts(root: &mut Fields<'_>, kind: &'static str, key: &'static str) -> Vec<String> {
    let read = |mut fields: Fields<'_>| {
        let text = read_text(&mut fields, key);
        fields.finish();
        Some(text?.value)
    };
    root.tables(kind).into_iter().filter_map(read).collect()
}

/// A prompt, or a text that is not blank.
fn read_text(fields: &mut Fields<'_>, key: &'static str) -> Option<Text> {
    let text = fields.required_text(key, "\"The moon rose over the harbour\"")?;
    let problems = fields.problems();
    if key == "prompt" {
        check_text(&text, problems);
    } else if text.value.trim().is_empty() {
        let problem = Problem::new(format!("`{key}` is empty"));
        problems.push(problem.label(&text.span, "no text here"));
    }
    Some(text)
}
