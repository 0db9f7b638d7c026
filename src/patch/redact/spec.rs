//! The spec in a record of a deletion: tables and settings stay, texts become digests.

use toml::de::{DeTable, DeValue};

use super::Redactor;
use crate::spec::{GradientOptions, Kind, Options, RankOneOptions, Toward};

/// The first line of a redacted spec.
const HEAD: &str = "# Redacted: \"sha256:...\" stands for a text by its salted SHA-256; the spec as \
                    it was written stays with its author.\n";

/// The tables that remove something.
const ERASE: &str = "erase";
const FORGET: &str = "forget";
/// The table whose texts may stay.
const INSERT: &str = "insert";

/// What a spec removes.
#[derive(Default)]
pub(super) struct Removed {
    /// Subjects, answers, secrets, and what prompts say around their subjects.
    pub(super) names: Vec<String>,
    /// Passages that the spec itself holds.
    pub(super) passages: Vec<String>,
    /// Whether passages are forgotten.
    pub(super) is_forget: bool,
}

impl Removed {
    /// Nothing where the spec has no deletion.
    pub(super) fn of(text: &str) -> Option<Self> {
        let Ok(document) = DeTable::parse(text) else {
            return Some(Self { is_forget: true, ..Self::default() });
        };
        let (erases, forgets) =
            (tables(document.get_ref(), ERASE), tables(document.get_ref(), FORGET));
        if erases.is_empty() && forgets.is_empty() {
            return None;
        }
        let mut removed = Self { is_forget: !forgets.is_empty(), ..Self::default() };
        let of_erase = ["subject", "target_true", "secrets"];
        removed.names = of_erase.iter().flat_map(|key| texts(&erases, key)).collect();
        removed.names.extend(texts(&erases, "prompt").iter().flat_map(|prompt| around(prompt)));
        removed.names.extend(texts(&forgets, "secrets"));
        removed.passages = texts(&forgets, "text");
        Some(removed)
    }
}

/// The parts of a prompt before and after its subject; a word or two, such as "is in", say nothing.
fn around(prompt: &str) -> Vec<String> {
    const WORDS: usize = 3;
    let is_telling = |part: &&str| part.split_whitespace().count() >= WORDS;
    prompt.split("{}").map(str::trim).filter(is_telling).map(str::to_owned).collect()
}

fn tables<'d>(document: &'d DeTable<'d>, name: &str) -> Vec<&'d DeTable<'d>> {
    let value = document.iter().find(|(key, _)| key.get_ref().as_ref() == name);
    let items = value.and_then(|(_, value)| value.get_ref().as_array());
    items.into_iter().flatten().filter_map(|item| item.get_ref().as_table()).collect()
}

/// The texts under a key of these tables.
fn texts(tables: &[&DeTable<'_>], key: &str) -> Vec<String> {
    let values = tables.iter().flat_map(|table| table.iter());
    let values = values.filter(|(name, _)| name.get_ref().as_ref() == key);
    values.flat_map(|(_, value)| texts_in(value.get_ref())).collect()
}

fn texts_in(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Array(items) => items.iter().flat_map(|item| texts_in(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().flat_map(|(_, value)| texts_in(value.get_ref())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a text may stay as it is.
type Keeps<'k> = &'k dyn Fn(&str, &str) -> bool;

/// The text of a spec without what it removes; nothing but a line where it is no spec.
pub(super) fn redacted(text: &str, redactor: &Redactor) -> String {
    let Ok(document) = DeTable::parse(text) else {
        return format!("{HEAD}# The whole of it: {}\n", redactor.digest(text));
    };
    let mut out = HEAD.to_owned();
    let writer = Writer { source: text, redactor };
    for (name, value) in sorted(document.get_ref()) {
        let head = key_text(name);
        match value {
            DeValue::Table(table) => out += &format!("\n[{head}]\n{}", writer.table(name, table)),
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    out += &format!("\n[[{head}]]\n{}", writer.table(name, table));
                }
            }
            _ => out += &writer.line(name, value, &|key, text| writer.keeps(name, key, text)),
        }
    }
    out
}

/// The entries of a table in the order in which they were written.
fn sorted<'d>(table: &'d DeTable<'d>) -> Vec<(&'d str, &'d DeValue<'d>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect()
}

/// A key as TOML writes it.
fn key_text(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// A text as TOML writes it: JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

struct Writer<'a> {
    source: &'a str,
    redactor: &'a Redactor,
}

impl Writer<'_> {
    /// Whether the text under a key of a table stays.
    fn keeps(&self, table: &str, key: &str, text: &str) -> bool {
        match table {
            ERASE => key == "toward" && !matches!(Toward::of_text(text), Toward::Text(_)),
            "rank_one" => is_word::<RankOneOptions>(key),
            "gradient" => is_word::<GradientOptions>(key),
            "model" => !self.redactor.is_named_in(text),
            INSERT => !self.redactor.has_passages,
            // Paths are named after what they are about.
            _ => false,
        }
    }

    /// The lines of a table; a fact one of whose texts names what was removed keeps none.
    fn table(&self, name: &str, table: &DeTable<'_>) -> String {
        let mut texts = table.iter().flat_map(|(_, value)| texts_in(value.get_ref()));
        let is_named = name == INSERT && texts.any(|text| self.redactor.is_named_in(&text));
        let keeps = |key: &str, text: &str| !is_named && self.keeps(name, key, text);
        sorted(table).into_iter().map(|(key, value)| self.line(key, value, &keeps)).collect()
    }

    fn line(&self, key: &str, value: &DeValue<'_>, keeps: Keeps<'_>) -> String {
        format!("{} = {}\n", key_text(key), self.value(key, value, keeps))
    }

    fn value(&self, key: &str, value: &DeValue<'_>, keeps: Keeps<'_>) -> String {
        match value {
            DeValue::String(text) if keeps(key, text) => quoted(text),
            DeValue::String(text) => quoted(&self.redactor.digest(text)),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => quoted(&self.redactor.digest(self.source)),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.value(key, item.get_ref(), keeps));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            DeValue::Table(table) => {
                let entry = |(key, value): (&str, &DeValue<'_>)| {
                    format!("{} = {}", key_text(key), self.value(key, value, keeps))
                };
                let entries = sorted(table).into_iter().map(entry);
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Whether a setting takes one of a few words, and not the path of a file.
fn is_word<O: Options>(key: &str) -> bool {
    O::GROUP.settings.iter().any(|setting| setting.key == key && setting.kind != Kind::File)
}
