//! Settings as the text of a spec: the tables that ask for what a run resolved.

use std::path::Path;

use toml::de::DeTable;

use super::{Options, Value};
use crate::spec::table::quoted;
use crate::spec::{
    EditSpec, Fact, GradientOptions, RankOneOptions, SourceText, Span, VerdictOptions, parse_spec,
    spec_text,
};

/// `key = value` of every option that has a value.
pub(super) fn lines<O: Options>(options: &O, folder: &Path) -> String {
    let line =
        |key: &str| options.get(key).map(|value| format!("{key} = {}\n", written(&value, folder)));
    O::GROUP.settings.iter().filter_map(|setting| line(setting.key)).collect()
}

fn written(value: &Value, folder: &Path) -> String {
    match value {
        Value::Count(number) => number.to_string(),
        Value::Seed(seed) => seed.to_string(),
        // The shortest digits that are read back as this number.
        Value::Real(number) => format!("{number:?}"),
        Value::Switch(is_on) => is_on.to_string(),
        Value::Word(word) => quoted(word),
        Value::Auto => quoted("auto"),
        Value::Layers(layers) => format!("{layers:?}"),
        Value::File(path) => {
            let path = match path.strip_prefix(folder) {
                Ok(inside) => inside.to_owned(),
                Err(_) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            };
            quoted(&path.to_string_lossy())
        }
    }
}

/// The table of a group, with its header; empty where no option has a value.
fn table<O: Options>(options: &O, folder: &Path) -> String {
    match options.lines(folder) {
        lines if lines.is_empty() => lines,
        lines => format!("[{}]\n{lines}", O::GROUP.table),
    }
}

/// The text of a spec with these facts, written with these options.
pub fn spec_text_with(facts: &[Fact], options: &RankOneOptions) -> String {
    let table = table(options, Path::new(""));
    let separator = if table.is_empty() { "" } else { "\n" };
    format!("{}{separator}{table}", spec_text(facts))
}

impl EditSpec {
    pub(super) fn settings(&self) -> (&RankOneOptions, &GradientOptions, &VerdictOptions) {
        (&self.rank_one, &self.gradient, &self.verdict)
    }

    /// The text of a spec that asks for what this one has become, such as by flags: operations
    /// verbatim, settings replaced; the very text that was read where no setting changed.
    pub fn resolved_text(&self) -> String {
        let text = self.source.text();
        let read = parse_spec(self.source.name(), text);
        if read.is_ok_and(|read| self.settings() == read.settings()) {
            return text.to_owned();
        }
        let kept = self.source.without_tables(&["rank_one", "gradient", "verdict"]);
        let kept = kept.trim_end();
        let folder = Path::new(self.source.name()).parent().unwrap_or(Path::new(""));
        let (rank_one, gradient, verdict) = self.settings();
        let tables = [table(rank_one, folder), table(gradient, folder), table(verdict, folder)];
        let tables = tables.into_iter().filter(|table| !table.is_empty());
        let tables: Vec<String> = tables.map(|table| format!("\n{table}")).collect();
        format!("{kept}\n{}", tables.concat())
    }
}

impl SourceText {
    /// Where a table stands, or a key of it.
    pub fn place_of(&self, table: &str, key: Option<&str>) -> Option<Span> {
        let document = DeTable::parse(self.text()).ok()?;
        let (name, value) = document.get_ref().get_key_value(table)?;
        match key {
            None => Some(name.span()),
            Some(key) => Some(value.get_ref().as_table()?.get_key_value(key)?.0.span()),
        }
    }

    /// The text less the lines of these tables; comments on lines of their own stay.
    fn without_tables(&self, names: &[&str]) -> String {
        let Ok(document) = DeTable::parse(self.text()) else { return self.text().to_owned() };
        let mut spans: Vec<Span> = Vec::new();
        for name in names {
            let Some((key, value)) = document.get_ref().get_key_value(*name) else { continue };
            spans.extend([key.span(), value.span()]);
            for (key, value) in value.get_ref().as_table().into_iter().flat_map(DeTable::iter) {
                spans.extend([key.span(), value.span()]);
            }
        }
        let lines: Vec<_> =
            spans.iter().map(|span| self.line_of(span.start)..=self.line_of(span.end)).collect();
        let is_kept = |line: usize| !lines.iter().any(|range| range.contains(&line));
        let kept = self.text().split_inclusive('\n').enumerate();
        kept.filter(|(index, _)| is_kept(index + 1)).map(|(_, line)| line).collect()
    }
}
