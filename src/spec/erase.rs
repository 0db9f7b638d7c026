//! One fact to remove: `[[erase]]`.

use serde::{Deserialize, Serialize};

use super::Span;
use super::error::Problem;
use super::insert::{SLOT, check_slot, check_text};
use super::secret_keys;
use super::table::{Fields, Problems, Text};

/// The answer that an erase aims at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Toward {
    /// The answer about subjects of the kind that the model knows nothing of.
    Unknown,
    /// Anything but the true target, whose probability is minimised: the usual method, for
    /// comparison.
    Minimise,
    /// A text given by the user.
    Text(String),
}

impl Toward {
    /// Reads the word or text of a spec.
    pub fn of_text(text: &str) -> Self {
        match text {
            "unknown" => Self::Unknown,
            "minimise" => Self::Minimise,
            text => Self::Text(text.to_owned()),
        }
    }

    /// The word or text that stands for this value in a spec.
    pub fn text(&self) -> &str {
        match self {
            Self::Unknown => "unknown",
            Self::Minimise => "minimise",
            Self::Text(text) => text,
        }
    }
}

/// One fact to remove: afterwards, `prompt` about `subject` no longer leads to `target_true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// The subject of the fact; not empty.
    pub subject: String,
    /// The sentence up to the target, with exactly one `{}` where the subject stands.
    pub prompt: String,
    /// The model's present completion, without a leading space; not empty.
    pub target_true: String,
    /// What the model should say instead.
    pub toward: Toward,
    /// Other subjects of the kind; where there are none, the plan finds some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Parts of `target_true` that must not be recoverable from the edited model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Places in the spec file; `None` for records and values made by code.
    #[serde(skip)]
    pub spans: Option<EraseSpans>,
}

/// Spans of an [`Erase`] in its spec file, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseSpans {
    /// Span of the value of `prompt`.
    pub prompt: Span,
    /// Span of the value of `target_true`.
    pub target_true: Span,
}

impl Erase {
    /// The prompt with the subject in its place.
    pub fn rendered(&self) -> String {
        self.prompt.replacen(SLOT, &self.subject, 1)
    }

    /// Reads one `[[erase]]` table; nothing where a key is missing.
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let subject = fields.required_text("subject", "\"Marie Curie\"");
        let prompt = fields.required_text("prompt", "\"{} was born in the city of\"");
        let target_true = fields.required_text("target_true", "\"Warsaw\"");
        let toward = fields.text("toward");
        let others = fields.texts("others").unwrap_or_default();
        let secrets = secret_keys::read(&mut fields);
        let problems = fields.finish();
        let lines = [&subject, &prompt, &target_true, &toward].into_iter().flatten();
        lines.chain(&others).for_each(|text| check_text(text, problems));
        let (subject, prompt, target_true) = (subject?, prompt?, target_true?);
        check_slot(&prompt, &subject, problems);
        check_toward(toward.as_ref(), &target_true, problems);
        check_others(&others, &subject, problems);
        secret_keys::check(&secrets, "target_true", &target_true, problems);
        Some(Self {
            spans: Some(EraseSpans { prompt: prompt.span, target_true: target_true.span }),
            subject: subject.value,
            prompt: prompt.value,
            target_true: target_true.value,
            toward: toward.map_or(Toward::Unknown, |text| Toward::of_text(&text.value)),
            others: others.into_iter().map(|text| text.value).collect(),
            secrets: secrets.into_iter().map(|text| text.value).collect(),
        })
    }
}

fn check_toward(toward: Option<&Text>, target_true: &Text, problems: &Problems) {
    let Some(toward) = toward.filter(|text| text.value.trim() == target_true.value.trim()) else {
        return;
    };
    let problem = Problem::new("`toward` is the same as `target_true`: nothing would be erased")
        .label(&toward.span, "what should be said instead")
        .label(&target_true.span, "what should be gone")
        .help("toward = \"unknown\"");
    problems.push(problem);
}

fn check_others(others: &[Text], subject: &Text, problems: &Problems) {
    for other in others.iter().filter(|other| other.value == subject.value) {
        let problem = Problem::new("`others` names the subject itself")
            .label(&other.span, "another subject is expected")
            .label(&subject.span, "the subject");
        problems.push(problem);
    }
}
