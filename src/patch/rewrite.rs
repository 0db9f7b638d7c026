//! Writes the TOML of a spec again: its tables in their order, without comments.

use toml::de::{DeTable, DeValue};

/// What stands for the text under a key.
pub(super) type Texts<'t> = &'t dyn Fn(&str, &str) -> String;

/// The lines of a document; `table` writes the lines of a table by its name and its place among
/// those of the name, or leaves it out, and `top` stands for texts outside of tables, by the name of the
/// entry, a key and the text.
pub(super) fn document(
    document: &DeTable<'_>,
    table: &dyn Fn(&str, usize, &DeTable<'_>) -> Option<String>,
    top: &dyn Fn(&str, &str, &str) -> String,
) -> String {
    let mut out = String::new();
    for (name, value) in sorted(document) {
        let head = key_text(name);
        match value {
            DeValue::Table(found) => {
                let lines = table(name, 0, found);
                out.extend(lines.map(|lines| format!("\n[{head}]\n{lines}")));
            }
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                for (at, found) in tables.enumerate() {
                    let lines = table(name, at, found);
                    out.extend(lines.map(|lines| format!("\n[[{head}]]\n{lines}")));
                }
            }
            _ => out += &line(name, value, &|key, text| top(name, key, text)),
        }
    }
    out
}

/// The lines of a table.
pub(super) fn lines(table: &DeTable<'_>, texts: Texts<'_>) -> String {
    sorted(table).into_iter().map(|(key, value)| line(key, value, texts)).collect()
}

fn line(key: &str, value: &DeValue<'_>, texts: Texts<'_>) -> String {
    format!("{} = {}\n", key_text(key), written(key, value, texts))
}

fn written(key: &str, value: &DeValue<'_>, texts: Texts<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(&texts(key, text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => quoted(&texts(key, &date.to_string())),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| written(key, item.get_ref(), texts));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&str, &DeValue<'_>)| {
                format!("{} = {}", key_text(key), written(key, value, texts))
            };
            let entries = sorted(table).into_iter().map(entry);
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
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
