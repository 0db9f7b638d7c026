//! A TOML table read key by key: one pass finds every unknown key, missing key and wrong type.
//!
//! Serde stops at its first error; a file with four mistakes would need four runs.

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Span;
use super::error::Problem;

/// The problems of one file, as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A string value, under the key that holds it.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) key: &'static str,
    pub(super) value: String,
    /// Span of the value, quotes included.
    pub(super) span: Span,
}

/// One table of the file; the keys that were asked for are the ones that it may have.
pub(super) struct Fields<'t> {
    table: &'t DeTable<'t>,
    /// The table's name in messages, such as `[[insert]]`; empty for the file itself.
    name: String,
    header: Span,
    asked: Vec<&'static str>,
    problems: &'t Problems,
}

impl<'t> Fields<'t> {
    pub(super) fn root(table: &'t Spanned<DeTable<'t>>, problems: &'t Problems) -> Self {
        let header = table.span();
        Self { table: table.get_ref(), name: String::new(), header, asked: Vec::new(), problems }
    }

    pub(super) fn problems(&self) -> &'t Problems {
        self.problems
    }

    /// Span of the table's header line.
    pub(super) fn header(&self) -> &Span {
        &self.header
    }

    /// The value of `key`, of any type.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Text> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Text { key, value: text.to_owned(), span: value.span() }),
            None => self.wrong_type(key, value, "text in quotes"),
        }
    }

    /// A required text; `example` is shown in the advice of the error.
    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<Text> {
        if !self.table.contains_key(key) {
            self.problems.push(
                Problem::new(format!("`{}` has no `{key}`", self.name))
                    .label(&self.header, "in this table")
                    .help(format!("for example: {key} = {example}")),
            );
        }
        self.text(key)
    }

    /// The value of `key` as a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Text>> {
        let value = self.value(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(key, value, "a list of texts in quotes");
        };
        let text = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
            Some(text) => Some(Text { key, value: text.to_owned(), span: item.span() }),
            None => self.wrong_type(key, item, "text in quotes"),
        };
        Some(items.iter().filter_map(text).collect())
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong_type(key, value, "true or false"),
        }
    }

    /// The table `[key]`.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Fields<'t>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.inner(table, format!("[{key}]"), value.span())),
            _ => self.wrong_type(key, value, &format!("one table, `[{key}]`")),
        }
    }

    /// The tables `[[key]]`, in the order of the file.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Fields<'t>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = format!("a list of tables, each under `[[{key}]]`");
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type::<()>(key, value, &expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    tables.push(self.inner(table, format!("[[{key}]]"), item.span()));
                }
                _ => drop(self.wrong_type::<()>(key, item, &expected)),
            }
        }
        tables
    }

    fn inner(&self, table: &'t DeTable<'t>, name: String, header: Span) -> Fields<'t> {
        Fields { table, name, header, asked: Vec::new(), problems: self.problems }
    }

    pub(super) fn wrong_type<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> Option<T> {
        let found = kind(value.get_ref());
        self.problems.push(
            Problem::new(format!("`{key}` is {found}, expected {expected}"))
                .label(&value.span(), "this"),
        );
        None
    }

    /// Reports the keys that were not asked for.
    pub(super) fn finish(self) -> &'t Problems {
        for (key, _) in self.table.iter() {
            if !self.asked.contains(&key.get_ref().as_ref()) {
                self.problems.push(self.unknown(key.get_ref(), &key.span()));
            }
        }
        self.problems
    }

    fn unknown(&self, key: &str, span: &Span) -> Problem {
        let place =
            if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        let problem = Problem::new(format!("unknown key `{key}`{place}"));
        match nearest(key, &self.asked) {
            Some(near) => problem
                .label(span, format!("did you mean `{near}`?"))
                .help(format!("known keys: {}", self.asked.join(", "))),
            None => problem
                .label(span, "not known here")
                .help(format!("known keys: {}", self.asked.join(", "))),
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `text` as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The known word that `word` is a typing error of, if one is near enough.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    let near = known.iter().map(|candidate| (edit_distance(&word, candidate), *candidate));
    let (distance, best) = near.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= best.len().max(3)).then_some(best)
}

/// Levenshtein distance with swapped neighbours counted once.
fn edit_distance(a: &str, b: &str) -> usize {
    // A key this long is not a misspelt known one, and the cost is quadratic.
    if a.len() > 64 {
        return a.len();
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_does_not() {
        let known = ["subject", "prompt", "target_new", "target_true"];
        let rows = [
            ("subjct", Some("subject")),
            ("Subject", Some("subject")),
            ("porpmt", Some("prompt")),
            ("target-new", Some("target_new")),
            ("relation", None),
            ("", None),
        ];
        for (word, expected) in rows {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn quoted_text_reads_back() {
        for text in ["plain", "a \"b\" \\ c", "line\nline", "bell\u{7}", "naïve 🙂"] {
            let table: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }
}
