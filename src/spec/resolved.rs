//! The text of a spec that asks for what a run resolved, as a patch keeps it.

use std::path::Path;

use super::settings::Options;
use super::{
    EditSpec, Fact, GradientOptions, RankOneOptions, VerdictOptions, parse_spec, spec_text,
};

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

    /// The text of a spec equivalent to this one as changed by flags: operations
    /// verbatim, settings replaced; the exact text that was read where no setting changed.
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
