//! The spec in a record of a deletion: tables and settings stay, texts become digests.

use std::cell::RefCell;

use toml::de::{DeTable, DeValue};

use super::Redactor;
use crate::patch::rewrite;
use crate::plan::{NameUse, near_subjects};
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
    /// Subjects, names near them, answers, secrets, and what prompts say around their subjects.
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
        let subjects = texts(&erases, "subject");
        // Other names that end as an erased one does are measured, and tell how it ends.
        let near = |usage| subjects.iter().flat_map(move |name| near_subjects(name, usage));
        removed.names.extend([NameUse::Held, NameUse::Measured].into_iter().flat_map(near));
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

/// The text of a spec without what it removes; nothing but a line where it is no spec.
pub(super) fn redacted(text: &str, redactor: &Redactor) -> String {
    let Ok(document) = DeTable::parse(text) else {
        return format!("{HEAD}# The whole of it: {}\n", redactor.digest(text));
    };
    let table = |name: &str, _, table: &DeTable<'_>| Some(redacted_table(redactor, name, table));
    let top =
        |name: &str, key: &str, text: &str| kept(redactor, keeps(redactor, name, key, text), text);
    format!("{HEAD}{}", rewrite::document(document.get_ref(), &table, &top))
}

/// The text, or its digest.
fn kept(redactor: &Redactor, stays: bool, text: &str) -> String {
    if stays { text.to_owned() } else { redactor.digest(text) }
}

/// Whether the text under a key of a table stays.
fn keeps(redactor: &Redactor, table: &str, key: &str, text: &str) -> bool {
    match table {
        ERASE => key == "toward" && !matches!(Toward::of_text(text), Toward::Text(_)),
        "rank_one" => is_word::<RankOneOptions>(key),
        "gradient" => is_word::<GradientOptions>(key),
        "model" => !redactor.is_named_in(text),
        INSERT => !redactor.has_passages,
        // Paths are named after what they are about.
        _ => false,
    }
}

/// The lines of a table; a fact one of whose texts names what was removed keeps none.
fn redacted_table(redactor: &Redactor, name: &str, table: &DeTable<'_>) -> String {
    let mut texts = table.iter().flat_map(|(_, value)| texts_in(value.get_ref()));
    let is_named = name == INSERT && texts.any(|text| redactor.is_named_in(&text));
    let stays = |key: &str, text: &str| !is_named && keeps(redactor, name, key, text);
    rewrite::lines(table, &|key, text| kept(redactor, stays(key, text), text))
}

/// A spec as texts and everything else.
pub(super) struct Outline {
    /// The texts, in their order.
    pub(super) texts: Vec<String>,
    /// All the rest.
    pub(super) frame: String,
}

/// Takes the texts out of a spec; nothing where it is not TOML.
pub(super) fn outline(spec: &str) -> Option<Outline> {
    let document = DeTable::parse(spec).ok()?;
    let texts = RefCell::new(Vec::new());
    let take = |text: &str| {
        texts.borrow_mut().push(text.to_owned());
        String::new()
    };
    let table = |_: &str, _, table: &DeTable<'_>| Some(rewrite::lines(table, &|_, it| take(it)));
    let frame = rewrite::document(document.get_ref(), &table, &|_, _, it| take(it));
    Some(Outline { texts: texts.into_inner(), frame })
}

/// Whether a setting takes one of a few words, and not the path of a file.
fn is_word<O: Options>(key: &str) -> bool {
    O::GROUP.settings.iter().any(|setting| setting.key == key && setting.kind != Kind::File)
}
