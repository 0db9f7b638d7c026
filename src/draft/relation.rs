//! A relation between subjects and answers, and sentences with a name in them.

/// A relation between a subject and an answer.
#[derive(Debug)]
pub(super) struct Relation {
    /// The name for people.
    pub(super) name: &'static str,
    /// Parts of prompts, in lower case, by which the relation is recognised.
    pub(super) cues: &'static [&'static str],
    /// The relation in several wordings, with `{}` where the subject stands.
    pub(super) wordings: &'static [&'static str],
    /// Subjects that are known widely, with their answers.
    pub(super) others: &'static [(&'static str, &'static str)],
}

impl Relation {
    /// Whether a prompt has one of the cues.
    pub(super) fn is_stated_by(&self, prompt: &str) -> bool {
        let prompt = prompt.to_lowercase();
        self.cues.iter().any(|cue| holds(&prompt, cue))
    }
}

/// Whether `prompt` has `cue` as whole words.
fn holds(prompt: &str, cue: &str) -> bool {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    prompt.match_indices(cue).any(|(at, _)| {
        let (before, after) = (&prompt[..at], &prompt[at + cue.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(after.chars().next())
    })
}

/// The sentence about `name`, whose article is written small inside the sentence.
pub(super) fn placed(sentence: &str, name: &str) -> String {
    let Some((before, after)) = sentence.split_once("{}") else { return sentence.to_owned() };
    let is_start = before.trim().is_empty() || before.trim_end().ends_with(['.', '?', '!']);
    let name = match name.strip_prefix("The ") {
        Some(rest) if !is_start => format!("the {rest}"),
        _ => name.to_owned(),
    };
    format!("{before}{name}{after}")
}

/// Beginnings that leave the sentence after them as it is.
const BEGINNINGS: [&str; 3] =
    ["Here is a fact: ", "According to the encyclopedia: ", "Everybody knows this: "];

/// A prompt of any relation after other words.
pub(super) fn any_wording(prompt: &str) -> Vec<String> {
    BEGINNINGS.iter().map(|before| format!("{before}{prompt}")).collect()
}
