//! Records of a deletion that do not say what was deleted: salted digests in place of texts.
//!
//! A digest is SHA-256(salt ‖ text), and the salt is that of the whole spec as it was written, which
//! is in no record: who has the spec can show what a digest stands for; others would have to guess
//! the spec, comments included. Digests are written only for texts of the spec itself; whatever
//! follows from them, such as tokens, prompts and what a model says, is left out.
//!
//! A text is kept where it cannot name anything that was removed: settings, names of tensors, and
//! facts of the same spec that share no text with a deletion.

mod spec;
mod values;

pub use values::TEXTS;

use serde_json::Value;

use super::{Earlier, EditRecord, Patch, Recipe};
use crate::files::Sha256;

/// Stands for a removed text inside of a sentence.
const REMOVED: &str = "[removed]";
/// Words in a row that, shared with a removed passage, make a text repeat it.
const SHARED_WORDS: usize = 4;

/// Takes removed texts out of records.
#[derive(Debug, Clone)]
pub struct Redactor {
    salt: Sha256,
    /// Subjects, answers, secrets and parts of prompts, longest first, as sequences of lower-case characters.
    names: Vec<Vec<char>>,
    /// Passages, as lower-case words.
    passages: Vec<Vec<String>>,
    /// Whether passages are forgotten, whose texts may be in files that are not at hand.
    has_passages: bool,
}

impl Redactor {
    /// For the deletions of a spec; nothing where it has none.
    ///
    /// A text that is no spec might name anything, so it counts as a deletion of all of it.
    pub fn of_spec(text: &str) -> Option<Self> {
        let removed = spec::Removed::of(text)?;
        let mut redactor = Self { has_passages: removed.is_forget, ..Self::salted(text) };
        removed.names.iter().for_each(|name| redactor.add_name(name));
        removed.passages.iter().for_each(|text| redactor.add_passage(text));
        Some(redactor)
    }

    /// For a spec that is a part of a record with these deletions, its own among them; nothing where
    /// it has none and names none of them.
    fn of_part(text: &str, all: &[Self]) -> Option<Self> {
        let own = Self::of_spec(text);
        let is_own = own.is_some();
        let mut redactor = own.unwrap_or_else(|| Self::salted(text));
        for other in all {
            other.names.iter().for_each(|name| redactor.add_name(&name.iter().collect::<String>()));
            redactor.passages.extend(other.passages.iter().cloned());
            redactor.has_passages |= other.has_passages;
        }
        // Passages may be in files that are not at hand, and might be about anything.
        let may_name = redactor.has_passages || redactor.is_named_in(text);
        (is_own || may_name).then_some(redactor)
    }

    /// Takes nothing out yet; the digests are salted with a text that is in no record.
    pub fn salted(text: &str) -> Self {
        let salt = Sha256::of(format!("rescribe redaction\n{text}"));
        Self { salt, names: Vec::new(), passages: Vec::new(), has_passages: false }
    }

    /// Whether `record` is the spec `source` with digests in place of some texts, or itself.
    pub fn is_record_of(record: &str, source: &str) -> bool {
        let redactor = Self::salted(source);
        let (Some(record), Some(source)) = (spec::outline(record), spec::outline(source)) else {
            return false;
        };
        let stands =
            |(record, text): (&String, &String)| record == text || *record == redactor.digest(text);
        record.frame == source.frame && record.texts.iter().zip(&source.texts).all(stands)
    }

    /// Adds a passage that is forgotten, as its file holds it.
    pub fn add_passage(&mut self, text: &str) {
        let words = words(text);
        match words.len() {
            0 => {}
            1..SHARED_WORDS => self.add_name(text.trim()),
            _ => self.passages.push(words),
        }
    }

    /// Adds a name, an answer or a secret, also as it stands in one line, and in quotes.
    pub fn add_name(&mut self, name: &str) {
        let line = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let quoted = |text: &str| {
            let text = format!("{text:?}");
            text[1..text.len() - 1].to_owned()
        };
        for form in [name.trim().to_owned(), quoted(name.trim()), quoted(&line), line] {
            let form: Vec<char> = lower(&form).collect();
            if !form.is_empty() && !self.names.contains(&form) {
                self.names.push(form);
            }
        }
        self.names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    }

    /// The salted digest that stands for a text.
    pub fn digest(&self, text: &str) -> String {
        format!("sha256:{}", Sha256::of(format!("{}\n{text}", self.salt)))
    }

    /// Whether a text names something that was removed.
    pub fn is_named_in(&self, text: &str) -> bool {
        self.scrubbed(text) != text || self.repeats_passage(text)
    }

    /// The text with every removed name replaced, and what it quotes of removed passages; a digest where
    /// it repeats one.
    pub fn scrub(&self, text: &str) -> String {
        if self.repeats_passage(text) {
            return self.digest(text);
        }
        self.scrubbed(&self.without_quotes(text))
    }

    /// The text without what it quotes of a removed passage, however short.
    fn without_quotes(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, inside, after)) = next_quote(rest) {
            out.push_str(before);
            out.push('"');
            out.push_str(if self.is_of_passage(inside) { REMOVED } else { inside });
            out.push('"');
            rest = after;
        }
        out + rest
    }

    /// Whether all words of a text stand in a row in a removed passage; the last one may be cut.
    fn is_of_passage(&self, text: &str) -> bool {
        let is_cut = text.ends_with('…');
        let words = words(text);
        let is_same = |run: &[String]| {
            run.iter().zip(&words).enumerate().all(|(at, (known, word))| {
                known == word || is_cut && at + 1 == words.len() && known.starts_with(word)
            })
        };
        let has = |passage: &Vec<String>| passage.windows(words.len()).any(is_same);
        !words.is_empty() && self.passages.iter().any(has)
    }

    /// The text with every removed name replaced.
    fn scrubbed(&self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let folded: Vec<char> = chars.iter().flat_map(|c| folded(*c)).collect();
        let (mut out, mut at) = (String::new(), 0);
        while at < chars.len() {
            let length = |name: &Vec<char>| match begins_at(&folded, at, name) {
                true => Some(name.len()),
                false => shortened_at(&folded, at, name),
            };
            match self.names.iter().find_map(length) {
                Some(length) => {
                    out.push_str(REMOVED);
                    at += length;
                }
                None => {
                    out.push(chars[at]);
                    at += 1;
                }
            }
        }
        out
    }

    fn repeats_passage(&self, text: &str) -> bool {
        let words = words(text);
        let shares = |passage: &Vec<String>| {
            words
                .windows(SHARED_WORDS)
                .any(|run| passage.windows(SHARED_WORDS).any(|known| known == run))
        };
        self.passages.iter().any(shares)
    }

    /// A spec with digests in place of texts, without comments.
    pub fn spec(&self, text: &str) -> String {
        spec::redacted(text, self)
    }

    /// A plan in the form that `--json` prints.
    pub fn plan(&self, plan: &mut Value) {
        values::redact_plan(plan, self);
    }

    /// A report in the form that `--json` prints.
    pub fn report(&self, report: &mut Value) {
        values::redact_report(report, self);
    }
}

/// Whether `name` stands at a place, not as a part of a longer word in Latin letters or digits.
fn begins_at(text: &[char], at: usize, name: &[char]) -> bool {
    let end = at + name.len();
    let joins = |a: Option<&char>, b: Option<&char>| {
        [a, b].iter().all(|c| c.is_some_and(|c| c.is_ascii_alphanumeric()))
    };
    text.get(at..end).is_some_and(|found| found == name)
        && !joins(at.checked_sub(1).and_then(|before| text.get(before)), name.first())
        && !joins(name.last(), text.get(end))
}

/// What stands before the next text in quotes, the text as it is escaped there, and what follows it.
fn next_quote(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('"')?;
    let mut is_escaped = false;
    let end = rest.find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })?;
    Some((before, &rest[..end], &rest[end + 1..]))
}

/// Characters of the beginning of `name` that stand at a place, dots for the rest of it included.
fn shortened_at(text: &[char], at: usize, name: &[char]) -> Option<usize> {
    /// Fewer characters could begin anything.
    const LEAST: usize = 3;
    let length = text[at..].iter().zip(name).take_while(|(found, known)| found == known).count();
    let has_start = at == 0 || !text[at - 1].is_ascii_alphanumeric();
    let is_cut = length >= LEAST && text.get(at + length) == Some(&'…');
    (is_cut && has_start).then_some(length + 1)
}

/// A character in lower case where that is one character, so that places stay what they are.
fn folded(c: char) -> [char; 1] {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => [lower],
        _ => [c],
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(folded)
}

fn words(text: &str) -> Vec<String> {
    let text: String = lower(text).collect();
    let is_gap = |c: char| !c.is_alphanumeric();
    text.split(is_gap).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Recipe {
    /// Whether the recipe names what it removed: it has deletions and is not redacted.
    pub fn names_removed(&self) -> bool {
        let names = |it: &EditRecord<'_>| !it.is_redacted && Redactor::of_spec(it.spec).is_some();
        self.edits().iter().any(names)
    }

    /// The recipe without the texts of what it removed; itself where it removes nothing.
    ///
    /// It tells what was done with which settings, but does not give the patch again without the
    /// spec as it was written.
    pub fn redacted(mut self) -> Self {
        let open = self.edits().into_iter().filter(|it| !it.is_redacted);
        // One edit may remove what another one tells.
        let removed: Vec<Redactor> = open.filter_map(|it| Redactor::of_spec(it.spec)).collect();
        let Self { spec, is_redacted, plan, metrics, model, .. } = &mut self;
        // A folder may be called after what it is about.
        removed.iter().for_each(|redactor| *model = redactor.scrub(model));
        redact((spec, is_redacted), [plan, metrics], &removed);
        for Earlier { spec, is_redacted, plan, metrics, .. } in &mut self.earlier {
            redact((spec, is_redacted), [plan, metrics], &removed);
        }
        self
    }
}

/// Takes what the edits of a patch removed out of the record of one of them.
fn redact(
    (spec, is_redacted): (&mut String, &mut bool),
    values: [&mut Value; 2],
    removed: &[Redactor],
) {
    if removed.is_empty() || *is_redacted {
        return;
    }
    let Some(redactor) = Redactor::of_part(spec, removed) else { return };
    *spec = redactor.spec(spec);
    values.into_iter().for_each(|value| values::redact_plan(value, &redactor));
    *is_redacted = true;
}

impl Patch {
    /// The same change, with a recipe that does not say what was removed ([`Recipe::redacted`]).
    pub fn redacted(self) -> Self {
        Self { recipe: self.recipe.redacted(), ..self }
    }
}

#[cfg(test)]
mod tests;
